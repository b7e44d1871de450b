"""How the ESME cuts the stream of octets into PDUs (SMPP 3.4, 2.4, 3.2 and 5.1.1)."""

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import broken_stream, expect_answer, expect_not_acknowledged
from gateway.simulator.conformance.lab import GRACE_S, Lab
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Level

GROUP = "framing"
_FORMAT = "SMPP 3.4, 3.2"
_LENGTH = "SMPP 3.4, 5.1.1 and 4.3"


@scenario(GROUP, _FORMAT, needs=["receiver"])
async def byte_by_byte(lab: Lab) -> None:
    """A PDU that arrives octet by octet, each in a TCP segment of its own, is one PDU."""
    peer = await lab.bound(receives=True)
    sequence = peer.next_sequence()
    octets = wire.pdu("deliver_sm", sequence, lab.mo().body())
    await peer.put_pieces(octets[i : i + 1] for i in range(len(octets)))
    expect_answer(await peer.answer_to(sequence), "deliver_sm_resp")


@scenario(GROUP, _FORMAT)
async def header_split_anywhere(lab: Lab) -> None:
    """A header may be torn at any of its octets: the ESME waits for the rest."""
    peer = await lab.bound()
    for at in range(1, wire.HEADER_OCTETS):
        number = peer.next_sequence()
        octets = wire.pdu("enquire_link", number)
        await peer.put_pieces((octets[:at], octets[at:]))
        expect_answer(await peer.answer_to(number), "enquire_link_resp", wire.ROK)


@scenario(GROUP, _FORMAT)
async def several_pdus_in_one_segment(lab: Lab) -> None:
    """Several PDUs in one TCP segment are all read, and answered."""
    peer = await lab.bound()
    numbers = [peer.next_sequence() for _ in range(20)]
    peer.put(*(wire.pdu("enquire_link", number) for number in numbers))
    for number in numbers:
        expect_answer(await peer.answer_to(number), "enquire_link_resp", wire.ROK)


@scenario(GROUP, _FORMAT, needs=["receiver"])
async def one_pdu_and_a_half(lab: Lab) -> None:
    """A segment that ends in the middle of a PDU: what is whole is answered at once, the rest when it has
    come.
    """
    peer = await lab.bound(receives=True)
    first, second = peer.next_sequence(), peer.next_sequence()
    whole, torn = wire.pdu("enquire_link", first), wire.pdu("deliver_sm", second, lab.mo().body())
    peer.put(whole, torn[:20])
    expect_answer(await peer.answer_to(first), "enquire_link_resp", wire.ROK)
    peer.put(torn[20:])
    expect_answer(await peer.answer_to(second), "deliver_sm_resp")


@scenario(GROUP, "SMPP 3.4, 4.6.1 and 5.2.22", needs=["receiver"])
async def longest_short_message(lab: Lab) -> None:
    """A short_message of 254 octets, the most that the field holds, is taken."""
    peer = await lab.bound(receives=True)
    answer = await peer.ask("deliver_sm", lab.mo().body(b"x" * 254))
    expect_answer(answer, "deliver_sm_resp")


@scenario(GROUP, "SMPP 3.4, 5.3.2.32", needs=["receiver"])
async def largest_pdu(lab: Lab) -> None:
    """A deliver_sm of 64 KB is legal: the ESME answers it (it may refuse), and the link lives."""
    peer = await lab.bound(receives=True)
    payload = wire.tlv(wire.MESSAGE_PAYLOAD, b"x" * 64_000)
    answer = await peer.ask("deliver_sm", lab.mo().body(b"", tlvs=payload))
    if answer.name not in ("deliver_sm_resp", "generic_nack"):
        raise Failed("deliver_sm_resp, or a generic_nack if the ESME takes no such PDU", f"{answer} came")
    expect_answer(await peer.ask("enquire_link"), "enquire_link_resp", wire.ROK)


