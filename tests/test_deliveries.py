"""Delivery states, end to end: `cxmyd serve` and the simulated SMSC as processes, until `cxmyd status` shows
them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway import children
from gateway.demo.smsc_api import SmscApi, is_ready
from tests.conftest import RedisServer, free_port

CXMYD = Path(sys.executable).with_name("cxmyd")
_numbers = count(8613800138000)


class World(NamedTuple):
    """A folder with a key, a store and a simulated SMSC."""

    folder: Path
    redis_url: str
    smpp_port: int
    smsc: SmscApi
    faults_url: str

    def order(self, **faults: Any) -> None:
        body = json.dumps(faults).encode()
        request = urllib.request.Request(self.faults_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 200

    def ask(self, total: int = 1) -> None:
        """So many ask at once, and are answered."""
        questions = [self.smsc.send(str(next(_numbers)), "12345", "CXMYD") for _ in range(total)]
        for question in questions:
            until(partial(self.smsc.answer, question))

    @contextmanager
    def gateway(self, link: str, settings: str = "", workers: int = 1) -> Iterator[Gateway]:
        """`cxmyd serve`, its one link of this name; drained at the end."""
        http_port = free_port(workers)
        config = self.folder / f"{link}.toml"
        config.write_text(
            f'[redis]\nurl = "{self.redis_url}"\n[keys]\nfile = "keys.json"\n'
            f'[http]\nlisten = "127.0.0.1:{http_port}"\n'
            '[carrier.plain]\nnumbers = ["12345"]\nqueries_per_day = 0\n'
            f'[[smsc]]\nname = "{link}"\nport = {self.smpp_port}\nsystem_id = "cxmyd"\ncarrier = "plain"\n'
            f"{settings}",
            encoding="utf-8",
        )
        log = self.folder / f"{link}.log"
        with log.open("ab") as output:
            process = children.spawn([CXMYD, "-c", config, "serve", "--workers", str(workers)], output=output)
        try:
            until(lambda: bool(is_ready(f"http://127.0.0.1:{http_port}/readyz")))
            yield Gateway(config, link, http_port)
        finally:
            status = children.end(process, timeout_s=60)
        assert status == 0, log.read_text()


class Gateway(NamedTuple):
    config: Path
    link: str
    http_port: int

    def status(self) -> dict[str, Any]:
        done = subprocess.run(
            [CXMYD, "-c", self.config, "status", "--json"], capture_output=True, text=True, check=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def figures(self) -> dict[str, int]:
        """The link's, without zeros."""
        rows = [row for row in self.status()["deliveries"] if row.pop("link") == self.link]
        return {name: number for row in rows for name, number in row.items() if number}

    def until(self, **figures: int) -> None:
        until(lambda: self.figures() == figures, lambda: f"{self.figures()} instead of {figures}")

    def counted(self, worker: int, metric: str) -> float:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.http_port + worker}/metrics", timeout=30
        ) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))


def until(condition: Callable[[], object], words: Callable[[], str] = lambda: "it does not happen") -> None:
    deadline_s = time.monotonic() + 60  # only so that nothing hangs
    while not condition():
        assert time.monotonic() < deadline_s, words()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("deliveries")
    server = RedisServer(folder)
    server.start()
    smpp_port, http_port = free_port(), free_port()
    (folder / "keys.toml").write_text('[keys]\nfile = "keys.json"\n')
    subprocess.run([CXMYD, "-c", folder / "keys.toml", "keys", "init"], check=True, capture_output=True)
    arguments = ["smsc", "--smpp", f"127.0.0.1:{smpp_port}", "--http", f"127.0.0.1:{http_port}"]
    with (folder / "smsc.log").open("wb") as log:
        process = children.spawn([CXMYD, *arguments], output=log)
    try:
        smsc = SmscApi(f"http://127.0.0.1:{http_port}")
        until(lambda: bool(smsc.ready()))
        yield World(folder, server.url, smpp_port, smsc, f"http://127.0.0.1:{http_port}/api/faults")
    finally:
        children.end(process, timeout_s=60)
        server.stop()


def test_every_shape(world: World) -> None:
    """Receipts of every readable shape, over another bind than the answer's, before or after its response,
    once or twice: each part is counted once, as delivered.
    """
    receipts = ("no_counts", "decimal_id", "lower", "text_only", "tlvs_only")
    odd: list[dict[str, Any]] = [{}, {"early_receipt": {"count": 1}}, {"repeat_receipt": {"count": 1}}]
    odd += [{"odd_receipt": {"form": form}} for form in receipts]
    odd += [{"odd_message_id": {"form": form}} for form in ("upper", "decimal", "long")]
    with world.gateway("shapes", 'bind = "transmitter+receiver"\n') as gateway:
        for faults in odd:
            world.order(**faults)
            world.ask()
        gateway.until(submitted=len(odd), delivered=len(odd))
        assert gateway.counted(0, 'cxmyd_receipts_total{link="shapes",result="repeated"}') == 1
        assert gateway.counted(0, "cxmyd_delivery_seconds_count") == len(odd)
        world.order(receipt_state={"form": "UNDELIV"})
        world.ask()
        world.order(receipt_state={"form": "ENROUTE"})
        world.ask()
        world.order(no_receipt={"count": 1})
        world.ask()
        gateway.until(submitted=len(odd) + 3, delivered=len(odd), undelivered=1, waiting=2)
        failures = [row for row in gateway.status()["undelivered"] if row["link"] == "shapes"]
        assert failures == [{"link": "shapes", "state": "UNDELIVERABLE", "error": "001", "count": 1}]


def test_any_worker(world: World) -> None:
    """The figures are those of all workers, whichever got answer and receipt. The simulated SMSC's deliveries
    take turns, ten receipts one behind the other among them.
    """
    with world.gateway("workers", workers=2) as gateway:
        world.ask(10)
        gateway.until(submitted=10, delivered=10)
        for worker in (0, 1):
            assert gateway.counted(worker, "cxmyd_receipts_total")


def test_after_a_restart(world: World) -> None:
    """A receipt that comes after a restart finds its message."""
    with world.gateway("restarted"):
        world.order(late_receipt={"seconds": 4.0})
        world.ask()
    with world.gateway("restarted") as gateway:
        gateway.until(submitted=1, delivered=1)
        assert gateway.counted(0, "cxmyd_receipts_total") == 1  # of this process


def test_not_wanted(world: World) -> None:
    """With receipts = false none is asked for and nothing is remembered."""
    with world.gateway("unasked", "receipts = false\n") as gateway:
        world.ask()
        assert gateway.status()["deliveries"] == []
        assert gateway.counted(0, "cxmyd_not_queries_total") == 0
