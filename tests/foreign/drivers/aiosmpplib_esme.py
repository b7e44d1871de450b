"""aiosmpplib's clients for the gateway's listener. It has no SMSC's side.

It binds again for ever when it is refused; here the first refusal is told and ends it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiosmpplib import ESME, NPI, TON, BindMode, PhoneNumber, SmppCommand, SubmitSm
from aiosmpplib.hook import AbstractHook
from aiosmpplib.protocol import DeliverSm, EnquireLink
from stdio import Lines, Order, say

sessions: dict[str, ESME] = {}
tasks: dict[str, asyncio.Task[None]] = {}


class Hook(AbstractHook):
    """What goes through an ESME, as events; parts of long texts come joined."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def sending(self, smpp_message: Any, pdu: bytes, client_id: str) -> None:
        pass

    async def received(self, smpp_message: Any, pdu: bytes, client_id: str) -> None:
        command = int.from_bytes(pdu[4:8], "big")
        status = int.from_bytes(pdu[8:12], "big")
        if command in (0x80000001, 0x80000002, 0x80000009):
            say("bound", session=self._name, status=status)
            if status:
                tasks[self._name].cancel()
        elif command == SmppCommand.SUBMIT_SM_RESP:
            message_id = pdu[16:-1].decode()
            say("acknowledged", session=self._name, status=status, message_id=message_id)
        elif command == SmppCommand.ENQUIRE_LINK_RESP:
            say("enquired", session=self._name, status=status)
        elif isinstance(smpp_message, DeliverSm):
            say(
                "delivered",
                session=self._name,
                to=smpp_message.destination.number,
                text=smpp_message.short_message,
                reference=0,
                total=1,
                index=1,
                **{"from": smpp_message.source.number},
            )

    async def send_error(self, smpp_message: Any, error: Exception, client_id: str) -> None:
        say("error", message=str(error))


async def bind(order: Order) -> None:
    name = order["session"]
    esme = ESME(
        smsc_host="127.0.0.1",
        smsc_port=order["port"],
        system_id=order["system_id"],
        password=order["password"],
        bind_mode=BindMode[order["bind"].upper()],
        hook=Hook(name),
        log_level="CRITICAL",
    )
    sessions[name] = esme
    tasks[name] = asyncio.create_task(esme.start())
    tasks[name].add_done_callback(lambda _: say("closed", session=name))


async def submit(order: Order) -> None:
    """`split`: "udh" or "sar", as aiosmpplib cuts; else as one message, or by message_payload."""
    split = order.get("split")
    message = SubmitSm(
        short_message=order["text"],
        source=PhoneNumber(order["from"], TON.INTERNATIONAL, NPI.ISDN),
        destination=PhoneNumber(order["to"], TON.UNKNOWN, NPI.ISDN),
        registered_delivery=order.get("registered_delivery", 0),
        auto_message_payload=split is None,
        esm_class=0x40 if split == "udh" else 0,
    )
    await sessions[order["session"]].broker.enqueue(message)


async def enquire(order: Order) -> None:
    await sessions[order["session"]]._send_data(EnquireLink())


async def unbind(order: Order) -> None:
    """It ends without reading the response."""
    await sessions[order["session"]].stop()
    say("unbound", session=order["session"], status=0)


HANDLERS = {"bind": bind, "submit": submit, "enquire": enquire, "unbind": unbind}


async def main() -> None:
    lines, ended = Lines(), asyncio.Event()

    def read() -> None:
        for order in lines.read():
            handling = asyncio.create_task(HANDLERS[order["do"]](order))
            handling.add_done_callback(lambda task: task.result())
        if lines.ended:
            ended.set()

    asyncio.get_running_loop().add_reader(sys.stdin, read)
    await ended.wait()
    for task in tasks.values():
        task.cancel()


asyncio.run(main())
