"""The flow with its real Redis adapters and a scripted SMSC in place of the links."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.app import MonotonicClock
from gateway.dialog.carrier import Carrier
from gateway.flow.deciding import Decider
from gateway.flow.messages import ACCEPTED, Mo, Mt, Outcome, Verdict
from gateway.flow.parkworker import ParkWorker
from gateway.flow.pipeline import Limits, Pipeline
from gateway.redis.calls import Calls
from gateway.redis.confirming import Copies
from gateway.redis.library import LIBRARY
from gateway.redis.park import RedisPark
from gateway.redis.parkroom import Room
from gateway.redis.turns import RedisTurns
from gateway.smpp.pdu import Address
from gateway.web.metrics import Metrics
from location_store.keys import KeyFile
from location_store.places import Places
from location_store.pseudonyms import Layout, Pseudonyms

PLAIN = Carrier(name="plain", numbers=("10086",), dialog="none", signature="【测试】")
PROMPT = Carrier(
    name="china-mobile",
    numbers=("10086",),
    dialog="prompt-for-id",
    signature="【中国移动】",
    queries_per_day=5,
)
CARRIERS = {carrier.name: carrier for carrier in (PLAIN, PROMPT)}
ROUTE = "smsc-1"


@dataclass
class ScriptedSmsc:
    """An outbox whose outcomes a test decides. `sent` are the answers' texts, in the order of sending."""

    outcomes: list[Outcome | Exception] = field(default_factory=list)  # used up in order; then ACCEPTED
    sent: list[tuple[str, str]] = field(default_factory=list)
    not_after_s: list[float] = field(default_factory=list)
    up: bool = True
    gated: set[asyncio.Task[Literal[True]]] = field(default_factory=set)
    gate: asyncio.Event | None = None  # while set to an unset event, responses wait for it

    def can_send(self, route: str) -> bool:
        return self.up

    def send_then(self, route: str, mt: Mt, then: Callable[[Outcome], None]) -> None:
        self.sent.append((mt.destination.digits, mt.text))
        self.not_after_s.append(mt.not_after_s)
        if self.gate is not None:
            task = asyncio.ensure_future(self.gate.wait())
            self.gated.add(task)
            task.add_done_callback(lambda _task: self._respond(then))
        else:
            self._respond(then)

    def _respond(self, then: Callable[[Outcome], None]) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else ACCEPTED
        if isinstance(outcome, Exception):
            raise outcome
        then(outcome)


class Told:
    """What the SMSC was told, and when all was over."""

    def __init__(self, verdict: asyncio.Future[Verdict], ended: asyncio.Future[None]) -> None:
        self._verdict = verdict
        self._ended = ended

    def settle(self, verdict: Verdict) -> None:
        self._verdict.set_result(verdict)

    def over(self) -> None:
        self._ended.set_result(None)


@dataclass
class Process:
    """One gateway process, as far as the flow goes."""

    pipeline: Pipeline
    park: RedisPark
    worker: ParkWorker
    calls: Calls
    smsc: ScriptedSmsc
    metrics: Metrics

    async def deliver(self, mo: Mo) -> Verdict:
        """Handle one message; what the SMSC is told."""
        loop = asyncio.get_running_loop()
        verdict: asyncio.Future[Verdict] = loop.create_future()
        over: asyncio.Future[None] = loop.create_future()
        self.pipeline.handle(mo, Told(verdict, over))
        told = await verdict
        if self.smsc.gate is None:
            await over
        return told

    async def waiting(self) -> int:
        shards = [await self.park.entries(ROUTE, shard, 100) for shard in self.park.shards(ROUTE)]
        return sum(map(len, shards))

    async def dead(self) -> list[str]:
        reasons = []
        for shard in self.park.shards(ROUTE):
            key = b"px:{%s/%d}" % (ROUTE.encode(), shard)
            for _, flat in await self.calls.call(key, "XRANGE", key, "-", "+"):
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                reasons.append(fields[b"r"].decode())
        return reasons


def pseudonyms(folder: Path) -> Pseudonyms:
    path = folder / "keys.json"
    return Pseudonyms(KeyFile.load(path) if path.exists() else KeyFile.create(path), Layout(16, 1))


@asynccontextmanager
async def process(
    url: str,
    folder: Path,
    *,
    after_s: float = 0.3,
    lease_s: float = 1.0,
    answer_ttl_s: float = 60.0,
    timeout_s: float = 1.0,
    limit: int = 0,
    copies: Copies | None = None,
) -> AsyncIterator[Process]:
    clock = MonotonicClock(asyncio.get_running_loop())
    names = pseudonyms(folder)
    calls = Calls(url, library=LIBRARY, timeout_s=timeout_s, copies=copies)
    assert await calls.wait_up(60)
    smsc, metrics = ScriptedSmsc(), Metrics()
    park = RedisPark(
        calls,
        clock=clock,
        seal_keys=names.subkeys("park"),
        answer_ttl_s=answer_ttl_s,
        carriers=CARRIERS,
        rooms={ROUTE: Room(calls, clock, carrier="plain", limit=limit, routes=[ROUTE])} if limit else {},
        unconfirmed_s=0.0 if copies is None else 5.0,
        on_refused=metrics.could_not_park,
        on_lost=metrics.park_lost,
    )
    pipeline = Pipeline(
        turns=RedisTurns(
            calls, dedup_window_s=30, lease_s=lease_s, after_s=after_s, monotonic=time.monotonic
        ),
        park=park,
        outbox=smsc,
        decider=Decider(Places.load(), names, ("10086",)),
        pseudonyms=names,
        clock=clock,
        recorder=metrics,
        limits=Limits(after_s=after_s, hold_s=5.0, answer_ttl_s=answer_ttl_s),
    )
    errors: list[BaseException] = []
    worker = ParkWorker(
        park=park,
        pipeline=pipeline,
        outbox=smsc,
        clock=clock,
        recorder=metrics,
        routes=[ROUTE],
        on_error=errors.append,
        idle_s=0.01,
    )
    try:
        yield Process(pipeline, park, worker, calls, smsc, metrics)
    finally:
        await worker.stop()
        await calls.close()
        assert errors == []


def mo(
    text: str = "CXMYD",
    *,
    msisdn: str = "8613800000001",
    carrier: Carrier = PLAIN,
    digest: bytes | None = None,
) -> Mo:
    return Mo(
        route=ROUTE,
        carrier=carrier,
        msisdn=msisdn,
        source=Address(1, 1, msisdn),
        destination=Address(0, 1, "10086"),
        text=text,
        digest=digest or secrets.token_bytes(16),
        received_s=time.time(),
    )


async def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait for something to come true; fails when it does not."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.005)
