"""The gateway at three times what it can do: what it answers, what it refuses, how long what it accepted
takes, its memory, and what others on other links notice of it.

A real `cxmyd serve` on a real redis-server. The flood comes from `loadsmsc` (C) by several binds, with nearly
no window of its own; beside it a second SMSC sends 50 a second all the time. Everything shares the machine:
compare figures of one run only. `make bench-overload` calls it.
"""

import asyncio
import contextlib
import json
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, Final

import click

from bench.compare.contenders import CXMYD
from bench.endurance.gateway import free_port
from bench.overload.steady import FLOODER, Message, Steady, figures
from bench.store import results
from bench.store.engines import cpu_s, engine
from gateway import children
from gateway.smpp.constants import status_name

LOADSMSC: Final = Path(__file__).parent.parent / "loadsmsc" / "loadsmsc"
STEADY_PER_S: Final = 50.0
SLOW_PER_S: Final = 300.0
FLOODER_PER_S: Final = 3000.0
BINDS: Final = 8
LINGER_S: Final = 0.5
#: A rate is sustained when so few of its messages are refused; how long one is tried, and by how much less
#: the next.
SUSTAINED: Final = 0.001
TRIED_S: Final = 4
STEP: Final = 0.05

NOWHERE: Final = "查询成功"
CONFIG: Final = """
[redis]
url = {redis}
[keys]
file = "keys.json"
[data]
dir = "data"
[http]
listen = "127.0.0.1:{http}"
[carrier.plain]
numbers = ["10086"]
queries_per_day = 0
"""
SMSC: Final = """
[[smsc]]
name = "{name}"
port = {port}
system_id = "cxmyd"
password = "secret"
carrier = "plain"
reconnect_max_s = 0.2
binds = {binds}
"""


class Gateway:
    """The process under test and its two SMSCs' ports; its memory is looked at all the time."""

    def __init__(self, pid: int, flood_port: int, http: int) -> None:
        self.http = http
        self._status = Path(f"/proc/{pid}/status")
        self._pid = pid
        self._port = flood_port
        self._first = 8613800000000
        self.rss_mb: list[tuple[float, float]] = []

    async def watch(self) -> None:
        while True:
            kb = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
            self.rss_mb.append((time.monotonic(), int(kb.split()[1]) / 1000))
            await asyncio.sleep(0.1)

    def most_mb(self, since_s: float, until_s: float) -> float:
        return max(mb for at_s, mb in self.rss_mb if since_s <= at_s <= until_s)

    async def load(self, messages: int, *arguments: str) -> dict[str, Any]:
        """One run of the load, from numbers that were not there before; its report, and when it was sent."""
        command = [str(LOADSMSC), str(self._port), "--base", str(self._first), "--messages", str(messages)]
        self._first += messages
        used_s = cpu_s(self._pid)
        process = await asyncio.create_subprocess_exec(
            *command,
            "--binds",
            str(BINDS),
            "--expect",
            NOWHERE,
            "--linger",
            str(LINGER_S),
            *arguments,
            stdout=subprocess.PIPE,
        )
        output, _ = await process.communicate()
        report: dict[str, Any] = json.loads(output)
        ended_s = time.monotonic() - LINGER_S
        report["cpu_s"] = cpu_s(self._pid) - used_s
        report["from_s"], report["until_s"] = ended_s - report["wall_s"], ended_s
        return report


@contextmanager
def running(
    redis_url: str, folder: Path, sections: str, flood_port: int = 0, cxmyd: str = CXMYD
) -> Iterator[Gateway]:
    config = folder / "gateway.toml"
    http, command = free_port(), [*shlex.split(cxmyd), "-c", str(config)]
    config.write_text(CONFIG.format(redis=json.dumps(redis_url), http=http) + sections)
    if not (folder / "keys.json").exists():
        subprocess.run([*command, "keys", "init"], check=True, stdout=subprocess.DEVNULL)
    with (folder / "gateway.log").open("wb") as log:
        process = children.spawn([*command, "serve", "--log-level", "error"], output=log)
    try:
        yield Gateway(process.pid, flood_port, http)
    finally:
        status = children.end(process, timeout_s=20)
    assert status == 0, (folder / "gateway.log").read_text()[-2000:]


