"""What standard TLVs mean: read leniently, written strictly, and no TLV ever makes a PDU fail."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp import tlvs
from gateway.smpp.codec import decode, encode
from gateway.smpp.constants import Tlv
from gateway.smpp.errors import Unencodable
from tests.smpp.strategies import octets, strings

_two = st.integers(0, 0xFFFF)
_subaddresses = st.builds(tlvs.Subaddress, octets, st.binary(min_size=1, max_size=22))
_networks = strings(66)
VALUES: dict[int, st.SearchStrategy[Any]] = {
    **dict.fromkeys(Tlv, octets),
    **dict.fromkeys(
        (
            Tlv.DEST_TELEMATICS_ID,
            Tlv.USER_MESSAGE_REFERENCE,
            Tlv.SOURCE_PORT,
            Tlv.DESTINATION_PORT,
            Tlv.SAR_MSG_REF_NUM,
            Tlv.SMS_SIGNAL,
            Tlv.BROADCAST_REP_NUM,
        ),
        _two,
    ),
    **dict.fromkeys((Tlv.SOURCE_SUBADDRESS, Tlv.DEST_SUBADDRESS), _subaddresses),
    **dict.fromkeys((Tlv.SOURCE_NETWORK_ID, Tlv.DEST_NETWORK_ID), _networks),
    **dict.fromkeys((Tlv.SOURCE_NODE_ID, Tlv.DEST_NODE_ID), st.binary(min_size=6, max_size=6)),
    **dict.fromkeys(
        (Tlv.BROADCAST_CONTENT_TYPE_INFO, Tlv.BROADCAST_SERVICE_GROUP), st.binary(min_size=1, max_size=255)
    ),
    Tlv.QOS_TIME_TO_LIVE: st.integers(0, 0xFFFFFFFF),
    Tlv.BROADCAST_ERROR_STATUS: st.integers(0, 0xFFFFFFFF),
    Tlv.DEST_ADDR_NP_COUNTRY: st.integers(0, 0xFFFFFFFFFF),
    Tlv.CONGESTION_STATE: st.integers(0, 100),
    Tlv.ADDITIONAL_STATUS_INFO_TEXT: strings(256),
    Tlv.RECEIPTED_MESSAGE_ID: strings(65),
    Tlv.CALLBACK_NUM_ATAG: st.builds(tlvs.CallbackNumAtag, octets, st.binary(max_size=64)),
    Tlv.CALLBACK_NUM: st.builds(tlvs.CallbackNum, octets, octets, octets, st.binary(min_size=1, max_size=16)),
    Tlv.NETWORK_ERROR_CODE: st.builds(tlvs.NetworkError, octets, _two),
    Tlv.MESSAGE_PAYLOAD: st.binary(max_size=300),
    Tlv.BROADCAST_CONTENT_TYPE: st.builds(tlvs.BroadcastContentType, octets, _two),
    Tlv.BROADCAST_FREQUENCY_INTERVAL: st.builds(tlvs.BroadcastInterval, octets, _two),
    Tlv.BROADCAST_AREA_IDENTIFIER: st.builds(tlvs.BroadcastArea, octets, st.binary(max_size=80)),
    Tlv.BROADCAST_END_TIME: st.just("261124003200032+"),
    Tlv.BILLING_IDENTIFICATION: st.builds(tlvs.Billing, octets, st.binary(max_size=80)),
    Tlv.DEST_ADDR_NP_INFORMATION: st.binary(min_size=10, max_size=10),
    Tlv.MS_VALIDITY: st.one_of(
        octets.filter(lambda behaviour: behaviour != 4).map(tlvs.MsValidity),
        st.builds(tlvs.MsValidity, st.just(4), octets, _two),
    ),
    Tlv.ITS_SESSION_INFO: st.builds(tlvs.ItsSession, octets, octets),
}


def test_every_tag_has_a_kind() -> None:
    """All tags of 3.4 and 5.0 are typed."""
    assert set(tlvs.KINDS) == set(Tlv) == set(VALUES)


@pytest.mark.parametrize("tag", Tlv)
@given(data=st.data())
def test_round_trip(tag: Tlv, data: st.DataObject) -> None:
    """A value written into a PDU is read from its octets again."""
    value = data.draw(VALUES[tag])
    sent = p.DataSm(tlvs=(tlvs.encode(tag, value),))
    assert decode(encode(sent)).typed(tag) == value


@given(st.sampled_from(list(Tlv)), st.binary(max_size=40))
def test_any_octets(tag: Tlv, value: bytes) -> None:
    """Whatever octets a TLV has: a value or none, the malformed ones are told, and nothing is raised."""
    pdu = p.DataSm(tlvs=((int(tag), value),))
    assert (pdu.typed(tag) is None) == (tlvs.malformed(pdu.tlvs) == [tag])


@pytest.mark.parametrize(
    ("tag", "octets", "value"),
    [
        (Tlv.NETWORK_ERROR_CODE, "03 000b", tlvs.NetworkError(3, 11)),
        (Tlv.RECEIPTED_MESSAGE_ID, "6131 00", "a1"),
        (Tlv.MESSAGE_STATE, "02", 2),
        (Tlv.SAR_MSG_REF_NUM, "0102", 258),
        (Tlv.CALLBACK_NUM, "01 01 01 3130303836", tlvs.CallbackNum(1, 1, 1, b"10086")),
        (Tlv.SOURCE_SUBADDRESS, "a0 31", tlvs.Subaddress(0xA0, b"1")),
        (Tlv.ALERT_ON_MESSAGE_DELIVERY, "", 0),
        (Tlv.MS_VALIDITY, "00", tlvs.MsValidity(0)),
        (Tlv.MS_VALIDITY, "04 02 0018", tlvs.MsValidity(4, 2, 24)),
        (Tlv.BROADCAST_END_TIME, "323631313234303033323030303332 2b", "261124003200032+"),
    ],
)
def test_on_the_wire(tag: Tlv, octets: str, value: Any) -> None:
    """Octets written out by hand, both ways."""
    assert tlvs.decode(tag, bytes.fromhex(octets)) == value
    assert tlvs.encode(tag, value) == (tag, bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("tag", "octets", "value"),
    [
        (Tlv.RECEIPTED_MESSAGE_ID, b"a1", "a1"),
        (Tlv.RECEIPTED_MESSAGE_ID, b"a1\0rest", "a1"),
        (Tlv.RECEIPTED_MESSAGE_ID, b"", ""),
        (Tlv.USER_MESSAGE_REFERENCE, b"\x07", 7),
        (Tlv.MESSAGE_STATE, b"\0\x02", 2),
        (Tlv.BROADCAST_END_TIME, b"261124003200032+\0", "261124003200032+"),
    ],
)
def test_sloppy_peers(tag: Tlv, octets: bytes, value: Any) -> None:
    """A missing NUL, and a number in fewer or more octets, are understood."""
    assert tlvs.decode(tag, octets) == value


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (Tlv.MESSAGE_STATE, 256),
        (Tlv.MESSAGE_STATE, -1),
        (Tlv.CONGESTION_STATE, 101),
        (Tlv.RECEIPTED_MESSAGE_ID, "x" * 65),
        (Tlv.RECEIPTED_MESSAGE_ID, "a\0b"),
        (Tlv.NETWORK_ERROR_CODE, tlvs.NetworkError(3, 0x10000)),
        (Tlv.CALLBACK_NUM, tlvs.CallbackNum(0, 0, 0, bytes(17))),
        (Tlv.SOURCE_NODE_ID, b"12345"),
        (Tlv.BROADCAST_END_TIME, "261124"),
        (Tlv.MESSAGE_PAYLOAD, bytes(0x10000)),
        (0x1401, bytes(0x10000)),
    ],
)
def test_what_cannot_be_written(tag: int, value: Any) -> None:
    """Nothing is cut or wrapped in silence."""
    with pytest.raises(Unencodable):
        tlvs.encode(tag, value)


def test_repeated_and_vendors_tlvs() -> None:
    """All of a repeated TLV are there in order, malformed ones left out; a vendor's is octets."""
    pdu = p.SubmitSm(
        tlvs=(
            tlvs.encode(Tlv.CALLBACK_NUM, tlvs.CallbackNum(1, 0, 1, b"1")),
            (Tlv.CALLBACK_NUM, b"x"),
            tlvs.encode(Tlv.CALLBACK_NUM, tlvs.CallbackNum(1, 0, 1, b"2")),
            tlvs.encode(0x1401, b"vendor"),
        )
    )
    assert [number.digits for number in pdu.all_typed(Tlv.CALLBACK_NUM)] == [b"1", b"2"]
    assert pdu.typed(0x1401) == b"vendor"
    assert pdu.typed(Tlv.MESSAGE_STATE) is None
    assert tlvs.malformed(pdu.tlvs) == [Tlv.CALLBACK_NUM]


@pytest.mark.parametrize(("octets", "state"), [(b"\x5a", 90), (b"\x00", 0), (b"\xff", None), (b"", None)])
def test_congestion_state(octets: bytes, state: int | None) -> None:
    """A peer of 5.0 says in any response how busy it is; nonsense is no word at all."""
    for response in (p.SubmitSmResp(message_id="1"), p.EnquireLinkResp(), p.DeliverSmResp()):
        assert decode(encode(response)).congestion_state is None
        response.tlvs = ((Tlv.CONGESTION_STATE, octets),)
        assert decode(encode(response)).congestion_state == state
