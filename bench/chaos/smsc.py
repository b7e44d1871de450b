"""The run's SMSC: it stores each text until it has its ESME_ROK, delivers it again after a refusal, a
timeout or a reset, over any bind, and takes answers. It shares no code with the gateway.

One subscriber's messages are delivered one after the other, each when the one before has its ESME_ROK. A
text that it took counts as sent to the phone, whether its response was written or not. Faults are what
`Moods` says. Runs on one loop; called by `phones` and, by way of the loop, by `faults`.
"""

import asyncio
import random
import socket
import struct
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bench.chaos.judging import Answer, Ledger, Question
from bench.chaos.people import SERVICES
from tests.foreign.wire import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    ENQUIRE_LINK,
    RESP,
    SUBMIT_SM,
    UNBIND,
    Message,
    Pdu,
    message,
    pdu,
    short_message,
)

RESPONSE_TIMEOUT_S: Final = 10.0
RESPONSE_S: Final = 0.2
"""A submit_sm_resp takes up to so long: there are always answers whose outcome is not known yet."""
WINDOW: Final = 50
"""deliver_sm without response on one connection."""
LONGEST_PAUSE_S: Final = 5.0
LATE_S: Final = 4.0
"""Of a response: the gateway waits for 5 s (see `system`)."""
UNREAD_S: Final = 2.0
"""A response written so shortly before its connection ended may never have been read."""
READING_S: Final = 2.0
"""What a stalled socket has gathered takes to read."""
UCS2: Final = 8
UDHI: Final = 0x40
PART_OCTETS: Final = 134
RECEIPTED_MESSAGE_ID: Final = 0x001E
_LINGER: Final = struct.pack("ii", 1, 0)  # close() resets


@dataclass
class Moods:
    """`resetting`: how probably a PDU is cut anywhere and its connection reset. `status`: what submit_sm
    are refused with. `mute`: nothing is answered. `deaf`: nothing is read.
    """

    resetting: float = 0.0
    status: int = 0
    mute: bool = False
    deaf: bool = False


@dataclass(eq=False)
class Piece:
    """One deliver_sm of a message."""

    question: Question
    octets: bytes
    esm_class: int
    data_coding: int
    tlvs: bytes
    acknowledged: bool = False
    sent: int = 0


@dataclass(eq=False)
class Submit:
    """One submit_sm that was taken."""

    at_s: float
    answer: Answer | None = None
    responded_s: float | None = None
    unknown: bool = False

    def may_be_unheard(self) -> None:
        self.unknown = True
        if self.answer is not None:
            self.answer.unknown = True


