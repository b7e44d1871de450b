"""Responses that nobody waits for, requests in the wrong direction, and sequence numbers (SMPP 3.4, 2.3, 3.2,
4.3 and 5.1.4).
"""

import asyncio

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import (
    expect_answer,
    expect_refusal,
    require,
    still_bound,
    unanswered,
)
from gateway.simulator.conformance.lab import GRACE_S, Lab
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Level, NotApplicable

GROUP = "session"
_UNKNOWN = 0x00ABCDEF  # a sequence_number that no ESME has reached

_ID = wire.cstring("message")
_STRAYS = {
    "stray-submit-sm-resp": wire.pdu("submit_sm_resp", _UNKNOWN, _ID),
    "stray-submit-sm-resp-with-an-error": wire.pdu("submit_sm_resp", _UNKNOWN, status=wire.RTHROTTLED),
    "stray-deliver-sm-resp": wire.pdu("deliver_sm_resp", _UNKNOWN, b"\0"),
    "stray-enquire-link-resp": wire.pdu("enquire_link_resp", _UNKNOWN),
    "stray-unbind-resp": wire.pdu("unbind_resp", _UNKNOWN),
    "second-bind-resp": wire.pdu("bind_transceiver_resp", 1, _ID),
    "second-bind-resp-with-an-error": wire.pdu("bind_transceiver_resp", 1, status=wire.RBINDFAIL),
    "stray-query-sm-resp": wire.pdu("query_sm_resp", _UNKNOWN, _ID + b"\0\2\0"),
    "unknown-response": wire.pdu(0x8000_0099, _UNKNOWN, b"octets"),
    "vendor-response": wire.pdu(0x8001_0201, _UNKNOWN, b"octets"),
    "malformed-submit-sm-resp": wire.pdu("submit_sm_resp", _UNKNOWN, b"no NUL at the end"),
    "malformed-data-sm-resp": wire.pdu("data_sm_resp", _UNKNOWN, _ID + b"\x04\x24\xff\xff"),
    "enquire-link-resp-with-a-body": wire.pdu("enquire_link_resp", _UNKNOWN, b"octets"),
    "generic-nack-of-number-0": wire.pdu("generic_nack", 0, status=wire.RINVCMDLEN),
    "generic-nack-of-an-unknown-number": wire.pdu("generic_nack", _UNKNOWN, status=wire.RINVCMDID),
    "generic-nack-with-a-body": wire.pdu("generic_nack", _UNKNOWN, b"octets", status=wire.RINVCMDID),
}


@scenario(GROUP, "SMPP 3.4, 3.2 and 4.3", cases=_STRAYS)
async def stray(lab: Lab, case: bytes) -> None:
    """A response, or a generic_nack, that answers none of the ESME's requests is never answered itself:
    two peers could nack each other's nacks for ever.
    """
    peer = await lab.bound()
    peer.put(case)
    await unanswered(peer, may_close=True)


@scenario(GROUP, "SMPP 3.4, 3.2", level=Level.SHOULD)
async def strays_are_ignored(lab: Lab) -> None:
    """Responses that nobody waits for (late ones are normal after a time limit) do not end the session."""
    peer = await lab.bound()
    for name, octets in _STRAYS.items():
        peer.put(octets)
        try:
            await still_bound(peer)
        except Failed as failed:
            raise Failed(failed.expected, f"{failed.came}, after {name}") from None


@scenario(GROUP, "SMPP 3.4, 3.2 and 7.2 (response_timer)", needs=["answer"])
async def late_submit_sm_resp(lab: Lab) -> None:
    """A submit_sm_resp that comes when the ESME's time limit is over does no harm, and is not nacked."""
    _, peer, submit = await lab.provoke_submit()
    peer.auto.add("submit_sm")
    await asyncio.sleep(lab.timing.response_timeout_s + min(GRACE_S, lab.timing.response_timeout_s / 5))
    if peer.closed:
        return  # giving up a session that lost a response is allowed; the health check wants a new one
    peer.respond(submit, _ID)
    await unanswered(peer)


