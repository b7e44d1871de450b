"""Becoming bound: binds that are refused, ignored, answered strangely, or interrupted (SMPP 3.4, 2.2.2, 4.1
and 7.2).
"""

import asyncio

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.judging import require, still_bound
from gateway.simulator.conformance.lab import GRACE_S, Lab
from gateway.simulator.conformance.peer import Peer
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Inconclusive, Level
from gateway.simulator.conformance.wellformed import fault

GROUP = "bind"
_BIND = "SMPP 3.4, 4.1"

# More attempts a second are a hot loop, whatever pauses are configured.
_MOST_ATTEMPTS_A_SECOND = 20
_WATCH_S = 1.0


@scenario(GROUP, "SMPP 3.4, 4.1.1 and 5.2.4")
async def well_formed(lab: Lab) -> None:
    """The first PDU is a bind of the expected type, well formed, with a sequence_number, and an
    interface_version that exists.
    """
    peer, bind = await lab.knock()
    require(peer.inbox[0] is bind, "a bind request before all else", f"{peer.inbox[0]} came first")
    require(not fault(bind), "a well-formed bind request", fault(bind))
    kinds = {f"bind_{kind}" for kind in lab.options.bind.split("+")}
    require(bind.name in kinds, " or ".join(sorted(kinds)), f"{bind} came")
    require(0 < bind.sequence <= wire.MAX_SEQUENCE, "a sequence_number of 1 to 0x7FFFFFFF", f"{bind} came")
    version = bind.decoded().interface_version
    require(
        version <= 0x34 or version == 0x50, "interface_version 0x33, 0x34 or 0x50", f"0x{version:02X} came"
    )
    peer.accept_bind(bind)
    await still_bound(peer)


_REFUSALS = {
    "esme-rinvpaswd": wire.RINVPASWD,
    "esme-rinvsysid": wire.RINVSYSID,
    "esme-rbindfail": wire.RBINDFAIL,
    "esme-ralybnd": wire.RALYBND,
    "esme-rsyserr": wire.RSYSERR,
    "esme-rthrottled": wire.RTHROTTLED,
    "esme-rinvcmdid": wire.RINVCMDID,
    "esme-rinvbndsts": wire.RINVBNDSTS,
    "esme-rinvsystyp": 0x53,
    "a-vendor-status": 0x0000_0420,
    "an-unknown-status": 0xFFFF_FFFF,
}


@scenario(
    GROUP,
    "SMPP 3.4, 4.1.2 and 5.1.3",
    cases={f"refused-with-{name}": value for name, value in _REFUSALS.items()},
)
async def refused(lab: Lab, case: int) -> None:
    """A bind that is refused, with whatever status, is tried again after a pause: staff of the SMSC mend
    what was wrong, and nobody restarts the ESME.
    """
    peer, bind = await lab.knock()
    peer.held = False
    peer.respond(bind, status=case)
    await lab.all_bound()


@scenario(GROUP, "SMPP 3.4, 4.1.2; field practice")
async def refused_with_a_body(lab: Lab) -> None:
    """A refusal may carry the SMSC's system_id, although the body of an error is not returned."""
    peer, bind = await lab.knock()
    peer.held = False
    peer.respond(bind, wire.cstring("conformance"), status=wire.RBINDFAIL)
    await lab.all_bound()


def _attempts(lab: Lab, since_s: float) -> int:
    """Connections since then, or binds where there were more of those."""
    opened = sum(peer.opened_at_s >= since_s for peer in lab.peers)
    return max(opened, sum(bind.at_s >= since_s for peer in lab.peers for bind in peer.got(*wire.BIND_TYPES)))


async def _watch_attempts(lab: Lab) -> None:
    """Let the ESME try for a second, and count."""
    for peer in lab.open_peers:
        peer.close()
    since_s = lab.record.now_s()
    await asyncio.sleep(_WATCH_S)
    attempts = _attempts(lab, since_s)
    most = int(_MOST_ATTEMPTS_A_SECOND * _WATCH_S) * lab.options.binds
    require(attempts <= most, f"at most {most} attempts to bind in {_WATCH_S:g} s", f"{attempts} came")


