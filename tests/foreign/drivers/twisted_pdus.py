"""What both roles of smpp.twisted3 need: fields in the words of smpp.pdu3, and the stdin of a reactor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

from smpp.pdu.constants import command_status_name_map
from smpp.pdu.pdu_encoding import DataCodingEncoder, EsmClassEncoder
from smpp.pdu.pdu_types import AddrNpi, AddrTon
from stdio import Lines, Order, cut, part
from twisted.internet import reactor
from twisted.python import log
from twisted.python.failure import Failure


def fields_of(order: Order) -> dict[str, Any]:
    """Of a submit_sm or a deliver_sm."""
    octets, esm_class, data_coding = cut(order)
    return {
        "source_addr_ton": AddrTon.INTERNATIONAL,
        "source_addr_npi": AddrNpi.ISDN,
        "source_addr": order["from"],
        "dest_addr_npi": AddrNpi.ISDN,
        "destination_addr": order["to"],
        "short_message": octets,
        "esm_class": EsmClassEncoder().decode(BytesIO(bytes((esm_class,)))),
        "data_coding": DataCodingEncoder().decode(BytesIO(bytes((data_coding,)))),
        **order.get("tlvs", {}),
    }


def told(pdu: Any) -> dict[str, Any]:
    """The fields of an event about a submit_sm or a deliver_sm."""
    (data_coding,) = DataCodingEncoder().encode(pdu.params["data_coding"])
    (esm_class,) = EsmClassEncoder().encode(pdu.params["esm_class"])
    data = pdu.params["short_message"] or pdu.params.get("message_payload", b"")
    return {
        "from": pdu.params["source_addr"].decode(),
        "to": pdu.params["destination_addr"].decode(),
        "esm_class": esm_class,
        "data_coding": data_coding,
        **part(data, data_coding, esm_class),
    }


def status_of(failure: Failure) -> int:
    """Of a response that refused."""
    status: int = command_status_name_map[failure.value.response.status.name]
    return status


def run(handlers: dict[str, Callable[[Order], None]]) -> None:
    """The reactor, until stdin ends. What goes wrong unseen in the stack is an event."""
    lines = Lines()

    class Stdin:
        def fileno(self) -> int:
            return lines.fileno()

        def doRead(self) -> None:  # noqa: N802 - Twisted's name
            for order in lines.read():
                handlers[order["do"]](order)

        def connectionLost(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
            if reactor.running:
                reactor.stop()

        def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
            return "stdin"

    log.addObserver(lambda event: event["isError"] and print(log.textFromEventDict(event), file=sys.stderr))
    reactor.addReader(Stdin())
    reactor.run()
