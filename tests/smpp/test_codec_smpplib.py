"""Our codec against smpplib's, an independent implementation: on valid PDUs both read the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import smpp

from gateway.smpp import pdu as p
from gateway.smpp.codec import decode, encode
from gateway.smpp.constants import CommandId, Tlv
from tests.smpp.strategies import octets, strings


class _Numbers:
    """What smpplib asks its client for."""

    sequence = 1

    def next_sequence(self) -> int:
        return 1


def parse(data: bytes) -> Any:
    return smpp.parse_pdu(data, client=_Numbers(), allow_unknown_opt_params=True)


def text(value: bytes | None) -> str:
    return (value or b"").decode("latin-1")


# smpplib writes its strings as Latin-1 and cannot tell None from an empty one; it also cuts what is too long.
_PLAIN = {
    "service_type": strings(6),
    "schedule_delivery_time": strings(17),
    "validity_period": strings(17),
    "esm_class": octets,
    "protocol_id": octets,
    "priority_flag": octets,
    "registered_delivery": octets,
    "replace_if_present_flag": octets,
    "data_coding": octets,
    "sm_default_msg_id": octets,
    "short_message": st.binary(max_size=254),
}
_ADDRESSES = {
    "source_addr_ton": octets,
    "source_addr_npi": octets,
    "source_addr": strings(21),
    "dest_addr_ton": octets,
    "dest_addr_npi": octets,
    "destination_addr": strings(21),
}


@pytest.mark.parametrize(("name", "cls"), [("submit_sm", p.SubmitSm), ("deliver_sm", p.DeliverSm)])
@given(fields=st.fixed_dictionaries({**_PLAIN, **_ADDRESSES}))
def test_messages_both_ways(name: str, cls: type[p.Sm], fields: dict[str, Any]) -> None:
    """What smpplib generates we decode, and encode to the same octets; what we encode smpplib parses."""
    theirs = smpp.make_pdu(name, client=_Numbers(), sequence=9, **fields)
    data = theirs.generate()
    ours = decode(data)
    expected = cls(
        **{field: fields[field] for field in _PLAIN},
        source=p.Address(fields["source_addr_ton"], fields["source_addr_npi"], fields["source_addr"]),
        destination=p.Address(fields["dest_addr_ton"], fields["dest_addr_npi"], fields["destination_addr"]),
        sequence_number=ours.sequence_number,
    )
    assert ours == expected
    assert encode(ours) == data
    parsed = parse(encode(ours))
    for field, value in fields.items():
        seen = getattr(parsed, field)
        assert (text(seen) if isinstance(value, str) else seen or type(value)()) == value


@given(message_id=strings(65), name=st.sampled_from(["submit_sm_resp", "deliver_sm_resp"]))
def test_responses_both_ways(message_id: str, name: str) -> None:
    """The message id of a response is read alike."""
    data = smpp.make_pdu(name, client=_Numbers(), message_id=message_id).generate()
    ours = decode(data)
    assert isinstance(ours, p.MessageResp)
    assert ours.message_id == message_id
    assert text(parse(encode(ours)).message_id) == message_id


@given(
    name=st.sampled_from(["bind_transmitter", "bind_receiver", "bind_transceiver"]),
    strings_of=st.fixed_dictionaries(
        {
            "system_id": strings(16),
            "password": strings(9),
            "system_type": strings(13),
            "address_range": strings(41),
        }
    ),
    numbers=st.fixed_dictionaries({"addr_ton": octets, "addr_npi": octets}),
)
def test_binds_both_ways(name: str, strings_of: dict[str, str], numbers: dict[str, int]) -> None:
    """A bind of smpplib's client is read as it was meant, and ours by smpplib."""
    theirs = smpp.make_pdu(name, client=_Numbers(), **strings_of, **numbers)
    ours = decode(theirs.generate())
    assert isinstance(ours, p.Bind)
    assert {name: getattr(ours, name) for name in strings_of} == strings_of
    assert {name: getattr(ours, name) for name in numbers} == numbers
    assert ours.interface_version == 0x34
    parsed = parse(encode(ours))
    assert {name: text(getattr(parsed, name)) for name in strings_of} == strings_of


