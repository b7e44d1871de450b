"""Two sessions against each other through bytes: binds, exchanges, refusals."""

import gc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp.codec import encode
from gateway.smpp.constants import MAX_SEQUENCE_NUMBER, BindType, CommandId, CommandStatus, Tlv, Version
from gateway.smpp.errors import NotBound, SessionError, Unencodable, WindowFull
from gateway.smpp.machine import MAX_UNSENT
from gateway.smpp.session import Role, SessionConfig, State, response_to
from tests.smpp.pair import BINDS, PHONE, Pair, answer, query, rok, sent
from tests.smpp.strategies import plain


@pytest.mark.parametrize("version", [Version.V3_3, Version.V3_4, Version.V5_0])
@pytest.mark.parametrize("command_status", [0, int(CommandStatus.ESME_RMSGQFUL)])
def test_an_acknowledgement_is_a_response_without_message_id(version: Version, command_status: int) -> None:
    """The short way writes the octets of the long one, in both roles."""
    for role in ("esme", "smsc"):
        written = []
        for short in (True, False):
            pair = Pair(SessionConfig(version=version), bind="rx" if role == "esme" else "tx")
            one, other = (pair.esme, pair.smsc) if role == "esme" else (pair.smsc, pair.esme)
            other.request(query() if role == "esme" else answer(), pair.now_s)
            (incoming,) = one.receive(other.data_to_send(), pair.now_s)
            assert isinstance(incoming, e.Incoming)
            number = incoming.pdu.sequence_number
            if short:
                assert one.acknowledge(number, command_status)
                assert not one.acknowledge(number, command_status)
            else:
                assert one.respond(number, response_to(incoming.pdu, command_status))
            written.append(one.data_to_send())
        assert written[0] == written[1]


@pytest.mark.parametrize("name", BINDS)
def test_bind(name: str) -> None:
    """Each bind type is asked for, decided by the SMSC's owner, and known to both sides."""
    pair = Pair(bind="")
    pair.esme.bind(BINDS[name](system_id="cxmyd", password="secret"))
    assert pair.esme.state is State.BINDING
    (event,) = pair.to_smsc()
    assert isinstance(event, e.BindRequested)
    assert (event.pdu.system_id, event.pdu.password) == ("cxmyd", "secret")
    pair.smsc.accept_bind("smsc")
    (bound,) = pair.to_esme()
    assert isinstance(bound, e.Bound)
    assert bound.pdu.system_id == "smsc"
    assert bound.pdu.tlv(Tlv.SC_INTERFACE_VERSION) == b"\x34"
    assert pair.esme.bind_type == pair.smsc.bind_type == BINDS[name].bind_type
    assert pair.esme.state is pair.smsc.state is State.BOUND


def test_bind_refused_and_tried_again() -> None:
    """A refused bind leaves the session open for another one."""
    pair = Pair(bind="")
    pair.esme.bind(p.BindTransceiver())
    pair.to_smsc()
    pair.smsc.refuse_bind(CommandStatus.ESME_RINVPASWD)
    assert pair.to_esme() == [e.BindRefused(CommandStatus.ESME_RINVPASWD)]
    pair.esme.bind(p.BindTransceiver())
    pair.to_smsc()
    pair.smsc.accept_bind("smsc")
    assert isinstance(pair.to_esme()[0], e.Bound)


def test_bind_nacked() -> None:
    """A peer that nacks the bind has refused it."""
    pair = Pair(bind="")
    pair.esme.bind(p.BindTransceiver())
    nack = p.GenericNack(command_status=CommandStatus.ESME_RINVCMDID, sequence_number=1)
    assert pair.carry(pair.esme, encode(nack)) == [e.BindRefused(CommandStatus.ESME_RINVCMDID)]


