"""Clients of the gateway's listener that come, ask, and leave in all manners, in order or not.

Their PDUs are the simulator's (smpplib). Called by `load`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from bench.endurance.judging import Question, Questions
from gateway.simulator import joining, pdus

ELSEWHERE: Final = "127.0.0.2"
"""Where wrong passwords come from: the listener refuses an address for a while after some of them."""
SERVICE: Final = "10010"
MANNERS: Final = ("in order", "in order", "in order", "reset", "unread", "leaves at once", "wrong password")


class Client:
    """One of the listener's clients, by its `name`; its visits come one after another."""

    def __init__(self, port: int, name: str, questions: Questions, seed: int) -> None:
        self._port, self._system_id, self._password = port, f"app{name}", f"secret{name}"
        self._questions = questions
        self._random = random.Random(seed)
        self._unfinished = joining.Unfinished()
        self._submitted: dict[int, Question] = {}
        self._sequence = 0
        self.visits: Counter[str] = Counter()

    async def visit(self, numbers: list[str], manner: str | None = None) -> None:
        """Bind, ask for some numbers, stay for some seconds, leave."""
        manner = manner or self._random.choice(MANNERS)
        self.visits[manner] += 1
        wrong = manner == "wrong password"
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            where = (ELSEWHERE, 0) if wrong else None
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=where)
            try:
                self._write(writer, "bind_transceiver", system_id=self._system_id,
                            password="wrong" if wrong else self._password)  # fmt: skip
                bound = await asyncio.wait_for(_read(reader), 5)
                if not bound.status and manner != "leaves at once":
                    await self._stay(reader, writer, numbers, manner)
            finally:
                if manner == "reset":
                    writer.transport.abort()
                writer.close()
                self._submitted.clear()

    async def _stay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, numbers: list[str], manner: str
    ) -> None:
        for number in numbers:
            self._submitted[self._sequence + 1] = self._questions.asked(number)
            self._write(writer, "submit_sm", source_addr=number, source_addr_ton=1, source_addr_npi=1,
                        destination_addr=SERVICE, short_message=b"CXMYD#1234")  # fmt: skip
        with suppress(TimeoutError):
            async with asyncio.timeout(self._random.uniform(1, 6)):
                while True:
                    self._received(await _read(reader), writer, manner)
        if manner == "in order":
            self._write(writer, "unbind")
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    while (pdu := await _read(reader)).command != "unbind_resp":
                        self._received(pdu, writer, manner)

    def _received(self, pdu: Any, writer: asyncio.StreamWriter, manner: str) -> None:
        if pdu.command == "submit_sm_resp":
            question = self._submitted.pop(pdu.sequence, None)
            if question is not None:
                question.accepted = pdu.status == 0
        elif pdu.command == "enquire_link":
            self._respond(writer, pdu)
        elif pdu.command == "deliver_sm":
            number = pdu.destination_addr
            _, text = self._unfinished.add(pdu.source_addr, number, joining.piece_of(pdu))
            if text is not None:
                self._questions.answered(number)
            if manner != "in order":  # no response is written, or the reset may destroy it
                self._questions.unknown.add(number)
            if manner != "unread":
                self._respond(writer, pdu)

    def _respond(self, writer: asyncio.StreamWriter, pdu: Any) -> None:
        writer.write(pdus.encode(f"{pdu.command}_resp", pdu.sequence))

    def _write(self, writer: asyncio.StreamWriter, name: str, **fields: Any) -> None:
        self._sequence += 1
        writer.write(pdus.encode(name, self._sequence, **fields))


async def _read(reader: asyncio.StreamReader) -> Any:
    head = await reader.readexactly(4)
    return pdus.decode(head + await reader.readexactly(int.from_bytes(head, "big") - 4))


async def keep_visiting(client: Client, take: Callable[[int], list[str]], seed: int) -> None:
    """Visit after visit, each with numbers of its own."""
    chance = random.Random(seed)
    while True:
        await client.visit(take(chance.randrange(1, 6)))
        await asyncio.sleep(chance.uniform(0, 2))
