"""PDUs by smpplib: bytes to `smpplib.command` objects and back, and the fields as an engineer reads them.

smpplib as a decoder accepts a missing NUL and a lying sm_length and makes the fields up; an SMSC does not.
`decode` therefore encodes the mandatory fields again and demands that they are what came. Called by
`session` and `trace`.
"""

import struct
from typing import Any

from smpplib import command, command_codes, consts, exceptions, ptypes, smpp

from gateway.simulator import alphabets

HEADER_LENGTH = 16
MAX_COMMAND_LENGTH = 65_536

Pdu = Any  # smpplib is not typed: an instance of smpplib.command.Command

_STATUS_NAMES: dict[int, str] = {
    int(value): name.removeprefix("SMPP_")
    for name, value in vars(consts).items()
    if name.startswith("SMPP_ESME_")
}
_STATUS_VALUES = {name: value for value, name in _STATUS_NAMES.items()}


class PduError(Exception):
    """A PDU that is framed but cannot be accepted; `status` is the command_status to answer with."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Outbind(command.Command):  # type: ignore[misc]  # smpplib is not typed
    """outbind (SMPP 3.4 section 4.1.7), which smpplib lacks."""

    params = {"system_id": command.Param(type=str, max=16), "password": command.Param(type=str, max=9)}  # noqa: RUF012  # smpplib's own form
    params_order = ("system_id", "password")


class _Unnumbered:
    """What smpplib asks for sequence numbers; the session numbers its PDUs itself."""

    sequence = 0

    def next_sequence(self) -> int:
        return 0


_UNNUMBERED = _Unnumbered()
_CONGESTION_STATE = 0x0428
_TLV_NAMES: dict[int, str] = {tag: name for name, tag in consts.OPTIONAL_PARAMS.items()}


def encode(name: str, sequence: int, status: int = 0, **fields: Any) -> bytes:
    """One PDU as bytes. A response with an error has no body (SMPP 3.4 sections 4.1.2, 4.4.2, 4.6.2)."""
    if status and name.endswith("_resp"):
        return struct.pack(">LLLL", HEADER_LENGTH, command_codes.get_command_code(name), status, sequence)
    if name == "outbind":
        pdu = Outbind(name, client=_UNNUMBERED, **fields)
    else:
        pdu = smpp.make_pdu(name, client=_UNNUMBERED, status=status, **fields)
    pdu.sequence = sequence
    encoded: bytes = pdu.generate()
    return encoded


def with_congestion(frame: bytes, percent: int) -> bytes:
    """The frame with congestion_state (SMPP 5.0 section 4.8.4.18), which smpplib lacks."""
    return struct.pack(">L", len(frame) + 5) + frame[4:] + struct.pack(">HHB", _CONGESTION_STATE, 1, percent)


def decode(frame: bytes) -> Pdu:
    """The PDU of one whole frame, its C-octet strings as str (latin-1). Raises PduError."""
    try:
        if command_name(frame) == "outbind":
            pdu = Outbind("outbind", client=_UNNUMBERED)
            pdu.parse(frame)
        else:
            pdu = smpp.parse_pdu(frame, client=_UNNUMBERED, allow_unknown_opt_params=True)
    except exceptions.UnknownCommandError:
        raise PduError(consts.SMPP_ESME_RINVCMDID, "unknown command_id") from None
    except KeyError as error:
        raise PduError(consts.SMPP_ESME_ROPTPARNOTALLWD, f"TLV {error} is not allowed here") from None
    except struct.error:
        raise PduError(consts.SMPP_ESME_RINVCMDLEN, "the body is too short") from None
    for field, param in pdu.params.items():
        value = getattr(pdu, field, None)
        if param.type is str and isinstance(value, bytes):
            setattr(pdu, field, value.decode("latin-1"))
    if not (pdu.is_response() and len(frame) == HEADER_LENGTH):
        body = frame[HEADER_LENGTH:]
        _check_tlvs(pdu, body[_check_mandatory(pdu, body) :])
    return pdu


def _check_tlvs(pdu: Pdu, tlvs: bytes) -> None:
    """Raise PduError unless every TLV fits and has the length of its kind: smpplib trusts both."""
    at = 0
    while at < len(tlvs):
        tag, length = (int.from_bytes(tlvs[start : start + 2], "big") for start in (at, at + 2))
        at += 4 + length
        size = getattr(pdu.params.get(_TLV_NAMES.get(tag)), "size", length)
        if at > len(tlvs) or size != length:
            raise PduError(consts.SMPP_ESME_RINVPARLEN, f"TLV 0x{tag:04X} has an impossible length")


def _check_mandatory(pdu: Pdu, body: bytes) -> int:
    """How long the mandatory fields are; PduError unless encoded again they are the beginning of the body."""
    again = bytearray()
    for field in pdu.params_order:
        if pdu.field_is_optional(field):
            break
        param, value = pdu.params[field], getattr(pdu, field)
        if value is None:
            raise PduError(consts.SMPP_ESME_RINVCMDLEN, f"{field} is missing")
        if param.type is int:
            again += value.to_bytes(param.size, "big")
        elif param.type is ptypes.ostr:
            again += value
        elif len(value) >= param.max:
            raise PduError(consts.SMPP_ESME_RINVPARLEN, f"{field} is longer than {param.max - 1}")
        else:
            again += value.encode("latin-1") + b"\0"
    if not body.startswith(again):
        raise PduError(consts.SMPP_ESME_RINVCMDLEN, "a field without its NUL, or a lying length")
    if "sm_length" in pdu.params and len(pdu.short_message) != pdu.sm_length:
        raise PduError(consts.SMPP_ESME_RINVMSGLEN, "short_message is shorter than sm_length")
    return len(again)


def command_name(frame: bytes) -> str | None:
    """The name of the PDU's command as the specification writes it; None for an unknown command_id."""
    code = int.from_bytes(frame[4:8], "big")
    return _COMMAND_NAMES.get(code)


