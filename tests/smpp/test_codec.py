"""The codec: what it takes, what it refuses and with which status."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.codec import CLASSES, decode, destined, encode, sm_template
from gateway.smpp.constants import CommandId, CommandStatus, Tlv, Version
from gateway.smpp.errors import PduError, Unencodable
from tests.smpp.strategies import BY_CLASS, addresses, messages, pdus

QUERY = p.DeliverSm(
    source=p.Address(1, 1, "8613800000000"),
    destination=p.Address(0, 1, "10086"),
    short_message=b"CXMYD",
    sequence_number=7,
)


def frame(body: bytes, command_id: int = CommandId.DELIVER_SM, status: int = 0, number: int = 7) -> bytes:
    return struct.pack(">4I", 16 + len(body), command_id, status, number) + body


def defect(data: bytes) -> PduError | None:
    try:
        decode(data)
    except PduError as error:
        return error
    return None


def refused(data: bytes) -> PduError:
    with pytest.raises(PduError) as caught:
        decode(data)
    return caught.value


def test_every_class_is_generated_and_known() -> None:
    """The strategies cover exactly the classes that the codec knows."""
    assert set(BY_CLASS) == set(CLASSES.values())


def test_deliver_sm_on_the_wire() -> None:
    """The octets of 3.4, 4.6.1, written out by hand."""
    assert encode(QUERY) == bytes.fromhex(
        "00000038 00000005 00000000 00000007"
        "00 0101 38363133383030303030303030 00 0001 3130303836 00"
        "00 00 00 00 00 00 00 00 00 05 4358 4d59 44".replace(" ", "")
    )


@given(pdus)
def test_round_trip(pdu: p.Pdu) -> None:
    """What is encoded decodes to the same PDU, in every field."""
    assert decode(encode(pdu)) == pdu


@given(st.sampled_from((p.SubmitSm, p.DeliverSm)).flatmap(messages), addresses())
def test_a_template_with_its_destination(sm: p.Sm, destination: p.Address) -> None:
    """What is encoded once for many is to each what it would be by itself."""
    template = sm_template(sm)
    sm.destination = destination
    assert destined(template, destination) == encode(sm)[16:]


@given(pdus)
def test_memoryview(pdu: p.Pdu) -> None:
    """A memoryview of the same octets gives the same PDU."""
    assert decode(memoryview(encode(pdu))) == pdu


@given(pdus, st.data())
def test_mutants(pdu: p.Pdu, data: st.DataObject) -> None:
    """A damaged PDU either decodes or raises PduError with a status that is not zero, and nothing else."""
    octets = bytearray(encode(pdu))
    for _ in range(data.draw(st.integers(1, 4))):
        if len(octets) > 16:
            octets[data.draw(st.integers(16, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    for mutant in (bytes(octets), bytes(octets[:cut]), frame(bytes(octets[16:cut]), pdu.command_id)):
        error = defect(mutant)
        assert error is None or error.command_status


@given(st.sampled_from(sorted(CLASSES)), st.binary(max_size=120))
def test_random_bodies(command_id: int, body: bytes) -> None:
    """Random bytes as the body of any PDU: a PDU or a PduError that names command and sequence_number."""
    error = defect(frame(body, command_id))
    if error is not None:
        assert (error.command_id, error.sequence_number, error.fatal) == (command_id, 7, False)


@given(st.binary(max_size=40))
def test_random_bytes(data: bytes) -> None:
    """Random bytes without a valid header: refused by PduError alone."""
    error = defect(data)
    assert error is None or error.command_status


@given(messages(p.DeliverSm), st.integers(1, 3))
def test_padding(sm: p.Pdu, count: int) -> None:
    """Up to 3 NULs behind the last field are tolerated and counted."""
    pdu = decode(frame(encode(sm)[16:] + bytes(count), status=sm.command_status, number=sm.sequence_number))
    assert pdu == sm
    assert pdu.padding == count


def test_padding_is_nothing_but_nuls() -> None:
    """Anything but NULs behind the last field is a cut-off TLV."""
    body = encode(QUERY)[16:]
    assert refused(frame(body + b"\0\x01\0")).command_status == CommandStatus.ESME_RINVOPTPARSTREAM


BODY = encode(QUERY)[16:]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", CommandStatus.ESME_RINVSERTYP),
        (b"toolong\0" + BODY[1:], CommandStatus.ESME_RINVSERTYP),
        (b"\0\x01\x01" + b"8" * 21 + b"\0", CommandStatus.ESME_RINVSRCADR),
        (b"\0\x01\x01861380000", CommandStatus.ESME_RINVSRCADR),
        (BODY[: BODY.index(b"10086") + 5], CommandStatus.ESME_RINVDSTADR),
        (BODY[: BODY.index(b"10086") + 6], CommandStatus.ESME_RINVCMDLEN),
        (BODY[:-6], CommandStatus.ESME_RINVCMDLEN),
        (BODY[:-1], CommandStatus.ESME_RINVMSGLEN),
        (BODY[:-6] + b"\xffCXMYD", CommandStatus.ESME_RINVMSGLEN),
        (BODY[:-6] + b"\x00CXMYD", CommandStatus.ESME_RINVPARLEN),
        (BODY[:-6] + b"\x04CXMYD", CommandStatus.ESME_RINVOPTPARSTREAM),
        (BODY + b"\x04\x24\x00\x05CXMY", CommandStatus.ESME_RINVPARLEN),
        (BODY + b"\x04\x24\x00\x05CXMYD", CommandStatus.ESME_ROPTPARNOTALLWD),
    ],
    ids=[
        "empty body",
        "long service_type",
        "long source_addr",
        "source_addr without NUL",
        "destination_addr without NUL",
        "cut off behind the addresses",
        "cut off before sm_length",
        "cut off in short_message",
        "sm_length too long",
        "sm_length zero",
        "sm_length too short",
        "TLV runs past the end",
        "short_message and message_payload",
    ],
)
def test_damaged_deliver_sm(body: bytes, status: CommandStatus) -> None:
    """Each damage has the status that the specification gives it, the link lives, the number is kept."""
    error = refused(frame(body))
    assert (error.command_status, error.command_id, error.sequence_number, error.fatal) == (
        status,
        CommandId.DELIVER_SM,
        7,
        False,
    )


def test_schedule_and_validity_cut_off() -> None:
    """A PDU that ends behind the two times is refused, and so is a time without NUL."""
    sm = p.SubmitSm(schedule_delivery_time="200215120000032+", validity_period="000000010000000R")
    octets = encode(sm)
    head = octets[16 : octets.index(b"R\0") + 2]
    assert refused(frame(head, CommandId.SUBMIT_SM)).command_status == CommandStatus.ESME_RINVCMDLEN
    endless = octets[16:].replace(b"R\0", b"RR")
    assert refused(frame(endless, CommandId.SUBMIT_SM)).command_status == CommandStatus.ESME_RINVEXPIRY


@pytest.mark.parametrize("command_id", [0x00000099, 0x00010203, 0xDEADBEEF, 0x00000022, 0x00000024])
def test_unknown_command(command_id: int) -> None:
    """An unknown command is ESME_RINVCMDID with its sequence_number, and not fatal."""
    error = refused(frame(b"whatever", command_id, number=41))
    assert (error.command_status, error.sequence_number, error.fatal) == (
        CommandStatus.ESME_RINVCMDID,
        41,
        False,
    )


def test_unknown_tlvs_stay_raw() -> None:
    """Vendor TLVs come through as (tag, octets), in order, and are sent again unchanged."""
    sm = decode(frame(BODY + b"\x14\x01\x00\x02\xab\xcd\x00\x01\x00\x00"))
    assert isinstance(sm, p.DeliverSm)
    assert sm.tlvs == ((0x1401, b"\xab\xcd"), (1, b""))
    assert sm.tlv(0x1401) == b"\xab\xcd"
    assert sm.tlv(Tlv.MESSAGE_PAYLOAD) is None
    assert decode(encode(sm)) == sm


def test_header_length_must_be_true() -> None:
    """A frame of another length than its header says is lost: fatal."""
    assert refused(encode(QUERY) + b"x").fatal
    assert refused(b"\0\0\0\x10").fatal


def test_response_without_body() -> None:
    """A refused submit_sm is answered without body, and is understood so; deliver_sm_resp keeps its NUL."""
    refusal = p.SubmitSmResp(command_status=CommandStatus.ESME_RTHROTTLED, sequence_number=3)
    assert len(encode(refusal)) == 16
    assert decode(encode(refusal)) == refusal
    assert encode(p.DeliverSmResp(command_status=1))[16:] == b"\0"
    assert decode(frame(b"", CommandId.BIND_TRANSCEIVER_RESP)) == p.BindTransceiverResp(sequence_number=7)


def test_response_with_a_broken_body_keeps_its_status() -> None:
    """The error carries the received status, which is all that a sender needs to know."""
    error = refused(frame(b"no NUL", CommandId.SUBMIT_SM_RESP, status=CommandStatus.ESME_RTHROTTLED))
    assert error.received_status == CommandStatus.ESME_RTHROTTLED


@pytest.mark.parametrize(
    "sm",
    [
        p.SubmitSm(short_message=bytes(255)),
        p.SubmitSm(source=p.Address(1, 1, "8" * 21)),
        p.SubmitSm(source=p.Address(256, 1, "8")),
        p.SubmitSm(destination=p.Address(1, 1, "86\x00138")),
        p.SubmitSm(destination=p.Address(1, 1, "八六")),
        p.SubmitSm(esm_class=-1),
        p.SubmitSm(short_message=b"x", tlvs=((Tlv.MESSAGE_PAYLOAD, b"y"),)),
        p.SubmitSm(tlvs=((0x10000, b""),)),
        p.SubmitSm(tlvs=((Tlv.MESSAGE_PAYLOAD, bytes(0x10000)),)),
        p.DataSm(esm_class=256),
        p.BindTransceiver(system_id="x" * 16),
        p.ReplaceSm(short_message=bytes(255)),
    ],
)
def test_what_cannot_be_encoded(sm: p.Pdu) -> None:
    """Nothing is cut or wrapped in silence: what does not fit is Unencodable."""
    with pytest.raises(Unencodable):
        encode(sm)


def test_repr_keeps_secrets() -> None:
    """The repr of a PDU shows neither number nor text nor password."""
    assert repr(QUERY) == "<DeliverSm #7 status 0x0>"
    assert "secret" not in repr(p.BindTransceiver(system_id="cxmyd", password="secret"))


MULTI = p.SubmitMulti(
    source=p.Address(0, 1, "10086"), destinations=(p.Address(1, 1, "8613"), "friends"), short_message=b"hi"
)


def test_submit_multi_on_the_wire() -> None:
    """The octets of 3.4, 4.5.1, written out by hand: an address and a distribution list."""
    assert encode(MULTI)[16:] == bytes.fromhex(
        "00 0001 3130303836 00 02 01 0101 38363133 00 02 667269656e647300"
        "00 00 00 00 00 00 00 00 00 02 6869".replace(" ", "")
    )
    response = p.SubmitMultiResp(
        message_id="a1", unsuccess=(p.Unsuccessful(p.Address(1, 1, "8613"), CommandStatus.ESME_RINVDSTADR),)
    )
    assert encode(response)[16:] == bytes.fromhex("613100 01 0101 38363133 00 0000000b".replace(" ", ""))


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (b"\x02friends\0", b"\x03friends\0", CommandStatus.ESME_RINVDESTFLAG),
        (b"\x02friends\0", b"\x02" + b"x" * 21 + b"\0", CommandStatus.ESME_RINVDLNAME),
        (b"\x02\x01\x01\x018613", b"\x02\x01\x01\x01" + b"8" * 21, CommandStatus.ESME_RINVDSTADR),
        (b"10086\0\x02", b"10086\0\x00", CommandStatus.ESME_RINVNUMDESTS),
        (b"10086\0\x02", b"10086\0\xff", CommandStatus.ESME_RINVDESTFLAG),
    ],
)
def test_damaged_submit_multi(before: bytes, after: bytes, status: CommandStatus) -> None:
    """A bad destination has its own status; the count is believed only as far as the PDU goes."""
    assert refused(
        frame(encode(MULTI)[16:].replace(before, after), CommandId.SUBMIT_MULTI)
    ).command_status == (status)


def test_submit_multi_is_bounded() -> None:
    """255 destinations fit, one more does not, none at all neither."""
    many = p.SubmitMulti(destinations=("list",) * 255)
    assert decode(encode(many)) == many
    for count in (0, 256):
        with pytest.raises(Unencodable):
            encode(p.SubmitMulti(destinations=("list",) * count))


def test_tlvs_behind_any_pdu() -> None:
    """5.0 peers send TLVs with PDUs that had none in 3.4."""
    pdu = p.EnquireLinkResp(tlvs=((Tlv.CONGESTION_STATE, b"\x63"),), sequence_number=7)
    assert decode(encode(pdu)) == pdu


@pytest.mark.parametrize("cls", [p.SubmitSm, p.DeliverSm, p.ReplaceSm])
def test_short_message_of_255_octets(cls: type[p.SubmitSm]) -> None:
    """Sent to a peer of 5.0 alone, taken from everyone."""
    sm = cls(short_message=bytes(255), sequence_number=1)
    assert decode(encode(sm, Version.V5_0)) == sm
    with pytest.raises(Unencodable):
        encode(sm, Version.V3_4)


@pytest.mark.parametrize("response", [p.SubmitSmResp(), p.BindTransceiverResp()])
def test_refusals_of_5_0_may_say_why(response: p.Pdu) -> None:
    """With an error 3.4 sends no body (4.1.2, 4.4.2); 5.0 sends the TLVs there are."""
    response.command_status = CommandStatus.ESME_RTHROTTLED
    assert len(encode(response, Version.V5_0)) == 16
    response.tlvs = ((Tlv.CONGESTION_STATE, b"\x63"),)
    assert len(encode(response, Version.V3_4)) == 16
    assert decode(encode(response, Version.V5_0)) == response


@pytest.mark.parametrize(
    "pdu",
    [
        p.SubmitSm(tlvs=((Tlv.SAR_MSG_REF_NUM, b"\0\1"),)),
        p.EnquireLink(tlvs=((0x1401, b""),)),
        p.SubmitSmResp(message_id="123456789"),
    ],
)
def test_what_3_3_does_not_know(pdu: p.Pdu) -> None:
    """To a peer of 3.3 neither TLVs nor a message_id of more than 8 digits are sent."""
    encode(pdu)
    with pytest.raises(Unencodable):
        encode(pdu, Version.V3_3)
    assert len(encode(p.SubmitSmResp(message_id="12345678"), Version.V3_3)) == 25


@pytest.mark.parametrize("pdu", [p.EnquireLink(sequence_number=-1), p.UnbindResp(command_status=1 << 32)])
def test_headers_that_cannot_be(pdu: p.Pdu) -> None:
    """A number that the header cannot hold is Unencodable too."""
    with pytest.raises(Unencodable):
        encode(pdu)


@pytest.mark.parametrize(
    ("interface_version", "version"),
    [(0x00, 0x33), (0x33, 0x33), (0x34, 0x34), (0x40, 0x34), (0x50, 0x50), (0xFF, 0x50)],
)
def test_versions(interface_version: int, version: int) -> None:
    """A peer's interface_version is taken for the newest version that it includes."""
    assert Version.of(interface_version) == version