@scenario(GROUP, "SMPP 3.4, 3.2", needs=["answer"])
async def repeated_submit_sm_resp(lab: Lab) -> None:
    """A submit_sm_resp that comes three times counts once, and is not nacked."""
    mo, peer, submit = await lab.provoke_submit()
    peer.auto.add("submit_sm")
    for _ in range(3):
        peer.respond(submit, _ID)
    await unanswered(peer)
    require(len(lab.answers_to(mo)) == 1, "no further submit_sm", "the ESME submitted the text again")


@scenario(
    GROUP,
    "SMPP 3.4, 3.2 and 5.1.4",
    needs=["answer"],
    cases={
        "submit-sm-resp-with-a-wrong-number": ("submit_sm_resp", 100_000),
        "submit-sm-answered-by-deliver-sm-resp": ("deliver_sm_resp", 0),
    },
)
async def mismatched(lab: Lab, case: tuple[str, int]) -> None:
    """A response of another kind or number is not the one that the ESME waits for: it is ignored, the
    right one is taken.
    """
    command, offset = case
    mo, peer, submit = await lab.provoke_submit()
    peer.auto.add("submit_sm")
    peer.respond(submit, _ID, command=command, sequence=submit.sequence + offset)
    await unanswered(peer)
    peer.respond(submit, _ID)
    await unanswered(peer)
    require(len(lab.answers_to(mo)) == 1, "no further submit_sm", "the ESME submitted the text again")


@scenario(GROUP, "SMPP 3.4, 4.3", needs=["answer"])
async def submit_sm_answered_by_generic_nack(lab: Lab) -> None:
    """A generic_nack with the number of a submit_sm answers it: the session lives, and the nack is not
    answered.
    """
    _, peer, submit = await lab.provoke_submit()
    peer.auto.add("submit_sm")
    peer.respond(submit, command="generic_nack", status=wire.RSYSERR)
    await unanswered(peer)


@scenario(GROUP, "SMPP 3.4, 4.4.2; field practice", level=Level.SHOULD, needs=["answer"])
async def submit_sm_resp_without_a_body(lab: Lab) -> None:
    """Some SMSCs leave the message_id out of a good submit_sm_resp. The header says all that matters: the
    text is not submitted again, and the session lives.
    """
    mo, peer, submit = await lab.provoke_submit()
    peer.auto.add("submit_sm")
    peer.respond(submit)
    await unanswered(peer)
    await asyncio.sleep(lab.timing.quiet_s)
    require(len(lab.answers_to(mo)) == 1, "no further submit_sm", "the ESME submitted the text again")


_SUBMIT = wire.message_body("10086", "8613900000000", b"wrong way")
_ADDRESS = b"\1\1" + wire.cstring("8613900000000")
_BROADCAST = wire.cstring("") + _ADDRESS + _ID
_REQUESTS = {
    "submit-sm": ("submit_sm", _SUBMIT),
    "submit-multi": ("submit_multi", b"\0" + _ADDRESS + b"\1\1" + _ADDRESS + b"\0" * 12),
    "query-sm": ("query_sm", _ID + _ADDRESS),
    "cancel-sm": ("cancel_sm", b"\0" + _ID + _ADDRESS + _ADDRESS),
    "replace-sm": ("replace_sm", _ID + _ADDRESS + b"\0\0\0\0\1x"),
    "bind-transceiver": ("bind_transceiver", _ID + b"secret\0\0\x34\0\0\0"),
    "broadcast-sm": ("broadcast_sm", _BROADCAST + b"\0\0\0\0\0\0"),
    "query-broadcast-sm": ("query_broadcast_sm", _ID + _ADDRESS),
    "cancel-broadcast-sm": ("cancel_broadcast_sm", b"\0" + _ID + _ADDRESS),
}


@scenario(
    GROUP,
    "SMPP 3.4, 2.3 and 4.3; 5.0, 4.6 for the broadcast family",
    cases={f"{name}-from-the-smsc": request for name, request in _REQUESTS.items()},
)
async def wrong_direction(lab: Lab, case: tuple[str, bytes]) -> None:
    """A request that only an ESME sends is refused when an SMSC sends it: by its response, or a
    generic_nack, with an error such as ESME_RINVBNDSTS or ESME_RINVCMDID; the session lives.
    """
    command, body = case
    peer = await lab.bound()
    expect_refusal(await peer.ask(command, body), f"{command}_resp", "generic_nack")
    await still_bound(peer)


