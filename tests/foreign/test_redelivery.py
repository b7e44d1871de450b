"""The same deliver_sm again, with real processes: two workers, a bind each, of two links of one carrier."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count

import pytest

from tests.foreign.service import Service
from tests.foreign.wire import DELIVER_SM, RESP, SUBMIT_SM, Pdu, Wire, message, pdu
from tests.foreign.wire_smsc import Smsc, section

PLAIN = '[carrier.plain]\nnumbers = ["12345"]\nqueries_per_day = 0\n'
DATA_SM = 0x103
MESSAGE_PAYLOAD, RECEIPTED_MESSAGE_ID = 0x424, 0x1E
ESME_RSYSERR, ESME_RINVDSTADR = 0x08, 0x0B
UDHI = 0x40
_numbers = count(8613903000000)
_sequence = count(1)


class Peer(Smsc):
    """Counts by hand what it delivered, so that a test can wait for as many responses."""

    delivered = 0

    def deliver(self, wire: Wire, octets: bytes) -> None:
        self.delivered += 1
        wire.send(octets)

    def settled(self, timeout_s: float = 15.0) -> None:
        """Every delivery has its ESME_ROK."""
        self.until(lambda: sum(self.responses.values()) == self.delivered, timeout_s)
        assert set(self.responses) == {0}

    def answers(self, number: str) -> int:
        return sum(number.encode() in submit.body for _, submit, _ in self.submits)


@pytest.fixture(scope="module")
def smsc(service: Service) -> Iterator[Peer]:
    peer = Peer()
    sections = section("one", peer.port) + section("two", peer.port)
    with service.gateway(sections + PLAIN, workers=2):
        peer.until(lambda: len(peer.wires) == 4)
        yield peer
    peer.stop()


def wires(smsc: Smsc) -> list[Wire]:
    """Two processes, two links each."""
    found = list(smsc.wires)
    assert len(found) == 4
    return found


def number() -> str:
    return str(next(_numbers))


def text(source: str, words: bytes = b"CXMYD", *, smsc_id: bytes = b"", esm_class: int = 0) -> bytes:
    octets = bytearray(message(DELIVER_SM, source, "12345", words, number=next(_sequence)))
    octets[16 + 1 + 2 + len(source) + 1 + 2 + 5 + 1] = esm_class
    return _with_tlv(bytes(octets), RECEIPTED_MESSAGE_ID, smsc_id)


def payload(source: str, words: bytes = b"CXMYD") -> bytes:
    return _with_tlv(text(source, b""), MESSAGE_PAYLOAD, words)


def data_sm(source: str, words: bytes = b"CXMYD") -> bytes:
    body = b"\0\x01\x01" + source.encode() + b"\0\0\x0112345\0" + bytes(3)
    return _with_tlv(pdu(DATA_SM, body, number=next(_sequence)), MESSAGE_PAYLOAD, words)


def part(source: str, index: int, reference: int) -> bytes:
    words = (b"CX", b"MYD")[index - 1]
    return text(source, bytes((5, 0, 3, reference, 2, index)) + words, esm_class=UDHI)


def _with_tlv(octets: bytes, tag: int, value: bytes) -> bytes:
    if value:
        octets += struct.pack(">HH", tag, len(value)) + value
    return len(octets).to_bytes(4) + octets[4:]


def test_at_the_same_moment_in_two_processes(smsc: Peer) -> None:
    """Twice on each of four binds: each copy has its ESME_ROK, the subscriber one answer."""
    who = number()
    for wire in wires(smsc):
        smsc.deliver(wire, text(who) + text(who))
        smsc.delivered += 1
    smsc.settled()
    assert smsc.answers(who) == 1


def test_while_it_is_answered_and_afterwards(smsc: Peer) -> None:
    """The SMSC has the answer and has not responded: no other process answers meanwhile, nor when the first
    was parked, as it took too long; nor after the response.
    """
    who = number()
    held: list[Pdu] = []

    def hold(submit: Pdu) -> int | None:
        if who.encode() in submit.body:
            held.append(submit)
            return None
        return 0

    smsc.status = hold
    for wire in wires(smsc):
        smsc.deliver(wire, text(who))
        smsc.until(lambda: held)
    smsc.settled()  # parked
    for wire in wires(smsc):
        smsc.deliver(wire, text(who))
    smsc.settled()
    (answer,) = held
    wire = next(wire for _, submit, wire in smsc.submits if submit is answer)
    smsc.status = lambda submit: 0
    wire.send(pdu(SUBMIT_SM | RESP, b"id\0", number=answer.sequence_number))
    for wire in wires(smsc):
        smsc.deliver(wire, text(who))
    smsc.settled()
    assert smsc.answers(who) == 1


def test_in_whatever_form_it_comes(smsc: Peer) -> None:
    """As short_message, message_payload and data_sm, one after the other on different binds."""
    who = number()
    for wire, octets in zip(wires(smsc), (text(who), payload(who), data_sm(who), text(who)), strict=True):
        smsc.deliver(wire, octets)
        smsc.settled()
    assert smsc.answers(who) == 1


def test_parts_of_a_long_message(smsc: Peer) -> None:
    """Each part twice, each time in another process, before and after the whole was answered: one answer.
    The same text sent again has another reference, and an answer of its own.
    """
    who = number()
    one, two, *_ = wires(smsc)
    for index in (1, 2):
        for wire in (one, two):
            smsc.deliver(wire, part(who, index, 7))
            smsc.settled()
    for wire in (two, one):
        smsc.deliver(wire, part(who, 2, 7))
        smsc.settled()
    assert smsc.answers(who) == 1
    for index in (1, 2):
        smsc.deliver(two, part(who, index, 8))
    smsc.settled()
    assert smsc.answers(who) == 2


def test_by_the_id_of_the_smsc(smsc: Peer) -> None:
    """The same id, by any link of the carrier: one answer. The same text seconds later with an id of its own:
    another.
    """
    who = number()
    for smsc_id, answers in ((b"17", 1), (b"18", 2)):
        for wire in wires(smsc):
            smsc.deliver(wire, text(who, smsc_id=smsc_id))
        smsc.settled()
        assert smsc.answers(who) == answers


def test_the_same_text_of_others_and_another_text(smsc: Peer) -> None:
    """Nobody is taken for somebody else, and no text for another."""
    who, other = number(), number()
    wire, *_ = wires(smsc)
    for octets in (text(who), text(other), text(who, b"cxmyd")):
        smsc.deliver(wire, octets)
    smsc.settled()
    assert (smsc.answers(who), smsc.answers(other)) == (2, 1)


@pytest.mark.parametrize(("status", "submits"), [(ESME_RINVDSTADR, 1), (ESME_RSYSERR, 2)])
def test_when_the_answer_was_refused(smsc: Peer, status: int, submits: int) -> None:
    """For good: no copy that comes later tries again. For now: the park does, once, and no copy of it."""
    who = number()
    refused: list[Pdu] = []

    def refuse_once(submit: Pdu) -> int:
        if who.encode() in submit.body and not refused:
            refused.append(submit)
            return status
        return 0

    smsc.status = refuse_once
    for wire in wires(smsc):
        smsc.deliver(wire, text(who))
        smsc.settled()
    smsc.until(lambda: smsc.answers(who) == submits)
    for wire in wires(smsc):
        smsc.deliver(wire, text(who))
    smsc.settled()
    assert smsc.answers(who) == submits
