"""The end of a gateway, and of one after the other: what is left is said, and nothing is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from gateway.draining import CLOSING_S
from tests.conftest import RedisServer
from tests.foreign.processes import Gateway, Load, ask, until
from tests.foreign.service import CHANGSHA, JIAN, TRIOS
from tests.simulator.conftest import Running

MOBILE, UNICOM = TRIOS[5].mobile, TRIOS[5].unicom
DRAIN_S = 2.0
_DRAIN = f"[drain]\ntimeout_s = {DRAIN_S}\n"
#: An answer may take as long as it likes: only the drain parks it.
_PATIENT = f"[park]\nafter_s = 60\n{_DRAIN}"


def _end(gateway: Gateway) -> float:
    """SIGTERM; the seconds it took. It ends with 0."""
    began_s = time.monotonic()
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(30) == 0
    return time.monotonic() - began_s


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_what_an_smsc_does_not_take_in_time_is_parked_and_answered_later(
    gateways: Callable[..., Gateway], smsc: Running, workers: tuple[str, ...]
) -> None:
    """The SMSC says nothing to the answer; the message is acknowledged, and the log says that it waits."""
    gateway = gateways(*workers, sections=_PATIENT)
    until(lambda: gateway.ready() == 200)
    smsc.call(smsc.simulator.smsc.order, {"ignore_submit": {}})
    asked = smsc.call(smsc.simulator.smsc.send, UNICOM.msisdn, UNICOM.service, "CXMYD")
    until(lambda: asked.attempts == 1 and not smsc.call(smsc.simulator.smsc.faults.as_json))
    assert _end(gateway) < DRAIN_S + CLOSING_S
    (left,) = gateway.events("workers.stopped" if workers else "gateway.stopped")
    assert (left["unanswered"], left["parked"], list(left["waiting"].values())) == (0, 1, [1])
    assert asked.acknowledged_ms is not None
    smsc.call(smsc.simulator.smsc.order, {"clear": {}})
    before = len(smsc.call(smsc.simulator.smsc.history.of, UNICOM.msisdn))
    gateway = gateways()
    until(lambda: len(smsc.call(smsc.simulator.smsc.history.of, UNICOM.msisdn)) == before + 1)
    _end(gateway)
    (left,) = gateway.events("gateway.stopped")
    assert left["waiting"] == {}


def test_with_a_store_that_hangs_the_smsc_keeps_the_message(
    gateways: Callable[..., Gateway], smsc: Running, own_redis: Callable[..., RedisServer]
) -> None:
    """It ends within its budget and 0, and says that it does not know what waits."""
    server = own_redis()
    gateway = gateways(redis_url=server.url, sections=_DRAIN)
    until(lambda: gateway.ready() == 200)
    server.pause()
    asked = smsc.call(smsc.simulator.smsc.send, UNICOM.msisdn, UNICOM.service, "CXMYD")
    until(lambda: asked.attempts >= 1)
    assert _end(gateway) < DRAIN_S + CLOSING_S
    (left,) = gateway.events("gateway.stopped")
    assert (left["parked"], left["waiting"]) == (0, None)
    assert left["put_off"] + left["unanswered"] >= 1
    assert asked.acknowledged_ms is None
    server.resume()
    gateways(redis_url=server.url)
    until(lambda: asked.acknowledged_ms is not None and asked.answered_by is not None)


def test_workers_are_replaced_under_load_and_every_text_is_answered_once(
    gateways: Callable[..., Gateway], smsc: Running
) -> None:
    """SIGUSR2: each worker in turn drains and is started anew, while the other serves; a dialog goes on over
    it.
    """
    gateway = gateways("--workers", "2")
    until(lambda: gateway.ready() == 200)
    pids = gateway.workers()
    load = Load(smsc, per_s=100, first=10_000)
    until(lambda: len(load.sent) > 50)
    ask(smsc, MOBILE, "CXMYD")
    gateway.signal(signal.SIGUSR2)
    until(lambda: gateway.events("workers.replaced"), timeout_s=60)
    answer = ask(smsc, MOBILE, MOBILE.id_last4)
    load.stop()
    load.await_answers()
    assert set(load.answers().values()) == {1}
    assert not set(pids) & set(gateway.workers())
    assert CHANGSHA in answer
    assert JIAN in answer
    assert not gateway.events("worker.died")


def test_two_gateways_of_one_name_share_the_load(gateways: Callable[..., Gateway], smsc: Running) -> None:
    """The same configuration but for the HTTP port, so the same system_id, links and routes. One is ended and
    started again under load, as when a new version is rolled out; every text has one answer.
    """
    first, second = gateways(), gateways()
    until(lambda: first.ready() == 200 and second.ready() == 200)
    load = Load(smsc, per_s=100, first=20_000)
    until(lambda: len(load.sent) > 100)
    _end(first)
    first = gateways()
    until(lambda: first.ready() == 200)
    ask(smsc, MOBILE, "CXMYD")
    until(lambda: len(load.sent) > 400)
    _end(second)
    answer = ask(smsc, MOBILE, MOBILE.id_last4)
    load.stop()
    load.await_answers()
    assert set(load.answers().values()) == {1}
    assert JIAN in answer


def test_of_two_gateways_of_one_name_one_is_killed(gateways: Callable[..., Gateway], smsc: Running) -> None:
    """kill -9 under load: nothing is lost; at most what was in flight there is answered twice."""
    first, second = gateways(), gateways()
    until(lambda: first.ready() == 200 and second.ready() == 200)
    load = Load(smsc, per_s=100, first=30_000)
    until(lambda: len(load.sent) > 150)
    first.kill()
    until(lambda: len(load.sent) > 250)
    load.stop()
    load.await_answers()
    extra = sum(load.answers().values()) - len(load.sent)
    assert 0 <= extra <= 30  # the windows of the SMSC on three binds
    assert second.ready() == 200