@scenario(GROUP, "good behaviour: an SMSC in trouble is not helped by a flood of binds")
async def refusals_make_no_hot_loop(lab: Lab) -> None:
    """An ESME whose binds are all refused pauses between its attempts."""
    lab.admit = lambda bind: wire.RBINDFAIL
    await _watch_attempts(lab)


@scenario(GROUP, "good behaviour: an SMSC in trouble is not helped by a flood of connections")
async def closed_connections_make_no_hot_loop(lab: Lab) -> None:
    """An ESME whose connections are closed as soon as they are accepted (a load balancer without a server
    behind it) pauses between its attempts.
    """
    lab.greet = Peer.close
    await _watch_attempts(lab)


@scenario(GROUP, "SMPP 3.4, 7.2 (response_timer)", level=Level.SHOULD)
async def silent(lab: Lab) -> None:
    """A bind that nobody answers is given up after the ESME's time limit, and tried again."""
    peer, _ = await lab.knock()
    peer.mute = True
    await peer.ended(lab.timing.session_init_s + GRACE_S)


@scenario(GROUP, "SMPP 3.4, 7.2 (response_timer)")
async def late_bind_resp(lab: Lab) -> None:
    """A bind_resp that comes late, but within the ESME's time limit, is in time."""
    peer, bind = await lab.knock()
    await asyncio.sleep(lab.timing.session_init_s * 0.6)
    peer.accept_bind(bind)
    await still_bound(peer)


_VERSION = wire.SC_INTERFACE_VERSION
_NAME = wire.cstring("conformance")


@scenario(
    GROUP,
    "SMPP 3.4, 4.1.2 and 5.3.2.25",
    cases={
        "sc-interface-version-3.3": _NAME + wire.tlv(_VERSION, b"\x33"),
        "sc-interface-version-3.4": _NAME + wire.tlv(_VERSION, b"\x34"),
        "sc-interface-version-5.0": _NAME + wire.tlv(_VERSION, b"\x50"),
        "sc-interface-version-absent": _NAME,
        "system-id-of-15-characters": wire.cstring("A23456789012345"),
        "system-id-empty": wire.cstring(""),
        "unknown-tlvs-in-bind-resp": _NAME + wire.tlv(0x1401, b"vendor") + wire.tlv(_VERSION, b"\x34"),
    },
)
async def accepted(lab: Lab, case: bytes) -> None:
    """A bind_resp with ESME_ROK binds, whatever version the SMSC says it has, or none, and whatever it
    adds.
    """
    peer, bind = await lab.knock()
    peer.accept_bind(bind, case)
    await _works(lab, peer)


async def _works(lab: Lab, peer: Peer) -> None:
    """This very session is bound: texts are taken, too."""
    await still_bound(peer)
    if peer.receives:
        _, answer = await lab.deliver(peer)
        if answer.name != "deliver_sm_resp" or answer.status == wire.RINVBNDSTS:
            raise Failed("a session that is bound", f"{answer} came to a deliver_sm")


@scenario(GROUP, "SMPP 3.4, 4.1.2; field practice", level=Level.SHOULD)
async def bind_resp_without_a_body(lab: Lab) -> None:
    """Some SMSCs leave the system_id out of a bind_resp with ESME_ROK. The ESME is bound, or binds anew; it
    does not stay between the two.
    """
    peer, bind = await lab.knock()
    peer.accept_bind(bind, b"")
    answer = await peer.reaction_to(peer.request("enquire_link"))
    if answer is None:
        await lab.all_bound()
    else:
        await _works(lab, peer)


