"""Which version a session speaks: offered in the bind, agreed at its response, kept to afterwards."""

import itertools

import pytest

from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp import tlvs
from gateway.smpp.codec import encode
from gateway.smpp.constants import CommandStatus, Tlv, Version
from gateway.smpp.errors import NotBound, SessionError, Unencodable
from gateway.smpp.session import Role, Session, SessionConfig
from tests.smpp.pair import Pair, answer, query, sent

PAIRS = list(itertools.product(Version, Version))


def pair_of(esme: Version, smsc: Version, bind: str = "tx") -> Pair:
    return Pair(SessionConfig(version=esme), bind, smsc_config=SessionConfig(version=smsc))


@pytest.mark.parametrize(("esme", "smsc"), PAIRS)
def test_the_older_of_both_is_agreed(esme: Version, smsc: Version) -> None:
    """Each side offers its own, and both come to the same; an SMSC of 3.3 has no way to say what it is."""
    pair = pair_of(esme, smsc)
    assert pair.smsc.version == min(esme, smsc)
    assert pair.esme.version == (min(esme, Version.V3_4) if smsc == Version.V3_3 else min(esme, smsc))


@pytest.mark.parametrize(("esme", "smsc"), PAIRS)
def test_sc_interface_version(esme: Version, smsc: Version) -> None:
    """The SMSC says its version to peers that know TLVs, when it knows them itself."""
    session = Session(Role.SMSC, SessionConfig(version=smsc), 0.0)
    session.receive(encode(p.BindReceiver(interface_version=esme, sequence_number=1)), 0.0)
    session.accept_bind("smsc")
    (response,) = sent(session)
    said = response.typed(Tlv.SC_INTERFACE_VERSION)
    assert said == (smsc if min(esme, smsc) >= Version.V3_4 else None)


@pytest.mark.parametrize(
    ("ours", "sc_interface_version", "agreed"),
    [
        (Version.V5_0, None, Version.V3_4),
        (Version.V3_4, None, Version.V3_4),
        (Version.V3_3, None, Version.V3_3),
        (Version.V5_0, b"\x34", Version.V3_4),
        (Version.V5_0, b"\x50", Version.V5_0),
        (Version.V3_4, b"\x50", Version.V3_4),
        (Version.V3_4, b"\x33", Version.V3_3),
        (Version.V5_0, b"", Version.V3_4),
        (Version.V5_0, b"\x99", Version.V5_0),
    ],
)
def test_what_an_smsc_may_say(ours: Version, sc_interface_version: bytes | None, agreed: Version) -> None:
    """An SMSC that is silent, or says nonsense, leaves what we offered, but at most 3.4."""
    session = Session(Role.ESME, SessionConfig(version=ours), 0.0)
    session.bind(p.BindReceiver())
    (bind,) = sent(session)
    assert isinstance(bind, p.Bind)
    assert bind.interface_version == ours
    response = p.BindReceiverResp(sequence_number=bind.sequence_number)
    if sc_interface_version is not None:
        response.tlvs = ((Tlv.SC_INTERFACE_VERSION, sc_interface_version),)
    (event,) = session.receive(encode(response), 0.0)
    assert isinstance(event, e.Bound)
    assert session.version == agreed


def test_nothing_is_sent_that_3_3_does_not_know() -> None:
    """No data_sm, no TLVs, no message_id of more than 8 digits; the session is none the worse for it."""
    pair = pair_of(Version.V3_3, Version.V3_4)
    with pytest.raises(NotBound, match="0x33"):
        pair.esme.request(p.DataSm(), pair.now_s)
    sar = answer()
    sar.tlvs = (tlvs.encode(Tlv.SAR_MSG_REF_NUM, 1),)
    with pytest.raises(Unencodable):
        pair.esme.request(sar, pair.now_s)
    assert pair.esme.in_flight == 0
    pair.esme.request(answer(), pair.now_s)
    (incoming,) = pair.to_smsc()
    assert isinstance(incoming, e.Incoming)
    number = incoming.pdu.sequence_number
    with pytest.raises(Unencodable):
        pair.smsc.respond(number, p.SubmitSmResp(message_id="123456789"))
    assert pair.smsc.respond(number, p.SubmitSmResp(message_id="12345678"))


