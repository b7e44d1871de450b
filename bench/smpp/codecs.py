"""The same four PDUs through three codecs: what a gateway reads and writes for one question and its answer.

Every codec starts from octets and ends at octets, objects included: who sends a submit_sm has to make one.
Called by `measure`, which checks first that all three agree on every octet.
"""

import io
from collections.abc import Callable
from typing import Any, Final, Protocol

from smpplib import smpp as smpplib

import smpp.pdu.operations as pdu3
import smpp.pdu.pdu_types as pdu3_types
from gateway.smpp import pdu as p
from gateway.smpp.codec import decode, encode
from gateway.smpp.constants import Tlv
from gateway.smpp.tlvs import encode as tlv
from smpp.pdu.pdu_encoding import PDUEncoder

PHONE, SHORT_CODE = p.Address(1, 1, "8613800000000"), p.Address(0, 1, "10086")
TEXT: Final = ("你最近去过的城市：" + "上海、" * 20).encode("utf-16-be")[:140]
SEQUENCE: Final = 1  # what smpplib's own counter gives here

DELIVER: Final = encode(
    p.DeliverSm(source=PHONE, destination=SHORT_CODE, short_message=b"CXMYD 1234", sequence_number=SEQUENCE)
)
RECEIPT: Final = encode(
    p.DeliverSm(
        source=PHONE,
        destination=SHORT_CODE,
        esm_class=4,
        short_message=b"id:0190fe1234 sub:001 dlvrd:001 submit date:2611240032 done date:2611240033 "
        b"stat:DELIVRD err:000 text:",
        tlvs=(
            tlv(Tlv.RECEIPTED_MESSAGE_ID, "0190fe1234"),
            tlv(Tlv.MESSAGE_STATE, 2),
            (Tlv.NETWORK_ERROR_CODE, b"\x03\0\0"),
        ),
        sequence_number=SEQUENCE,
    )
)
SUBMITTED: Final = encode(p.SubmitSmResp(message_id="0190fe1234", sequence_number=SEQUENCE))


class Codec(Protocol):
    name: str

    def deliver(self) -> Any: ...
    def receipt(self) -> Any: ...
    def submit(self) -> bytes: ...
    def exchange(self) -> tuple[bytes, bytes]: ...


class Ours:
    name = "cxmyd"

    def deliver(self) -> Any:
        return decode(DELIVER)

    def receipt(self) -> Any:
        return decode(RECEIPT)

    def submit(self) -> bytes:
        return encode(submit_sm(SEQUENCE))

    def exchange(self) -> tuple[bytes, bytes]:
        decode(DELIVER)
        octets = encode(p.DeliverSmResp(sequence_number=SEQUENCE)), encode(submit_sm(SEQUENCE))
        decode(SUBMITTED)
        return octets


def submit_sm(sequence_number: int = 0) -> p.SubmitSm:
    return p.SubmitSm(
        source=SHORT_CODE,
        destination=PHONE,
        data_coding=8,
        registered_delivery=1,
        short_message=TEXT,
        sequence_number=sequence_number,
    )


class _Numbers:
    """What smpplib asks its client for."""

    sequence = SEQUENCE

    def next_sequence(self) -> int:
        return SEQUENCE


class Smpplib:
    name = "smpplib 2.2.4"
    _client = _Numbers()

    def deliver(self) -> Any:
        return smpplib.parse_pdu(DELIVER, client=self._client, allow_unknown_opt_params=True)

    def receipt(self) -> Any:
        return smpplib.parse_pdu(RECEIPT, client=self._client, allow_unknown_opt_params=True)

    def submit(self) -> bytes:
        pdu = smpplib.make_pdu(
            "submit_sm",
            client=self._client,
            source_addr_ton=0,
            source_addr_npi=1,
            source_addr="10086",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="8613800000000",
            data_coding=8,
            registered_delivery=1,
            short_message=TEXT,
        )
        octets: bytes = pdu.generate()
        return octets

    def exchange(self) -> tuple[bytes, bytes]:
        self.deliver()
        octets = smpplib.make_pdu("deliver_sm_resp", client=self._client).generate(), self.submit()
        smpplib.parse_pdu(SUBMITTED, client=self._client, allow_unknown_opt_params=True)
        return octets


class SmppPdu3:
    name = "smpp.pdu3 0.6"
    _codec = PDUEncoder()
    _ucs2 = pdu3_types.DataCoding(pdu3_types.DataCodingScheme.DEFAULT, pdu3_types.DataCodingDefault.UCS2)
    _receipt = pdu3_types.RegisteredDelivery(
        pdu3_types.RegisteredDeliveryReceipt.SMSC_DELIVERY_RECEIPT_REQUESTED
    )

    def deliver(self) -> Any:
        return self._codec.decode(io.BytesIO(DELIVER))

    def receipt(self) -> Any:
        return self._codec.decode(io.BytesIO(RECEIPT))

    def submit(self) -> bytes:
        pdu = pdu3.SubmitSM(
            seqNum=SEQUENCE,
            source_addr_ton=pdu3_types.AddrTon.UNKNOWN,
            source_addr_npi=pdu3_types.AddrNpi.ISDN,
            source_addr=b"10086",
            dest_addr_ton=pdu3_types.AddrTon.INTERNATIONAL,
            dest_addr_npi=pdu3_types.AddrNpi.ISDN,
            destination_addr=b"8613800000000",
            data_coding=self._ucs2,
            registered_delivery=self._receipt,
            short_message=TEXT,
        )
        octets: bytes = self._codec.encode(pdu)
        return octets

    def exchange(self) -> tuple[bytes, bytes]:
        self.deliver()
        octets = self._codec.encode(pdu3.DeliverSMResp(seqNum=SEQUENCE)), self.submit()
        self._codec.decode(io.BytesIO(SUBMITTED))
        return octets


CODECS: Final[tuple[Codec, ...]] = (Ours(), Smpplib(), SmppPdu3())
WORK: Final[dict[str, Callable[[Codec], Callable[[], object]]]] = {
    "decode deliver_sm": lambda codec: codec.deliver,
    "decode a receipt with 3 TLVs": lambda codec: codec.receipt,
    "encode submit_sm": lambda codec: codec.submit,
    "a whole exchange": lambda codec: codec.exchange,
}


def check() -> None:
    """All codecs write the same octets, and read what they should."""
    ours = Ours().exchange()
    for codec in CODECS:
        theirs = codec.exchange()
        if theirs != ours:
            raise SystemExit(f"{codec.name} writes other octets: {theirs!r}, not {ours!r}")
    for codec in (Smpplib(), SmppPdu3()):
        codec.deliver(), codec.receipt()
