"""Texts as phones send them: alphabets and headers, long messages in parts (3GPP 23.038; 23.040, 9.2.3.24;
SMPP 3.4, 5.2.12, 5.2.19 and 5.3.2).

Whether an ESME read a text is told by its answer: the text of --mo is written in another way, or cut into
parts, and only who reads the whole answers it. SMPP leaves the joining to the ESME, so that is a SHOULD;
that every part is acknowledged is not.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count, pairwise
from typing import NamedTuple

from gateway.simulator import alphabets
from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import expect_answer, require, still_bound
from gateway.simulator.conformance.lab import Lab, Mo
from gateway.simulator.conformance.peer import Peer
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Level, NotApplicable

GROUP = "texts"
_ANSWERED = ("answer", "receiver", "transmitter")
_UDHI = alphabets.UDHI
_CONCATENATION = "3GPP 23.040, 9.2.3.24.1 and 9.2.3.24.8; SMPP 3.4, 5.2.12"
_references = count(0x0121)  # a new one for each long text of the run


class Place(NamedTuple):
    """One part among the parts of a long text."""

    reference: int
    total: int
    number: int  # from 1


def _udh_8(place: Place) -> bytes:
    return bytes((5, 0x00, 3, place.reference & 0xFF, place.total, place.number))


def _udh_16(place: Place) -> bytes:
    return bytes((6, 0x08, 4, *place.reference.to_bytes(2, "big"), place.total, place.number))


def _udh_behind_ports(place: Place) -> bytes:
    """The concatenation stands behind another element: application ports of 16 bits."""
    ports = (0x05, 4, 0x0B, 0x84, 0x23, 0xF0)
    return bytes((11, *ports, 0x00, 3, place.reference & 0xFF, place.total, place.number))


def _sar(place: Place) -> bytes:
    return (
        wire.tlv(wire.SAR_MSG_REF_NUM, place.reference.to_bytes(2, "big"))
        + wire.tlv(wire.SAR_TOTAL_SEGMENTS, bytes((place.total,)))
        + wire.tlv(wire.SAR_SEGMENT_SEQNUM, bytes((place.number,)))
    )


Header = Callable[[Place], bytes]


def _octets(text: str, data_coding: int) -> bytes:
    """The text in this alphabet. Not applicable when it cannot be written in it."""
    try:
        (whole,) = alphabets.parts_of(text, 0, data_coding)
    except ValueError as error:
        raise NotApplicable(f"the text of --mo: {error}") from None
    return whole.short_message


def _cut(octets: bytes, pieces: int) -> list[bytes]:
    """Pieces of nearly equal length."""
    if len(octets) < pieces:
        raise NotApplicable(f"the text of --mo is too short for {pieces} parts")
    ends = [len(octets) * number // pieces for number in range(pieces + 1)]
    return [octets[begin:end] for begin, end in pairwise(ends)]


def _parts(
    mo: Mo,
    header: Header = _udh_8,
    *,
    data_coding: int = alphabets.GSM,
    pieces: int = 3,
    reference: int | None = None,
) -> list[bytes]:
    """The text as bodies of deliver_sm, in the order of the parts."""
    number = next(_references) if reference is None else reference
    bodies = []
    for index, piece in enumerate(_cut(_octets(mo.text, data_coding), pieces), start=1):
        place = Place(number, pieces, index)
        if header is _sar:
            bodies.append(mo.body(piece, data_coding=data_coding, tlvs=_sar(place)))
        else:
            bodies.append(mo.body(header(place) + piece, data_coding=data_coding, esm_class=_UDHI))
    return bodies


async def _acknowledged(peer: Peer, bodies: Sequence[bytes]) -> None:
    """Each part is delivered and gets ESME_ROK, before the next one is sent."""
    for body in bodies:
        expect_answer(await peer.ask("deliver_sm", body), "deliver_sm_resp", wire.ROK)


async def _answered_once(lab: Lab, *mos: Mo) -> None:
    for mo in mos:
        await lab.answer_to(mo)
    await asyncio.sleep(lab.timing.quiet_s)
    for mo in mos:
        came = len(lab.answers_to(mo))
        require(came == 1, "one submit_sm in answer to one text", f"{came} came")


async def _unanswered(lab: Lab, mo: Mo) -> None:
    await asyncio.sleep(2 * lab.timing.quiet_s)
    require(not lab.answers_to(mo), "no answer to what is no whole text", "a submit_sm came")


@scenario(
    GROUP,
    "SMPP 3.4, 5.2.19; 3GPP 23.038, 4",
    level=Level.SHOULD,
    needs=_ANSWERED,
    cases={
        "in-the-default-alphabet": (0x00, alphabets.GSM),
        "in-ascii": (0x01, alphabets.ASCII),
        "in-latin-1": (0x03, alphabets.LATIN_1),
        "in-ucs2": (0x08, alphabets.UCS2),
        "in-gsm-with-a-message-class": (0xF1, alphabets.GSM),
        "in-ucs2-with-a-message-class": (0x19, alphabets.UCS2),
    },
)
async def alphabet(lab: Lab, case: tuple[int, int]) -> None:
    """A text is read in the alphabet that data_coding names."""
    data_coding, written_in = case
    mo = lab.mo()
    body = mo.body(_octets(mo.text, written_in), data_coding=data_coding)
    await _acknowledged(await lab.bound(receives=True), [body])
    await _answered_once(lab, mo)


@scenario(GROUP, "SMPP 3.4, 5.3.2.32", level=Level.SHOULD, needs=_ANSWERED)
async def in_message_payload(lab: Lab) -> None:
    """A text that stands in message_payload, with an sm_length of 0, is read as one in short_message."""
    mo = lab.mo()
    payload = wire.tlv(wire.MESSAGE_PAYLOAD, _octets(mo.text, alphabets.GSM))
    await _acknowledged(await lab.bound(receives=True), [mo.body(b"", tlvs=payload)])
    await _answered_once(lab, mo)


@scenario(GROUP, "SMPP 3.4, 4.7.1", level=Level.SHOULD, needs=_ANSWERED)
async def in_data_sm(lab: Lab) -> None:
    """A text that comes as data_sm is acknowledged by data_sm_resp and read like any other."""
    mo = lab.mo()
    payload = wire.tlv(wire.MESSAGE_PAYLOAD, _octets(mo.text, alphabets.GSM))
    peer = await lab.bound(receives=True)
    answer = await peer.ask("data_sm", wire.data_body(mo.sender, mo.service, tlvs=payload))
    expect_answer(answer, "data_sm_resp", wire.ROK)
    await _answered_once(lab, mo)


@scenario(
    GROUP,
    "3GPP 23.040, 9.2.3.24",
    level=Level.SHOULD,
    needs=_ANSWERED,
    cases={
        "behind-a-header-of-ports": bytes((6, 0x05, 4, 0x0B, 0x84, 0x23, 0xF0)),
        "behind-a-header-that-is-unknown": bytes((4, 0x7F, 2, 0xAB, 0xCD)),
        "behind-an-empty-header": bytes((0,)),
        "as-part-1-of-1": _udh_8(Place(7, 1, 1)),
    },
)
async def behind_a_header(lab: Lab, case: bytes) -> None:
    """The user data header is no part of the text, whatever elements it has."""
    mo = lab.mo()
    body = mo.body(case + _octets(mo.text, alphabets.GSM), esm_class=_UDHI)
    await _acknowledged(await lab.bound(receives=True), [body])
    await _answered_once(lab, mo)


@scenario(
    GROUP,
    f"{_CONCATENATION}, 5.3.2.22",
    level=Level.SHOULD,
    needs=_ANSWERED,
    cases={
        "in-parts-by-8-bit-references": (_udh_8, alphabets.GSM, (0, 1, 2)),
        "in-parts-by-16-bit-references": (_udh_16, alphabets.GSM, (0, 1, 2)),
        "in-parts-by-sar-tlvs": (_sar, alphabets.GSM, (0, 1, 2)),
        "in-parts-behind-another-element": (_udh_behind_ports, alphabets.GSM, (0, 1, 2)),
        "in-parts-the-last-first": (_udh_8, alphabets.GSM, (2, 1, 0)),
        "in-parts-the-middle-last": (_udh_16, alphabets.GSM, (2, 0, 1)),
        "in-parts-one-of-them-twice": (_udh_8, alphabets.GSM, (0, 1, 1, 2)),
        "in-parts-of-ucs2": (_udh_8, alphabets.UCS2, (0, 1, 2)),
        "in-parts-that-cut-a-character": (_udh_8, alphabets.UCS2, (1, 2, 0)),
    },
)
async def in_parts(lab: Lab, case: tuple[Header, int, tuple[int, ...]]) -> None:
    """The parts of a long text are acknowledged one by one and joined, in whatever order they come and
    whatever element or TLV numbers them; a part that comes twice counts once.
    """
    header, data_coding, order = case
    mo = lab.mo()
    bodies = _parts(mo, header, data_coding=data_coding)
    await _acknowledged(await lab.bound(receives=True), [bodies[index] for index in order])
    await _answered_once(lab, mo)


@scenario(GROUP, _CONCATENATION, level=Level.SHOULD, needs=_ANSWERED)
async def in_parts_over_two_connections(lab: Lab) -> None:
    """A part that came before the connection was lost is kept: it was acknowledged, so the SMSC does not
    send it again.
    """
    mo = lab.mo()
    first, *rest = _parts(mo)
    peer = await lab.bound(receives=True)
    await _acknowledged(peer, [first])
    peer.reset()
    await lab.all_bound()
    await _acknowledged(await lab.bound(receives=True), rest)
    await _answered_once(lab, mo)


@scenario(GROUP, _CONCATENATION, level=Level.SHOULD, needs=_ANSWERED)
async def same_reference_from_two_phones(lab: Lab) -> None:
    """Phones choose references by themselves, so two may have the same at the same time: their parts, one
    of the one after one of the other, are not mixed.
    """
    one, other = lab.mo(), lab.mo()
    reference = next(_references)
    bodies = zip(_parts(one, reference=reference), _parts(other, reference=reference), strict=True)
    await _acknowledged(await lab.bound(receives=True), [body for pair in bodies for body in pair])
    await _answered_once(lab, one, other)


@scenario(GROUP, _CONCATENATION, needs=["receiver"])
async def missing_part(lab: Lab) -> None:
    """The parts of a text of which one never comes are acknowledged, are not answered as if they were
    whole, and do no harm.
    """
    mo = lab.mo()
    bodies = _parts(mo)
    peer = await lab.bound(receives=True)
    await _acknowledged(peer, [bodies[0], bodies[2]])
    await _unanswered(lab, mo)
    await still_bound(peer)


@scenario(
    GROUP,
    _CONCATENATION,
    needs=["receiver"],
    cases={
        "part-0-of-2": _udh_8(Place(9, 2, 0)),
        "part-3-of-2": _udh_8(Place(9, 2, 3)),
        "part-1-of-0": _udh_8(Place(9, 0, 1)),
        "part-200-of-255": _udh_16(Place(9, 255, 200)),
        "two-concatenations": bytes((11, 0x00, 3, 9, 2, 1, 0x08, 4, 0, 9, 2, 2)),
        "header-longer-than-the-text": bytes((140, 0x00, 3, 9, 2, 1)),
        "element-longer-than-the-header": bytes((5, 0x00, 9, 9, 2, 1)),
        "concatenation-of-the-wrong-length": bytes((4, 0x00, 2, 9, 2)),
    },
)
async def impossible_part(lab: Lab, case: bytes) -> None:
    """A header that cannot be right is ignored, or the message refused: it gets its response, and the
    session lives.
    """
    mo = lab.mo()
    peer = await lab.bound(receives=True)
    answer = await peer.ask("deliver_sm", mo.body(case + mo.text.encode("ascii", "replace"), esm_class=_UDHI))
    expect_answer(answer, "deliver_sm_resp")
    await still_bound(peer)


@scenario(GROUP, _CONCATENATION, needs=["receiver"])
async def parts_that_contradict_each_other(lab: Lab) -> None:
    """Parts with one reference and different totals get their responses, and the session lives."""
    mo = lab.mo()
    peer = await lab.bound(receives=True)
    for place in (Place(77, 2, 1), Place(77, 3, 2), Place(77, 4, 3), Place(77, 2, 2)):
        body = mo.body(_udh_8(place) + b"part", esm_class=_UDHI)
        expect_answer(await peer.ask("deliver_sm", body), "deliver_sm_resp")
    await still_bound(peer)


@scenario(GROUP, _CONCATENATION, needs=["receiver"])
async def two_hundred_beginnings(lab: Lab) -> None:
    """First parts of two hundred texts that are never finished are all acknowledged: an ESME that keeps
    parts keeps many, or says ESME_RMSGQFUL.
    """
    peer = await lab.bound(receives=True)
    numbers = []
    for reference in range(200):
        mo = lab.mo()
        body = mo.body(_udh_8(Place(reference, 2, 1)) + b"the beginning", esm_class=_UDHI)
        numbers.append(peer.request("deliver_sm", body))
    for number in numbers:
        expect_answer(await peer.answer_to(number), "deliver_sm_resp", wire.ROK, *wire.TEMPORARY)


@scenario(
    GROUP,
    "3GPP 23.038, 6.2.1.1 and 6.2.3; SMPP 3.4, 5.2.19",
    needs=["receiver"],
    cases={
        "emoji-cut-between-two-parts": (alphabets.UCS2, ("😀" * 3).encode("utf-16-be"), 6),
        "escape-cut-between-two-parts": (alphabets.GSM, b"\x1be\x1be\x1be", 3),
        "lone-surrogates": (alphabets.UCS2, bytes.fromhex("d83d de00 de00 d83d".replace(" ", "")), 6),
        "escape-at-the-end": (alphabets.GSM, b"text\x1b\x1b", 5),
        "odd-octets-of-ucs2": (alphabets.UCS2, b"\0t\0e\0x\0t\0", 3),
    },
)
async def cut_character(lab: Lab, case: tuple[int, bytes, int]) -> None:
    """Characters that are cut between two parts, or are none, are no reason to refuse a part, to lose the
    session or to end.
    """
    data_coding, octets, at = case
    mo, reference = lab.mo(), next(_references)
    peer = await lab.bound(receives=True)
    for index, piece in enumerate((octets[:at], octets[at:]), start=1):
        header = _udh_8(Place(reference, 2, index))
        body = mo.body(header + piece, data_coding=data_coding, esm_class=_UDHI)
        expect_answer(await peer.ask("deliver_sm", body), "deliver_sm_resp")
    await still_bound(peer)


@scenario(
    GROUP,
    "SMPP 3.4, 4.6.1, 5.2.5, 5.2.6 and 5.2.8",
    needs=["receiver"],
    cases={
        "from-a-name": {"source_addr": "INFO-42", "source_ton": 5, "source_npi": 0},
        "from-nobody": {"source_addr": "", "source_ton": 0, "source_npi": 0},
        "from-20-characters": {"source_addr": "1" * 20},
        "from-a-number-with-plus": {"source_addr": "+8613912345678"},
        "from-a-short-code": {"source_addr": "12520", "source_ton": 3, "source_npi": 0},
        "to-20-characters": {"destination_addr": "1" * 20},
        "to-nobody": {"destination_addr": "", "dest_npi": 0},
        "to-an-unknown-service": {"destination_addr": "999999999"},
        "from-and-to-the-same-number": {"source_addr": "10086", "destination_addr": "10086"},
    },
)
async def address(lab: Lab, case: dict[str, object]) -> None:
    """Addresses of every kind get a deliver_sm_resp, whether the ESME has a use for the message or not; the
    session lives.
    """
    mo = lab.mo()
    fields = {"source_addr": mo.sender, "destination_addr": mo.service, "short_message": b"text"} | case
    peer = await lab.bound(receives=True)
    answer = await peer.ask("deliver_sm", wire.message_body(**fields))  # type: ignore[arg-type]
    expect_answer(answer, "deliver_sm_resp")
    await still_bound(peer)
