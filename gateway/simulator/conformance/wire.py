"""SMPP octets put together by hand, right or wrong, and the PDUs that come read by their headers.

Called by `peer` and the scenarios. Nothing here refuses what is wrong: a header may lie about its length, a
string may lack its NUL. What comes is decoded by `gateway.simulator.pdus` (smpplib with a strict check).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.simulator import pdus

HEADER_OCTETS = 16
RESPONSE_BIT = 0x8000_0000
MAX_SEQUENCE = 0x7FFF_FFFF

#: SMPP 3.4 table 5-1, and the additions of 5.0 table 4-9.
COMMANDS: dict[str, int] = {
    "generic_nack": 0x8000_0000,
    "bind_receiver": 0x01,
    "bind_transmitter": 0x02,
    "query_sm": 0x03,
    "submit_sm": 0x04,
    "deliver_sm": 0x05,
    "unbind": 0x06,
    "replace_sm": 0x07,
    "cancel_sm": 0x08,
    "bind_transceiver": 0x09,
    "outbind": 0x0B,
    "enquire_link": 0x15,
    "submit_multi": 0x21,
    "alert_notification": 0x102,
    "data_sm": 0x103,
    "broadcast_sm": 0x111,
    "query_broadcast_sm": 0x112,
    "cancel_broadcast_sm": 0x113,
}
COMMANDS |= {
    f"{name}_resp": RESPONSE_BIT | command_id
    for name, command_id in COMMANDS.items()
    if name not in ("generic_nack", "outbind", "alert_notification")
}
_NAMES = {command_id: name for name, command_id in COMMANDS.items()}

#: The command_status values that scenarios speak of (3.4 table 5-2).
ROK = 0x00
RINVMSGLEN = 0x01
RINVCMDLEN = 0x02
RINVCMDID = 0x03
RINVBNDSTS = 0x04
RALYBND = 0x05
RSYSERR = 0x08
RBINDFAIL = 0x0D
RINVPASWD = 0x0E
RINVSYSID = 0x0F
RMSGQFUL = 0x14
RTHROTTLED = 0x58
RX_T_APPN = 0x64
RX_P_APPN = 0x65
#: "Not now": the SMSC keeps the message and delivers it again.
TEMPORARY = (RSYSERR, RMSGQFUL, RTHROTTLED, RX_T_APPN)

# Tags of optional parameters (3.4 table 5-7).
SAR_MSG_REF_NUM = 0x020C
SAR_TOTAL_SEGMENTS = 0x020E
SAR_SEGMENT_SEQNUM = 0x020F
SC_INTERFACE_VERSION = 0x0210
USER_MESSAGE_REFERENCE = 0x0204
RECEIPTED_MESSAGE_ID = 0x001E
MESSAGE_STATE = 0x0427
MESSAGE_PAYLOAD = 0x0424
CONGESTION_STATE = 0x0428  # 5.0

BIND_TYPES = {
    "bind_receiver": "receiver",
    "bind_transmitter": "transmitter",
    "bind_transceiver": "transceiver",
}


def pdu(
    command: str | int, sequence: int, body: bytes = b"", *, status: int = 0, length: int | None = None
) -> bytes:
    """One PDU; `length` is what the header says, when it shall not be the truth."""
    command_id = COMMANDS[command] if isinstance(command, str) else command
    said = HEADER_OCTETS + len(body) if length is None else length
    return struct.pack(">LLLL", said, command_id, status, sequence) + body


def cstring(text: str) -> bytes:
    """A C-octet string."""
    return text.encode("latin-1") + b"\0"


def tlv(tag: int, value: bytes, *, length: int | None = None) -> bytes:
    """One optional parameter; `length` as in `pdu`."""
    return struct.pack(">HH", tag, len(value) if length is None else length) + value


def message_body(
    source_addr: str,
    destination_addr: str,
    short_message: bytes = b"",
    *,
    service_type: str = "",
    source_ton: int = 1,
    source_npi: int = 1,
    dest_ton: int = 0,
    dest_npi: int = 1,
    esm_class: int = 0,
    protocol_id: int = 0,
    priority_flag: int = 0,
    schedule_delivery_time: str = "",
    validity_period: str = "",
    registered_delivery: int = 0,
    replace_if_present_flag: int = 0,
    data_coding: int = 0,
    sm_default_msg_id: int = 0,
    sm_length: int | None = None,
    tlvs: bytes = b"",
) -> bytes:
    """The body of a deliver_sm or submit_sm (3.4, 4.4.1 and 4.6.1); `sm_length` may lie."""
    said = len(short_message) if sm_length is None else sm_length
    return b"".join(
        (
            cstring(service_type),
            bytes((source_ton, source_npi)),
            cstring(source_addr),
            bytes((dest_ton, dest_npi)),
            cstring(destination_addr),
            bytes((esm_class, protocol_id, priority_flag)),
            cstring(schedule_delivery_time),
            cstring(validity_period),
            bytes((registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id, said)),
            short_message,
            tlvs,
        )
    )


def data_body(
    source_addr: str,
    destination_addr: str,
    *,
    esm_class: int = 0,
    data_coding: int = 0,
    tlvs: bytes = b"",
) -> bytes:
    """The body of a data_sm (3.4, 4.7.1)."""
    return b"".join(
        (
            cstring(""),
            b"\1\1",
            cstring(source_addr),
            b"\0\1",
            cstring(destination_addr),
            bytes((esm_class, 0, data_coding)),
            tlvs,
        )
    )


@dataclass(eq=False)
class Received:
    """One PDU of the ESME. `claimed`: a scenario or the autopilot has dealt with it."""

    frame: bytes
    at_s: float
    claimed: bool = False

    @property
    def command_id(self) -> int:
        return int.from_bytes(self.frame[4:8], "big")

    @property
    def status(self) -> int:
        return int.from_bytes(self.frame[8:12], "big")

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.frame[12:16], "big")

    @property
    def name(self) -> str:
        return command_name(self.command_id)

    @property
    def is_response(self) -> bool:
        return bool(self.command_id & RESPONSE_BIT)

    def decoded(self) -> Any:
        """The PDU as an object of smpplib's, strictly checked. Raises pdus.PduError."""
        return pdus.decode(self.frame)

    def __str__(self) -> str:
        status = f" {pdus.status_name(self.status)}" if self.is_response else ""
        return f"{self.name}{status} #{self.sequence}"


def command_name(command_id: int) -> str:
    """The specification's name, or the number in hex."""
    return _NAMES.get(command_id, f"command 0x{command_id:08X}")


def statuses(*values: int) -> str:
    """Names of statuses for a sentence."""
    return " or ".join(pdus.status_name(value) for value in values)


def frames(octets: bytearray) -> Iterator[bytes]:
    """Take the whole PDUs from the front of what has come; stops at an impossible length."""
    while len(octets) >= 4 and not is_broken(octets):
        length = int.from_bytes(octets[:4], "big")
        if len(octets) < length:
            return
        frame = bytes(octets[:length])
        del octets[:length]
        yield frame


def is_broken(octets: bytearray) -> bool:
    """Whether a command_length stands there that no PDU can have."""
    length = int.from_bytes(octets[:4], "big")
    return len(octets) >= 4 and not HEADER_OCTETS <= length <= pdus.MAX_COMMAND_LENGTH
