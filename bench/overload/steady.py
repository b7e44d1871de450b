"""An SMSC whose subscribers text evenly, and one of whom may flood: what becomes of each of their messages,
and when.

Latency counts from the scheduled time of a message, so that waiting counts. Called by `run`.
"""

import asyncio
import itertools
import struct
import time
from typing import Final

from tests.foreign.wire import DELIVER_SM, ENQUIRE_LINK, RESP, SUBMIT_SM, message, pdu

BINDS: Final = (1, 2, 9)
RECEIPTED_MESSAGE_ID: Final = 0x1E
FLOODER: Final = "8613999999999"


class Message:
    """One deliver_sm; `settled_s`: when its response came."""

    def __init__(self, source: str, due_s: float) -> None:
        self.source = source
        self.due_s = due_s
        self.settled_s: float | None = None
        self.status = -1

    @property
    def took_ms(self) -> float:
        assert self.settled_s is not None
        return (self.settled_s - self.due_s) * 1000


class Steady(asyncio.Protocol):
    """Takes one bind on `port`, answers everything, and sends when `send` runs."""

    def __init__(self, first: int) -> None:
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._numbers = itertools.count(1)
        self._sources = itertools.count(first)
        self._open: dict[int, Message] = {}
        self.bound = asyncio.Event()
        self.messages: list[Message] = []
        self.answers = 0

    async def listen(self, port: int) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.bound.clear()

    def data_received(self, data: bytes) -> None:
        data = self._held + data
        at, out = 0, []
        while len(data) - at >= 16:
            length, command_id, status, number = struct.unpack_from(">4I", data, at)
            if len(data) - at < length:
                break
            at += length
            if command_id == DELIVER_SM | RESP:
                settled = self._open.pop(number)
                settled.settled_s, settled.status = time.monotonic(), status
            elif not command_id & RESP:
                self.answers += command_id == SUBMIT_SM
                body = b"" if command_id == ENQUIRE_LINK else b"id\0"
                out.append(pdu(command_id | RESP, body, number=number))
                if command_id in BINDS:
                    self.bound.set()
        self._held = data[at:]
        if out and self._transport is not None:
            self._transport.write(b"".join(out))

    def _deliver(self, source: str, due_s: float) -> None:
        number = next(self._numbers)
        octets = bytearray(message(DELIVER_SM, source, "10086", b"CXMYD", number=number))
        octets += struct.pack(">HHI", RECEIPTED_MESSAGE_ID, 4, number)  # its own: each is a new message
        octets[:4] = struct.pack(">I", len(octets))
        self._open[number] = sent = Message(source, due_s)
        self.messages.append(sent)
        assert self._transport is not None
        self._transport.write(octets)

    async def send(self, rate_per_s: float, *, one: bool = False) -> None:
        """Until cancelled; `one`: all from one subscriber."""
        start_s = time.monotonic()
        for index in itertools.count():
            due_s = start_s + index / rate_per_s
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(max(wait_s, 0.002))
            self._deliver(FLOODER if one else str(next(self._sources)), due_s)


def figures(messages: list[Message]) -> dict[str, float]:
    """How many there were, by their end, and how long the accepted ones took."""
    took_ms = sorted(each.took_ms for each in messages if each.status == 0)
    return {
        "sent": len(messages),
        "accepted": len(took_ms),
        "refused": sum(each.status > 0 for each in messages),
        "unsettled": sum(each.settled_s is None for each in messages),
        "p50_ms": percentile(took_ms, 0.5),
        "p99_ms": percentile(took_ms, 0.99),
    }


def percentile(ordered: list[float], share: float) -> float:
    """Of figures in ascending order; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
