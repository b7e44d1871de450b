"""Readers and writers of single fields, and from them the layouts of the PDUs that are rare.

A reader takes (frame, offset) and returns (value, next offset) without ever reading past the frame; what it
refuses is a `Defect`, which `codec` completes with the header. A writer takes a value and returns its
octets, or raises `Unencodable`. Used by `codec` alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.smpp import pdu as p
from gateway.smpp.constants import CommandStatus
from gateway.smpp.errors import Unencodable
from gateway.smpp.octets import write_c_octets

CUT_OFF = "the PDU ends before its mandatory fields do"


class Defect(Exception):  # noqa: N818 - a value on its way to PduError, never seen outside codec
    """What is wrong with a field: (command_status, why)."""


class Field(NamedTuple):
    """One or several neighbouring octets of a body, kept in attribute `name`."""

    name: str
    read: Callable[[bytes, int], tuple[Any, int]]
    write: Callable[[Any], bytes]


def read_c_octets(frame: bytes, offset: int, size: int, status: int) -> tuple[str, int]:
    """A C-octet string of at most `size` octets, its NUL included (3.4, 3.1)."""
    end = frame.find(0, offset, offset + size)
    if end < 0:
        raise Defect(status, f"no NUL within {size} octets from {offset}")
    return frame[offset:end].decode("latin-1"), end + 1


def read_tlvs(frame: bytes, offset: int) -> tuple[p.Tlvs, int]:
    """All optional parameters up to the end; fewer than 4 octets behind the last are left unread."""
    end = len(frame)
    tlvs = []
    while end - offset >= 4:
        value_at = offset + 4
        offset = value_at + (frame[offset + 2] << 8 | frame[offset + 3])
        if offset > end:
            raise Defect(CommandStatus.ESME_RINVPARLEN, "a TLV runs past the end of the PDU")
        tlvs.append((frame[value_at - 4] << 8 | frame[value_at - 3], frame[value_at:offset]))
    return tuple(tlvs), offset


def write_tlvs(tlvs: p.Tlvs) -> bytes:
    parts = []
    for tag, value in tlvs:
        if not (0 <= tag <= 0xFFFF and len(value) <= 0xFFFF):
            raise Unencodable(f"TLV 0x{tag:X} of {len(value)} octets")
        parts.append(tag.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value)
    return b"".join(parts)


def _c_octets(name: str, size: int, status: int) -> Field:
    return Field(
        name, lambda frame, at: read_c_octets(frame, at, size, status), lambda t: write_c_octets(t, size)
    )


def _read_octet(frame: bytes, offset: int) -> tuple[int, int]:
    if offset >= len(frame):
        raise Defect(CommandStatus.ESME_RINVCMDLEN, CUT_OFF)
    return frame[offset], offset + 1


def _write_octet(number: int) -> bytes:
    if not 0 <= number <= 0xFF:
        raise Unencodable(f"{number} is not an octet")
    return bytes((number,))


def _octet(name: str) -> Field:
    return Field(name, _read_octet, _write_octet)


def _address(name: str, size: int, status: int) -> Field:
    def read(frame: bytes, offset: int) -> tuple[p.Address, int]:
        ton, offset = _read_octet(frame, offset)
        npi, offset = _read_octet(frame, offset)
        digits, offset = read_c_octets(frame, offset, size, status)
        return p.Address(ton, npi, digits), offset

    def write(address: p.Address) -> bytes:
        ton, npi, digits = address
        return _write_octet(ton) + _write_octet(npi) + write_c_octets(digits, size)

    return Field(name, read, write)


def _read_short_message(frame: bytes, offset: int) -> tuple[bytes, int]:
    sm_length, offset = _read_octet(frame, offset)
    if offset + sm_length > len(frame):
        raise Defect(CommandStatus.ESME_RINVMSGLEN, "sm_length runs past the end of the PDU")
    return frame[offset : offset + sm_length], offset + sm_length


def _write_short_message(octets: bytes) -> bytes:
    return _write_octet(len(octets)) + octets  # `codec` has seen to its length


def _read_destination(frame: bytes, offset: int) -> tuple[p.Address | str, int]:
    """dest_flag, then an address or the name of a distribution list (3.4, 4.5.1.1)."""
    dest_flag, offset = _read_octet(frame, offset)
    if dest_flag == _SME_ADDRESS:
        return _DESTINATION.read(frame, offset)
    if dest_flag == _DISTRIBUTION_LIST:
        return read_c_octets(frame, offset, 21, CommandStatus.ESME_RINVDLNAME)
    raise Defect(CommandStatus.ESME_RINVDESTFLAG, f"dest_flag {dest_flag}")


def _write_destination(destination: p.Address | str) -> bytes:
    if isinstance(destination, str):
        return bytes((_DISTRIBUTION_LIST,)) + write_c_octets(destination, 21)
    return bytes((_SME_ADDRESS,)) + _DESTINATION.write(destination)


def _read_unsuccessful(frame: bytes, offset: int) -> tuple[p.Unsuccessful, int]:
    address, offset = _DESTINATION.read(frame, offset)
    if offset + 4 > len(frame):
        raise Defect(CommandStatus.ESME_RINVCMDLEN, CUT_OFF)
    return p.Unsuccessful(address, int.from_bytes(frame[offset : offset + 4], "big")), offset + 4


def _write_unsuccessful(unsuccessful: p.Unsuccessful) -> bytes:
    address, status = unsuccessful
    if not 0 <= status <= 0xFFFFFFFF:
        raise Unencodable(f"error_status_code {status}")
    return _DESTINATION.write(address) + status.to_bytes(4, "big")


def _counted(
    name: str,
    read_one: Callable[[bytes, int], tuple[Any, int]],
    write_one: Callable[[Any], bytes],
    if_none: CommandStatus,
) -> Field:
    """A count of one octet, which bounds them, and so many values; `if_none` is the defect of having none."""

    def read(frame: bytes, offset: int) -> tuple[tuple[Any, ...], int]:
        count, offset = _read_octet(frame, offset)
        values = []
        for _ in range(count):
            value, offset = read_one(frame, offset)
            values.append(value)
        if not values and if_none:
            raise Defect(if_none, f"no {name}")
        return tuple(values), offset

    def write(values: tuple[Any, ...]) -> bytes:
        if not values and if_none:
            raise Unencodable(f"no {name}")
        return _write_octet(len(values)) + b"".join([write_one(value) for value in values])

    return Field(name, read, write)


_SME_ADDRESS, _DISTRIBUTION_LIST = 1, 2  # dest_flag
_SYSTEM_ID = _c_octets("system_id", 16, CommandStatus.ESME_RINVSYSID)
_PASSWORD = _c_octets("password", 9, CommandStatus.ESME_RINVPASWD)
_SERVICE_TYPE = _c_octets("service_type", 6, CommandStatus.ESME_RINVSERTYP)
_MESSAGE_ID = _c_octets("message_id", 65, CommandStatus.ESME_RINVMSGID)
_SOURCE = _address("source", 21, CommandStatus.ESME_RINVSRCADR)
_DESTINATION = _address("destination", 21, CommandStatus.ESME_RINVDSTADR)
_SCHEDULE = _c_octets("schedule_delivery_time", 17, CommandStatus.ESME_RINVSCHED)
_VALIDITY = _c_octets("validity_period", 17, CommandStatus.ESME_RINVEXPIRY)
_SHORT_MESSAGE = Field("short_message", _read_short_message, _write_short_message)

_BIND = (
    _SYSTEM_ID,
    _PASSWORD,
    _c_octets("system_type", 13, CommandStatus.ESME_RINVSYSTYP),
    _octet("interface_version"),
    _octet("addr_ton"),
    _octet("addr_npi"),
    _c_octets("address_range", 41, CommandStatus.ESME_RBINDFAIL),
)
_BIND_RESP = (_SYSTEM_ID,)

LAYOUTS: dict[type[p.Pdu], tuple[Field, ...]] = {
    p.GenericNack: (),
    p.BindReceiver: _BIND,
    p.BindTransmitter: _BIND,
    p.BindTransceiver: _BIND,
    p.BindReceiverResp: _BIND_RESP,
    p.BindTransmitterResp: _BIND_RESP,
    p.BindTransceiverResp: _BIND_RESP,
    p.Outbind: (_SYSTEM_ID, _PASSWORD),
    p.Unbind: (),
    p.UnbindResp: (),
    p.EnquireLink: (),
    p.EnquireLinkResp: (),
    p.DataSm: (
        _SERVICE_TYPE,
        _address("source", 65, CommandStatus.ESME_RINVSRCADR),
        _address("destination", 65, CommandStatus.ESME_RINVDSTADR),
        _octet("esm_class"),
        _octet("registered_delivery"),
        _octet("data_coding"),
    ),
    p.AlertNotification: (
        _address("source", 65, CommandStatus.ESME_RINVSRCADR),
        _address("esme", 65, CommandStatus.ESME_RINVDSTADR),
    ),
    p.QuerySm: (_MESSAGE_ID, _SOURCE),
    p.QuerySmResp: (
        _MESSAGE_ID,
        _c_octets("final_date", 17, CommandStatus.ESME_RINVEXPIRY),
        _octet("message_state"),
        _octet("error_code"),
    ),
    p.CancelSm: (
        _SERVICE_TYPE,
        _MESSAGE_ID,
        _SOURCE,
        _DESTINATION,
    ),
    p.CancelSmResp: (),
    p.ReplaceSm: (
        _MESSAGE_ID,
        _SOURCE,
        _SCHEDULE,
        _VALIDITY,
        _octet("registered_delivery"),
        _octet("sm_default_msg_id"),
        _SHORT_MESSAGE,
    ),
    p.ReplaceSmResp: (),
    p.SubmitMulti: (
        _SERVICE_TYPE,
        _SOURCE,
        _counted("destinations", _read_destination, _write_destination, CommandStatus.ESME_RINVNUMDESTS),
        _octet("esm_class"),
        _octet("protocol_id"),
        _octet("priority_flag"),
        _SCHEDULE,
        _VALIDITY,
        _octet("registered_delivery"),
        _octet("replace_if_present_flag"),
        _octet("data_coding"),
        _octet("sm_default_msg_id"),
        _SHORT_MESSAGE,
    ),
    p.SubmitMultiResp: (
        _MESSAGE_ID,
        _counted("unsuccess", _read_unsuccessful, _write_unsuccessful, CommandStatus.ESME_ROK),
    ),
    p.BroadcastSm: (
        _SERVICE_TYPE,
        _SOURCE,
        _MESSAGE_ID,
        _octet("priority_flag"),
        _SCHEDULE,
        _VALIDITY,
        _octet("replace_if_present_flag"),
        _octet("data_coding"),
        _octet("sm_default_msg_id"),
    ),
    p.QueryBroadcastSm: (_MESSAGE_ID, _SOURCE),
    p.CancelBroadcastSm: (_SERVICE_TYPE, _MESSAGE_ID, _SOURCE),
    p.CancelBroadcastSmResp: (),
}