def test_second_bind() -> None:
    """A bind on a bound session is ESME_RALYBND, and the bind stands."""
    pair = Pair()
    pair.carry(pair.smsc, encode(p.BindReceiver(sequence_number=9)))
    (refusal,) = sent(pair.smsc)
    assert (type(refusal), refusal.command_status) == (p.BindReceiverResp, CommandStatus.ESME_RALYBND)
    assert pair.smsc.bind_type is BindType.TRANSCEIVER


def test_outbind() -> None:
    """The SMSC invites, the ESME binds over the same connection."""
    pair = Pair(bind="")
    pair.smsc.outbind(p.Outbind(system_id="smsc", password="pw"))
    (invited,) = pair.to_esme()
    assert isinstance(invited, e.Invited)
    assert invited.pdu.system_id == "smsc"
    pair.esme.bind(p.BindReceiver())
    assert isinstance(pair.to_smsc()[0], e.BindRequested)


@pytest.mark.parametrize("segment", [0, 1, 7])
def test_conversation(segment: int) -> None:
    """deliver_sm, submit_sm, both responses: one octet at a time gives the same as all at once."""
    pair = Pair(segment=segment)
    pair.smsc.request(query(), pair.now_s, "mo")
    (incoming,) = pair.to_esme()
    assert isinstance(incoming, e.Incoming)
    assert isinstance(incoming.pdu, p.DeliverSm)
    assert incoming.pdu.short_message == b"CXMYD"
    pair.esme.request(answer(), pair.now_s, "mt")
    (submitted,) = pair.to_smsc()
    assert isinstance(submitted, e.Incoming)
    pair.smsc.respond(submitted.pdu.sequence_number, p.SubmitSmResp(message_id="a1"))
    (response,) = pair.to_esme()
    assert isinstance(response, e.Response)
    assert response.context == "mt"
    assert isinstance(response.pdu, p.SubmitSmResp)
    assert response.pdu.message_id == "a1"
    assert rok(pair.esme, incoming)
    (delivered,) = pair.to_smsc()
    assert isinstance(delivered, e.Response)
    assert (delivered.context, delivered.pdu.command_status) == ("mo", 0)
    assert (pair.esme.in_flight, pair.esme.owing, pair.smsc.in_flight) == (0, 0, 0)


def test_one_write() -> None:
    """Everything since the last call is one piece of data, in order, and then there is none."""
    pair = Pair()
    for _ in range(3):
        pair.esme.request(answer(), pair.now_s)
    assert [pdu.sequence_number for pdu in sent(pair.esme)] == [2, 3, 4]
    assert pair.esme.data_to_send() == b""


def test_nothing_before_bind() -> None:
    """A listener processes no request of an unbound peer: ESME_RINVBNDSTS, and the owner hears of it."""
    pair = Pair(bind="")
    for pdu in (answer(), p.DataSm(), p.QuerySm(), query()):
        (event,) = pair.carry(pair.smsc, encode(pdu))
        assert isinstance(event, e.Refused)
        (refusal,) = sent(pair.smsc)
        assert (type(refusal), refusal.command_status) == (pdu.response, CommandStatus.ESME_RINVBNDSTS)
    assert pair.smsc.owing == 0


@pytest.mark.parametrize(
    ("bind", "role", "pdu", "allowed"),
    [
        ("tx", Role.SMSC, answer(), True),
        ("rx", Role.SMSC, answer(), False),
        ("trx", Role.SMSC, answer(), True),
        ("tx", Role.ESME, query(), False),
        ("rx", Role.ESME, query(), True),
        ("trx", Role.ESME, query(), True),
        ("trx", Role.SMSC, query(), False),
        ("trx", Role.ESME, answer(), False),
        ("tx", Role.ESME, p.DataSm(), False),
        ("rx", Role.ESME, p.DataSm(), True),
        ("tx", Role.SMSC, p.DataSm(), True),
        ("rx", Role.SMSC, p.DataSm(), False),
    ],
)
def test_direction(bind: str, role: Role, pdu: p.Pdu, allowed: bool) -> None:
    """A request is taken only in the direction that the bind opens; sending the other way raises NotBound."""
    pair = Pair(bind=bind)
    receiver, sender = (pair.smsc, pair.esme) if role is Role.SMSC else (pair.esme, pair.smsc)
    (event,) = pair.carry(receiver, encode(pdu))
    assert isinstance(event, e.Incoming if allowed else e.Refused)
    assert sender.may_send(pdu.command_id) is allowed
    if allowed:
        sender.request(pdu, pair.now_s)
    else:
        assert sent(receiver)[0].command_status == CommandStatus.ESME_RINVBNDSTS
        with pytest.raises(NotBound):
            sender.request(pdu, pair.now_s)