@scenario(GROUP, "SMPP 3.4, 2.3 table 2-1", needs=["transmitter"])
async def deliver_sm_to_a_transmitter(lab: Lab) -> None:
    """A deliver_sm on a bind that only transmits is refused, with ESME_RINVBNDSTS."""
    if "transceiver" in lab.options.bind:
        raise NotApplicable("the ESME binds as transceiver")
    peer = await lab.bound(receives=False)
    answer = await peer.ask("deliver_sm", lab.mo().body())
    expect_refusal(answer, "deliver_sm_resp", "generic_nack")
    await still_bound(peer)


@scenario(
    GROUP,
    "SMPP 3.4, 4.1.7 and 4.12",
    cases={
        "alert-notification": wire.pdu("alert_notification", _UNKNOWN, _ADDRESS + _ADDRESS),
        "outbind-when-bound": wire.pdu("outbind", _UNKNOWN, _ID + wire.cstring("secret")),
    },
)
async def without_response(lab: Lab, case: bytes) -> None:
    """alert_notification and outbind have no response. An ESME that does not know them says so with a
    generic_nack; nothing else is right, and the session lives.
    """
    peer = await lab.bound()
    peer.put(case)
    number = peer.request("enquire_link")
    expect_answer(await peer.answer_to(number), "enquire_link_resp", wire.ROK)
    for received in peer.inbox:
        if received.sequence == _UNKNOWN and received.is_response and received.name != "generic_nack":
            raise Failed("no response, at most a generic_nack", f"{received} came")


_NUMBERS = "SMPP 3.4, 3.2 and 5.1.4"


@scenario(GROUP, _NUMBERS)
async def our_numbers_wrap(lab: Lab) -> None:
    """The SMSC's sequence numbers run up to 0x7FFFFFFF and begin again at 1; every response has the number
    of its request.
    """
    peer = await lab.bound()
    for number in (0x7FFF_FFFE, 0x7FFF_FFFF, 1, 2):
        answer = await peer.ask("enquire_link", sequence=number)
        expect_answer(answer, "enquire_link_resp", wire.ROK)


@scenario(
    GROUP,
    _NUMBERS,
    level=Level.SHOULD,
    cases={
        "sequence-number-0": 0,
        "sequence-number-0x80000000": 0x8000_0000,
        "sequence-number-0xffffffff": 0xFFFF_FFFF,
    },
)
async def forbidden_number(lab: Lab, case: int) -> None:
    """A request whose sequence_number is outside of 1 to 0x7FFFFFFF is answered with that very number."""
    peer = await lab.bound()
    answer = await peer.ask("enquire_link", sequence=case)
    if answer.name not in ("enquire_link_resp", "generic_nack"):
        raise Failed("enquire_link_resp or generic_nack", f"{answer} came")
    await still_bound(peer)


@scenario(GROUP, _NUMBERS, needs=["receiver"])
async def numbers_in_any_order(lab: Lab) -> None:
    """Sequence numbers that go down or jump are answered all the same: only the sender gives them order."""
    peer = await lab.bound(receives=True)
    numbers = (900_000, 500_000, 700_000, 100_000)
    for number in numbers:
        peer.put(wire.pdu("deliver_sm", number, lab.mo().body()))
    for number in numbers:
        expect_answer(await peer.answer_to(number), "deliver_sm_resp")


@scenario(GROUP, _NUMBERS, level=Level.SHOULD, needs=["receiver"])
async def same_number_twice(lab: Lab) -> None:
    """Two requests with one sequence_number at once are an error of the SMSC; each gets its response."""
    peer = await lab.bound(receives=True)
    number = peer.next_sequence()
    peer.put(*(wire.pdu("deliver_sm", number, lab.mo().body()) for _ in range(2)))
    for _ in range(2):
        expect_answer(await peer.answer_to(number), "deliver_sm_resp")