@scenario(
    GROUP,
    _LENGTH,
    cases={
        "command-length-zero": 0,
        "command-length-of-itself-only": 4,
        "command-length-below-the-header": 15,
        "command-length-of-2-gigabytes": 0x8000_0000,
        "command-length-of-4-gigabytes": 0xFFFF_FFFF,
    },
)
async def impossible_length(lab: Lab, case: int) -> None:
    """A command_length that no PDU can have leaves the rest of the stream unreadable: the ESME answers
    generic_nack (ESME_RINVCMDLEN), or ends the connection. It neither waits for octets that never come nor
    makes room for them, and it binds again.
    """
    peer = await lab.bound()
    peer.put(wire.pdu("enquire_link", peer.next_sequence(), length=case))
    await broken_stream(lab, peer)


@scenario(GROUP, _LENGTH)
async def text_instead_of_pdus(lab: Lab) -> None:
    """Octets that are no SMPP at all (an HTTP request, read as a length of 1.2 GB) get a generic_nack or an
    end of the connection, and do no harm.
    """
    peer = await lab.bound()
    peer.put(b"GET / HTTP/1.1\r\nHost: smsc.example\r\n\r\n")
    await broken_stream(lab, peer)


@scenario(GROUP, _LENGTH)
async def good_pdus_before_a_bad_length(lab: Lab) -> None:
    """What came whole before an impossible command_length, even in the same segment, is answered."""
    peer = await lab.bound()
    numbers = [peer.next_sequence() for _ in range(3)]
    peer.put(
        *(wire.pdu("enquire_link", number) for number in numbers),
        wire.pdu("enquire_link", peer.next_sequence(), length=3),
    )
    for number in numbers:
        expect_answer(await peer.answer_to(number), "enquire_link_resp", wire.ROK)
    await broken_stream(lab, peer)


@scenario(GROUP, _LENGTH, needs=["receiver"])
async def body_outside_the_command_length(lab: Lab) -> None:
    """A deliver_sm whose command_length of 16 leaves its body outside is not acknowledged: the ESME
    refuses it, or ends the connection, since what follows is no PDU.
    """
    peer = await lab.bound(receives=True)
    number = peer.next_sequence()
    peer.put(wire.pdu("deliver_sm", number, lab.mo().body(), length=wire.HEADER_OCTETS))
    expect_not_acknowledged(await peer.reaction_to(number))
    peer.close()


@scenario(GROUP, _LENGTH, needs=["receiver"])
async def command_length_one_too_short(lab: Lab) -> None:
    """A deliver_sm whose command_length cuts off its last octet is not acknowledged: sm_length says there
    is more.
    """
    peer = await lab.bound(receives=True)
    number, body = peer.next_sequence(), lab.mo().body()
    peer.put(wire.pdu("deliver_sm", number, body, length=wire.HEADER_OCTETS + len(body) - 1))
    expect_not_acknowledged(await peer.reaction_to(number))
    peer.close()


@scenario(GROUP, "SMPP 3.4, 4.11.1")
async def enquire_link_with_a_body(lab: Lab) -> None:
    """An enquire_link has no body; one that has is answered, by enquire_link_resp or with an error, and
    the octets of the body are not read as the next PDU.
    """
    peer = await lab.bound()
    answer = await peer.ask("enquire_link", b"\0\0\0\0")
    if answer.name not in ("enquire_link_resp", "generic_nack"):
        raise Failed("enquire_link_resp or generic_nack", f"{answer} came")
    expect_answer(await peer.ask("enquire_link"), "enquire_link_resp", wire.ROK)


@scenario(GROUP, "SMPP 3.4, 7.2 (enquire_link_timer)", level=Level.SHOULD)
async def unfinished_pdu(lab: Lab) -> None:
    """A PDU that is announced and never finished does not hold the ESME for ever: it asks with
    enquire_link, gets no answer, and gives the connection up.
    """
    peer = await lab.bound()
    peer.auto.clear()  # an answer would only be swallowed as the rest of the PDU
    peer.put(wire.pdu("deliver_sm", peer.next_sequence(), lab.mo().body(), length=2_000))
    await peer.ended(lab.timing.dead_link_s + GRACE_S)
