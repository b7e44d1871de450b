"""The gateway as a process: starts without its store, drains on SIGTERM, survives kill -9, runs as workers.

The SMSC is the simulated one (smpplib's PDUs), which keeps what was not acknowledged.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.conftest import RedisServer
from tests.foreign.processes import Gateway, ask, until
from tests.foreign.service import CHANGSHA, JIAN, TRIOS
from tests.simulator.conftest import Running

MOBILE, UNICOM = TRIOS[1].mobile, TRIOS[1].unicom


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
