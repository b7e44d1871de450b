"""How a session ends: unbind by either side, by both, and a lost connection."""

import pytest

from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp.codec import encode
from gateway.smpp.constants import CommandStatus
from gateway.smpp.errors import NotBound
from gateway.smpp.session import Role, Session, SessionConfig, State
from tests.smpp.pair import Pair, answer, query, rok, sent


def test_unbind_by_us() -> None:
    """After unbind nothing new is sent, responses still arrive, and unbind_resp closes."""
    pair = Pair()
    pair.esme.request(answer(), pair.now_s, 1)
    pair.esme.request(answer(), pair.now_s, 2)
    first, _ = pair.to_smsc()
    pair.smsc.request(query(), pair.now_s, "mo")
    assert pair.esme.unbind(pair.now_s) == []
    with pytest.raises(NotBound):
        pair.esme.request(answer(), pair.now_s)
    assert pair.to_esme() == []
    assert pair.esme.counters.refused == 0
    rok(pair.smsc, first)
    (response,) = pair.to_esme()
    assert isinstance(response, e.Response)
    assert [type(event) for event in pair.to_smsc()] == [e.Unbinding, e.Response]
    assert pair.smsc.state is State.DRAINING
    assert pair.smsc.next_deadline_s() == pair.now_s + 10
    events = pair.carry(pair.esme, encode(p.UnbindResp(sequence_number=pair.esme._unbind_sequence_number)))
    assert events == [e.Closed(e.CloseReason.UNBOUND, [2])]
    assert pair.esme.next_deadline_s() is None


def test_put_off_while_unbinding() -> None:
    """A deliver_sm that crosses our unbind gets a temporary error, so that the SMSC keeps it."""
    pair = Pair()
    pair.esme.unbind(pair.now_s)
    pair.smsc.request(query(), pair.now_s, "mo")
    pair.to_esme()
    (_, refusal) = sent(pair.esme)
    assert (type(refusal), refusal.command_status) == (p.DeliverSmResp, CommandStatus.ESME_RX_T_APPN)


def test_unbind_by_the_peer_drains() -> None:
    """The peer's unbind is answered only when both sides' open requests are; then the session is closed."""
    pair = Pair()
    pair.smsc.request(query(), pair.now_s, "mo")
    (incoming,) = pair.to_esme()
    number = pair.esme.request(answer(), pair.now_s, "mt")
    pair.to_smsc()
    pair.smsc.unbind(pair.now_s)
    assert pair.to_esme() == [e.Unbinding()]
    with pytest.raises(NotBound):
        pair.esme.request(answer(), pair.now_s)
    pair.smsc.respond(number, p.SubmitSmResp())
    assert [type(event) for event in pair.to_esme()] == [e.Response]
    assert pair.esme.state is State.DRAINING
    rok(pair.esme, incoming)
    deadline_s = pair.esme.next_deadline_s()
    assert deadline_s is not None
    assert deadline_s <= pair.now_s
    assert pair.esme.tick(pair.now_s) == [e.Closed(e.CloseReason.PEER_UNBOUND, [])]
    assert pair.to_smsc()[-1] == e.Closed(e.CloseReason.UNBOUND, [])


def test_unbind_of_an_idle_session() -> None:
    """With nothing open the unbind_resp goes out at once."""
    pair = Pair()
    pair.smsc.unbind(pair.now_s)
    assert pair.to_esme() == [e.Unbinding(), e.Closed(e.CloseReason.PEER_UNBOUND, [])]
    assert pair.to_smsc() == [e.Closed(e.CloseReason.UNBOUND, [])]


def test_crossing_unbinds() -> None:
    """Both sides unbind at once: both get their unbind_resp."""
    pair = Pair()
    pair.esme.unbind(pair.now_s)
    pair.smsc.unbind(pair.now_s)
    pair.to_smsc()
    assert pair.to_esme() == [e.Closed(e.CloseReason.UNBOUND, [])]
    assert pair.to_smsc() == [e.Closed(e.CloseReason.UNBOUND, [])]


def test_unbind_before_bind() -> None:
    """There is nothing to unbind: closed at once."""
    session = Session(Role.ESME, SessionConfig(), 0.0)
    assert session.unbind(0.0) == [e.Closed(e.CloseReason.UNBOUND, [])]


def test_connection_lost() -> None:
    """Everything in flight comes back in Closed, once; a late answer of the owner is refused in silence."""
    pair = Pair()
    pair.smsc.request(query(), pair.now_s)
    (incoming,) = pair.to_esme()
    for context in "abc":
        pair.esme.request(answer(), pair.now_s, context)
    assert pair.esme.connection_lost() == [e.Closed(e.CloseReason.CONNECTION_LOST, ["a", "b", "c"])]
    assert pair.esme.connection_lost() == []
    assert not rok(pair.esme, incoming)
    assert pair.esme.window_free == 0
    with pytest.raises(NotBound):
        pair.esme.request(answer(), pair.now_s)