class Link(asyncio.Protocol):
    """One connection of a gateway. Its system_id is the carrier and the gateway's name: `plain.1`."""

    def __init__(self, smsc: "Smsc") -> None:
        self.smsc = smsc
        self.carrier = self.gateway = ""
        self.receives = False
        self.open: dict[int, Piece] = {}
        self._taken: deque[Submit] = deque()
        self._withheld: list[tuple[bytes, Submit | None]] = []
        self._buffer = bytearray()
        self._number = 0
        self._stalled_until_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.smsc.links.add(self)
        if self.smsc.moods.deaf:
            transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.smsc.links.discard(self)
        now_s = time.monotonic()
        for submit in self._taken:
            if submit.responded_s is None or now_s - submit.responded_s < UNREAD_S:
                submit.may_be_unheard()
        pieces, self.open = self.open, {}
        for piece in pieces.values():
            self.smsc.again(piece)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 16 and not self.transport.is_closing():
            length, *head = struct.unpack_from(">4I", self._buffer)
            if len(self._buffer) < length:
                return
            heard = Pdu(*head, bytes(self._buffer[16:length]))
            del self._buffer[:length]
            self._heard(heard)

    def _heard(self, heard: Pdu) -> None:
        command = heard.command_id
        if command in (BIND_TRANSCEIVER, BIND_RECEIVER, BIND_TRANSMITTER):
            self.carrier, self.gateway = heard.body.split(b"\0", 1)[0].decode().split(".")
            self.receives = command != BIND_TRANSMITTER
            self._answer(heard, b"smsc\0")
        elif command == SUBMIT_SM:
            self._submitted(heard)
        elif command == DELIVER_SM | RESP:
            piece = self.open.pop(heard.sequence_number, None)
            if piece is not None:
                self.smsc.responded(piece, heard.command_status)
        elif command == ENQUIRE_LINK:
            self._answer(heard)
        elif command == UNBIND:
            self._answer(heard)
            self.transport.close()

    def _submitted(self, heard: Pdu) -> None:
        status = self.smsc.moods.status
        if status:
            self._answer(heard, status=status)
            return
        now_s = time.monotonic()
        if self.smsc.chance.random() < self.smsc.moods.resetting / 2:  # before it was taken
            self.cut()
            return
        submit = Submit(now_s)
        self._taken.append(submit)
        while self._taken and self._taken[0].at_s < now_s - 60:
            self._taken.popleft()
        if now_s < self._stalled_until_s:  # it may have been in the socket for long
            submit.may_be_unheard()
        self.smsc.took(self, short_message(heard), submit)
        pause_s = self.smsc.chance.uniform(0, RESPONSE_S)
        asyncio.get_running_loop().call_later(pause_s, self._respond, heard, submit)

    def _respond(self, heard: Pdu, submit: Submit) -> None:
        self._answer(heard, b"id\0", submit=submit)

    def _answer(
        self, heard: Pdu, body: bytes = b"", *, status: int = 0, submit: Submit | None = None
    ) -> None:
        octets = pdu(heard.command_id | RESP, body, status=status, number=heard.sequence_number)
        if self.smsc.moods.mute:
            self._withheld.append((octets, submit))
        else:
            self._write(octets, submit)

    def _write(self, octets: bytes, submit: Submit | None = None) -> None:
        if self.transport.is_closing():
            return
        if self.smsc.chance.random() < self.smsc.moods.resetting:
            self.transport.write(octets[: self.smsc.chance.randrange(len(octets) + 1)])
            self.cut()
            return
        self.transport.write(octets)
        if submit is not None:
            submit.responded_s = time.monotonic()
            if submit.responded_s - submit.at_s > LATE_S:
                submit.may_be_unheard()

    def deliver(self, piece: Piece) -> int:
        self._number += 1
        self.open[self._number] = piece
        who = piece.question.who
        self._write(
            message(
                DELIVER_SM, who.msisdn, SERVICES[who.carrier], piece.octets, number=self._number,
                esm_class=piece.esm_class, data_coding=piece.data_coding, tlvs=piece.tlvs,
            )
        )  # fmt: skip
        return self._number

    def speak(self) -> None:
        """No longer mute."""
        withheld, self._withheld = self._withheld, []
        for octets, submit in withheld:
            self._write(octets, submit)

    def hear(self, *, again: bool) -> None:
        """Stop reading, or go on."""
        if not again:
            self.transport.pause_reading()
        elif not self.transport.is_closing():
            self._stalled_until_s = time.monotonic() + READING_S
            self.transport.resume_reading()

    def cut(self) -> None:
        """Reset it."""
        with suppress(OSError):
            raw: socket.socket = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.transport.abort()