_COMMAND_NAMES: dict[int, str] = {code: name for name, code in command_codes.commands.items()}


def status_name(status: int) -> str:
    """`ESME_RTHROTTLED` of 0x58; an unknown status in hex."""
    return _STATUS_NAMES.get(status, f"0x{status:08X}")


def status_value(status: str | int) -> int:
    """The command_status of its number or its name (`ESME_RTHROTTLED`). Raises ValueError."""
    if isinstance(status, int) and not isinstance(status, bool):
        if 0 <= status <= 0xFFFF_FFFF:
            return status
    elif isinstance(status, str) and status.upper() in _STATUS_VALUES:
        return _STATUS_VALUES[status.upper()]
    raise ValueError(f"unknown command_status {status!r}: give a number or a name such as ESME_RTHROTTLED")


def redact(frame: bytes) -> bytes:
    """The frame with the password of a bind or outbind replaced by asterisks: traces are shown and kept."""
    name = command_name(frame) or ""
    if not (name.startswith(("bind_", "outbind")) and not name.endswith("_resp")):
        return frame
    start = frame.find(b"\0", HEADER_LENGTH) + 1
    end = frame.find(b"\0", start)
    if start == 0 or end < 0:
        return frame[:HEADER_LENGTH] + b"*" * (len(frame) - HEADER_LENGTH)
    return frame[:start] + b"*" * (end - start) + frame[end:]


def fields(frame: bytes) -> list[tuple[str, str]]:
    """Header and body of a frame as (name, value) for reading; never raises, a damaged body gives its
    reason.
    """
    length, code, status, sequence = struct.unpack(">LLLL", frame[:HEADER_LENGTH])
    rows = [
        ("command_length", str(length)),
        ("command_id", f"0x{code:08X} {command_name(frame) or 'unknown'}"),
        ("command_status", f"0x{status:08X} {status_name(status)}"),
        ("sequence_number", str(sequence)),
    ]
    try:
        pdu = decode(frame)
    except PduError as error:
        return [*rows, ("damaged", error.why)]
    for field in pdu.params_order:
        value = getattr(pdu, field, None)
        if value is not None:
            rows.append((field, _readable(field, value, pdu)))
    return rows


_ALPHABETS = {0: "SMSC default", 1: "ASCII", 3: "Latin-1", 4: "8-bit binary", 8: "UCS2"}
_TONS = {0: "unknown", 1: "international", 2: "national", 3: "network specific", 5: "alphanumeric"}
_ESM_CLASSES = {0x40: "UDHI", 0x80: "reply path", 0x04: "delivery receipt"}


def _readable(field: str, value: Any, pdu: Pdu) -> str:
    """A field's value in words, the number beside them."""
    if field in ("short_message", "message_payload"):
        text_at = value[0] + 1 if value and (pdu.esm_class or 0) & consts.SMPP_GSMFEAT_UDHI else 0
        text = alphabets.decode(value[text_at:], pdu.data_coding or 0)
        return f"UDH {value[:text_at].hex(' ')} | {text}" if text_at else text
    words = ""
    if field == "data_coding":
        words = _ALPHABETS.get(value, "")
    elif field == "esm_class":
        words = ", ".join(name for bit, name in _ESM_CLASSES.items() if value & bit)
    elif field.endswith("_ton"):
        return f"{value} {_TONS.get(value, '')}".rstrip()
    elif not field.endswith("interface_version"):
        return value.hex(" ") if isinstance(value, bytes) else str(value)
    return f"0x{value:02X} {words}".rstrip()