def between(messages: list[Message], since_s: float, until_s: float) -> list[Message]:
    return [each for each in messages if since_s <= each.due_s < until_s]


def recovery_s(messages: list[Message], flood_ended_s: float, normal_ms: float) -> float:
    """From the flood's last message until the first ten in a row of which none is refused and half are in
    time.
    """
    after = [each for each in messages if each.due_s >= flood_ended_s]
    for index in range(len(after) - 9):
        ten = after[index : index + 10]
        if all(each.status == 0 for each in ten) and statistics.median(e.took_ms for e in ten) <= normal_ms:
            return ten[0].due_s - flood_ended_s
    return inf


def of_load(report: dict[str, Any]) -> dict[str, Any]:
    """What is told of a run of the load."""
    statuses = {status_name(int(code, 16)): count for code, count in report["deliver_sm_resp"].items()}
    return {
        "messages": report["started"],
        "answers": report["answers"],
        "statuses": statuses,
        "refused": sum(statuses.values()) - statuses.get("ESME_ROK", 0),
        "answers_per_cpu_s": report["answers"] / report["cpu_s"],
        "p50_ms": report["lat_ms"]["p50"],
        "p99_ms": report["lat_ms"]["p99"],
        "wrong": report["missing"] - report["nacked"] + report["duplicates"] + report.get("wrong_text", 0),
    }


async def sustainable(gateway: Gateway, full_per_s: float) -> tuple[float, dict[str, Any]]:
    """The highest rate, in steps below the full one, at which texts may come for ever, whatever the gateway
    does: in an open loop, with next to none refused. Its run.
    """
    share = 1.0
    while True:
        rate = int(share * full_per_s)
        open_loop = ("--rate", str(rate), "--window", "30000", "--timeout", "20", "--quiesce", "5")
        tried = await gateway.load(rate * TRIED_S, *open_loop)
        if of_load(tried)["refused"] <= SUSTAINED * rate * TRIED_S:
            return rate, tried
        share -= STEP


async def overload(gateway: Gateway, steady: Steady, seconds: float) -> dict[str, Any]:
    """Full rate, the sustainable one, three times that, half of it; and the full rate again, since the
    machine is shared.
    """
    closed = await gateway.load(40_000, "--timeout", "60")
    sustained_per_s, sustained = await sustainable(gateway, closed["answers_per_s"])
    rate = int(3 * sustained_per_s)
    quiet_s = time.monotonic()
    await asyncio.sleep(3)
    calm_s = time.monotonic()
    flood = await gateway.load(
        int(rate * seconds),
        "--rate",
        str(rate),
        "--window",
        "30000",
        "--timeout",
        str(seconds + 20),
        "--quiesce",
        "5",
    )
    flood_ended_s = flood["from_s"] + seconds
    half_rate = rate // 6
    half = await gateway.load(half_rate * 4, "--rate", str(half_rate), "--timeout", "20")
    again = await gateway.load(40_000, "--timeout", "60")
    await asyncio.sleep(1)
    now_s = time.monotonic()
    full_per_s = (closed["answers_per_s"] + again["answers_per_s"]) / 2
    full_per_cpu_s = (closed["answers"] + again["answers"]) / (closed["cpu_s"] + again["cpu_s"])
    before = figures(between(steady.messages, quiet_s, calm_s))
    normal_ms = max(20.0, 5 * before["p50_ms"])
    answered = flood["answers"] / max(seconds, flood["wall_s"])
    return {
        "full_per_s": full_per_s,
        "sustained_per_s": sustained_per_s,
        "offered_per_s": rate,
        "answers_per_s": answered,
        "sustained_share": answered / sustained_per_s,
        "answers_share": answered / full_per_s,
        "cpu_share": flood["answers"] / flood["cpu_s"] / full_per_cpu_s,
        "flood": of_load(flood),
        "sustained": of_load(sustained),
        "half": of_load(half),
        "closed": of_load(closed),
        "again": of_load(again),
        "rss_before_mb": gateway.most_mb(quiet_s, calm_s),
        "rss_during_mb": gateway.most_mb(flood["from_s"], flood_ended_s),
        "rss_after_mb": gateway.rss_mb[-1][1],
        "recovery_s": recovery_s(between(steady.messages, 0, now_s - 0.5), flood_ended_s, normal_ms),
        "steady_before": before,
        "steady_during": figures(between(steady.messages, flood["from_s"], flood_ended_s)),
        "steady_after": figures(between(steady.messages, half["from_s"], half["until_s"])),
    }