class Smsc:
    """All of it. `chance` is for what nobody plans: which bind, where a PDU is cut."""

    def __init__(self, ledger: Ledger, port: int, seed: int) -> None:
        self.ledger = ledger
        self.chance = random.Random(seed)
        self.moods = Moods()
        self.links: set[Link] = set()
        self.port = port
        self._lines: defaultdict[str, deque[list[Piece]]] = defaultdict(deque)
        self._waiting: deque[Piece] = deque()
        self._parts: dict[tuple[str, int], dict[int, tuple[bytes, Submit]]] = {}
        self._server: asyncio.Server | None = None
        self._reference = 0

    async def listen(self) -> None:
        """On a free port, and on the same one again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Link(self), "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def leave(self) -> None:
        """Nobody listens any more, and all connections end; the messages are kept."""
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.cut()

    # from the phones to the gateway

    def send(self, question: Question) -> None:
        """A subscriber's text, to be delivered behind his earlier ones."""
        line = self._lines[question.who.msisdn]
        line.append(self._pieces(question))
        if len(line) == 1:
            self._begin(line)

    def _begin(self, line: deque[list[Piece]]) -> None:
        for piece in line[0]:
            self._deliver(piece)

    def _pieces(self, question: Question) -> list[Piece]:
        text = question.step.text
        self._reference += 1
        if text.isascii():
            octets, data_coding, most = text.encode(), 0, 160
        else:
            octets, data_coding, most = text.encode("utf-16-be"), UCS2, 140
        if len(octets) <= most:  # every other one has an id of ours
            named = b"" if self._reference % 2 else b"%x\0" % self._reference
            tlvs = struct.pack(">HH", RECEIPTED_MESSAGE_ID, len(named)) + named if named else b""
            return [Piece(question, octets, 0, data_coding, tlvs)]
        cut = [octets[at : at + PART_OCTETS] for at in range(0, len(octets), PART_OCTETS)]
        return [
            Piece(
                question,
                bytes([5, 0, 3, self._reference % 256, len(cut), index]) + part,
                UDHI,
                data_coding,
                b"",
            )
            for index, part in enumerate(cut, 1)
        ]

    def _deliver(self, piece: Piece) -> None:
        carrier = piece.question.who.carrier
        ready = [
            link
            for link in self.links
            if link.receives and link.carrier == carrier and len(link.open) < WINDOW
        ]
        if not ready:
            self._waiting.append(piece)
            return
        piece.sent += 1
        if piece.sent > 1:
            piece.question.again.append(time.monotonic())
        link = self.chance.choice(sorted(ready, key=id))
        number = link.deliver(piece)
        asyncio.get_running_loop().call_later(RESPONSE_TIMEOUT_S, self._timed_out, link, number)

    def _timed_out(self, link: Link, number: int) -> None:
        piece = link.open.pop(number, None)
        if piece is not None:
            self.again(piece)

    def again(self, piece: Piece) -> None:
        """Later, over any bind."""
        pause_s = min(LONGEST_PAUSE_S, 0.25 * 2**piece.sent) * self.chance.uniform(0.5, 1.0)
        asyncio.get_running_loop().call_later(pause_s, self._deliver, piece)

    def responded(self, piece: Piece, status: int) -> None:
        question = piece.question
        if status:
            question.refused += 1
            self.again(piece)
            return
        piece.acknowledged = True
        line = self._lines[question.who.msisdn]
        if line and all(each.acknowledged for each in line[0]) and line[0][0].question is question:
            question.acknowledged_s = time.monotonic()
            line.popleft()
            if line:
                self._begin(line)

    async def tend(self) -> None:
        """Deliver what found no bind."""
        while True:
            await asyncio.sleep(0.2)
            for _ in range(len(self._waiting)):
                self._deliver(self._waiting.popleft())

    # from the gateway to the phones

    def took(self, link: Link, taken: Message, submit: Submit) -> None:
        number, octets = taken.destination, taken.text
        parts: Sequence[tuple[bytes, Submit]] = [(octets, submit)]
        if taken.esm_class & UDHI:
            _, _, _, reference, total, index = octets[:6]
            gathered = self._parts.setdefault((number, reference), {})
            gathered[index] = octets[6:], submit
            if len(gathered) < total:
                return
            del self._parts[number, reference]
            parts = [gathered[index] for index in sorted(gathered)]
        answer = Answer(submit.at_s, link.gateway, any(each.unknown for _, each in parts))
        for _, each in parts:
            each.answer = answer
        whole = b"".join(part for part, _ in parts)
        text = whole.decode("utf-16-be" if taken.data_coding == UCS2 else "ascii")
        self.ledger.heard(number, text, answer)
