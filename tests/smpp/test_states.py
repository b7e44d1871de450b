"""The table of the session: complete, and every reaction is a method."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp.codec import CLASSES, encode
from gateway.smpp.constants import BindType
from gateway.smpp.errors import SessionError
from gateway.smpp.machine import Machine
from gateway.smpp.session import Role, Session, SessionConfig, State
from gateway.smpp.states import STATES, TABLE, Heard, Reaction, reactions
from tests.smpp.pair import Pair, query
from tests.smpp.strategies import pdus, plain


@pytest.mark.parametrize("role", Role)
def test_table_is_complete(role: Role) -> None:
    """Every kind of PDU has a reaction in every state but CLOSED, which hears nothing."""
    assert set(TABLE[role]) == set(Heard)
    assert all(len(row) == len(STATES) for row in TABLE[role].values())
    assert set(STATES) | {State.CLOSED} == set(State)


@pytest.mark.parametrize("reaction", Reaction)
def test_reactions_are_methods(reaction: Reaction) -> None:
    """Every reaction of the table is done by a method, and is used."""
    assert callable(getattr(Machine, reaction.value))
    assert any(reaction in row for table in TABLE.values() for row in table.values())


def test_every_command_has_a_kind() -> None:
    """Whatever the codec can decode has a reaction in every role, state and bind type."""
    for role, state, bind_type in itertools.product(Role, STATES, [BindType(0), *BindType]):
        assert set(reactions(role, state, bind_type)) == set(CLASSES)


def in_state(role: Role, state: State) -> Session:
    """A session of this role in this state, with something in flight and something owed where that can be."""
    if state in (State.OPEN, State.BINDING):
        pair = Pair(bind="")
        if state is State.BINDING:
            pair.esme.bind(p.BindTransceiver())
            pair.to_smsc()
    else:
        pair = Pair()
        pair.smsc.request(query(), pair.now_s, "mo")
        pair.to_esme()
    session, other = (pair.esme, pair.smsc) if role is Role.ESME else (pair.smsc, pair.esme)
    if state is State.UNBINDING:
        session.unbind(pair.now_s)
    elif state is State.DRAINING:
        other.unbind(pair.now_s)
        pair.carry(session, other.data_to_send())
    elif state is State.CLOSED:
        session.connection_lost()
    assert session.state is state
    return session


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cls", CLASSES.values(), ids=lambda cls: cls.__name__)
def test_every_pdu_in_every_state(role: Role, state: State, cls: type[p.Pdu]) -> None:
    """No pair of state and PDU is unhandled; a PDU gets at most one answer from the session itself."""
    session = in_state(role, state)
    session.data_to_send()
    sent_before = session.counters.sent
    session.receive(encode(plain(cls, 0x7000)), 1_000.0)
    assert session.counters.sent - sent_before <= (1 if state is not State.CLOSED else 0)
    if cls.command_id & 0x80000000:
        assert session.data_to_send() == b""  # no response is ever answered


@given(st.lists(st.one_of(pdus.map(encode), st.binary(max_size=40)), max_size=12), st.sampled_from(Role))
def test_any_stream(stream: list[bytes], role: Role) -> None:
    """Whatever a peer sends in whatever state: no exception, and nothing after Closed."""
    session = Session(role, SessionConfig(max_length=2_000), 0.0)
    if role is Role.ESME:
        session.bind(p.BindTransceiver())
    events: list[e.Event] = []
    for data in stream:
        events += session.receive(data, 0.0)
        for event in events[-1:]:
            if isinstance(event, e.BindRequested) and session.state is State.BINDING:
                session.accept_bind("smsc")
    kinds = [type(event) for event in events]
    assert e.Closed not in kinds or kinds.index(e.Closed) == len(kinds) - 1
    assert (session.state is State.CLOSED) == (e.Closed in kinds)


STEPS = ["mo", "mt", "rok", "tick", "lose", "nack", "esme"]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=30))
def test_every_request_has_one_outcome(steps: list[tuple[str, int]]) -> None:
    """In whatever order things happen, each request of ours has exactly one outcome."""
    pair = Pair(SessionConfig(window=5, response_timeout_s=3, enquire_link_s=1_000))
    asked, outcomes, open_at_smsc = 0, [], []
    esme, smsc = pair.esme, pair.smsc
    for step, number in steps:
        events: list[e.Event] = []
        pair.now_s += number / 4
        if step == "mt" and esme.window_free:
            esme.request(p.SubmitSm(), pair.now_s, asked)
            asked += 1
        elif step == "mo" and smsc.window_free:
            smsc.request(query(), pair.now_s)
            events += pair.to_esme()
        elif step == "esme":
            arrived = pair.to_smsc()
            open_at_smsc += [event.pdu.sequence_number for event in arrived if isinstance(event, e.Incoming)]
        elif step == "rok" and open_at_smsc:
            smsc.respond(open_at_smsc.pop(number % len(open_at_smsc)), p.SubmitSmResp())
            events += pair.to_esme()
        elif step == "nack":
            events += pair.carry(esme, encode(p.GenericNack(sequence_number=number)))
        elif step == "tick":
            events += esme.tick(pair.now_s)
        elif step == "lose":
            events += esme.connection_lost()
        outcomes += _outcomes(events)
    outcomes += _outcomes(esme.connection_lost())
    assert sorted(outcomes) == list(range(asked))


def _outcomes(events: list[e.Event]) -> list[int]:
    found: list[int] = []
    for event in events:
        if isinstance(event, e.Response | e.Expired):
            found.append(event.context)
        elif isinstance(event, e.Closed):
            found += event.contexts
    return found


def test_closed_hears_nothing() -> None:
    """After the end data, ticks and calls do nothing."""
    session = in_state(Role.ESME, State.CLOSED)
    session.data_to_send()
    assert session.receive(encode(query()), 0.0) == []
    assert session.tick(1e9) == []
    assert session.unbind(0.0) == []
    assert session.data_to_send() == b""
    with pytest.raises(SessionError):
        session.bind(p.BindTransceiver())