async def one_subscriber(steady: Steady, seconds: float) -> dict[str, Any]:
    """One subscriber floods the link by which the others' texts come."""
    from_s, answers = time.monotonic(), steady.answers
    flooding = asyncio.create_task(steady.send(FLOODER_PER_S, one=True))
    await asyncio.sleep(seconds)
    flooding.cancel()
    until_s = time.monotonic()
    await asyncio.sleep(2)
    during = between(steady.messages, from_s, until_s)
    theirs = [each for each in during if each.source == FLOODER]
    return {
        "flooder": figures(theirs),
        "answers": steady.answers - answers,
        "others": figures([each for each in during if each.source != FLOODER]),
    }


async def measure(redis_url: str, folder: Path, seconds: float, cxmyd: str) -> dict[str, Any]:
    flood_port, steady_port = free_port(), free_port()
    steady = Steady(8613700000000)
    server = await steady.listen(steady_port)
    sections = SMSC.format(name="flood", port=flood_port, binds=BINDS)
    sections += SMSC.format(name="steady", port=steady_port, binds=1)
    with running(redis_url, folder, sections, flood_port, cxmyd) as gateway:
        watching = asyncio.create_task(gateway.watch())
        await asyncio.wait_for(steady.bound.wait(), 60)
        sending = asyncio.create_task(steady.send(STEADY_PER_S))
        found = await overload(gateway, steady, seconds)
        found["one_subscriber"] = await one_subscriber(steady, min(seconds, 5))
        for task in (sending, watching):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.5)
    server.close()
    found["slow_link"] = await slow_link(redis_url, folder, seconds, cxmyd)
    return found


async def slow_link(redis_url: str, folder: Path, seconds: float, cxmyd: str) -> dict[str, Any]:
    """An SMSC that takes `SLOW_PER_S` brings three times as many."""
    port = free_port()
    smsc = Steady(8613600000000)
    server = await smsc.listen(port)
    sections = SMSC.format(name="slow", port=port, binds=1) + f"rate_per_s = {SLOW_PER_S:g}\n"
    with running(redis_url, folder, sections, cxmyd=cxmyd) as gateway:
        await asyncio.wait_for(smsc.bound.wait(), 60)
        await asyncio.sleep(1)
        watching = asyncio.create_task(gateway.watch())
        sending = asyncio.create_task(smsc.send(3 * SLOW_PER_S))
        await asyncio.sleep(seconds)
        sending.cancel()
        answers = smsc.answers
        await asyncio.sleep(2)
        watching.cancel()
    server.close()
    return {
        **figures(smsc.messages),
        "answers_per_s": answers / seconds,
        "answers_afterwards": smsc.answers - answers,
        "grown_mb": gateway.rss_mb[-1][1] - gateway.rss_mb[0][1],
    }