@scenario(GROUP, "SMPP 3.4, 4.1.2", needs=["receiver"])
async def bind_resp_and_text_in_one_segment(lab: Lab) -> None:
    """An SMSC with texts waiting sends the first right behind its bind_resp: the ESME is bound by then and
    takes it.
    """
    peer, bind = await lab.knock(receives=True)
    number = peer.next_sequence()
    peer.put(
        wire.pdu(bind.command_id | wire.RESPONSE_BIT, bind.sequence, _NAME),
        wire.pdu("deliver_sm", number, lab.mo().body()),
    )
    peer.bind_type = wire.BIND_TYPES[bind.name]
    answer = await peer.answer_to(number)
    taken = answer.name == "deliver_sm_resp" and answer.status != wire.RINVBNDSTS
    require(taken, "deliver_sm_resp on a bound session", f"{answer} came")


@scenario(GROUP, "SMPP 3.4, 4.3")
async def bind_answered_by_generic_nack(lab: Lab) -> None:
    """A bind that is answered by generic_nack was not accepted: the ESME tries again, at the latest when
    its time limit for the bind_resp is over.
    """
    peer, bind = await lab.knock()
    peer.held = False
    peer.respond(bind, command="generic_nack", status=wire.RINVCMDID)
    await lab.all_bound(extra_s=lab.timing.session_init_s)


@scenario(
    GROUP,
    "SMPP 3.4, 3.2 and 5.1.4",
    level=Level.SHOULD,
    needs=["receiver"],
    cases={
        "bind-resp-with-a-wrong-number": ("", 1_000),
        "bind-resp-of-another-type": ("other", 0),
        "enquire-link-resp-instead": ("enquire_link_resp", 0),
        "submit-sm-resp-instead": ("submit_sm_resp", 0),
    },
)
async def mismatched(lab: Lab, case: tuple[str, int]) -> None:
    """A response of another kind or number does not answer the bind: the ESME is not bound by it, so it
    takes no text, and waits on or binds anew.
    """
    command, offset = case
    peer, bind = await lab.knock(receives=True)
    other = "bind_transmitter_resp" if bind.name != "bind_transmitter" else "bind_receiver_resp"
    kind = {"": f"{bind.name}_resp", "other": other}.get(command, command)
    peer.respond(bind, _NAME, command=kind, sequence=bind.sequence + offset)
    delivery = peer.request("deliver_sm", lab.mo().body())
    await _not_acknowledged(lab, peer, delivery)
    await _accepted_or_anew(lab, peer, bind)


async def _not_acknowledged(lab: Lab, peer: Peer, delivery: int) -> None:
    """A deliver_sm before the session is bound: refused or ignored, never acknowledged."""
    await lab.wait_for(
        lambda: (
            peer.closed or any(one.sequence == delivery and one.is_response for one in peer.inbox) or None
        ),
        lab.timing.quiet_s,
    )
    for received in peer.inbox:
        acknowledged = received.is_response and received.sequence == delivery and received.status == wire.ROK
        require(not acknowledged, "an error such as ESME_RINVBNDSTS", f"{received} came, before it was bound")


async def _accepted_or_anew(lab: Lab, peer: Peer, bind: wire.Received) -> None:
    """The bind is answered at last; an ESME that has left meanwhile comes again."""
    if peer.closed:
        await lab.all_bound()
        return
    peer.accept_bind(bind)
    number = peer.request("enquire_link")
    if await peer.reaction_to(number) is None:
        await lab.all_bound()


@scenario(GROUP, "SMPP 3.4, 2.2 and 5.1.3 (ESME_RINVBNDSTS)", needs=["receiver"])
async def text_before_bind_resp(lab: Lab) -> None:
    """A deliver_sm before the bind_resp is not acknowledged: no session is bound yet. ESME_RINVBNDSTS says
    so.
    """
    peer, bind = await lab.knock(receives=True)
    delivery = peer.request("deliver_sm", lab.mo().body())
    await _not_acknowledged(lab, peer, delivery)
    await _accepted_or_anew(lab, peer, bind)


