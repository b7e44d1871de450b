"""The gateway under endurance: a real `cxmyd serve` on a real redis-server, with subscribers to answer to,
and what can be seen of it from outside.

Invariant: whatever is started here ends with the bench. Called by `reconnects` and `load`.
"""

import asyncio
import csv
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

from gateway import children

CXMYD: Final = (sys.executable, "-c", "from gateway.admin.main import main; main()")
CARRIERS: Final = {"china-mobile": "10086", "china-unicom": "10010", "china-telecom": "10001"}
CITIES: Final = (110000, 310000, 320500, 330100, 330200, 430100)
HOURS_A_CITY: Final = 6
ID_LAST4: Final = "1234"
READY_TIMEOUT_S: Final = 60.0
HEAD: Final = """
[redis]
url = {url}
[keys]
file = "keys.json"
[data]
dir = "data"
[http]
listen = "127.0.0.1:{http}"
[dedup]
window_s = 60
""" + "".join(f"[carrier.{carrier}]\nqueries_per_day = 0\n" for carrier in CARRIERS)


class Sample(NamedTuple):
    """What the process holds at a moment; `waiting` are parked messages, `in_flight` requests to peers."""

    at_s: float
    rss_mb: float
    open_fds: int
    tasks: int
    timers: int
    in_flight: int
    messages: int
    waiting: int
    bound: int


class Gateway:
    """One running process. `url` of its HTTP port."""

    def __init__(self, process: "subprocess.Popen[bytes]", http: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{http}"
        self._process, self._log = process, log

    async def status(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        async with session.get(f"{self.url}/status") as response:
            found: dict[str, Any] = await response.json()
            return found

    async def sample(self, session: aiohttp.ClientSession) -> Sample:
        if self._process.poll() is not None:
            raise SystemExit(f"the gateway has ended: {self.errors()[-3:]}")
        async with session.get(f"{self.url}/metrics") as response:
            text = await response.text()
        shown = {
            name: float(value) for name, value in re.findall(r"^([a-z_]+) ([0-9.e+-]+)$", text, re.MULTILINE)
        }
        status = await self.status(session)
        return Sample(
            time.time(),
            shown["process_resident_memory_bytes"] / 1e6,
            int(shown["process_open_fds"]),
            int(shown["cxmyd_tasks"]),
            int(shown["cxmyd_timers"]),
            sum(link["in_flight"] for link in status["links"]),
            status["messages_in_flight"],
            sum(queue["waiting"] for queue in status["parked"]),
            sum(link["bound"] for link in status["links"]),
        )

    def errors(self) -> list[str]:
        """What it logged that should not happen: errors, and whatever is no event."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if '"level": "error"' in line or not line.startswith("{")]


@contextmanager
def running(folder: Path, redis_url: str, sections: str, subscribers: int) -> Iterator[Gateway]:
    """A gateway with these sections of its configuration, and so many subscribers of each carrier."""
    http = free_port()
    config = folder / "gateway.toml"
    config.write_text(HEAD.format(url=json.dumps(redis_url), http=http) + sections, encoding="utf-8")
    _fill(folder, config, subscribers)
    log = folder / "gateway.log"
    with log.open("wb") as output:
        command = [*CXMYD, "-c", str(config), "serve", "--log-level", "warning"]
        process = children.spawn(command, output=output)
    try:
        yield Gateway(process, http, log)
    finally:
        status = children.end(process, timeout_s=20)
    if status:
        raise SystemExit(f"the gateway ended with status {status}: {log.read_text()[-2000:]}")


def numbers(carrier: str, count: int) -> list[str]:
    """The subscribers of a carrier."""
    first = 8613800000000 + 10_000_000 * list(CARRIERS).index(carrier)
    return [str(number) for number in range(first, first + count)]


def _fill(folder: Path, config: Path, subscribers: int) -> None:
    """Everybody was in several cities, so that answers have several parts."""
    start_s = int((datetime.now(UTC) - timedelta(days=5)).timestamp())
    seen_at = [
        (start_s + 3600 * (HOURS_A_CITY * place + hour), place)
        for place in range(len(CITIES))
        for hour in range(HOURS_A_CITY)
    ]
    files: dict[str, list[Sequence[object]]] = {
        "cells.csv": [("mcc", "mnc", "area", "cell", "city")],
        "subscribers.csv": [("msisdn", "carrier", "id_last4")],
        "sightings.csv": [("time", "msisdn", "mcc", "mnc", "area", "cell")],
    }
    files["cells.csv"] += [(460, 0, place, place, city) for place, city in enumerate(CITIES)]
    for carrier in CARRIERS:
        for number in numbers(carrier, subscribers):
            files["subscribers.csv"].append((number, carrier, ID_LAST4))
            files["sightings.csv"] += [(at_s, number, 460, 0, place, place) for at_s, place in seen_at]
    for name, rows in files.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    for arguments in (
        ("keys", "init"),
        ("cells", "import", "cells.csv"),
        ("subscribers", "import", "subscribers.csv"),
        ("ingest", "sightings.csv"),
    ):
        done = subprocess.run(
            [*CXMYD, "-c", str(config), *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"cxmyd {' '.join(arguments)}: {done.stderr}{done.stdout}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def ready(under_test: Gateway, session: aiohttp.ClientSession) -> bool:
    """Whether it says so."""
    try:
        return bool((await under_test.status(session))["ready"])
    except aiohttp.ClientError:
        return False


async def until(condition: Callable[[], Any], timeout_s: float, every_s: float = 0.2) -> bool:
    """Wait until `condition` holds (it may be a coroutine function); whether it did in time."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return True
        await asyncio.sleep(every_s)
    return False