def show(rounds: list[dict[str, Any]]) -> None:
    def median(*path: str) -> float:
        return statistics.median([_at(found, path) for found in rounds])

    def row(name: str, *path: str) -> tuple[object, ...]:
        return (
            name,
            *(f"{median(*path, what):,.1f}" for what in ("sent", "accepted", "refused", "p50_ms", "p99_ms")),
        )

    columns = ("", "sent", "accepted", "refused", "p50 ms", "p99 ms")
    results.table(
        f"medians of {len(rounds)} rounds",
        ("", "figure"),
        [
            ("full rate, closed loop (answers/s)", f"{median('full_per_s'):,.0f}"),
            ("sustainable, open loop (messages/s)", f"{median('sustained_per_s'):,.0f}"),
            ("offered (messages/s)", f"{median('offered_per_s'):,.0f}"),
            ("answers/s meanwhile", f"{median('answers_per_s'):,.0f}"),
            ("share of the sustainable rate", f"{median('sustained_share'):.2f}"),
            ("share of the full rate", f"{median('answers_share'):.2f}"),
            ("the same by the gateway's CPU", f"{median('cpu_share'):.2f}"),
            (
                "p50, p99 of what was answered (ms)",
                f"{median('flood', 'p50_ms'):,.0f}, {median('flood', 'p99_ms'):,.0f}",
            ),
            (
                "RSS before, during, after (MB)",
                ", ".join(f"{median(f'rss_{w}_mb'):,.0f}" for w in ("before", "during", "after")),
            ),
            ("normal again after the flood (s)", f"{median('recovery_s'):.2f}"),
            (
                "refused at half the rate afterwards",
                str(sum(found["half"]["refused"] for found in rounds)),
            ),
            ("p99 at half the rate afterwards (ms)", f"{median('half', 'p99_ms'):,.1f}"),
            ("statuses", str(rounds[-1]["flood"]["statuses"])),
            (
                "wrong, lost, twice",
                str(sum(found[w]["wrong"] for found in rounds for w in ("closed", "flood", "half", "again"))),
            ),
        ],
    )
    results.table(
        f"{STEADY_PER_S:g}/s on another link; {FLOODER_PER_S:,g}/s of one subscriber of it",
        columns,
        [
            row("before the flood", "steady_before"),
            row("while another link floods", "steady_during"),
            row("after it, at half the rate", "steady_after"),
            row("while one subscriber floods", "one_subscriber", "others"),
            row("that subscriber", "one_subscriber", "flooder"),
        ],
    )
    results.table(
        f"an SMSC that takes {SLOW_PER_S:g}/s and brings {3 * SLOW_PER_S:g}/s",
        (*columns, "answers/s", "still to answer at the end", "RSS grown by (MB)"),
        [
            (
                *row("", "slow_link"),
                f"{median('slow_link', 'answers_per_s'):,.0f}",
                f"{median('slow_link', 'answers_afterwards'):,.0f}",
                f"{median('slow_link', 'grown_mb'):,.1f}",
            )
        ],
    )


def _at(found: Any, path: tuple[str, ...]) -> float:
    for name in path:
        found = found[name]
    return float(found)


@click.command()
@click.option("--cxmyd", default=CXMYD, help="Ours, as it is started.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=15.0, show_default=True, help="How long the flood lasts.")
@click.option("--quick", is_flag=True, help="One round of 5 seconds, which replaces no figures.")
def main(cxmyd: str, rounds: int, seconds: float, quick: bool) -> None:
    """Measure ROUNDS times; print medians."""
    subprocess.run(["make", "-s", "-C", str(LOADSMSC.parent)], check=True)
    if quick:
        rounds, seconds = 1, 5.0
    found = []
    for _ in range(rounds):
        with engine("redis") as store, tempfile.TemporaryDirectory(prefix="cxmyd-overload-") as folder:
            found.append(asyncio.run(measure(store.url, Path(folder), seconds, cxmyd)))
    show(found)
    name = "overload" if cxmyd == CXMYD else "overload-compiled"
    results.save(name, {"seconds": seconds, "rounds": found}, quick=quick)


if __name__ == "__main__":
    main()
