"""Reconnects: an SMSC that ends its connections in every state a session has, and what that leaves behind in
the gateway.

Called by `run`.
"""

import asyncio
import random
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.endurance import gateway
from bench.endurance.gateway import Gateway, Sample, until
from bench.store import results
from bench.store.engines import engine
from gateway.simulator import odd, pdus

LINKS, BINDS_A_LINK = 4, 50
WARM_UP: Final = 10_000
"""Reconnects before the first look: until then memory grows by some 10 MB, and hardly at all in the tens of
thousands after.
"""
PHONES: Final = gateway.numbers("china-unicom", 500)
"""Few, so that what the gateway remembers of numbers (65,536 of them) is there before the first look."""
CALM_TIMEOUT_S: Final = 90.0
SAMPLE_EVERY_S: Final = 5.0
_BIND_RESPS: Final = {1: 0x8000_0001, 2: 0x8000_0002, 9: 0x8000_0009}
_SUBMIT_SM, _DELIVER_SM_RESP, _UNBIND, _UNBIND_RESP, _ENQUIRE_LINK = 4, 0x8000_0005, 6, 0x8000_0006, 0x15
_ALREADY_BOUND: Final = 5
SECTION: Final = """
[[smsc]]
name = "link{number}"
port = {port}
system_id = "endurance"
password = "secret"
carrier = "china-unicom"
binds = {binds}
reconnect_max_s = 1.0
response_timeout_s = 2.0
session_init_s = 2.0
"""