@pytest.mark.parametrize(
    ("name", "command_id"),
    [
        ("enquire_link", CommandId.ENQUIRE_LINK),
        ("enquire_link_resp", CommandId.ENQUIRE_LINK_RESP),
        ("unbind", CommandId.UNBIND),
        ("unbind_resp", CommandId.UNBIND_RESP),
        ("generic_nack", CommandId.GENERIC_NACK),
    ],
)
def test_bare_pdus_both_ways(name: str, command_id: CommandId) -> None:
    """PDUs without a body."""
    data = smpp.make_pdu(name, client=_Numbers(), sequence=3).generate()
    ours = decode(data)
    assert ours.command_id == command_id
    assert encode(ours) == data


@given(
    reference=st.integers(0, 0xFFFF),
    total=st.integers(2, 255),
    state=st.integers(1, 8),
    receipted=strings(60).filter(bool),
    payload=st.binary(min_size=1, max_size=250),
)
def test_tlvs_both_ways(reference: int, total: int, state: int, receipted: str, payload: bytes) -> None:
    """Standard TLVs as smpplib reads and writes them."""
    ours = p.DeliverSm(
        tlvs=(
            (Tlv.SAR_MSG_REF_NUM, reference.to_bytes(2, "big")),
            (Tlv.SAR_TOTAL_SEGMENTS, bytes((total,))),
            (Tlv.MESSAGE_STATE, bytes((state,))),
            (Tlv.RECEIPTED_MESSAGE_ID, receipted.encode("latin-1") + b"\0"),
            (Tlv.MESSAGE_PAYLOAD, payload),
        )
    )
    parsed = parse(encode(ours))
    assert (parsed.sar_msg_ref_num, parsed.sar_total_segments, parsed.message_state) == (
        reference,
        total,
        state,
    )
    assert (text(parsed.receipted_message_id), parsed.message_payload) == (receipted, payload)


@given(
    fields=st.fixed_dictionaries(
        {
            "service_type": strings(6),
            "source_addr_ton": octets,
            "source_addr_npi": octets,
            "source_addr": strings(21),
            "dest_addr_ton": octets,
            "dest_addr_npi": octets,
            "destination_addr": strings(21),
            "esm_class": octets,
            "registered_delivery": octets,
            "data_coding": octets,
        }
    )
)
def test_data_sm_both_ways(fields: dict[str, Any]) -> None:
    """The message without a short_message field."""
    data = smpp.make_pdu("data_sm", client=_Numbers(), **fields).generate()
    ours = decode(data)
    assert isinstance(ours, p.DataSm)
    assert ours.source == (fields["source_addr_ton"], fields["source_addr_npi"], fields["source_addr"])
    assert ours.destination == (fields["dest_addr_ton"], fields["dest_addr_npi"], fields["destination_addr"])
    assert (ours.esm_class, ours.registered_delivery, ours.data_coding) == (
        fields["esm_class"],
        fields["registered_delivery"],
        fields["data_coding"],
    )
    assert encode(ours) == data


@given(message_id=strings(65).filter(bool), ton=octets, npi=octets, digits=strings(21))
def test_query_sm_both_ways(message_id: str, ton: int, npi: int, digits: str) -> None:
    """A question for the state of a message."""
    fields = {"source_addr_ton": ton, "source_addr_npi": npi, "source_addr": digits}
    data = smpp.make_pdu("query_sm", client=_Numbers(), message_id=message_id, **fields).generate()
    assert encode(decode(data)) == data
    assert decode(data) == p.QuerySm(
        message_id=message_id, source=p.Address(ton, npi, digits), sequence_number=1
    )


@given(message_id=strings(65), state=octets, error=octets)
def test_query_sm_resp_both_ways(message_id: str, state: int, error: int) -> None:
    """And its answer."""
    fields = {"message_id": message_id, "message_state": state, "error_code": error}
    data = smpp.make_pdu("query_sm_resp", client=_Numbers(), **fields).generate()
    ours = decode(data)
    assert isinstance(ours, p.QuerySmResp)
    assert (ours.message_id, ours.message_state, ours.error_code) == (message_id, state, error)
    assert encode(ours) == data


@given(ton=octets, npi=octets, digits=strings(21), esme=strings(21))  # it cuts what is longer than 20
def test_alert_notification_both_ways(ton: int, npi: int, digits: str, esme: str) -> None:
    """A subscriber is back."""
    fields = {"source_addr_ton": ton, "source_addr_npi": npi, "source_addr": digits, "esme_addr": esme}
    data = smpp.make_pdu(
        "alert_notification", client=_Numbers(), esme_addr_ton=1, esme_addr_npi=1, **fields
    ).generate()
    assert decode(data) == p.AlertNotification(
        source=p.Address(ton, npi, digits), esme=p.Address(1, 1, esme), sequence_number=1
    )
    assert encode(decode(data)) == data