def test_what_a_3_3_peer_sends_all_the_same_is_taken() -> None:
    """A sloppy peer's TLVs and data_sm are understood."""
    pair = pair_of(Version.V3_3, Version.V3_4)
    data = p.DataSm(tlvs=((Tlv.MESSAGE_PAYLOAD, b"CXMYD"),))
    (event,) = pair.carry(pair.smsc, encode(data))
    assert event == e.Incoming(data)


def test_bind_transceiver_does_not_exist_in_3_3() -> None:
    """Neither sent nor taken: ESME_RINVCMDID, and a transmitter may be bound on the same connection."""
    esme = Session(Role.ESME, SessionConfig(version=Version.V3_3), 0.0)
    with pytest.raises(SessionError):
        esme.bind(p.BindTransceiver())
    smsc = Session(Role.SMSC, SessionConfig(version=Version.V3_3), 0.0)
    (event,) = smsc.receive(encode(p.BindTransceiver(sequence_number=1)), 0.0)
    assert isinstance(event, e.Refused)
    assert sent(smsc)[0].command_status == CommandStatus.ESME_RINVCMDID
    assert isinstance(smsc.receive(encode(p.BindTransmitter(sequence_number=2)), 0.0)[0], e.BindRequested)


@pytest.mark.parametrize("command_id", [0x22, 0x23, 0x24])
def test_commands_of_3_3_alone(command_id: int) -> None:
    """param_retrieve, query_last_msgs and query_msg_details are nacked, whatever the version."""
    pair = pair_of(Version.V3_3, Version.V3_4)
    request = b"\0\0\0\x10" + command_id.to_bytes(4, "big") + bytes(4) + b"\0\0\0\x05"
    (event,) = pair.carry(pair.smsc, request)
    assert isinstance(event, e.Refused)
    assert sent(pair.smsc) == [p.GenericNack(command_status=CommandStatus.ESME_RINVCMDID, sequence_number=5)]


@pytest.mark.parametrize("version", Version)
def test_broadcasts_and_long_texts_are_of_5_0(version: Version) -> None:
    """broadcast_sm and a short_message of 255 octets are sent to a peer of 5.0 alone."""
    pair = pair_of(Version.V5_0, version)
    if version == Version.V5_0:
        pair.esme.request(p.BroadcastSm(), pair.now_s)
        pair.esme.request(answer(bytes(255)), pair.now_s)
        assert len(pair.to_smsc()) == 2
    else:
        with pytest.raises(NotBound):
            pair.esme.request(p.BroadcastSm(), pair.now_s)
        with pytest.raises(Unencodable):
            pair.esme.request(answer(bytes(255)), pair.now_s)


def test_congestion_state_comes_with_the_response() -> None:
    """Also with a refusal, and with the response to a deliver_sm."""
    pair = pair_of(Version.V5_0, Version.V5_0, "trx")
    congested = (tlvs.encode(Tlv.CONGESTION_STATE, 90),)
    number = pair.esme.request(answer(), pair.now_s, "mt")
    pair.to_smsc()
    status = CommandStatus.ESME_RTHROTTLED
    pair.smsc.respond(number, p.SubmitSmResp(command_status=status, tlvs=congested))
    (response,) = pair.to_esme()
    assert isinstance(response, e.Response)
    assert (response.pdu.command_status, response.pdu.congestion_state) == (status, 90)
    number = pair.smsc.request(query(), pair.now_s, "mo")
    pair.to_esme()
    pair.esme.respond(number, p.DeliverSmResp(tlvs=congested))
    (response,) = pair.to_smsc()
    assert isinstance(response, e.Response)
    assert response.pdu.congestion_state == 90
