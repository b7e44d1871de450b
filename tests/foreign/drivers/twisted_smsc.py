"""Jasmin's stack, smpp.twisted3, as an SMSC: every system_id may bind, every submit_sm is accepted."""

from __future__ import annotations

from typing import Any

from smpp.pdu.constants import command_status_value_map
from smpp.pdu.operations import DeliverSM, EnquireLink
from smpp.pdu.pdu_types import CommandStatus
from smpp.twisted.config import SMPPServerConfig
from smpp.twisted.protocol import DataHandlerResponse, SMPPServerProtocol
from smpp.twisted.server import SMPPServerFactory
from stdio import Order, say
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted_pdus import fields_of, run, status_of, told

refuse = {"status": CommandStatus.ESME_ROK, "count": 0}
message_ids = iter(range(1, 1_000_000))


class Systems(dict[str, dict[str, int]]):
    """Anybody, with as many binds as he likes."""

    def __missing__(self, system_id: str) -> dict[str, int]:
        return {"max_bindings": 100}


class Portal:
    def login(self, *_: Any) -> Deferred[tuple[None, None, None]]:
        return succeed((None, None, None))


class Protocol(SMPPServerProtocol):
    def onPDURequest_enquire_link(self, pdu: Any) -> None:  # noqa: N802 - smpp.twisted's name
        super().onPDURequest_enquire_link(pdu)
        say("enquiry", system_id=self.system_id)

    def onPDURequest_unbind(self, pdu: Any) -> None:  # noqa: N802 - smpp.twisted's name
        super().onPDURequest_unbind(pdu)
        say("unbound", system_id=self.system_id, by="esme")

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        say("closed", system_id=self.system_id)
        super().connectionLost(reason)


class Factory(SMPPServerFactory):
    protocol = Protocol

    def addBoundConnection(self, connection: Any) -> None:  # noqa: N802 - smpp.twisted's name
        super().addBoundConnection(connection)
        kind = connection.bind_type.name.removeprefix("bind_")
        say("bound", system_id=connection.system_id, bind=kind)


def submitted(system_id: str, _: Any, pdu: Any) -> Any:
    if refuse["count"]:
        refuse["count"] -= 1
        say("refused", system_id=system_id, to=pdu.params["destination_addr"].decode())
        return refuse["status"]
    params = pdu.params
    ton, npi = params["dest_addr_ton"].value - 1, params["dest_addr_npi"].value - 1
    say("submitted", system_id=system_id, to_ton=ton, to_npi=npi, **told(pdu))
    return DataHandlerResponse(CommandStatus.ESME_ROK, message_id=str(next(message_ids)))


factory = Factory(SMPPServerConfig(systems=Systems(), msgHandler=submitted), Portal())


def session(system_id: str) -> Any:
    return factory.getBoundConnections(system_id).getNextBindingForDelivery()


def deliver(order: Order) -> None:
    def acknowledged(status: int) -> None:
        say("acknowledged", status=status, **{"from": order["from"]})

    session(order["system_id"]).sendDataRequest(DeliverSM(**fields_of(order))).addCallbacks(
        lambda _: acknowledged(0), lambda failure: acknowledged(status_of(failure))
    )


def enquire(order: Order) -> None:
    system_id = order["system_id"]
    session(system_id).sendRequest(EnquireLink(), 10).addCallback(
        lambda _: say("enquired", system_id=system_id, status=0)
    )


def answer(order: Order) -> None:
    name = command_status_value_map[order["status"]]["name"]
    refuse.update(status=CommandStatus[name], count=order["count"])


def unbind(order: Order) -> None:
    factory.unbindGateway(order["system_id"]).addCallback(
        lambda _: say("unbound", system_id=order["system_id"], by="smsc")
    )


def drop(order: Order) -> None:
    session(order["system_id"]).transport.abortConnection()


port = reactor.listenTCP(0, factory, interface="127.0.0.1")
say("listening", port=port.getHost().port)
run({"deliver": deliver, "enquire": enquire, "answer": answer, "unbind": unbind, "drop": drop})