def test_alert_notification_has_no_answer() -> None:
    """It is handed over, and nothing is owed."""
    pair = Pair()
    pair.smsc.notify(p.AlertNotification(source=PHONE))
    (event,) = pair.to_esme()
    assert isinstance(event, e.Incoming)
    assert pair.smsc.in_flight == 0
    assert pair.esme.owing == 0
    assert pair.esme.data_to_send() == b""


def test_window() -> None:
    """The window limits our requests; a response makes room."""
    pair = Pair(SessionConfig(window=2))
    pair.esme.request(answer(), pair.now_s)
    pair.esme.request(answer(), pair.now_s)
    assert pair.esme.window_free == 0
    with pytest.raises(WindowFull):
        pair.esme.request(answer(), pair.now_s)
    for event in pair.to_smsc():
        rok(pair.smsc, event)
    pair.to_esme()
    assert pair.esme.window_free == 2


def test_peer_window() -> None:
    """What the peer sends beyond its window gets ESME_RMSGQFUL; memory stays flat."""
    pair = Pair(SessionConfig(peer_window=2, window=10))
    for _ in range(5):
        pair.smsc.request(query(), pair.now_s)
    events = pair.to_esme()
    assert len(events) == pair.esme.owing == 2
    assert pair.esme.counters.overflowed == 3
    assert [pdu.command_status for pdu in sent(pair.esme)] == [CommandStatus.ESME_RMSGQFUL] * 3
    rok(pair.esme, events[0])
    pair.smsc.request(query(), pair.now_s)
    assert len(pair.to_esme()) == 1


def test_no_room() -> None:
    """What the owner has no room for gets ESME_RMSGQFUL, with its own number and unread. A receipt is taken
    all the same, what is malformed has its own status, and all else goes on.
    """
    pair = Pair()
    receipt = p.DeliverSm(esm_class=0x04, short_message=b"id:1 stat:DELIVRD")
    for pdu in (query(), query(), receipt, query()):
        pair.smsc.request(pdu, pair.now_s)
    octets = pair.smsc.data_to_send() + malformed() + encode(p.EnquireLink(sequence_number=8))
    events = pair.esme.receive(octets, pair.now_s, room=1)
    assert [type(event) for event in events] == [e.Incoming, e.Incoming, e.Refused]
    assert pair.esme.owing == 2
    assert pair.esme.counters.overflowed == 2
    full, malformed_text = CommandStatus.ESME_RMSGQFUL, CommandStatus.ESME_RINVDSTADR
    answers = [(pdu.command_id, pdu.command_status, pdu.sequence_number) for pdu in sent(pair.esme)]
    resp = CommandId.DELIVER_SM_RESP
    assert answers == [
        (resp, full, 2),
        (resp, full, 4),
        (resp, malformed_text, 7),
        (CommandId.ENQUIRE_LINK_RESP, 0, 8),
    ]


