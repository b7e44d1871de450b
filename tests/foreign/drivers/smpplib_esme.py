"""smpplib's clients for the gateway's listener; long texts are cut by smpplib. It is synchronous: while it
waits for a response it takes nothing else, which is what a listener has to live with.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

import smpplib.client
import smpplib.exceptions
from smpplib import consts, gsm, smpp
from stdio import Lines, Order, part, say

sessions: dict[str, smpplib.client.Client] = {}


def bind(order: Order) -> None:
    name = order["session"]
    client = smpplib.client.Client("127.0.0.1", order["port"], timeout=5, allow_unknown_opt_params=True)
    client.set_message_received_handler(lambda pdu: received(name, pdu))
    client.set_message_sent_handler(
        lambda pdu: say(
            "acknowledged", session=name, status=pdu.status, message_id=(pdu.message_id or b"").decode()
        )
    )
    client.set_error_pdu_handler(lambda pdu: None)  # a refusal is an event like others
    client.connect()
    try:
        getattr(client, f"bind_{order['bind']}")(system_id=order["system_id"], password=order["password"])
    except smpplib.exceptions.PDUError as error:
        client.disconnect()
        say("bound", session=name, status=error.args[1])
        return
    sessions[name] = client
    say("bound", session=name, status=0)


def received(name: str, pdu: Any) -> None:
    place = part(pdu.short_message or pdu.message_payload, pdu.data_coding, pdu.esm_class)
    texts = {"from": pdu.source_addr.decode(), "to": pdu.destination_addr.decode()}
    say("delivered", session=name, esm_class=pdu.esm_class, data_coding=pdu.data_coding, **texts, **place)


def submit(order: Order) -> None:
    if "text" in order:
        parts, data_coding, esm_class = gsm.make_parts(order["text"])
    else:
        parts = [bytes.fromhex(order["hex"])]
        data_coding, esm_class = order["data_coding"], order["esm_class"]
    for octets in parts:
        sessions[order["session"]].send_message(
            source_addr_ton=consts.SMPP_TON_INTL,
            source_addr_npi=consts.SMPP_NPI_ISDN,
            source_addr=order["from"],
            dest_addr_npi=consts.SMPP_NPI_ISDN,
            destination_addr=order["to"],
            short_message=octets,
            data_coding=data_coding,
            esm_class=esm_class,
            registered_delivery=order.get("registered_delivery", 0),
            **order.get("tlvs", {}),
        )


def enquire(order: Order) -> None:
    client = sessions[order["session"]]
    client.send_pdu(smpp.make_pdu("enquire_link", client=client))
    say("enquired", session=order["session"], status=client.read_pdu().status)


def unbind(order: Order) -> None:
    client = sessions.pop(order["session"])
    response = client.unbind()
    say("unbound", session=order["session"], status=response.status)
    client.disconnect()
    say("closed", session=order["session"])


ORDERS: dict[str, Callable[[Order], None]] = {
    "bind": bind,
    "submit": submit,
    "enquire": enquire,
    "unbind": unbind,
}


def main() -> None:
    lines = Lines()
    while True:
        sockets = {client._socket: client for client in sessions.values()}
        readable = select.select([lines, *sockets], [], [])[0][0]
        if readable is not lines:
            sockets[readable].read_once()
            continue
        for order in lines.read():
            ORDERS[order["do"]](order)
        if lines.ended:
            return


main()
