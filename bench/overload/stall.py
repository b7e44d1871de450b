"""How late the gateway's event loop is while the store stands still for some seconds under load, and catches
up.

A real `cxmyd serve` on a real redis-server, which SIGSTOP holds. The load comes from `loadsmsc` (C), which
sends again what was refused. The delay is the worst that the gateway shows of itself
(`cxmyd_loop_lag_seconds`), looked at four times a second; beside it that of a timer in this process, which is
what the machine adds. `python -m bench.overload.stall`.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from bench.endurance.gateway import free_port
from bench.overload.run import BINDS, LOADSMSC, SMSC, Gateway, running
from bench.store import results
from bench.store.engines import Engine, engine

#: Of the metric: it shows the worst of 10 to 20 s.
SPAN_S: Final = 20.0
LOOK_S: Final = 0.25
#: From the load's begin to the stall, and from the store's return to the load's end.
BEFORE_S, AFTER_S = 5.0, 10.0
RETRY_MS: Final = 100

Report = dict[str, Any]


class Load(NamedTuple):
    """`window`: of each bind, at the SMSC."""

    per_s: int
    window: int
    stall_s: float

    async def run(self, gateway: Gateway) -> Report:
        seconds = BEFORE_S + self.stall_s + AFTER_S
        return await gateway.load(
            int(self.per_s * seconds),
            *("--rate", str(self.per_s), "--window", str(self.window)),
            *("--retry", str(RETRY_MS), "--timeout", str(seconds + 30)),
        )


class Watch:
    """The worst delays, the gateway's and ours, since it was made."""

    def __init__(self, gateway: Gateway) -> None:
        self._url = f"http://127.0.0.1:{gateway.http}/metrics"
        self.gateway_s = self.ours_s = 0.0
        self._tasks = [asyncio.create_task(each) for each in (self._look(), self._wait())]

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.gateway_s = max(self.gateway_s, await asyncio.to_thread(self._lag_s))

    def _lag_s(self) -> float:
        with urllib.request.urlopen(self._url, timeout=5) as page:
            lines = page.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith("cxmyd_loop_lag_seconds ")).split()[1])

    async def _wait(self) -> None:
        while True:
            due_s = time.monotonic() + 0.05
            await asyncio.sleep(0.05)
            self.ours_s = max(self.ours_s, time.monotonic() - due_s)

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()


async def watched(gateway: Gateway, store: Engine, load: Load, *, stall: bool) -> tuple[Watch, Report]:
    running_load = asyncio.create_task(load.run(gateway))
    await asyncio.sleep(1.0)  # every bind's first texts are answered
    watch = Watch(gateway)
    if stall:
        await asyncio.sleep(BEFORE_S)
        os.kill(store.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(load.stall_s)
        finally:
            os.kill(store.pid, signal.SIGCONT)
    report = await running_load
    watch.end()
    return watch, report


async def measure(store: Engine, folder: Path, load: Load) -> tuple[object, ...]:
    """As much without a stall, and then with one."""
    port = free_port()
    with running(store.url, folder, SMSC.format(name="flood", port=port, binds=BINDS), port) as gateway:
        await gateway.load(2000)
        calm, _ = await watched(gateway, store, load, stall=False)
        await asyncio.sleep(SPAN_S)  # until the metric has forgotten it
        found, report = await watched(gateway, store, load, stall=True)
    delays_s = (calm.gateway_s, calm.ours_s, found.gateway_s, found.ours_s)
    counts = (report["deliver_retried"], report["missing"], report["duplicates"])
    return (*(f"{each * 1000:.0f}" for each in delays_s), *counts, f"{report['lat_ms']['max'] / 1000:.1f}")


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="How long the store stands still.")
@click.option("--rate", default=5000, show_default=True, help="Texts a second.")
@click.option("--window", default=100, show_default=True, help="Of each of the 8 binds, at the SMSC.")
def main(rounds: int, seconds: float, rate: int, window: int) -> None:
    """Measure ROUNDS times, and show each."""
    subprocess.run(["make", "-s", "-C", str(LOADSMSC.parent)], check=True)
    rows = []
    for _ in range(rounds):
        with engine("redis") as store, tempfile.TemporaryDirectory(prefix="cxmyd-stall-") as name:
            rows.append(asyncio.run(measure(store, Path(name), Load(rate, window, seconds))))
    columns = (
        "no stall",
        "timer beside",
        "stall",
        "timer beside",
        "sent again",
        "lost",
        "twice",
        "longest s",
    )
    results.table("the worst delay of the gateway's loop, ms", columns, rows)


if __name__ == "__main__":
    main()