@given(
    st.lists(st.sampled_from(["text", "receipt", "malformed", "enquire", "short"]), max_size=12), st.data()
)
def test_no_room_whatever_the_segments(kinds: list[str], data: st.DataObject) -> None:
    """What is refused by the read gets what it would get by itself, and so does whatever stands between."""
    stream = b"".join(map(_numbered, kinds, range(1, 13)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    anywhere = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = []
    for segments in ([stream[i : i + 1] for i in range(len(stream))], [stream], anywhere):
        pair = Pair()
        events = [event for segment in segments for event in pair.esme.receive(segment, 0.0, room=0)]
        found.append(
            ([repr(event) for event in events], pair.esme.data_to_send(), pair.esme.counters, pair.esme.owing)
        )
    assert found[0] == found[1] == found[2]
    assert found[0][2].overflowed == kinds.count("text")


def _numbered(kind: str, number: int) -> bytes:
    """`short` is a text that ends before its esm_class."""
    pdu: p.Pdu
    match kind:
        case "receipt":
            pdu = p.DeliverSm(esm_class=0x04, short_message=b"id:1 stat:DELIVRD", sequence_number=number)
        case "enquire":
            pdu = p.EnquireLink(sequence_number=number)
        case _:
            pdu = p.DeliverSm(source=PHONE, short_message=b"CXMYD", sequence_number=number)
    octets = encode(pdu)
    if kind == "malformed":
        return octets[:16] + b"\x01" * (len(octets) - 16)
    if kind == "short":
        return (22).to_bytes(4) + octets[4:22]
    return octets


def test_no_room_at_the_smsc() -> None:
    """The same for submit_sm, when we are the server."""
    pair = Pair()
    pair.esme.request(answer(), pair.now_s)
    assert pair.smsc.receive(pair.esme.data_to_send(), pair.now_s, room=0) == []
    (refused,) = sent(pair.smsc)
    assert isinstance(refused, p.SubmitSmResp)
    assert (refused.command_status, refused.sequence_number) == (CommandStatus.ESME_RMSGQFUL, 1 + 1)


def malformed() -> bytes:
    """A deliver_sm whose destination_addr has no end."""
    octets = encode(query())
    at = octets.index(b"10086") + 5
    octets = octets[:at] + b"9" * 20 + octets[at:]
    return len(octets).to_bytes(4) + octets[4:12] + (7).to_bytes(4) + octets[16:]


def test_unexpected_responses() -> None:
    """Unknown, repeated and mismatched responses are counted, ignored, and settle nothing."""
    pair = Pair()
    number = pair.esme.request(answer(), pair.now_s, "mt")
    strange = [
        p.SubmitSmResp(sequence_number=number + 1),
        p.DataSmResp(sequence_number=number),
        p.EnquireLinkResp(sequence_number=number),
        p.UnbindResp(sequence_number=number),
        p.GenericNack(sequence_number=0),
        p.BindTransceiverResp(sequence_number=1),
    ]
    assert pair.carry(pair.esme, b"".join(encode(pdu) for pdu in strange)) == []
    assert pair.esme.counters.unexpected == len(strange)
    response = encode(p.SubmitSmResp(sequence_number=number))
    (event,) = pair.carry(pair.esme, response + response)
    assert isinstance(event, e.Response)
    assert pair.esme.counters.unexpected == len(strange) + 1
    assert pair.esme.state is State.BOUND


def test_nack_settles_a_request() -> None:
    """A generic_nack with the number of a request is its response."""
    pair = Pair()
    number = pair.esme.request(answer(), pair.now_s, "mt")
    nack = p.GenericNack(command_status=CommandStatus.ESME_RINVCMDLEN, sequence_number=number)
    assert pair.carry(pair.esme, encode(nack)) == [e.Response("mt", nack)]


def test_malformed_response_settles_by_its_header() -> None:
    """The status of a response counts although its body cannot be read: sending again would answer twice."""
    pair = Pair()
    number = pair.esme.request(answer(), pair.now_s, "mt")
    broken = encode(p.SubmitSmResp(message_id="x", sequence_number=number)).replace(b"x\0", b"xx")
    assert pair.carry(pair.esme, broken) == [e.Response("mt", p.SubmitSmResp(sequence_number=number))]
    assert pair.esme.counters.malformed_responses == 1


def test_sequence_wrap() -> None:
    """Numbers go from 0x7FFFFFFF to 1, past those still in flight, and responses find their requests."""
    pair = Pair()
    pair.esme._sequence_number = MAX_SEQUENCE_NUMBER - 2
    numbers = [pair.esme.request(answer(), pair.now_s, i) for i in range(3)]
    assert numbers == [MAX_SEQUENCE_NUMBER - 1, MAX_SEQUENCE_NUMBER, 1]
    pair.esme._sequence_number = MAX_SEQUENCE_NUMBER
    assert pair.esme.request(answer(), pair.now_s, 3) == 2
    for event in pair.to_smsc():
        rok(pair.smsc, event)
    contexts = [event.context for event in pair.to_esme() if isinstance(event, e.Response)]
    assert contexts == [0, 1, 2, 3]


def test_repeated_numbers_of_the_peer() -> None:
    """A peer that repeats a sequence_number gets one response for each request."""
    pair = Pair()
    first, second = pair.carry(pair.esme, encode(query()) * 2)
    assert rok(pair.esme, first)
    assert rok(pair.esme, second)
    assert len(sent(pair.esme)) == 2
    assert not rok(pair.esme, second)
    assert pair.esme.counters.late_answers == 1


def test_what_cannot_be_encoded_changes_nothing() -> None:
    """A response or request that has no encoding leaves the session as it was."""
    pair = Pair()
    pair.smsc.request(query(), pair.now_s)
    (incoming,) = pair.to_esme()
    assert isinstance(incoming, e.Incoming)
    with pytest.raises(Unencodable):
        pair.esme.respond(incoming.pdu.sequence_number, p.DeliverSmResp(message_id="x" * 65))
    with pytest.raises(Unencodable):
        pair.esme.request(answer(bytes(255)), pair.now_s)
    assert (pair.esme.owing, pair.esme.in_flight, pair.esme.data_to_send()) == (1, 0, b"")
    assert rok(pair.esme, incoming)


def test_malformed_request_lives_on() -> None:
    """A deliver_sm that lies is refused by deliver_sm_resp with its number; the next one is taken."""
    pair = Pair()
    pdu = query()
    pdu.sequence_number = 77
    lying = bytearray(encode(pdu))
    lying[-6] = 200  # sm_length
    refused, taken = pair.carry(pair.esme, bytes(lying) + encode(query()))
    assert isinstance(refused, e.Refused)
    assert refused.error.command_status == CommandStatus.ESME_RINVMSGLEN
    assert isinstance(taken, e.Incoming)
    (refusal,) = sent(pair.esme)
    assert (type(refusal), refusal.sequence_number) == (p.DeliverSmResp, 77)


def test_refused_pdus_leave_nothing_to_the_collector() -> None:
    """A flood of them would fill memory between two of its runs."""
    pair = Pair()
    unknown = (16).to_bytes(4, "big") + (0x99).to_bytes(4, "big") + bytes(8)
    cut_off = (18).to_bytes(4, "big") + int(CommandId.DELIVER_SM).to_bytes(4, "big") + bytes(10)
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            pair.carry(pair.esme, unknown + cut_off)
            pair.esme.data_to_send()
        assert gc.collect() < 100
    finally:
        gc.enable()


def test_unknown_command() -> None:
    """An unknown request is nacked with ESME_RINVCMDID; an unknown response is not, or it never ends."""
    pair = Pair()
    unknown = (16).to_bytes(4, "big") + (0x99).to_bytes(4, "big") + bytes(4) + (5).to_bytes(4, "big")
    (event,) = pair.carry(pair.esme, unknown)
    assert isinstance(event, e.Refused)
    (nack,) = sent(pair.esme)
    assert (nack.command_id, nack.command_status, nack.sequence_number) == (
        CommandId.GENERIC_NACK,
        CommandStatus.ESME_RINVCMDID,
        5,
    )
    response = unknown[:4] + (0x80000099).to_bytes(4, "big") + unknown[8:]
    assert pair.carry(pair.esme, response) == []
    assert pair.esme.data_to_send() == b""
    assert pair.esme.counters.unexpected == 1


@pytest.mark.parametrize("number", [0, 0x80000000, 0xFFFFFFFF])
def test_impossible_numbers_of_the_peer(number: int) -> None:
    """A request with a sequence_number out of range is answered with that number."""
    pair = Pair()
    requests = [query(), p.EnquireLink(), p.SubmitSm()]
    for request in requests:
        request.sequence_number = number
    (incoming, refused) = pair.carry(pair.esme, b"".join(encode(request) for request in requests))
    assert isinstance(refused, e.Refused)
    rok(pair.esme, incoming)
    assert [pdu.sequence_number for pdu in sent(pair.esme)] == [number] * 3


def test_enquire_link_storm() -> None:
    """Every enquire_link is answered, up to what may wait for the owner; beyond, it is counted."""
    pair = Pair()
    storm = encode(p.EnquireLink(sequence_number=3)) * 1_000
    assert pair.carry(pair.esme, storm) == []
    assert len(sent(pair.esme)) == 1_000
    for _ in range(11):
        pair.carry(pair.esme, storm)
    assert len(sent(pair.esme)) == MAX_UNSENT
    assert pair.esme.counters.unanswered_enquiries == 11_000 - MAX_UNSENT
    assert pair.esme.state is State.BOUND


def test_requests_that_only_an_smsc_of_5_0_takes() -> None:
    """The owner hears of broadcasts and submit_multi as of any request, and answers in kind."""
    pair = Pair(SessionConfig(version=Version.V5_0))
    for request in (p.BroadcastSm(), p.QueryBroadcastSm(), p.CancelBroadcastSm(), plain(p.SubmitMulti, 0)):
        pair.esme.request(request, pair.now_s, "asked")
        (incoming,) = pair.to_smsc()
        assert isinstance(incoming, e.Incoming)
        pair.smsc.respond(
            incoming.pdu.sequence_number, response_to(incoming.pdu, CommandStatus.ESME_RINVCMDID)
        )
        (response,) = pair.to_esme()
        assert isinstance(response, e.Response)
        assert type(response.pdu) is request.response


@pytest.mark.parametrize("length", [0, 15, 0x7FFFFFFF])
def test_broken_stream(length: int) -> None:
    """An impossible command_length: what came before is handled, then generic_nack and Closed."""
    pair = Pair()
    pair.esme.request(answer(), pair.now_s, "mt")
    pair.esme.data_to_send()
    events = pair.carry(pair.esme, encode(query()) + length.to_bytes(4, "big") + bytes(60))
    assert [type(event) for event in events] == [e.Incoming, e.Refused, e.Closed]
    assert events[-1] == e.Closed(e.CloseReason.STREAM_BROKEN, ["mt"])
    (nack,) = sent(pair.esme)
    assert (nack.command_id, nack.command_status) == (CommandId.GENERIC_NACK, CommandStatus.ESME_RINVCMDLEN)
    assert not rok(pair.esme, events[0])
    assert pair.carry(pair.esme, encode(query())) == []


def test_calls_out_of_place() -> None:
    """A call that state or role do not allow raises SessionError and sends nothing."""
    pair = Pair()
    calls: list[Callable[[], object]] = [
        lambda: pair.esme.bind(p.BindTransceiver()),
        lambda: pair.smsc.bind(p.BindTransceiver()),
        lambda: pair.smsc.accept_bind("x"),
        lambda: pair.esme.accept_bind("x"),
        lambda: pair.smsc.refuse_bind(1),
        lambda: pair.smsc.outbind(p.Outbind()),
        lambda: pair.esme.outbind(p.Outbind()),
        lambda: pair.esme.notify(p.AlertNotification()),
    ]
    for call in calls:
        with pytest.raises(SessionError):
            call()
    assert pair.esme.data_to_send() == pair.smsc.data_to_send() == b""
