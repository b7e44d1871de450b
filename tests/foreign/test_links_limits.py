"""Links at their limits: a password that is refused, a bind that is not answered, the configured rate over
workers, an SMSC that is congested or never answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import children
from tests.conftest import free_port
from tests.foreign.service import CXMYD, Service
from tests.foreign.wire import DELIVER_SM, message
from tests.foreign.wire_smsc import Smsc, made, section

PLAIN = '[carrier.plain]\nnumbers = ["12345"]\nqueries_per_day = 0\n'
ESME_RINVPASWD = 0x0E
ESME_RMSGQFUL, ESME_RX_T_APPN = 0x14, 0x64
NEVER_ANSWERED_S = 0.5
WINDOW = 100
CONGESTION_STATE_100 = b"\x04\x28\0\x01\x64"
V5_0 = b"\x02\x10\0\x01\x50"


class Peers(NamedTuple):
    strict: Smsc
    mute: Smsc
    congested: Smsc
    silent: Smsc
    pid: int

    def rss_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


@pytest.fixture(scope="module")
def peers(service: Service) -> Iterator[Peers]:
    """One gateway, which is not ready: two links are never bound before their tests."""
    with made() as make:
        strict, mute, congested = make(), make(), make()
        silent = make(lambda submit: None)
        strict.bind_status, mute.bind_status = ESME_RINVPASWD, None
        congested.bind_tlvs = V5_0
        sections = (
            section("strict", strict.port, "binds = 3"),
            section("mute", mute.port, f"session_init_s = {NEVER_ANSWERED_S}"),
            section("congested", congested.port, 'version = "5.0"\nwindow = 5'),
            section("silent", silent.port, f"enquire_link_s = 1\nwindow = {WINDOW}"),
        )
        with service.gateway("".join(sections) + PLAIN, await_ready=False) as process:
            congested.receiver()
            silent.receiver()
            yield Peers(strict, mute, congested, silent, process.pid)
            silent.status = lambda submit: 0  # or the drain waits for its responses
            silent.cut()
            congested.cut()


def ask(smsc: Smsc, total: int, prefix: str) -> None:
    """So many subscribers' texts, over all of its connections by turns."""
    wires = list(smsc.wires)
    for turn, wire in enumerate(wires):
        octets = (
            message(DELIVER_SM, f"{prefix}{n:05}", "12345", b"CXMYD", number=n + 1)
            for n in range(turn, total, len(wires))
        )
        wire.send(b"".join(octets))


def most_in_a_second(times: list[float]) -> int:
    return max(sum(start <= at < start + 1.0 for at in times) for start in times)


@contextmanager
def workers(service: Service, sections: str, total: int) -> Iterator[None]:
    """The gateway in so many processes."""
    port = free_port(total)
    config = service._configure(f"workers-{port}.toml", port, sections)
    log = service.folder / f"workers-{port}.log"
    with log.open("wb") as output:
        command: list[str | Path] = [CXMYD, "-c", config, "serve", "--workers", str(total)]
        process = children.spawn(command, output=output)
    try:
        yield
    finally:
        status = children.end(process, timeout_s=60)
    assert status == 0, log.read_text()


def test_the_configured_rate_holds_over_workers_and_binds(service: Service) -> None:
    """Two workers of two binds each send 10 a second together, and are not stuck. The first of this module:
    beside the floods below, with which it shares the store, it would judge the machine.
    """
    with made() as make:
        smsc = make()
        more = "binds = 2\nrate_per_s = 10"
        with workers(service, section("one", smsc.port, more) + PLAIN, 2):
            smsc.until(lambda: len(smsc.wires) == 4)
            ask(smsc, 24, "86139014")
            smsc.until(lambda: len(smsc.submits) >= 24)
        times = [at for at, _, _ in smsc.submits]
        assert most_in_a_second(times) <= 10
        assert times[-1] - times[0] < 24 / 10 * 5
        assert len({wire for _, _, wire in smsc.submits}) == 4


def test_one_bind_asks_for_all_under_a_wrong_password(peers: Peers) -> None:
    """Each of the three is refused at first. Then one asks, twice a second at most, as reconnect_max_s is 1.
    When the SMSC agrees, all are bound.
    """
    smsc = peers.strict
    smsc.until(lambda: len(smsc.binds) >= 6)
    times = [at for at, _ in smsc.binds]
    assert all(later - earlier > 0.45 for earlier, later in pairwise(times[2:]))
    assert most_in_a_second(times[3:]) <= 2
    smsc.bind_status = 0
    smsc.until(lambda: len(smsc.wires) == 3)


def test_a_bind_that_is_not_answered_is_given_up_and_tried_again(peers: Peers) -> None:
    """After `session_init_s`, on a new connection each time."""
    smsc = peers.mute
    smsc.until(lambda: len(smsc.binds) >= 3)
    times = [at for at, _ in smsc.binds]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(NEVER_ANSWERED_S <= pause < NEVER_ANSWERED_S + 8 for pause in pauses)
    assert {heard.sequence_number for _, heard in smsc.binds} == {1}  # of connections that are new
    smsc.bind_status = 0
    smsc.until(lambda: smsc.wires)


def test_a_congested_smsc_of_5_0_is_sent_less(peers: Peers) -> None:
    """While each response says 100: 10 a second at most, of a link that sent all at once."""
    smsc = peers.congested
    ask(smsc, 100, "86139010")
    smsc.until(lambda: len(smsc.submits) >= 100)
    assert smsc.submits[99][0] - smsc.submits[0][0] < 100 / 10 / 2
    smsc.submits.clear()
    smsc.submit_tlvs = CONGESTION_STATE_100
    ask(smsc, 100, "86139011")
    smsc.until(lambda: len(smsc.submits) >= 15)

    def later() -> list[float]:
        """When those came that were sent half a second after the beginning."""
        return [at for at, _, _ in smsc.submits if at > smsc.submits[14][0] + 0.5]

    smsc.until(lambda: len(later()) >= 8)
    assert later()[7] - later()[0] > 8 / 10


def test_what_is_beyond_thousands_in_flight_is_refused_for_now(peers: Peers) -> None:
    """The SMSC answers no submit_sm: texts beyond 5,000 neither fill the memory nor end the link."""
    smsc = peers.silent
    before_kib = peers.rss_kib()
    ask(smsc, 6_000, "86139012")
    smsc.until(lambda: sum(smsc.responses.values()) >= 1_000)
    full_kib = peers.rss_kib()
    assert full_kib - before_kib < 60_000
    ask(smsc, 6_000, "86139013")
    smsc.until(lambda: sum(smsc.responses.values()) >= 7_000)
    assert peers.rss_kib() - full_kib < 10_000
    assert set(smsc.responses) <= {ESME_RMSGQFUL, ESME_RX_T_APPN}
    assert len(smsc.submits) == WINDOW
    enquiries = smsc.enquiries
    smsc.until(lambda: smsc.enquiries > enquiries)
    assert len(smsc.binds) == len(smsc.wires) == 1  # the first one
