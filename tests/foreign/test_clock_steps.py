"""The wall clock of a running gateway, or of its store, is set by an hour, either way: nothing that was under
way notices.

That process alone sees the step (tests/stepped); the others have clocks of their own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from gateway.simulator.messages import Message
from tests.conftest import RedisServer
from tests.foreign.processes import Gateway, ask, until
from tests.foreign.service import CHANGSHA, JIAN, TRIOS, Service, Trio
from tests.simulator.conftest import Running

UNICOM = TRIOS[5].unicom
STEPPED = Path(__file__).parent.parent / "stepped"


class Clock:
    """That of one process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {"CXMYD_TEST_CLOCK": str(file)}
        self.step(0)

    @property
    def of_python(self) -> dict[str, str]:
        return {**self.environment, "PYTHONPATH": str(STEPPED)}

    def step(self, by_s: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(by_s))
        new.replace(self._file)


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_an_hour_either_way(
    gateways: Callable[..., Gateway], smsc: Running, tmp_path: Path, step_s: int
) -> None:
    """A question stays open, a lock locked, a parked message is answered, links are kept alive and stay."""
    clock = Clock(tmp_path / "clock")
    gateway = gateways(sections="enquire_link_s = 1.0\n", environment=clock.of_python)  # of the last link
    with _under_way(gateway, smsc, TRIOS[5]):
        clock.step(step_s)
        sent = _sent(gateway)
        until(lambda: _sent(gateway) >= sent + 2)  # enquire_link on a link without traffic


def test_a_parked_answer_grows_old_though_the_clock_is_set_back(
    gateways: Callable[..., Gateway], smsc: Running, tmp_path: Path
) -> None:
    """Its time to live is over when it is over, not an hour later."""
    clock = Clock(tmp_path / "clock")
    gateway = gateways(sections="[park]\nanswer_ttl_s = 0.5\n", environment=clock.of_python)
    until(lambda: gateway.ready() == 200)
    smsc.call(smsc.simulator.smsc.order, {"refuse_submit": {"count": 1000, "status": "ESME_RX_T_APPN"}})
    parked = _send(smsc, UNICOM.msisdn, UNICOM.service, "CXMYD")
    clock.step(-3600)
    until(lambda: gateway.events("message.ended"))
    assert [event["result"] for event in gateway.events("message.ended")] == ["expired"]
    assert parked.answered_by is None


@pytest.fixture
def stepped(service: Service, tmp_path: Path) -> Iterator[tuple[RedisServer, Clock]]:
    """A store of the same data, on a host of its own."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.fail("there is no C compiler: `make test` installs one", pytrace=False)
    library, clock = tmp_path / "wallclock.so", Clock(tmp_path / "clock")
    options = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([compiler, *options, str(STEPPED / "wallclock.c")], check=True)
    redis.Redis.from_url(service.redis_url).save()
    shutil.copy(service.folder / "dump.rdb", tmp_path)
    server = RedisServer(tmp_path)
    server.environment = {**clock.environment, "LD_PRELOAD": str(library)}
    server.start()
    yield server, clock
    server.stop()


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_an_hour_either_way_on_the_host_of_the_store(
    gateways: Callable[..., Gateway], smsc: Running, stepped: tuple[RedisServer, Clock], step_s: int
) -> None:
    """What Redis counts by its clock ends early or late; a question stays open, a lock locked, a parked
    message is answered and whoever asks afterwards too, each once.
    """
    server, clock = stepped
    trio = TRIOS[6]
    with _under_way(gateways(redis_url=server.url), smsc, trio):
        before_s = server.client().time()[0]
        clock.step(step_s)
        assert abs(server.client().time()[0] - before_s - step_s) < 60
    assert JIAN in ask(smsc, trio.unicom, f"CXMYD#{trio.unicom.id_last4}")


@contextmanager
def _under_way(gateway: Gateway, smsc: Running, trio: Trio) -> Iterator[None]:
    """A question is open, a number locked, a message parked: what happens meanwhile changes none of it."""
    mobile, unicom, telecom = trio
    until(lambda: gateway.ready() == 200)
    links = _links(smsc)
    ask(smsc, mobile, "CXMYD")
    for _ in range(3):  # the third locks
        _send(smsc, telecom.msisdn, telecom.service, "CXMYD#0001")
    # Refused at once and at once again; the third try is a second later.
    smsc.call(smsc.simulator.smsc.order, {"refuse_submit": {"count": 2, "status": "ESME_RX_T_APPN"}})
    parked = _send(smsc, unicom.msisdn, unicom.service, "CXMYD")
    yield
    until(lambda: parked.answered_by is not None)
    answer = ask(smsc, mobile, mobile.id_last4)
    assert CHANGSHA in answer
    assert JIAN in answer
    for text in (f"CXMYD#{telecom.id_last4}", "Y"):  # the right digits, and the consent that they ask for
        _send(smsc, telecom.msisdn, telecom.service, text)
    assert not any(JIAN in each.text for each in smsc.call(smsc.simulator.smsc.history.of, telecom.msisdn))
    assert _links(smsc) == links
    assert not gateway.events("link.down")
    assert not gateway.events("message.ended")


def _links(smsc: Running) -> list[int]:
    return [link.id for link in smsc.call(smsc.simulator.smsc.links)]


def _send(smsc: Running, msisdn: str, service: str, text: str) -> Message:
    """A text, once it is acknowledged."""
    message = smsc.call(smsc.simulator.smsc.send, msisdn, service, text)
    until(lambda: message.acknowledged_ms is not None)
    return message


def _sent(gateway: Gateway) -> float:
    return gateway.metric('cxmyd_link_pdus_total{direction="sent",link="china-telecom"}')