@scenario(
    GROUP,
    "SMPP 3.4, 2.2",
    cases={
        "enquire-link-before-bind-resp": wire.pdu("enquire_link", 900),
        "outbind-before-bind-resp": wire.pdu("outbind", 900, _NAME + wire.cstring("secret")),
        "unbind-before-bind-resp": wire.pdu("unbind", 900),
        "generic-nack-before-bind-resp": wire.pdu("generic_nack", 0, status=wire.RINVCMDLEN),
        "alert-before-bind-resp": wire.pdu("alert_notification", 900, b"\1\1861\0\1\1861\0"),
        "unknown-command-before-bind-resp": wire.pdu(0x99, 900, b"octets"),
    },
)
async def early(lab: Lab, case: bytes) -> None:
    """What comes between the bind and its response is answered, refused or ignored, or ends the connection;
    the ESME is bound in the end.
    """
    peer, bind = await lab.knock()
    peer.put(case)
    await asyncio.sleep(0.02)
    await _accepted_or_anew(lab, peer, bind)


_STAGES = (
    "on-connect",
    "after-the-bind",
    "within-bind-resp",
    "after-bind-resp",
    "within-deliver-sm",
    "when-bound",
)


@scenario(
    GROUP,
    "SMPP 3.4, 2.2 and 2.4",
    cases={f"{how}-{stage}": (how, stage) for stage in _STAGES for how in ("reset", "close")},
)
async def interrupted(lab: Lab, case: tuple[str, str]) -> None:
    """A connection that ends at whatever stage, by a reset or a close, is followed by another: the ESME
    binds again by itself, and all is well.
    """
    how, stage = case
    peer = await _brought_to(stage, lab)
    peer.reset() if how == "reset" else peer.close()
    await lab.wait_for(lambda: peer.closed or None, 1.0)
    await lab.all_bound()


async def _brought_to(stage: str, lab: Lab) -> Peer:
    """A connection at this stage."""
    if stage == "when-bound":
        return await lab.bound()
    if stage == "on-connect":
        return await lab.fresh()
    peer, bind = await lab.knock()
    resp = wire.pdu(bind.command_id | wire.RESPONSE_BIT, bind.sequence, _NAME)
    if stage == "within-bind-resp":
        peer.put(resp[:20])
    elif stage in ("after-bind-resp", "within-deliver-sm"):
        peer.accept_bind(bind)
    if stage == "within-deliver-sm":
        peer.put(wire.pdu("deliver_sm", 900, lab.mo().body())[:30])
    await asyncio.sleep(0.01)  # so that it arrives before the end does
    return peer


@scenario(GROUP, "SMPP 3.4, 2.2", needs=["answer"])
async def reset_with_a_submit_sm_open(lab: Lab) -> None:
    """A reset while a submit_sm waits for its response: whether it was taken is unknown. The ESME binds
    again and works on.
    """
    _, peer, _ = await lab.provoke_submit()
    peer.reset()
    await lab.wait_for(lambda: peer.closed or None, 1.0)
    await lab.all_bound()


@scenario(GROUP, "SMPP 3.4, 2.2")
async def ten_resets_in_a_row(lab: Lab) -> None:
    """Ten connections reset one after the other, each right after its bind_resp, leave nothing behind: the
    eleventh works.
    """
    for _ in range(10):
        peer, bind = await lab.knock()
        peer.accept_bind(bind)
        peer.reset()
    await lab.all_bound()


@scenario(GROUP, "SMPP 3.4, 5.1.4", level=Level.SHOULD)
async def numbers_begin_at_one(lab: Lab) -> None:
    """On a new connection sequence numbers begin at 1."""
    _, bind = await lab.knock()
    if bind.sequence == 0:
        raise Inconclusive("the bind has no number")
    expect_one = bind.sequence == 1
    require(expect_one, "sequence_number 1 in the first PDU of a connection", f"{bind} came")
