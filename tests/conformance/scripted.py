"""A tiny ESME of octets on the test's own loop: right by default, wrong in one way where a test says so.

What it does right is as little as the specification asks for. `Esme` is started by the tests of the suite.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum, auto

from gateway.simulator import pdus
from gateway.simulator.conformance import wire
from gateway.simulator.conformance.verdicts import Answering, Options, Timing

TIMING = Timing(
    response_s=0.5,
    response_timeout_s=0.2,
    enquire_link_s=0.3,
    enquire_timeout_s=0.2,
    session_init_s=0.3,
    reconnect_s=0.1,
    quiet_s=0.05,
)
_RECONNECT_S = 0.06


class Wrong(Enum):
    """What a bad ESME does."""

    NUMBERS_OF_ITS_OWN = auto()  # responses with a wrong sequence_number
    IGNORES_UNKNOWN_COMMANDS = auto()
    DIES_ON_UNKNOWN_COMMANDS = auto()
    ACKNOWLEDGES_DAMAGED_TEXTS = auto()
    NACKS_RESPONSES = auto()
    ONE_PDU_A_SEGMENT = auto()
    WAITS_FOR_ANY_LENGTH = auto()
    NEVER_ASKS = auto()  # no enquire_link
    GIVES_UP_WHEN_REFUSED = auto()
    HOT_LOOP = auto()
    IGNORES_UNBIND = auto()
    TAKES_TEXTS_UNBOUND = auto()
    ANSWERS_TWICE = auto()
    ONE_NUMBER_FOR_ALL = auto()
    SUBMITS_WITHOUT_NUL = auto()
    ANSWERS_ALERTS = auto()


class Esme:
    """Keeps one transceiver bound to `port`; `async with`."""

    def __init__(self, port: int, wrong: Wrong | None = None) -> None:
        self.options = Options(
            port=port, timing=TIMING, mo=Answering("861390#######", "10086", "hello", answers=True)
        )
        self.wrong = wrong
        self._dead = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Esme:
        self._task = asyncio.create_task(self._keep_bound())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _keep_bound(self) -> None:
        while not self._dead:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                await self._session()
            await asyncio.sleep(0 if self.wrong is Wrong.HOT_LOOP else _RECONNECT_S)
        await asyncio.Event().wait()

    async def _session(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.options.port)
        try:
            await _Session(self, reader, writer).run()
        finally:
            writer.close()

    def die(self) -> None:
        """End for good."""
        self._dead = True


class _OverError(OSError):
    """The session is over."""


class _Session:
    def __init__(self, esme: Esme, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._esme, self._wrong = esme, esme.wrong
        self._reader, self._writer = reader, writer
        self._octets = bytearray()
        self._sequence = 0
        self._bound = False
        self._enquiry = 0

    async def run(self) -> None:
        self._request("bind_transceiver", b"esme\0\0\0\x34\0\0\0")
        timing = TIMING
        while True:
            wait_s = timing.session_init_s if not self._bound else timing.enquire_link_s
            if self._enquiry:
                wait_s = timing.enquire_timeout_s
            if self._wrong is Wrong.NEVER_ASKS:
                wait_s = 1e9
            try:
                octets = await asyncio.wait_for(self._reader.read(65_536), wait_s)
            except TimeoutError:
                if self._enquiry or not self._bound:
                    raise
                self._enquiry = self._request("enquire_link")
                continue
            if not octets:
                return
            self._octets += octets
            self._read()
            await self._writer.drain()

    def _read(self) -> None:
        for frame in wire.frames(self._octets):
            received = wire.Received(frame, 0.0)
            if received.is_response:
                self._response(received)
            else:
                self._asked(received)
            if self._wrong is Wrong.ONE_PDU_A_SEGMENT:
                self._octets.clear()
        if wire.is_broken(self._octets) and self._wrong is not Wrong.WAITS_FOR_ANY_LENGTH:
            self._put("generic_nack", 0, status=wire.RINVCMDLEN)
            raise _OverError

    def _response(self, received: wire.Received) -> None:
        if self._enquiry and received.sequence == self._enquiry:
            self._enquiry = 0
        elif received.name == "bind_transceiver_resp" and received.sequence == 1 and not self._bound:
            if received.status:
                if self._wrong is Wrong.GIVES_UP_WHEN_REFUSED:
                    self._esme.die()
                raise _OverError
            self._bound = True
        elif received.name == "generic_nack" and not self._bound and received.sequence == 1:
            raise _OverError
        elif self._wrong is Wrong.NACKS_RESPONSES and received.name.startswith("command "):
            self._put("generic_nack", received.sequence, status=wire.RINVCMDID)

    def _asked(self, request: wire.Received) -> None:
        name, number = request.name, request.sequence
        if name == "enquire_link":
            self._put("enquire_link_resp", number + (self._wrong is Wrong.NUMBERS_OF_ITS_OWN))
        elif name == "unbind":
            if self._wrong is not Wrong.IGNORES_UNBIND:
                self._put("unbind_resp", number)
                raise _OverError
        elif name in ("deliver_sm", "data_sm"):
            self._text(request)
        elif name in ("alert_notification", "outbind"):
            if self._wrong is Wrong.ANSWERS_ALERTS:
                self._put(0x8000_0102, number)
        elif not name.startswith("command "):
            self._put("generic_nack", number, status=wire.RINVBNDSTS)
        elif self._wrong is Wrong.DIES_ON_UNKNOWN_COMMANDS:
            self._esme.die()
            raise _OverError
        elif self._wrong is not Wrong.IGNORES_UNKNOWN_COMMANDS:
            self._put("generic_nack", number, status=wire.RINVCMDID)

    def _text(self, request: wire.Received) -> None:
        number, answer = request.sequence, f"{request.name}_resp"
        if not self._bound and self._wrong is not Wrong.TAKES_TEXTS_UNBOUND:
            self._put(answer, number, status=wire.RINVBNDSTS)
            return
        try:
            sm = pdus.decode(request.frame.rstrip(b"\0"))
        except pdus.PduError:
            try:
                sm = pdus.decode(request.frame)
            except pdus.PduError as error:
                status = 0 if self._wrong is Wrong.ACKNOWLEDGES_DAMAGED_TEXTS else error.status
                self._put(answer, number, b"" if status else b"\0", status=status)
                return
        both = request.name == "deliver_sm" and sm.short_message and sm.message_payload
        if both:
            self._put(answer, number, status=wire.RINVMSGLEN)
            return
        self._put(answer, number, b"\0")
        if self._bound:
            for _ in range(2 if self._wrong is Wrong.ANSWERS_TWICE else 1):
                self._submit(sm)

    def _submit(self, sm: pdus.Pdu) -> None:
        body = wire.message_body(sm.destination_addr, sm.source_addr, b"welcome")
        self._request("submit_sm", body[:-20] if self._wrong is Wrong.SUBMITS_WITHOUT_NUL else body)

    def _request(self, command: str, body: bytes = b"") -> int:
        self._sequence = 1 if self._wrong is Wrong.ONE_NUMBER_FOR_ALL else self._sequence + 1
        self._put(command, self._sequence, body)
        return self._sequence

    def _put(self, command: str | int, number: int, body: bytes = b"", *, status: int = 0) -> None:
        self._writer.write(wire.pdu(command, number & 0xFFFF_FFFF, body, status=status))
