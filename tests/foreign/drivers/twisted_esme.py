"""Jasmin's stack, smpp.twisted3, as clients of the gateway's listener."""

from __future__ import annotations

from typing import Any

from smpp.pdu.operations import EnquireLink, SubmitSM
from smpp.twisted.client import SMPPClientReceiver, SMPPClientTransceiver, SMPPClientTransmitter
from smpp.twisted.config import SMPPClientConfig
from stdio import Order, say
from twisted_pdus import fields_of, run, status_of, told

CLIENTS = {
    "transceiver": SMPPClientTransceiver,
    "receiver": SMPPClientReceiver,
    "transmitter": lambda config, _: SMPPClientTransmitter(config),
}
sessions: dict[str, Any] = {}


def bind(order: Order) -> None:
    name = order["session"]

    def bound(session: Any) -> None:
        sessions[name] = session
        session.getDisconnectedDeferred().addCallback(lambda _: say("closed", session=name))
        say("bound", session=name, status=0)

    config = SMPPClientConfig(
        host="127.0.0.1", port=order["port"], username=order["system_id"], password=order["password"]
    )
    client = CLIENTS[order["bind"]](config, lambda _, pdu: say("delivered", session=name, **told(pdu)))
    client.connectAndBind().addCallbacks(
        bound, lambda failure: say("bound", session=name, status=status_of(failure))
    )


def submit(order: Order) -> None:
    name = order["session"]
    sessions[name].sendDataRequest(SubmitSM(**fields_of(order))).addCallbacks(
        lambda sent: say(
            "acknowledged", session=name, status=0, message_id=sent.response.params["message_id"].decode()
        ),
        lambda failure: say("acknowledged", session=name, status=status_of(failure)),
    )


def enquire(order: Order) -> None:
    name = order["session"]
    sessions[name].sendRequest(EnquireLink(), 10).addCallback(
        lambda _: say("enquired", session=name, status=0)
    )


def unbind(order: Order) -> None:
    name = order["session"]
    session = sessions[name]
    session.unbind().addCallback(lambda _: say("unbound", session=name, status=0)).addCallback(
        lambda _: session.disconnect()
    )


run({"bind": bind, "submit": submit, "enquire": enquire, "unbind": unbind})
