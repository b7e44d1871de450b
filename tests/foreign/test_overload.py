"""Floods, with real processes: what is too much is refused for now, and nobody else notices."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.foreign.service import Service
from tests.foreign.wire import DELIVER_SM, message
from tests.foreign.wire_smsc import Smsc, made, section

PLAIN = '[carrier.plain]\nnumbers = ["12345"]\nqueries_per_day = 0\n'
ESME_RMSGQFUL = 0x14
BINDS = 4
RECEIPTED_MESSAGE_ID = 0x1E


class Peers(NamedTuple):
    flood: Smsc
    quiet: Smsc


@pytest.fixture(scope="module")
def peers(service: Service) -> Iterator[Peers]:
    with made() as make:
        flood, quiet = make(), make()
        sections = section("flood", flood.port, f"binds = {BINDS}") + section("quiet", quiet.port)
        with service.gateway(sections + PLAIN):
            flood.until(lambda: len(flood.wires) == BINDS)
            yield Peers(flood, quiet)


def texts(numbers: range, prefix: str) -> bytes:
    return b"".join(message(DELIVER_SM, f"{prefix}{n:05}", "12345", b"CXMYD", number=n + 1) for n in numbers)


def with_id(number: str, sequence_number: int) -> bytes:
    """A text with an id of the SMSC: the same text again is a new message."""
    octets = message(DELIVER_SM, number, "12345", b"CXMYD", number=sequence_number)
    octets += struct.pack(">HHI", RECEIPTED_MESSAGE_ID, 4, sequence_number)
    return len(octets).to_bytes(4) + octets[4:]


def test_a_flood_on_one_link_is_refused_there_and_not_noticed_on_another(peers: Peers) -> None:
    """20,000 texts at once, by four binds: each is answered or refused for now. Of the other link's texts,
    sent meanwhile, none is refused. Afterwards nothing is refused at all.
    """
    total = 20_000
    wires = list(peers.flood.wires)
    share = total // len(wires)
    for turn, wire in enumerate(wires):
        wire.send(texts(range(turn * share, (turn + 1) * share), "86139021"))
    asked = 0
    while sum(peers.flood.responses.values()) < total:
        peers.quiet.ask(f"86139022{asked:05}", sequence_number=asked + 1)
        asked += 1
        peers.quiet.until(lambda: sum(peers.quiet.responses.values()) == asked, timeout_s=30)  # noqa: B023
    assert asked > 1
    assert peers.quiet.responses == {0: asked}
    assert set(peers.flood.responses) == {0, ESME_RMSGQFUL}
    assert len(peers.flood.submits) == peers.flood.responses[0]
    peers.flood.responses.clear()
    wires[0].send(texts(range(20_000, 20_100), "86139021"))
    peers.flood.until(lambda: sum(peers.flood.responses.values()) == 100)
    assert peers.flood.responses == {0: 100}


def test_a_flood_of_one_subscriber_is_refused_and_not_noticed_by_another(peers: Peers) -> None:
    """3,000 texts of one, each with an id of its own, and behind each 100 of them another subscriber's: these
    are all answered, and he is not forgotten.
    """
    smsc = peers.quiet
    smsc.responses.clear()
    smsc.submits.clear()
    for turn in range(30):
        his = [with_id("8613902399999", number) for number in range(100 * turn + 100, 100 * turn + 200)]
        smsc.receiver().send(b"".join(his))
        smsc.ask(f"86139024{turn:05}", sequence_number=turn + 1)
        smsc.until(lambda: sum(smsc.responses.values()) >= 101 * (turn + 1))  # noqa: B023
    to = [submit.body for _, submit, _ in smsc.submits]
    assert sum(b"86139024" in body for body in to) == 30
    assert 30 < smsc.responses[0] == len(to) < 3_000
    assert set(smsc.responses) == {0, ESME_RMSGQFUL}
