"""What the octets of a standard optional parameter mean: `KINDS`, a reader and a writer for every `Tlv`.

The wire path never comes here: `codec` keeps a TLV as (tag, octets), and who needs a value asks for it with
`Pdu.typed`. Reading is lenient (a number in more or fewer octets, a string without its NUL) and raises
`ValueError` for what has no meaning; writing is strict and raises `Unencodable`. Tags that are not in the
table, vendors' above all, go through as octets. Pure; called by `pdu` and by whoever makes a PDU.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - struct names its exception in lower case
from typing import Any, NamedTuple

from gateway.smpp.constants import Tlv
from gateway.smpp.errors import Unencodable
from gateway.smpp.octets import write_c_octets

_LONGEST_NUMBER = 8  # octets; a sloppy peer pads, but a number of a kilobyte is none


class NetworkError(NamedTuple):
    """network_error_code (3.4, 5.3.2.31): `network_type` 1 ANSI-136, 2 IS-95, 3 GSM, …"""

    network_type: int
    error_code: int


class CallbackNum(NamedTuple):
    """callback_num (3.4, 5.3.2.36): `digit_mode` 0 TBCD, 1 ASCII."""

    digit_mode: int
    ton: int
    npi: int
    digits: bytes


class CallbackNumAtag(NamedTuple):
    """callback_num_atag (3.4, 5.3.2.38): a name to show, in the alphabet of `data_coding`."""

    data_coding: int
    display: bytes


class Subaddress(NamedTuple):
    """source_subaddress and dest_subaddress (3.4, 5.3.2.15): `kind` 0x80 NSAP even, 0x88 odd, 0xA0 user's."""

    kind: int
    octets: bytes


class ItsSession(NamedTuple):
    """its_session_info (3.4, 5.3.2.43): `sequence` has its lowest bit set at the end of the session."""

    session: int
    sequence: int


class MsValidity(NamedTuple):
    """ms_validity (3.4, 5.3.2.27; 5.0 adds a period when `behaviour` is 4): `unit` 0 seconds to 6 years."""

    behaviour: int
    unit: int = 0
    period: int = 0


class BroadcastArea(NamedTuple):
    """broadcast_area_identifier (5.0, 4.8.4.4): `form` 0 a name, 1 an ellipsoid arc, 2 a polygon."""

    form: int
    details: bytes


class BroadcastContentType(NamedTuple):
    """broadcast_content_type (5.0, 4.8.4.8): `network_type` 0 generic, 1 GSM, 2 TDMA, 3 CDMA."""

    network_type: int
    service: int


class BroadcastInterval(NamedTuple):
    """broadcast_frequency_interval (5.0, 4.8.4.11): `unit` 0 as often as possible, 8 seconds, 9 minutes, …"""

    unit: int
    times: int


class Billing(NamedTuple):
    """billing_identification (5.0, 4.8.4.3)."""

    form: int
    octets: bytes


