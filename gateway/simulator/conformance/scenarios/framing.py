"""How the ESME cuts the stream of octets into PDUs (SMPP 3.4, 2.7.1 and 3.2)."""

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import expect_answer
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.scenario import scenario

GROUP = "framing"


@scenario(GROUP, "SMPP 3.4, 3.2", needs=["receiver"])
async def byte_by_byte(lab: Lab) -> None:
    """A PDU that arrives octet by octet, each in a TCP segment of its own, is one PDU."""
    peer = await lab.bound(receives=True)
    sequence = peer.next_sequence()
    octets = wire.pdu("deliver_sm", sequence, lab.mo().body())
    await peer.put_pieces(octets[i : i + 1] for i in range(len(octets)))
    expect_answer(await peer.answer_to(sequence), "deliver_sm_resp")


@scenario(GROUP, "SMPP 3.4, 3.2")
async def several_pdus_in_one_segment(lab: Lab) -> None:
    """Several PDUs in one TCP segment are all read, and answered in their order."""
    peer = await lab.bound()
    numbers = [peer.next_sequence() for _ in range(20)]
    peer.put(*(wire.pdu("enquire_link", number) for number in numbers))
    for number in numbers:
        expect_answer(await peer.answer_to(number), "enquire_link_resp", wire.ROK)


@scenario(GROUP, "SMPP 3.4, 5.1.1 and 4.3")
async def command_length_zero(lab: Lab) -> None:
    """A command_length of 0 leaves the stream unreadable: the ESME answers generic_nack with
    ESME_RINVCMDLEN, or ends the connection, and does not hang.
    """
    peer = await lab.bound()
    peer.put(wire.pdu("enquire_link", peer.next_sequence(), length=0))
    await peer.ended(lab.timing.response_s)
