"""The PDUs of SMPP 3.4 and 5.0 as slotted classes; fields have the specification's names and order.

Strings of the wire (C-octet strings) are `str`, decoded as Latin-1 so that every byte survives; a text is
`bytes`, because what it means depends on data_coding. A PDU's repr tells its kind, number and status, never a
subscriber's number, a text or a password: PDUs end up in logs. Made by `codec.decode` and by whoever has
something to send.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from gateway.smpp import tlvs as t
from gateway.smpp.constants import BindType, CommandId, Tlv, Version

Tlvs = tuple[tuple[int, bytes], ...]  # (tag, value) in wire order, known or not


class Address(NamedTuple):
    """An SME address: type of number, numbering plan, digits (or letters, when alphanumeric)."""

    ton: int = 0
    npi: int = 0
    digits: str = ""


NO_ADDRESS = Address()


@dataclass(slots=True, repr=False)
class Pdu:
    """What every PDU has. `sequence_number` is set by the session when it sends.

    `tlvs` may stand behind the mandatory fields of any PDU: 5.0 puts congestion_state into every response,
    and 3.4, 3.3 wants unknown ones ignored. They are raw; `typed` says what one means. `padding` counts NULs
    that a sloppy peer put behind the last field (tolerated up to 3).
    """

    command_id: ClassVar[int]
    response: ClassVar["type[Pdu] | None"] = None  # the class of the answer to a request
    command_status: int = field(default=0, kw_only=True)
    sequence_number: int = field(default=0, kw_only=True)
    tlvs: Tlvs = field(default=(), kw_only=True)
    padding: int = field(default=0, kw_only=True, compare=False)

    def tlv(self, tag: int) -> bytes | None:
        """The octets of the first optional parameter with this tag."""
        for found, octets in self.tlvs:
            if found == tag:
                return octets
        return None

    def typed(self, tag: int) -> Any:
        """The value of the first optional parameter with this tag (see `tlvs.KINDS`); None when there is
        none that means anything: a malformed parameter is ignored.
        """
        return next(iter(self.all_typed(tag)), None)

    def all_typed(self, tag: int) -> list[Any]:
        """The values of a parameter that may stand repeatedly, in order, malformed ones left out."""
        values = []
        for found, octets in self.tlvs:
            if found == tag:
                with suppress(ValueError):
                    values.append(t.decode(tag, octets))
        return values

    @property
    def congestion_state(self) -> int | None:
        """0 idle to 100 congested, where a peer of 5.0 says it in a response (5.0, 4.8.4.18)."""
        return self.typed(Tlv.CONGESTION_STATE) if self.tlvs else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} #{self.sequence_number} status 0x{self.command_status:X}>"


# -- session management (4.1, 4.2, 4.11, 4.3)


@dataclass(slots=True, repr=False)
class GenericNack(Pdu):
    command_id = CommandId.GENERIC_NACK


@dataclass(slots=True, repr=False)
class BindResp(Pdu):
    """The fields of all three bind responses; no body when command_status is not zero."""

    system_id: str = ""


@dataclass(slots=True, repr=False)
class BindReceiverResp(BindResp):
    command_id = CommandId.BIND_RECEIVER_RESP


@dataclass(slots=True, repr=False)
class BindTransmitterResp(BindResp):
    command_id = CommandId.BIND_TRANSMITTER_RESP


@dataclass(slots=True, repr=False)
class BindTransceiverResp(BindResp):
    command_id = CommandId.BIND_TRANSCEIVER_RESP


@dataclass(slots=True, repr=False)
class Bind(Pdu):
    """The fields of all three bind requests."""

    bind_type: ClassVar[BindType]
    system_id: str = ""
    password: str = ""
    system_type: str = ""
    interface_version: int = Version.V3_4
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""


@dataclass(slots=True, repr=False)
class BindReceiver(Bind):
    command_id = CommandId.BIND_RECEIVER
    response = BindReceiverResp
    bind_type = BindType.RECEIVER


@dataclass(slots=True, repr=False)
class BindTransmitter(Bind):
    command_id = CommandId.BIND_TRANSMITTER
    response = BindTransmitterResp
    bind_type = BindType.TRANSMITTER


@dataclass(slots=True, repr=False)
class BindTransceiver(Bind):
    command_id = CommandId.BIND_TRANSCEIVER
    response = BindTransceiverResp
    bind_type = BindType.TRANSCEIVER


@dataclass(slots=True, repr=False)
class Outbind(Pdu):
    command_id = CommandId.OUTBIND
    system_id: str = ""
    password: str = ""


@dataclass(slots=True, repr=False)
class UnbindResp(Pdu):
    command_id = CommandId.UNBIND_RESP


@dataclass(slots=True, repr=False)
class Unbind(Pdu):
    command_id = CommandId.UNBIND
    response = UnbindResp


@dataclass(slots=True, repr=False)
class EnquireLinkResp(Pdu):
    command_id = CommandId.ENQUIRE_LINK_RESP


@dataclass(slots=True, repr=False)
class EnquireLink(Pdu):
    command_id = CommandId.ENQUIRE_LINK
    response = EnquireLinkResp


# -- messages (4.4, 4.6, 4.7)


@dataclass(slots=True, repr=False)
class MessageResp(Pdu):
    message_id: str = ""


@dataclass(slots=True, repr=False)
class SubmitSmResp(MessageResp):
    command_id = CommandId.SUBMIT_SM_RESP


@dataclass(slots=True, repr=False)
class DeliverSmResp(MessageResp):
    command_id = CommandId.DELIVER_SM_RESP


@dataclass(slots=True, repr=False)
class DataSmResp(MessageResp):
    command_id = CommandId.DATA_SM_RESP


@dataclass(slots=True, repr=False)
class Sm(Pdu):
    """The common fields of submit_sm and deliver_sm; short_message is at most 254 octets, 255 in 5.0."""

    service_type: str = ""
    source: Address = NO_ADDRESS
    destination: Address = NO_ADDRESS
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""


@dataclass(slots=True, repr=False)
class SubmitSm(Sm):
    command_id = CommandId.SUBMIT_SM
    response = SubmitSmResp


@dataclass(slots=True, repr=False)
class DeliverSm(Sm):
    command_id = CommandId.DELIVER_SM
    response = DeliverSmResp


@dataclass(slots=True, repr=False)
class DataSm(Pdu):
    """A message whose text is always in the message_payload TLV."""

    command_id = CommandId.DATA_SM
    response = DataSmResp
    service_type: str = ""
    source: Address = NO_ADDRESS
    destination: Address = NO_ADDRESS
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0


class Unsuccessful(NamedTuple):
    """A destination of a submit_multi that was refused, and why."""

    destination: Address
    error_status_code: int


@dataclass(slots=True, repr=False)
class SubmitMultiResp(MessageResp):
    command_id = CommandId.SUBMIT_MULTI_RESP
    unsuccess: tuple[Unsuccessful, ...] = ()


@dataclass(slots=True, repr=False)
class SubmitMulti(Pdu):
    """One message to up to 255 destinations, each an address or the name of a distribution list (4.5)."""

    command_id = CommandId.SUBMIT_MULTI
    response = SubmitMultiResp
    service_type: str = ""
    source: Address = NO_ADDRESS
    destinations: tuple[Address | str, ...] = ()
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""


@dataclass(slots=True, repr=False)
class AlertNotification(Pdu):
    """A subscriber is reachable again; it has no response (4.12)."""

    command_id = CommandId.ALERT_NOTIFICATION
    source: Address = NO_ADDRESS
    esme: Address = NO_ADDRESS


# -- work on messages already submitted (4.8 to 4.10)


@dataclass(slots=True, repr=False)
class QuerySmResp(Pdu):
    command_id = CommandId.QUERY_SM_RESP
    message_id: str = ""
    final_date: str = ""
    message_state: int = 7  # UNKNOWN, also beside an error: 3.4 has no 0 (5.2.28)
    error_code: int = 0


@dataclass(slots=True, repr=False)
class QuerySm(Pdu):
    command_id = CommandId.QUERY_SM
    response = QuerySmResp
    message_id: str = ""
    source: Address = NO_ADDRESS


@dataclass(slots=True, repr=False)
class CancelSmResp(Pdu):
    command_id = CommandId.CANCEL_SM_RESP


@dataclass(slots=True, repr=False)
class CancelSm(Pdu):
    command_id = CommandId.CANCEL_SM
    response = CancelSmResp
    service_type: str = ""
    message_id: str = ""
    source: Address = NO_ADDRESS
    destination: Address = NO_ADDRESS


@dataclass(slots=True, repr=False)
class ReplaceSmResp(Pdu):
    command_id = CommandId.REPLACE_SM_RESP


@dataclass(slots=True, repr=False)
class ReplaceSm(Pdu):
    command_id = CommandId.REPLACE_SM
    response = ReplaceSmResp
    message_id: str = ""
    source: Address = NO_ADDRESS
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""


# -- cell broadcast (5.0, 4.4 and 4.6); most of it is in TLVs


@dataclass(slots=True, repr=False)
class BroadcastSmResp(MessageResp):
    command_id = CommandId.BROADCAST_SM_RESP


@dataclass(slots=True, repr=False)
class BroadcastSm(Pdu):
    command_id = CommandId.BROADCAST_SM
    response = BroadcastSmResp
    service_type: str = ""
    source: Address = NO_ADDRESS
    message_id: str = ""
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0


@dataclass(slots=True, repr=False)
class QueryBroadcastSmResp(MessageResp):
    command_id = CommandId.QUERY_BROADCAST_SM_RESP


@dataclass(slots=True, repr=False)
class QueryBroadcastSm(Pdu):
    command_id = CommandId.QUERY_BROADCAST_SM
    response = QueryBroadcastSmResp
    message_id: str = ""
    source: Address = NO_ADDRESS


@dataclass(slots=True, repr=False)
class CancelBroadcastSmResp(Pdu):
    command_id = CommandId.CANCEL_BROADCAST_SM_RESP


@dataclass(slots=True, repr=False)
class CancelBroadcastSm(Pdu):
    command_id = CommandId.CANCEL_BROADCAST_SM
    response = CancelBroadcastSmResp
    service_type: str = ""
    message_id: str = ""
    source: Address = NO_ADDRESS


BIND_CLASSES: dict[BindType, type[Bind]] = {
    cls.bind_type: cls for cls in (BindTransmitter, BindReceiver, BindTransceiver)
}