class Kind(NamedTuple):
    """How one kind of value is read (ValueError: it means nothing) and written (Unencodable)."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def decode(tag: int, octets: bytes) -> Any:
    """The value of a TLV; the octets themselves when the tag is not a standard one."""
    kind = KINDS.get(tag)
    return octets if kind is None else kind.decode(octets)


def encode(tag: int, value: Any) -> tuple[int, bytes]:
    """The TLV (tag, octets) for `Pdu.tlvs`; of a tag that is no standard one the value is octets."""
    kind = KINDS.get(tag, _ANYTHING)
    return int(tag), kind.encode(value)


def malformed(tlvs: tuple[tuple[int, bytes], ...]) -> list[int]:
    """The tags of the standard parameters among `tlvs` that mean nothing, to be counted."""
    found = []
    for tag, octets in tlvs:
        try:
            decode(tag, octets)
        except ValueError:
            found.append(tag)
    return found


def _number(size: int, most: int | None = None) -> Kind:
    limit = 256**size - 1 if most is None else most

    def read(octets: bytes) -> int:
        number = int.from_bytes(octets, "big")
        if not 1 <= len(octets) <= _LONGEST_NUMBER or number > limit:
            raise ValueError(f"{len(octets)} octets, or a number above {limit}")
        return number

    def write(number: int) -> bytes:
        if not 0 <= number <= limit:
            raise Unencodable(f"a number outside 0 to {limit}")
        return number.to_bytes(size, "big")

    return Kind(read, write)


def _c_octets(size: int) -> Kind:
    """A C-octet string of at most `size` octets with its NUL."""

    def read(octets: bytes) -> str:
        text = octets.split(b"\0", 1)[0]
        if len(text) >= size:
            raise ValueError(f"a string of {len(text)} octets; at most {size - 1} fit")
        return text.decode("latin-1")

    return Kind(read, lambda text: write_c_octets(text, size))


def _octets(fewest: int, most: int) -> Kind:
    def read(octets: bytes) -> bytes:
        if not fewest <= len(octets) <= most:
            raise ValueError(f"{len(octets)} octets, not {fewest} to {most}")
        return octets

    def write(octets: bytes) -> bytes:
        if not fewest <= len(octets) <= most:
            raise Unencodable(f"{len(octets)} octets, not {fewest} to {most}")
        return bytes(octets)

    return Kind(read, write)


def _struct(cls: type[Any], layout: str, rest: tuple[int, int] | None = None) -> Kind:
    """A NamedTuple of numbers laid out as `layout`, then, if `rest` gives its sizes, octets to the end."""
    head = Struct(f">{layout}")
    tail = _octets(*rest) if rest else _octets(0, 0)

    def read(octets: bytes) -> Any:
        if len(octets) < head.size:
            raise ValueError(f"{len(octets)} octets, fewer than {head.size}")
        behind = tail.decode(octets[head.size :])
        return cls(*head.unpack_from(octets), *((behind,) if rest else ()))

    def write(value: Any) -> bytes:
        numbers, behind = (value[:-1], value[-1]) if rest else (value, b"")
        try:
            return head.pack(*numbers) + tail.encode(behind)
        except StructError as error:
            raise Unencodable(f"{cls.__name__}: {error}") from None

    return Kind(read, write)


def _read_ms_validity(octets: bytes) -> MsValidity:
    if len(octets) == 1:
        return MsValidity(octets[0])
    validity: MsValidity = _MS_VALIDITY.decode(octets)
    return validity


def _write_ms_validity(value: MsValidity) -> bytes:
    octets = _MS_VALIDITY.encode(value)
    return octets if value.behaviour == _RELATIVE else octets[:1]


_MS_VALIDITY = _struct(MsValidity, "BBH")
_RELATIVE = 4  # ms_validity's behaviour with a period (5.0, 4.8.4.42)
_OCTET, _TWO_OCTETS = _number(1), _number(2)
_ANYTHING = _octets(0, 0xFFFF)
# 3.4, 5.3.2.41: without octets, "alert"; 5.0 gives it one, whose 0 is that same default.
_ALERT = Kind(
    lambda octets: _OCTET.decode(octets) if octets else 0,
    lambda number: _OCTET.encode(number) if number else b"",
)
_END_TIME = Kind(  # 5.0, 4.8.4.9: 16 octets without NUL
    lambda octets: _octets(16, 17).decode(octets).rstrip(b"\0").decode("latin-1"),
    lambda text: _octets(16, 16).encode(write_c_octets(text, 17)[:-1]),
)
_SUBADDRESS = _struct(Subaddress, "B", (1, 22))

KINDS: dict[int, Kind] = {
    Tlv.DEST_ADDR_SUBUNIT: _OCTET,
    Tlv.DEST_NETWORK_TYPE: _OCTET,
    Tlv.DEST_BEARER_TYPE: _OCTET,
    Tlv.DEST_TELEMATICS_ID: _TWO_OCTETS,
    Tlv.SOURCE_ADDR_SUBUNIT: _OCTET,
    Tlv.SOURCE_NETWORK_TYPE: _OCTET,
    Tlv.SOURCE_BEARER_TYPE: _OCTET,
    Tlv.SOURCE_TELEMATICS_ID: _OCTET,
    Tlv.QOS_TIME_TO_LIVE: _number(4),
    Tlv.PAYLOAD_TYPE: _OCTET,
    Tlv.ADDITIONAL_STATUS_INFO_TEXT: _c_octets(256),
    Tlv.RECEIPTED_MESSAGE_ID: _c_octets(65),
    Tlv.MS_MSG_WAIT_FACILITIES: _OCTET,
    Tlv.PRIVACY_INDICATOR: _OCTET,
    Tlv.SOURCE_SUBADDRESS: _SUBADDRESS,
    Tlv.DEST_SUBADDRESS: _SUBADDRESS,
    Tlv.USER_MESSAGE_REFERENCE: _TWO_OCTETS,
    Tlv.USER_RESPONSE_CODE: _OCTET,
    Tlv.SOURCE_PORT: _TWO_OCTETS,
    Tlv.DESTINATION_PORT: _TWO_OCTETS,
    Tlv.SAR_MSG_REF_NUM: _TWO_OCTETS,
    Tlv.LANGUAGE_INDICATOR: _OCTET,
    Tlv.SAR_TOTAL_SEGMENTS: _OCTET,
    Tlv.SAR_SEGMENT_SEQNUM: _OCTET,
    Tlv.SC_INTERFACE_VERSION: _OCTET,
    Tlv.CALLBACK_NUM_PRES_IND: _OCTET,
    Tlv.CALLBACK_NUM_ATAG: _struct(CallbackNumAtag, "B", (0, 64)),
    Tlv.NUMBER_OF_MESSAGES: _OCTET,
    Tlv.CALLBACK_NUM: _struct(CallbackNum, "3B", (1, 16)),
    Tlv.DPF_RESULT: _OCTET,
    Tlv.SET_DPF: _OCTET,
    Tlv.MS_AVAILABILITY_STATUS: _OCTET,
    Tlv.NETWORK_ERROR_CODE: _struct(NetworkError, "BH"),
    Tlv.MESSAGE_PAYLOAD: _ANYTHING,
    Tlv.DELIVERY_FAILURE_REASON: _OCTET,
    Tlv.MORE_MESSAGES_TO_SEND: _OCTET,
    Tlv.MESSAGE_STATE: _OCTET,
    Tlv.CONGESTION_STATE: _number(1, 100),
    Tlv.USSD_SERVICE_OP: _OCTET,
    Tlv.BROADCAST_CHANNEL_INDICATOR: _OCTET,
    Tlv.BROADCAST_CONTENT_TYPE: _struct(BroadcastContentType, "BH"),
    Tlv.BROADCAST_CONTENT_TYPE_INFO: _octets(1, 255),
    Tlv.BROADCAST_MESSAGE_CLASS: _OCTET,
    Tlv.BROADCAST_REP_NUM: _TWO_OCTETS,
    Tlv.BROADCAST_FREQUENCY_INTERVAL: _struct(BroadcastInterval, "BH"),
    Tlv.BROADCAST_AREA_IDENTIFIER: _struct(BroadcastArea, "B", (0, 0xFFFE)),
    Tlv.BROADCAST_ERROR_STATUS: _number(4),
    Tlv.BROADCAST_AREA_SUCCESS: _OCTET,  # 0 to 100 %, 255: not known
    Tlv.BROADCAST_END_TIME: _END_TIME,
    Tlv.BROADCAST_SERVICE_GROUP: _octets(1, 255),
    Tlv.BILLING_IDENTIFICATION: _struct(Billing, "B", (0, 1023)),
    Tlv.SOURCE_NETWORK_ID: _c_octets(66),
    Tlv.DEST_NETWORK_ID: _c_octets(66),
    Tlv.SOURCE_NODE_ID: _octets(6, 6),
    Tlv.DEST_NODE_ID: _octets(6, 6),
    Tlv.DEST_ADDR_NP_RESOLUTION: _OCTET,
    Tlv.DEST_ADDR_NP_INFORMATION: _octets(10, 10),
    Tlv.DEST_ADDR_NP_COUNTRY: _number(5),
    Tlv.DISPLAY_TIME: _OCTET,
    Tlv.SMS_SIGNAL: _TWO_OCTETS,
    Tlv.MS_VALIDITY: Kind(_read_ms_validity, _write_ms_validity),
    Tlv.ALERT_ON_MESSAGE_DELIVERY: _ALERT,
    Tlv.ITS_REPLY_TYPE: _OCTET,
    Tlv.ITS_SESSION_INFO: _struct(ItsSession, "BB"),
}
