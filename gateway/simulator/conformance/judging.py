"""Judgements that several scenarios share; each raises `Failed` with what was expected and what came."""

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.peer import Peer
from gateway.simulator.conformance.verdicts import Failed
from gateway.simulator.conformance.wire import Received


def expect_answer(answer: Received, command: str, *statuses: int) -> None:
    """The answer is this response, with one of these statuses where any is named."""
    if answer.name != command or (statuses and answer.status not in statuses):
        named = f" with {wire.statuses(*statuses)}" if statuses else ""
        raise Failed(f"{command}{named}", f"{answer} came")


def expect_refusal(answer: Received, *commands: str, statuses: tuple[int, ...] = ()) -> None:
    """The answer is one of these responses and its status an error, one of `statuses` where given."""
    refused = answer.name in commands and answer.status != wire.ROK
    if not refused or (statuses and answer.status not in statuses):
        named = wire.statuses(*statuses) if statuses else "an error status"
        raise Failed(f"{' or '.join(commands)} with {named}", f"{answer} came")


def require(condition: object, expected: str, came: str) -> None:
    """Fail unless the condition holds."""
    if not condition:
        raise Failed(expected, came)


def expect_not_acknowledged(answer: Received | None) -> None:
    """What could not be read was not taken: an error status, or the end of the connection (None)."""
    if answer is not None and answer.status == wire.ROK:
        raise Failed(
            "an error status, or an end of the connection",
            f"{answer} came: it acknowledges what no ESME can have read",
        )


async def still_bound(peer: Peer) -> None:
    """The session lives: an enquire_link is answered on the same connection."""
    if peer.closed:
        raise Failed("a session that lives on", f"{peer.closed_by} closed the connection")
    expect_answer(await peer.ask("enquire_link"), "enquire_link_resp", wire.ROK)


async def broken_stream(lab: Lab, peer: Peer) -> None:
    """After a command_length that cannot be, nothing that follows can be read: the ESME says so with a
    generic_nack, or ends the connection. A nack alone is right too, if the ESME then takes what follows, or
    ends the connection in the end.
    """

    def find() -> Received | bool | None:
        nacks = [nack for nack in peer.got("generic_nack") if not nack.claimed]
        return nacks[0] if nacks else peer.closed or None

    reaction = await lab.wait_for(find, lab.timing.response_s)
    if reaction is None:
        raise Failed(
            "generic_nack, or an end of the connection",
            "neither came: the ESME waits for octets that will never be there",
        )
    if isinstance(reaction, Received):
        reaction.claimed = True
        if reaction.status == wire.ROK:
            raise Failed("an error status, such as ESME_RINVCMDLEN", f"{reaction} came")
    peer.close()


async def unanswered(peer: Peer, *, may_close: bool = False) -> None:
    """What was just sent gets no answer, and the session lives: an enquire_link is the next thing that is
    answered, apart from requests that still were.

    No time is spent on the silence: an ESME answers in order, so an answer to what went before would stand
    in front of this one.
    """
    before = len(peer.inbox)
    number = peer.request("enquire_link")
    answer = await (peer.reaction_to(number) if may_close else peer.answer_to(number))
    for received in peer.inbox[before:]:
        if received.is_response and received.sequence not in peer.asked:
            raise Failed("no answer at all", f"{received} came")
    if answer is not None:
        expect_answer(answer, "enquire_link_resp", wire.ROK)
