"""One connection of the ESME under test, held by a scenario or by the autopilot.

The autopilot is a good SMSC: it accepts binds, answers enquire_link, unbind and submit_sm with ESME_ROK. A
scenario takes over by removing a command from `auto`, or by holding the bind (`Lab.fresh`). Invariant:
everything read and written is in the record, and what came is in `inbox` in its order. Made by `lab`.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.record import Record
from gateway.simulator.conformance.verdicts import Failed, Inconclusive, Timing
from gateway.simulator.conformance.wire import Received

T = TypeVar("T")

_AUTO = frozenset(
    {"enquire_link", "unbind", "submit_sm", "data_sm", "submit_multi", "query_sm", "cancel_sm", "replace_sm"}
)
_VERSION_34 = 0x34


class Bell:
    """Rung whenever anything happens on any connection; waiters then look again."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, find: Callable[[], T | None], within_s: float) -> T | None:
        """What `find` gives as soon as it gives something; None after `within_s`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while True:
            found = find()
            left_s = deadline_s - loop.time()
            if found is not None or left_s <= 0:
                return found
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait((waiter,), timeout=left_s)
            finally:
                self._waiters.discard(waiter)


class Peer(asyncio.Protocol):
    """See the module. `held`: the scenario answers the bind; `mute`: nothing at all is answered or sent."""

    def __init__(self, number: int, record: Record, bell: Bell, timing: Timing) -> None:
        self.number = number
        self.timing = timing
        self.inbox: list[Received] = []
        self.asked: set[int] = set()  # numbers of the requests sent with `request`
        self.auto: set[str] = set(_AUTO)
        self.held = False
        self.mute = False
        self.bind_type: str | None = None  # once bound
        self.opened_at_s = self.closed_at_s = 0.0
        self.closed = False
        self.closed_by = ""  # "us", "the ESME" or "the ESME (reset)"
        self.admit: Callable[[Received], int] = lambda bind: wire.ROK
        self.greet: Callable[[], object] = lambda: None
        self.notice: Callable[[Received], object] = lambda received: None
        self._record, self._bell = record, bell
        self._asked_at: dict[int, int] = {}  # by number: how much of the inbox came before the request
        self._octets = bytearray()
        self._sequence = 0
        self._transport: asyncio.Transport

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.opened_at_s = self._record.now_s()
        self._record.opened(self.number, transport.get_extra_info("peername")[1])
        self.greet()
        self._bell.ring()

    def data_received(self, data: bytes) -> None:
        self._record.segment(self.number, "in", data)
        self._octets += data
        for frame in wire.frames(self._octets):
            received = Received(frame, self._record.now_s())
            self.inbox.append(received)
            self._record.pdu(self.number, "in", frame)
            self.notice(received)
            if not self.mute:
                self._autopilot(received)
        self._bell.ring()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.closed_at_s = self._record.now_s()
        self.closed_by = self.closed_by or ("the ESME (reset)" if exc else "the ESME")
        self._record.closed(self.number, self.closed_by)
        self._bell.ring()

    # what a scenario reads

    @property
    def bound(self) -> bool:
        return self.bind_type is not None and not self.closed

    @property
    def receives(self) -> bool:
        """Whether deliver_sm may be sent here."""
        return self.bound and self.bind_type in ("receiver", "transceiver")

    @property
    def transmits(self) -> bool:
        """Whether submit_sm may come from here."""
        return self.bound and self.bind_type in ("transmitter", "transceiver")

    @property
    def rest(self) -> bytes:
        """What came and is no whole PDU."""
        return bytes(self._octets)

    def got(self, *names: str) -> list[Received]:
        """All PDUs of these commands that have come on this connection."""
        return [received for received in self.inbox if received.name in names]

    # what a scenario sends

    def next_sequence(self) -> int:
        self._sequence = self._sequence % wire.MAX_SEQUENCE + 1
        self._asked_at[self._sequence] = len(self.inbox)
        return self._sequence

    def put(self, *octets: bytes) -> None:
        """Write these octets in one go; they leave as one segment if they fit."""
        if self.closed or self._transport.is_closing():
            return
        whole = b"".join(octets)
        self._record.sent(self.number, whole)
        self._transport.write(whole)

    async def put_pieces(self, pieces: Iterable[bytes], gap_s: float = 0.001) -> None:
        """Write each piece as a TCP segment of its own."""
        for piece in pieces:
            self.put(piece)
            await asyncio.sleep(gap_s)

    def request(self, command: str | int, body: bytes = b"", *, sequence: int | None = None) -> int:
        """Send a request; its sequence_number."""
        number = self.next_sequence() if sequence is None else sequence
        self.asked.add(number)
        self._asked_at[number] = len(self.inbox)
        self.put(wire.pdu(command, number, body))
        return number

    def respond(
        self,
        request: Received,
        body: bytes = b"",
        *,
        status: int = wire.ROK,
        command: str | int | None = None,
        sequence: int | None = None,
    ) -> None:
        """Answer a request of the ESME, by default with the response that belongs to it."""
        request.claimed = True
        number = request.sequence if sequence is None else sequence
        response = request.command_id | wire.RESPONSE_BIT if command is None else command
        self.put(wire.pdu(response, number, body, status=status))

    def accept_bind(self, bind: Received, body: bytes | None = None) -> None:
        """Answer a bind request with ESME_ROK; from now on the connection counts as bound."""
        version = wire.tlv(wire.SC_INTERFACE_VERSION, bytes((_VERSION_34,)))
        self.respond(bind, wire.cstring("conformance") + version if body is None else body)
        self.bind_type = wire.BIND_TYPES[bind.name]

    def close(self) -> None:
        """End the connection with a FIN once all is written."""
        if not self.closed:
            self._end()
            self.resume()
            self._transport.close()

    def reset(self) -> None:
        """End the connection with a RST."""
        if not self.closed:
            self._end()
            on, linger_s = 1, 0
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, linger_s))
            self._transport.abort()

    def _end(self) -> None:
        self.closed_by = self.closed_by or "us"
        self.bind_type = None  # it counts as bound no more, although asyncio closes it later

    def stall(self) -> None:
        """Read no more: the receive window closes, and the ESME's writes block."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self.closed and not self._transport.is_closing():
            self._transport.resume_reading()

    def give_back(self) -> None:
        """Leave the rest to the autopilot."""
        self.auto = set(_AUTO)
        self.held = self.mute = False
        for received in self.inbox:
            received.claimed = True

    # what a scenario waits for

    async def wait_for(self, find: Callable[[], T | None], within_s: float) -> T | None:
        """As `Bell.wait_for`; `find` is tried again whenever something happens."""
        return await self._bell.wait_for(find, within_s)

    async def answer_to(self, sequence: int, *, within_s: float | None = None) -> Received:
        """The first response, or generic_nack, with this sequence_number. Fails when none comes in time, or
        the connection ends instead.
        """
        answer = await self._answer_or_end(sequence, within_s)
        if answer is None:
            how = "nothing came" if not self.closed else f"{self.closed_by} closed the connection"
            raise Failed(f"a response to our request #{sequence}", how)
        return answer

    async def reaction_to(self, sequence: int, *, within_s: float | None = None) -> Received | None:
        """As `answer_to`, where closing the connection is an answer too: None then. Fails when the ESME
        does neither.
        """
        answer = await self._answer_or_end(sequence, within_s)
        if answer is None and not self.closed:
            raise Failed(
                f"a response to our request #{sequence}, or an end of the connection", "neither came"
            )
        return answer

    async def _answer_or_end(self, sequence: int, within_s: float | None) -> Received | None:
        wait_s = self.timing.response_s if within_s is None else within_s
        await self.wait_for(lambda: self._response(sequence) or self.closed or None, wait_s)
        answer = self._response(sequence)
        if answer is not None:
            answer.claimed = True
        return answer

    def _response(self, sequence: int) -> Received | None:
        for received in islice(self.inbox, self._asked_at.get(sequence, 0), None):
            if received.is_response and received.sequence == sequence and not received.claimed:
                return received
        return None

    async def ask(self, command: str | int, body: bytes = b"", *, sequence: int | None = None) -> Received:
        """Send a request and wait for its answer."""
        return await self.answer_to(self.request(command, body, sequence=sequence))

    async def expect(self, *names: str, within_s: float | None = None) -> Received:
        """The first PDU of one of these commands that is not claimed yet. Fails when none comes."""
        wait_s = self.timing.response_s if within_s is None else within_s

        def find() -> Received | None:
            return next((received for received in self.got(*names) if not received.claimed), None)

        received = await self.wait_for(find, wait_s) if not self.closed else find()
        if received is None:
            end = f", and {self.closed_by} closed the connection" if self.closed else ""
            raise Failed(f"{' or '.join(names)} within {wait_s:g} s", f"none came{end}")
        received.claimed = True
        return received

    async def bind_request(self) -> Received:
        """The bind of a connection that is held. Inconclusive when none comes."""
        find: Callable[[], Received | None] = lambda: next(  # noqa: E731 - read once
            (received for received in self.inbox if received.name in wire.BIND_TYPES), None
        )
        bind = await self.wait_for(find, self.timing.response_s)
        if bind is None:
            raise Inconclusive("the ESME connected, but sent no bind request")
        bind.claimed = True
        return bind

    async def silence(self, *names: str, for_s: float | None = None) -> None:
        """Fails when a PDU of these commands comes (of any command, without names), apart from requests that
        the autopilot answers.
        """
        wait_s = self.timing.quiet_s if for_s is None else for_s

        def find() -> Received | None:
            came = self.got(*names) if names else self.inbox
            return next((received for received in came if not received.claimed), None)

        received = await self.wait_for(find, wait_s)
        if received is not None:
            received.claimed = True
            raise Failed("no " + (" or ".join(names) or "PDU"), f"{received} came")

    async def ended(self, within_s: float) -> float:
        """Seconds until the ESME closed the connection. Fails when it does not."""
        since_s = self._record.now_s()
        if not await self.wait_for(lambda: self.closed or None, within_s):
            raise Failed(f"the connection to be closed within {within_s:g} s", "it is still open")
        return self.closed_at_s - since_s

    # the autopilot

    def _autopilot(self, received: Received) -> None:
        name = received.name
        if name in wire.BIND_TYPES:
            if not self.held:
                self._answer_bind(received)
        elif name in self.auto:
            body = wire.cstring(f"{self.number}-{received.sequence}") if name in _WITH_ID else b""
            if name in _REFUSED:
                self.respond(received, status=wire.RINVCMDID)
                return
            self.respond(received, body)
            if name == "unbind":
                self.close()

    def _answer_bind(self, bind: Received) -> None:
        status = wire.RALYBND if self.bound else self.admit(bind)
        if status:
            self.respond(bind, status=status)
        else:
            self.accept_bind(bind)


_WITH_ID = frozenset({"submit_sm", "data_sm"})
_REFUSED = frozenset({"submit_multi", "query_sm", "cancel_sm", "replace_sm"})
