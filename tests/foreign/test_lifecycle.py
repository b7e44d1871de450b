"""The gateway as a process: starts without its store, drains on SIGTERM, survives kill -9, runs as workers.

The SMSC is the simulated one (smpplib's PDUs), which keeps what was not acknowledged.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import children
from gateway.simulator.smsc import Rules
from tests.conftest import RedisServer, free_port
from tests.foreign.service import CHANGSHA, CXMYD, JIAN, TRIOS, Service, Subscriber, smsc_sections
from tests.simulator.conftest import Running

MOBILE, UNICOM = TRIOS[1].mobile, TRIOS[1].unicom


@pytest.fixture
def smsc() -> Iterator[Running]:
    running = Running(rules=Rules(retry_s=0.1))
    yield running
    running.stop()


class Gateway:
    """`cxmyd serve` under the test's own hand."""

    def __init__(self, folder: Path, redis_url: str, smsc: Running, *arguments: str) -> None:
        self.http = free_port(in_a_row=2)  # of two workers
        self.config = folder / f"own-{self.http}.toml"
        self.config.write_text(
            f'[redis]\nurl = "{redis_url}"\n[keys]\nfile = "keys.json"\n[data]\ndir = "data"\n'
            f'[http]\nlisten = "127.0.0.1:{self.http}"\n{smsc_sections(smsc.simulator.smpp_port)}',
            encoding="utf-8",
        )
        self._log = (folder / f"own-{self.http}.log").open("wb")
        command: list[str | Path] = [CXMYD, "-c", self.config, "serve", *arguments]
        self.process = children.spawn(command, output=self._log)

    def ready(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=2) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def workers(self) -> list[int]:
        """The process ids of its children."""
        file = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in file.read_text().split()]

    def end(self) -> int:
        status = children.end(self.process, timeout_s=20)
        self._log.close()
        return status


@pytest.fixture
def gateways(service: Service, smsc: Running) -> Iterator[Callable[..., Gateway]]:
    started: list[Gateway] = []

    def start(*arguments: str, redis_url: str = service.redis_url) -> Gateway:
        started.append(Gateway(service.folder, redis_url, smsc, *arguments))
        return started[-1]

    yield start
    for gateway in started:
        gateway.end()


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(smsc: Running, who: Subscriber, text: str) -> str:
    return smsc.run(smsc.simulator.ask(who.msisdn, who.service, text, timeout_s=15)).text


def test_without_its_store_it_starts_and_the_smsc_keeps_the_messages(
    gateways: Callable[..., Gateway], smsc: Running, own_redis: Callable[..., RedisServer]
) -> None:
    """Refused for the time being, answered once the store is there."""
    server = own_redis()
    server.stop()
    gateway = gateways(redis_url=server.url)
    until(lambda: gateway.ready() == 503)
    until(lambda: len(smsc.call(smsc.simulator.smsc.links)) == 3)
    asked = smsc.call(smsc.simulator.smsc.send, UNICOM.msisdn, UNICOM.service, "CXMYD")
    until(lambda: asked.attempts >= 3)
    assert asked.acknowledged_ms is None
    assert asked.answered_by is None
    server.start()
    until(lambda: gateway.ready() == 200)
    until(lambda: asked.acknowledged_ms is not None and asked.answered_by is not None)


def test_sigterm_unbinds_and_ends_with_0(gateways: Callable[..., Gateway], smsc: Running) -> None:
    gateway = gateways()
    until(lambda: gateway.ready() == 200)
    assert len(smsc.call(smsc.simulator.smsc.links)) == 3
    assert gateway.end() == 0
    assert smsc.call(smsc.simulator.smsc.links) == []


def test_kill_9_in_the_middle_of_a_dialog_is_not_noticed(
    gateways: Callable[..., Gateway], smsc: Running
) -> None:
    gateway = gateways()
    until(lambda: gateway.ready() == 200)
    asked = smsc.call(smsc.simulator.smsc.send, MOBILE.msisdn, MOBILE.service, "CXMYD")
    # before it is acknowledged the SMSC would send it again, and the question would come a second time
    until(lambda: asked.acknowledged_ms is not None and asked.answered_by is not None)
    gateway.kill()
    gateway = gateways()
    until(lambda: gateway.ready() == 200)
    answer = ask(smsc, MOBILE, MOBILE.id_last4)
    assert JIAN in answer
    assert CHANGSHA in answer


def test_workers_are_replaced_and_end_together(gateways: Callable[..., Gateway], smsc: Running) -> None:
    """Two workers have two binds to each SMSC; one that is killed is back with its binds."""
    gateway = gateways("--workers", "2")
    until(lambda: gateway.ready() == 200)
    assert len(smsc.call(smsc.simulator.smsc.links)) == 6
    victim = gateway.workers()[1]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in gateway.workers() and len(gateway.workers()) == 2)
    until(lambda: len(smsc.call(smsc.simulator.smsc.links)) == 6)
    assert JIAN in ask(smsc, UNICOM, f"CXMYD#{UNICOM.id_last4}")
    pids = gateway.workers()
    assert gateway.end() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_the_workers_of_a_killed_parent_end_too(gateways: Callable[..., Gateway], smsc: Running) -> None:
    gateway = gateways("--workers", "2")
    until(lambda: gateway.ready() == 200)
    pids = gateway.workers()
    gateway.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    until(lambda: smsc.call(smsc.simulator.smsc.links) == [])
