"""Bytes of one PDU to a `Pdu` and back: strict, bounded, no I/O.

`decode` either returns a PDU whose every octet was accounted for, or raises `PduError` with the status to
answer; nothing else escapes it, whatever the bytes. submit_sm, deliver_sm and their responses are decoded
and encoded by flat functions because they are the traffic; the rest goes through the layouts of `fields`.
Optional parameters are kept as (tag, octets), known or not; `tlvs` knows what they mean. Called by `session`;
`framing` cuts the stream.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - struct names its exception in lower case
from typing import Any, TypeVar

from gateway.smpp import pdu as p
from gateway.smpp.constants import (
    HEADER_LENGTH,
    MAX_MESSAGE_ID_33,
    MAX_SHORT_MESSAGE,
    MAX_SHORT_MESSAGE_50,
    RESPONSE_BIT,
    CommandStatus,
    EsmClass,
    Tlv,
    Version,
)
from gateway.smpp.errors import PduError, Unencodable
from gateway.smpp.fields import CUT_OFF, LAYOUTS, Defect, read_c_octets, read_tlvs, write_tlvs
from gateway.smpp.octets import write_c_octets

HEADER = Struct(">4I")  # command_length, command_id, command_status, sequence_number (3.4, 3.2)
# esm_class, protocol_id, priority_flag, [schedule_delivery_time, validity_period when both are empty],
# registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id, sm_length (4.4.1)
_FIXED = Struct(">10B")
_FIVE = Struct(">5B")  # the last five of them
_AnySm = TypeVar("_AnySm", p.SubmitSm, p.DeliverSm)
_AnyMessageResp = TypeVar("_AnyMessageResp", bound=p.MessageResp)
_MESSAGE_PAYLOAD = int(Tlv.MESSAGE_PAYLOAD)
_MESSAGE_TYPE = int(EsmClass.MESSAGE_TYPE)
_V34, _V50 = int(Version.V3_4), int(Version.V5_0)
_new = object.__new__
_tuple = tuple.__new__  # half the cost of calling a NamedTuple


def decode(frame: bytes | memoryview) -> p.Pdu:
    """The PDU in `frame`, which is exactly one PDU of command_length octets, header included.

    Raises `PduError`: ESME_RINVCMDID for an unknown command, the field's own status for a bad field.
    Tolerated: up to 3 NULs of padding at the end, and a response without its body.
    """
    if type(frame) is not bytes:
        frame = bytes(frame)
    try:
        command_length, command_id, command_status, sequence_number = HEADER.unpack_from(frame)
    except StructError:
        raise PduError(CommandStatus.ESME_RINVCMDLEN, 0, 0, "shorter than a header", fatal=True) from None
    if command_length != len(frame):
        why = "command_length is not the length"
        raise PduError(CommandStatus.ESME_RINVCMDLEN, command_id, sequence_number, why, fatal=True)
    known = _DECODERS.get(command_id)
    if known is None:
        why = f"command 0x{command_id:08X}"
        raise PduError(CommandStatus.ESME_RINVCMDID, command_id, sequence_number, why)
    read, cls = known
    try:
        return read(cls, frame, command_status, sequence_number)
    except Defect as defect:
        status, why = defect.args
        raise PduError(status, command_id, sequence_number, why, received_status=command_status) from None


def is_text(octets: bytes, begin: int, end: int) -> bool:
    """Whether the submit_sm or deliver_sm between `begin` and `end` carries a message and no receipt, as far
    as can be told without decoding it: False too for what is malformed.
    """
    find = octets.find
    at = find(0, begin + 16, begin + 22)
    if at < 0:
        return False
    at = find(0, at + 3, at + 24)  # behind ton and npi: source_addr
    if at < 0:
        return False
    at = find(0, at + 3, at + 24)  # and destination_addr
    return 0 < at < end - 1 and not octets[at + 1] & _MESSAGE_TYPE


def encode(pdu: p.Pdu, version: int = Version.V3_4) -> bytes:
    """The octets of `pdu` as it stands, `sequence_number` included; `Unencodable` for what does not fit, and
    for what a peer of this version does not know: nothing is cut or left out in silence.
    """
    if version != _V34:
        _check(pdu, version)
    body = _WRITERS[type(pdu)](pdu, version)
    try:
        return (
            HEADER.pack(HEADER_LENGTH + len(body), pdu.command_id, pdu.command_status, pdu.sequence_number)
            + body
        )
    except StructError:
        raise Unencodable("a command_status or sequence_number that has not 4 octets") from None


def _check(pdu: p.Pdu, version: int) -> None:
    """What SMPP 3.3 does not know."""
    if version >= _V34:
        return
    if pdu.tlvs:
        raise Unencodable("SMPP 3.3 has no TLVs")
    if isinstance(pdu, p.MessageResp) and len(pdu.message_id) > MAX_MESSAGE_ID_33:
        raise Unencodable(f"a message_id of SMPP 3.3 has at most {MAX_MESSAGE_ID_33} digits")


def _check_length(short_message: bytes, version: int) -> None:
    longest = MAX_SHORT_MESSAGE if version < _V50 else MAX_SHORT_MESSAGE_50
    if len(short_message) > longest:
        raise Unencodable(f"a short_message of {len(short_message)} octets; at most {longest}")


# -- the traffic: submit_sm and deliver_sm, field by field in one function each


def _decode_sm(cls: type[_AnySm], frame: bytes, command_status: int, sequence_number: int) -> _AnySm:
    # Filled slot by slot: calling the class with its 17 values would cost a third of this function.
    sm = _new(cls)
    sm.command_status = command_status
    sm.sequence_number = sequence_number
    # The NUL that ends a string gives the place of the next field. ton and npi are never read past the end,
    # because the NUL behind them has been found; find() is bounded by the field's size.
    find = frame.find
    service_end = find(0, 16, 22)
    if service_end < 0:
        raise Defect(CommandStatus.ESME_RINVSERTYP, "service_type without NUL")
    source_at = service_end + 3
    source_end = find(0, source_at, source_at + 21)
    if source_end < 0:
        raise Defect(CommandStatus.ESME_RINVSRCADR, "source_addr without NUL")
    destination_at = source_end + 3
    destination_end = find(0, destination_at, destination_at + 21)
    if destination_end < 0:
        raise Defect(CommandStatus.ESME_RINVDSTADR, "destination_addr without NUL")
    sm.service_type = frame[16:service_end].decode("latin-1") if service_end > 16 else ""
    digits = frame[source_at:source_end].decode("latin-1")
    sm.source = _tuple(p.Address, (frame[service_end + 1], frame[service_end + 2], digits))
    digits = frame[destination_at:destination_end].decode("latin-1")
    sm.destination = _tuple(p.Address, (frame[source_end + 1], frame[source_end + 2], digits))
    at = destination_end + 1
    try:
        octets = _FIXED.unpack_from(frame, at)
        sm.esm_class, sm.protocol_id, sm.priority_flag, schedule, validity = octets[:5]
        if schedule or validity:  # rare: then the other five stand behind the two strings
            at += 3
            sm.schedule_delivery_time, at = read_c_octets(frame, at, 17, CommandStatus.ESME_RINVSCHED)
            sm.validity_period, at = read_c_octets(frame, at, 17, CommandStatus.ESME_RINVEXPIRY)
            rest = _FIVE.unpack_from(frame, at)
            at += 5
        else:
            sm.schedule_delivery_time = sm.validity_period = ""
            rest = octets[5:]
            at += 10
    except StructError:
        raise Defect(CommandStatus.ESME_RINVCMDLEN, CUT_OFF) from None
    sm.registered_delivery, sm.replace_if_present_flag, sm.data_coding, sm.sm_default_msg_id, sm_length = rest
    end = at + sm_length
    sm.short_message = frame[at:end]
    if end == len(frame):
        sm.tlvs = ()
        sm.padding = 0
        return sm
    if end > len(frame):
        raise Defect(CommandStatus.ESME_RINVMSGLEN, "sm_length runs past the end of the PDU")
    sm.tlvs, end = read_tlvs(frame, end)
    sm.padding = _padding(frame, end)
    if sm_length and sm.tlv(_MESSAGE_PAYLOAD) is not None:
        raise Defect(CommandStatus.ESME_ROPTPARNOTALLWD, "short_message and message_payload")
    return sm


def _sm_body(sm: p.Sm, version: int) -> bytes:
    source_ton, source_npi, source_digits = sm.source
    destination_ton, destination_npi, destination_digits = sm.destination
    text = sm.short_message
    if len(text) > MAX_SHORT_MESSAGE:
        _check_length(text, version)
    try:
        body = b"%b%c%c%b%c%c%b%c%c%c%b%b%c%c%c%c%c%b" % (
            write_c_octets(sm.service_type, 6),
            source_ton,
            source_npi,
            write_c_octets(source_digits, 21),
            destination_ton,
            destination_npi,
            write_c_octets(destination_digits, 21),
            sm.esm_class,
            sm.protocol_id,
            sm.priority_flag,
            write_c_octets(sm.schedule_delivery_time, 17),
            write_c_octets(sm.validity_period, 17),
            sm.registered_delivery,
            sm.replace_if_present_flag,
            sm.data_coding,
            sm.sm_default_msg_id,
            len(text),
            text,
        )
    except OverflowError:
        raise Unencodable("a number that is not an octet") from None
    if not sm.tlvs:
        return body
    if text and sm.tlv(_MESSAGE_PAYLOAD) is not None:
        raise Unencodable("short_message and message_payload")
    return body + write_tlvs(sm.tlvs)


def sm_template(sm: p.Sm, version: int = Version.V3_4) -> tuple[bytes, bytes]:
    """The body of `sm` before and behind its destination, whatever that is: texts that go to many are
    encoded once. Raises as `encode`.
    """
    _check(sm, version)
    destination, sm.destination = sm.destination, p.NO_ADDRESS
    try:
        body = _sm_body(sm, version)
    finally:
        sm.destination = destination
    at = len(sm.service_type) + 1 + 2 + len(sm.source.digits) + 1
    return body[:at], body[at + 3 :]


def destined(template: tuple[bytes, bytes], destination: p.Address) -> bytes:
    """The body to this destination; equal to that of `encode`."""
    ton, npi, digits = destination
    try:
        return b"%b%c%c%b%b" % (template[0], ton, npi, write_c_octets(digits, 21), template[1])
    except OverflowError:
        raise Unencodable("a number that is not an octet") from None


def _decode_message_resp(
    cls: type[_AnyMessageResp], frame: bytes, command_status: int, sequence_number: int
) -> _AnyMessageResp:
    response = _new(cls)
    response.command_status = command_status
    response.sequence_number = sequence_number
    response.tlvs = ()
    response.padding = 0
    end = frame.find(0, 16, 81)
    if end < 0:
        if len(frame) > HEADER_LENGTH:
            raise Defect(CommandStatus.ESME_RINVMSGID, "message_id without NUL")
        response.message_id = ""  # 4.4.2: no body when the status is not zero; some peers never send one
        return response
    response.message_id = frame[16:end].decode("latin-1") if end > 16 else ""
    end += 1
    if end != len(frame):
        response.tlvs, end = read_tlvs(frame, end)
        response.padding = _padding(frame, end)
    return response


def _message_resp_body(response: p.MessageResp, version: int) -> bytes:
    if response.command_status and type(response) is p.SubmitSmResp and (version < _V50 or not response.tlvs):
        return b""  # 4.4.2: no body when the message was refused; 5.0 may say in TLVs why
    if not response.message_id and not response.tlvs:  # every deliver_sm_resp
        return b"\0"
    message_id = write_c_octets(response.message_id, 65)
    return message_id + write_tlvs(response.tlvs) if response.tlvs else message_id


# -- everything else, by its layout


def _decode_by_layout(cls: type[p.Pdu], frame: bytes, command_status: int, sequence_number: int) -> p.Pdu:
    pdu = cls(command_status=command_status, sequence_number=sequence_number)
    offset = HEADER_LENGTH
    if offset == len(frame) and cls.command_id & RESPONSE_BIT:
        return pdu  # 4.1.2 and others: no body when the status is not zero; some peers send none at all
    for name, read, _ in LAYOUTS[cls]:
        value, offset = read(frame, offset)
        setattr(pdu, name, value)
    if offset != len(frame):
        pdu.tlvs, offset = read_tlvs(frame, offset)
        pdu.padding = _padding(frame, offset)
    return pdu


def _body(pdu: p.Pdu, version: int) -> bytes:
    if pdu.command_status and isinstance(pdu, p.BindResp) and (version < _V50 or not pdu.tlvs):
        return b""  # 4.1.2: no body when the bind was refused
    if isinstance(pdu, p.SubmitMulti | p.ReplaceSm):
        _check_length(pdu.short_message, version)
    body = b"".join([write(getattr(pdu, name)) for name, _, write in LAYOUTS[type(pdu)]])
    return body + write_tlvs(pdu.tlvs) if pdu.tlvs else body


def _padding(frame: bytes, offset: int) -> int:
    """How many of the at most 3 octets that `read_tlvs` leaves are NULs; anything else is a defect."""
    left = frame[offset:]
    if not left:
        return 0
    if left.strip(b"\0"):
        raise Defect(CommandStatus.ESME_RINVOPTPARSTREAM, "a cut-off TLV at the end of the PDU")
    return len(left)


_MESSAGE_RESPONSES: tuple[type[p.MessageResp], ...] = (
    p.SubmitSmResp,
    p.DeliverSmResp,
    p.DataSmResp,
    p.BroadcastSmResp,
    p.QueryBroadcastSmResp,
)
_Reader = Callable[[Any, bytes, int, int], p.Pdu]
_READERS: dict[type[p.Pdu], _Reader] = {
    **dict.fromkeys(LAYOUTS, _decode_by_layout),
    **dict.fromkeys((p.SubmitSm, p.DeliverSm), _decode_sm),
    **dict.fromkeys(_MESSAGE_RESPONSES, _decode_message_resp),
}
_WRITERS: dict[type[p.Pdu], Callable[[Any, int], bytes]] = {
    **dict.fromkeys(LAYOUTS, _body),
    **dict.fromkeys((p.SubmitSm, p.DeliverSm), _sm_body),
    **dict.fromkeys(_MESSAGE_RESPONSES, _message_resp_body),
}
CLASSES: dict[int, type[p.Pdu]] = {int(cls.command_id): cls for cls in _READERS}
_DECODERS = {int(cls.command_id): (read, cls) for cls, read in _READERS.items()}
