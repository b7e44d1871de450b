"""`cxmyd serve` through every trouble of its store, measured: nothing wrong is said, nothing lost, the links
stay up, the event loop goes on turning, and a second after the store's return all is as before.

The SMSC is the simulated one, which keeps what was not acknowledged and sends it again. Everybody was in
Changsha and Ji'an, so an answer without them is a wrong one.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway import children
from gateway.simulator.smsc import Rules
from tests.conftest import RedisServer, free_port
from tests.flow.test_store_trouble import TROUBLES, USER, Trouble, ordered
from tests.foreign.service import CHANGSHA, CXMYD, JIAN, Service, Subscriber
from tests.simulator.conftest import Running

SECTIONS = """
[carrier.plain]
numbers = ["12345"]
queries_per_day = 0
[[smsc]]
name = "plain"
port = {port}
system_id = "plain"
carrier = "plain"
enquire_link_s = 1
"""
OPTIONS = ("--appendonly", "yes", "--save", "3600", "1000000", "--enable-protected-configs", "yes")
SLOW_S = 5.0


class Serving(NamedTuple):
    """A running gateway, and the SMSC that it is bound to."""

    smsc: Running
    http_port: int

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._url("readyz"), timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._url("status"), timeout=2) as page:
            answer: dict[str, Any] = json.loads(page.read())
            return answer

    def figure(self, metric: str) -> float:
        with urllib.request.urlopen(self._url("metrics"), timeout=2) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))

    def _url(self, page: str) -> str:
        return f"http://127.0.0.1:{self.http_port}/{page}"


class Noise(threading.Thread):
    """How late a timer is on this machine meanwhile, with nothing to hold it up but other processes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst_s = 0.0
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.done.is_set():
            due_s = time.monotonic() + 0.05
            time.sleep(0.05)
            self.worst_s = max(self.worst_s, time.monotonic() - due_s)


@contextmanager
def serving(folder: Path, redis_url: str, stderr: Path) -> Iterator[Serving]:
    smsc, http_port = Running(rules=Rules(retry_s=0.1)), free_port()
    config = folder / "gateway.toml"
    config.write_text(
        f'[redis]\nurl = "{redis_url}"\n[keys]\nfile = "keys.json"\n[data]\ndir = "data"\n'
        f'[http]\nlisten = "127.0.0.1:{http_port}"\n{SECTIONS.format(port=smsc.simulator.smpp_port)}',
        encoding="utf-8",
    )
    with stderr.open("wb") as output:
        process = children.spawn([CXMYD, "-c", config, "serve"], output=output)
    made = Serving(smsc, http_port)
    try:
        until(made.ready)
        yield made
    finally:
        status = children.end(process, timeout_s=15)
        smsc.stop()
    assert status == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A store that keeps its data over kill -9, with a user whose rights can be taken away."""
    folder = tmp_path_factory.mktemp("trouble")
    made = RedisServer(folder, *USER, *OPTIONS)
    made.start()
    yield made
    made.stop()


def test_every_trouble_is_survived(server: RedisServer, tmp_path: Path) -> None:
    """One after the other, each with questions that come while it lasts."""
    url = f"redis://gateway:secret@127.0.0.1:{server.port}/0"
    service = Service(tmp_path, url)
    service.fill()
    people = [service.subscriber() for _ in range(8)]
    slow = Trouble(ordered("CLIENT", "PAUSE", int(SLOW_S * 1000), "ALL"), wait_for_the_end, "no answer")
    troubles = TROUBLES | {"slow": slow}
    with serving(tmp_path, url, tmp_path / "log") as gateway:
        for name, trouble in troubles.items():
            try:
                survive(trouble, server, people, gateway)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
        assert gateway.figure('cxmyd_link_events_total{event="bound",link="plain"}') == 1
        assert gateway.figure('cxmyd_link_events_total{event="lost",link="plain"}') == 0
        assert gateway.figure('cxmyd_link_events_total{event="unanswered_enquiries",link="plain"}') == 0


def survive(trouble: Trouble, server: RedisServer, people: list[Subscriber], gateway: Serving) -> None:
    noise, simulator = Noise(), gateway.smsc.simulator.smsc
    answers_before = count_answers(gateway, people)
    trouble.begin(server)
    asked = [gateway.smsc.call(simulator.send, who.msisdn, who.service, "CXMYD") for who in people]
    until(lambda: all(each.attempts >= 2 for each in asked))
    until(lambda: not gateway.ready())
    until(lambda: trouble.why in gateway.status()["store_problem"])
    assert {each.status for each in asked} == {"ESME_RX_T_APPN"}
    assert not any(each.acknowledged_ms or each.answered_by for each in asked)
    trouble.end(server)
    returned_s = time.monotonic()
    until(gateway.ready)
    assert time.monotonic() - returned_s < 1.0 + noise.worst_s
    until(lambda: all(each.acknowledged_ms and each.answered_by for each in asked))
    assert time.monotonic() - returned_s < 5.0 + noise.worst_s
    for each in asked:
        (answer,) = [m for m in simulator.history.of(each.number) if m.id == each.answered_by]
        assert CHANGSHA in answer.text
        assert JIAN in answer.text
    noise.done.set()
    assert count_answers(gateway, people) - answers_before == len(people)
    assert gateway.figure("cxmyd_loop_lag_seconds") < 0.05 + noise.worst_s
    assert len(gateway.smsc.call(simulator.links)) == 1


def count_answers(gateway: Serving, people: list[Subscriber]) -> int:
    history = gateway.smsc.simulator.smsc.history
    return sum(m.direction == "mt" for who in people for m in history.of(who.msisdn))


def wait_for_the_end(server: RedisServer) -> None:
    """Of the pause, by itself."""
    with server.client() as client:
        client.ping()


def test_a_full_log_disk_is_no_crash(service: Service, tmp_path: Path) -> None:
    """It starts, answers and drains with nowhere to write its events to."""
    who = service.subscriber()
    with serving(service.folder, service.redis_url, Path("/dev/full")) as gateway:
        answer = gateway.smsc.run(gateway.smsc.simulator.ask(who.msisdn, who.service, "CXMYD", timeout_s=15))
        assert JIAN in answer.text


def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it does not happen"
        time.sleep(0.01)