class Peer(asyncio.Protocol):
    """One connection; it ends as its plan says."""

    def __init__(self, smsc: "DroppingSmsc") -> None:
        self._smsc = smsc
        self._buffer = bytearray()
        self.plan = smsc.plan()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._smsc.peers.add(self)
        if self.plan == "reset when connected":
            transport.abort()
        elif self.plan == "closed when connected":
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._smsc.ended(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 16 and not self.transport.is_closing():
            length, command, _, sequence = struct.unpack_from(">LLLL", self._buffer)
            if len(self._buffer) < length:
                return
            del self._buffer[:length]
            self._received(command, sequence)

    def _received(self, command: int, sequence: int) -> None:
        if command in _BIND_RESPS:
            self._bind(command, sequence)
        elif command == _SUBMIT_SM:
            if self.plan == "reset at the submit_sm":
                self.transport.abort()
                return
            self._write("submit_sm_resp", sequence, message_id="1")
            if self.plan == "reset behind the submit_sm_resp":
                self.transport.abort()
        elif command == _ENQUIRE_LINK:
            self._write("enquire_link_resp", sequence)
        elif command == _UNBIND:
            self._write("unbind_resp", sequence)
            self.transport.close()
        elif command == _UNBIND_RESP or (
            command == _DELIVER_SM_RESP and self.plan == "reset at the deliver_sm_resp"
        ):
            self.transport.abort()

    def _bind(self, command: int, sequence: int) -> None:
        answer = struct.pack(">LLLL", 16 + len(b"smsc\0"), _BIND_RESPS[command], 0, sequence) + b"smsc\0"
        if self.plan == "bind never answered":
            return
        if self.plan == "bind refused":
            self.transport.write(struct.pack(">LLLL", 16, _BIND_RESPS[command], _ALREADY_BOUND, sequence))
        elif self.plan == "reset within the bind_resp":
            self.transport.write(answer[:10])
            self.transport.abort()
        else:
            self.transport.write(answer)
            self.bound()

    def bound(self) -> None:
        """Go on as planned; called again for one that stayed until now."""
        act = _ONCE_BOUND.get(self.plan)
        if act is not None:
            act(self)

    def deliver(self) -> bytes:
        self._smsc.texts += 1
        return pdus.encode(
            "deliver_sm", self._smsc.texts, source_addr=PHONES[self._smsc.texts % len(PHONES)],
            source_addr_ton=1, source_addr_npi=1, destination_addr="10010",
            short_message=b"CXMYD#1234", data_coding=0, receipted_message_id=str(self._smsc.texts),
        )  # fmt: skip

    def cut(self) -> None:
        self.transport.write(self.deliver()[:30])
        self.transport.abort()

    def _write(self, name: str, sequence: int, **fields: Any) -> None:
        self.transport.write(pdus.encode(name, sequence, **fields))


def _ask(peer: Peer) -> None:
    peer.transport.write(peer.deliver())


def _ask_and_reset(peer: Peer) -> None:
    _ask(peer)
    peer.transport.abort()


_ONCE_BOUND: Final[dict[str, Callable[[Peer], None]]] = {
    "reset when bound": lambda peer: peer.transport.abort(),
    "closed when bound": lambda peer: peer.transport.close(),
    "unbound": lambda peer: peer.transport.write(pdus.encode("unbind", 1)),
    "reset within a deliver_sm": Peer.cut,
    "reset behind a deliver_sm": _ask_and_reset,
    "reset at the deliver_sm_resp": _ask,
    "reset at the submit_sm": _ask,
    "reset behind the submit_sm_resp": _ask,
    "octets that are no PDU": lambda peer: peer.transport.write(odd.garbage(64)),
    "command_length 15": lambda peer: peer.transport.write(odd.lying_length("short", 1)),
}
PLANS: Final = (
    "reset when connected",
    "closed when connected",
    "bind never answered",
    "bind refused",
    "reset within the bind_resp",
    *_ONCE_BOUND,
)
STAY: Final = "stay"


class DroppingSmsc:
    """Ends every connection as planned while `dropping`; keeps them all while not."""

    def __init__(self, seed: int) -> None:
        self.dropping = False
        self.peers: set[Peer] = set()
        self.endings: Counter[str] = Counter()
        self.texts = 0
        self._random = random.Random(seed)

    def plan(self) -> str:
        return self._random.choice(PLANS) if self.dropping else STAY

    def ended(self, peer: Peer) -> None:
        self.peers.discard(peer)
        self.endings[peer.plan] += 1

    async def drop(self, count: int) -> None:
        """End connections until so many have ended."""
        target = self.endings.total() + count
        self.dropping = True
        for peer in list(self.peers):
            peer.plan = self._random.choice(list(_ONCE_BOUND))
            peer.bound()
        while self.endings.total() < target:
            await asyncio.sleep(0.02)
        self.dropping = False


async def endure(count: int, seed: int) -> dict[str, Any]:
    """So many reconnects; the figures before and after."""
    with (
        engine("redis") as store,
        tempfile.TemporaryDirectory(prefix="cxmyd-endurance-") as folder,
    ):
        smsc = DroppingSmsc(seed)
        server = await asyncio.get_running_loop().create_server(lambda: Peer(smsc), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sections = "".join(
            SECTION.format(number=number, port=port, binds=BINDS_A_LINK) for number in range(LINKS)
        )
        with gateway.running(Path(folder), store.url, sections, subscribers=len(PHONES)) as under_test:
            async with aiohttp.ClientSession() as session:
                found = await _endure(smsc, under_test, session, count)
        server.close()
        return found


async def _endure(
    smsc: DroppingSmsc, under_test: Gateway, session: aiohttp.ClientSession, count: int
) -> dict[str, Any]:
    samples: list[Sample] = []

    async def look() -> None:
        while True:
            samples.append(await under_test.sample(session))
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def calm() -> Sample:
        """Everything is bound again, and what was parked has been answered."""

        async def is_calm() -> bool:
            now = await under_test.sample(session)
            return now.bound == LINKS * BINDS_A_LINK and not now.waiting + now.messages + now.in_flight

        if not await until(is_calm, CALM_TIMEOUT_S):
            raise SystemExit(f"does not calm down: {await under_test.sample(session)}")
        return await under_test.sample(session)

    await until(lambda: gateway.ready(under_test, session), gateway.READY_TIMEOUT_S)
    await calm()
    await smsc.drop(min(WARM_UP, count))
    before = await calm()
    smsc.endings.clear()
    started_s = time.monotonic()
    looking = asyncio.create_task(look())
    await smsc.drop(count)
    took_s = time.monotonic() - started_s
    looking.cancel()
    endings = dict(smsc.endings)
    after = await calm()
    results.console.print(f"{sum(endings.values()):,} connections ended in {took_s:.0f} s")
    results.table("how they ended", ("state", "times"), sorted(endings.items()))
    return {
        "reconnects": sum(endings.values()),
        "seconds": round(took_s, 1),
        "endings": endings,
        "before": before._asdict(),
        "after": after._asdict(),
        "samples": [sample._asdict() for sample in samples],
        "errors": under_test.errors(),
    }
