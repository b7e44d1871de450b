"""Octets and ids as they should not be: what a fault makes of a right PDU. Pure; the tables name each form.

Called by `session` and `smsc` where `faults` has an order.
"""

import struct
from collections.abc import Callable

from smpplib import consts

from gateway.simulator import pdus

_UNKNOWN_COMMAND = 0x0000_00FF  # no command of SMPP 3.3, 3.4 or 5.0
_UNKNOWN_TLV = struct.pack(">HH4s", 0x3FFF, 4, b"what")
_AWAY = 1_000_000
_SM_LENGTH_LIE = 17
_PADDING = bytes(7)
_NO_SMPP = b"GET / HTTP/1.1\r\n"


def _length_corrected(frame: bytes) -> bytes:
    return struct.pack(">L", len(frame)) + frame[4:]


def renumbered(frame: bytes) -> bytes:
    """With a sequence_number far from any in use."""
    sequence = int.from_bytes(frame[12:16], "big")
    return frame[:12] + struct.pack(">L", (sequence + _AWAY) & 0x7FFF_FFFF) + frame[16:]


# What becomes of the frames of a response.
RESPONSES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "wrong_sequence": lambda frames: [renumbered(frames[0])],
    "repeat_response": lambda frames: frames * 2,
    "stray_response": lambda frames: [renumbered(frames[0]), *frames],
}

MESSAGE_IDS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "decimal": lambda message_id: str(int(message_id, 16)),
    "long": lambda message_id: message_id.rjust(64, "0"),  # 64 is the longest, SMPP 3.4 section 5.2.23
    "empty": lambda message_id: "",
}


def _sm_length_at(frame: bytes) -> int:
    """Where sm_length stands in a deliver_sm (SMPP 3.4 section 4.6.1)."""
    at = frame.index(b"\0", pdus.HEADER_LENGTH) + 1  # service_type
    for _ in ("source", "destination"):
        at = frame.index(b"\0", at + 2) + 1
    at += 3  # esm_class, protocol_id, priority_flag
    for _ in ("schedule_delivery_time", "validity_period"):
        at = frame.index(b"\0", at) + 1
    return at + 4  # registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id


def _missing_nul(frame: bytes) -> bytes:
    """destination_addr runs into what follows."""
    at = frame.index(b"\0", pdus.HEADER_LENGTH) + 1
    for _ in ("source", "destination"):
        at = frame.index(b"\0", at + 2) + 1
    return _length_corrected(frame[: at - 1] + frame[at:])


def _lying_sm_length(frame: bytes) -> bytes:
    """sm_length tells of octets that are not there."""
    at = _sm_length_at(frame)
    behind = len(frame) - at - 1  # short_message and TLVs
    return frame[:at] + bytes([min(behind + _SM_LENGTH_LIE, 255)]) + frame[at + 1 :]


def _padded(frame: bytes) -> bytes:
    """NULs behind short_message, as some SMSCs leave them; nothing else follows."""
    at = _sm_length_at(frame)
    return _length_corrected(frame[: at + 1 + frame[at]] + _PADDING)


DELIVERIES: dict[str, Callable[[bytes], bytes]] = {
    "missing_nul": _missing_nul,
    "lying_sm_length": _lying_sm_length,
    "unknown_tlv": lambda frame: _length_corrected(frame + _UNKNOWN_TLV),
    "padding": _padded,
}

LENGTHS: dict[str, int] = {"huge": 0x7FFF_FFFF, "short": 15, "zero": 0, "one_more": 17}
"""command_length of a PDU of 16 octets; `one_more` takes the first octet of the next PDU."""


def lying_length(form: str, sequence: int) -> bytes:
    """An enquire_link that says it is longer or shorter than it is."""
    return struct.pack(">L", LENGTHS[form]) + pdus.encode("enquire_link", sequence)[4:]


def unknown_command(sequence: int) -> bytes:
    """A request that no version of SMPP has."""
    return struct.pack(">LLLL", pdus.HEADER_LENGTH, _UNKNOWN_COMMAND, consts.SMPP_ESME_ROK, sequence)


def garbage(length: int) -> bytes:
    """As of a browser that came to the wrong port."""
    return (_NO_SMPP * (length // len(_NO_SMPP) + 1))[:length]
