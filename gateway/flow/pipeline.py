"""The way of one message: turn -> decision -> answer -> finished turn, or the park.

The promise kept here: a message is acknowledged only when (a) every part of its answer was accepted, or (b)
it is durably parked, or (c) by rule it is not answered. Otherwise the SMSC is told a temporary error and
keeps it. One subscriber's messages are handled one after the other, in this process by `_in_turn`, across
processes by the lease of `Turns`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache

from gateway.flow.deciding import Decider, Saying
from gateway.flow.messages import Mo, Mt, Outcome, Result, Sending, Verdict, Work
from gateway.flow.ports import Answered, Busy, Clock, Outbox, Park, Recorder, Turn, Turns
from gateway.sms.alphabets import Alphabet
from gateway.sms.segments import Part, segment
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym, Pseudonyms

#: How long to wait before asking again for a turn that another process has.
BUSY_PAUSE_S = 0.05
#: What a message is not charged for as a try: the link was away, or too fast for the SMSC.
_NOT_ITS_FAULT = frozenset({"no_link", "throttled", "expired"})

Settle = Callable[[Verdict], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """`hold_s`: how long the first attempt may go on after parking (the SMSC's response timeout and a
    margin).
    """

    after_s: float
    hold_s: float
    answer_ttl_s: float


class Pipeline:
    def __init__(
        self,
        *,
        turns: Turns,
        park: Park,
        outbox: Outbox,
        decider: Decider,
        pseudonyms: Pseudonyms,
        alphabet_of: Callable[[str], Alphabet],
        clock: Clock,
        recorder: Recorder,
        limits: Limits,
    ) -> None:
        self._turns = turns
        self._park = park
        self._outbox = outbox
        self._decider = decider
        self._pseudonyms = pseudonyms
        self._alphabet_of = alphabet_of
        self._clock = clock
        self._recorder = recorder
        self._limits = limits
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._reference = 0
        self.in_flight = 0

    async def handle(self, mo: Mo, settle: Settle) -> None:
        """One message from an SMSC. `settle` is called once, with what to tell it, as soon as that is
        decided.
        """
        if mo.msisdn is None:
            self._end(mo, Result(Work.DONE, "not_a_subscriber"), self._clock.monotonic())
            settle(Verdict.ACK)
            return
        self.in_flight += 1
        try:
            await _Flight(self, mo, self._pseudonyms.of(mo.msisdn), settle).run()
        finally:
            self.in_flight -= 1

    async def accept(self, mo: Mo) -> bool:
        """Park first, answer afterwards: for peers that wait for their response before they read on. False:
        not kept.
        """
        if mo.msisdn is None:
            self._end(mo, Result(Work.DONE, "not_a_subscriber"), self._clock.monotonic())
            return True
        try:
            await self._park.add(self._pseudonyms.of(mo.msisdn), mo, 0)
        except StoreError as error:
            self._recorder.failed("park", error)
            return False
        self._recorder.parked(mo.carrier.name, "listener")
        return True

    async def attempt(self, mo: Mo) -> Result:
        """One attempt at answering; never raises. The park's worker calls it for what is parked."""
        assert mo.msisdn is not None, "only subscribers' messages are parked"
        started_s = self._clock.monotonic()
        who = self._pseudonyms.of(mo.msisdn)
        result = await self._in_turn(mo.msisdn, lambda: self._attempt(mo, who, lambda _turn: None))
        if result.work is not Work.LATER:
            self._end(mo, result, started_s)
        return result

    # one attempt

    async def _in_turn(self, msisdn: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run `work` after all earlier work for this subscriber in this process."""
        queue = self._queues.get(msisdn)
        if queue is None:
            self._queues[msisdn] = queue = deque()
        else:
            waiting = asyncio.get_running_loop().create_future()
            queue.append(waiting)
            await waiting
        try:
            return await work()
        finally:
            while queue:
                following = queue.popleft()
                if not following.done():
                    following.set_result(None)
                    break
            else:
                del self._queues[msisdn]

    async def _attempt(self, mo: Mo, who: Pseudonym, on_turn: Callable[[Turn], None]) -> Result:
        try:
            turn = await self._begin(mo, who)
            if isinstance(turn, Busy):
                return Result(Work.LATER, "busy", counts=False)
            if isinstance(turn, Answered):
                return Result(Work.DONE, "redelivered")
            on_turn(turn)
            return await self._answer(mo, who, turn)
        except StoreError as error:
            self._recorder.failed("store", error)
            return Result(Work.LATER, "store", counts=False)
        except Exception as error:  # noqa: BLE001 - the boundary of one message: its neighbours must flow
            self._recorder.failed("message", error)
            return Result(Work.LATER, type(error).__name__)

    async def _begin(self, mo: Mo, who: Pseudonym) -> Turn | Answered | Busy:
        patience_s = self._clock.monotonic() + self._limits.after_s
        while True:
            turn = await self._turns.begin(who, mo.digest)
            if not isinstance(turn, Busy) or self._clock.monotonic() > patience_s:
                return turn
            await self._clock.sleep(BUSY_PAUSE_S)

    async def _answer(self, mo: Mo, who: Pseudonym, turn: Turn) -> Result:
        saying = self._decider.decide(mo, turn, self._clock.wall())
        if saying.guessed:
            self._recorder.guessing(mo.carrier.name, saying.guessed)
        outcome = Outcome(Sending.ACCEPTED, saying.reason)
        if saying.text is not None:
            if self._clock.monotonic() > turn.good_until_s:
                return Result(Work.LATER, "lease_ended", counts=False)
            outcome = await self._outbox.send(mo.route, self._mt(mo, saying.text))
        if outcome.sending is Sending.LATER:
            await self._turns.abandon(who, turn.token)
            return Result(Work.LATER, outcome.reason, counts=outcome.reason not in _NOT_ITS_FAULT)
        if outcome.sending is Sending.REFUSED:
            # The words did not reach him, so the dialog did not move: only the mark and the lease.
            await self._turns.finish(who, mo.digest, turn.token, None, 0)
            return Result(Work.DEAD, outcome.reason)
        return await self._finish(mo, who, turn, saying)

    async def _finish(self, mo: Mo, who: Pseudonym, turn: Turn, saying: Saying) -> Result:
        """The answer is out; the state must follow. A store that goes away in between is given the lease's
        time to return.
        """
        while True:
            try:
                await self._turns.finish(who, mo.digest, turn.token, saying.state, saying.state_ttl_s)
            except StoreError as error:
                if self._clock.monotonic() < turn.good_until_s:
                    await self._clock.sleep(BUSY_PAUSE_S)
                    continue
                self._recorder.failed("finish", error)
                if saying.awaits_reply:  # he was asked, and his reply would not be understood: ask him again
                    return Result(Work.LATER, "state_lost", counts=False)
            return Result(Work.DONE, saying.reason)

    def _mt(self, mo: Mo, text: str) -> Mt:
        parts = _segmented(text, self._alphabet_of(mo.route))
        if len(parts) > 1:  # parts are told apart by their reference, so each answer has its own
            self._reference = (self._reference + 1) & 0xFF
            parts = segment(text, self._reference, self._alphabet_of(mo.route))
        age_s = self._clock.wall() - mo.received_s
        not_after_s = self._clock.monotonic() + self._limits.answer_ttl_s - age_s
        return Mt(mo.destination, mo.source, parts, not_after_s)

    def _end(self, mo: Mo, result: Result, started_s: float) -> None:
        elapsed_s = self._clock.monotonic() - started_s
        self._recorder.ended(mo.carrier.name, result.work.value, result.reason, elapsed_s)


@lru_cache(4096)
def _segmented(text: str, alphabet: Alphabet) -> tuple[Part, ...]:
    """Prompts and short answers are the same for very many."""
    return segment(text, 0, alphabet)


class _Flight:
    """One message between its arrival and its acknowledgement: the race between its answer and `after_s`."""

    def __init__(self, pipeline: Pipeline, mo: Mo, who: Pseudonym, settle: Settle) -> None:
        self._p = pipeline
        self._mo = mo
        self._who = who
        self._settle = settle
        self._turn: Turn | None = None
        self._parking: asyncio.Task[bytes | None] | None = None

    async def run(self) -> None:
        p, mo = self._p, self._mo
        assert mo.msisdn is not None
        started_s = p._clock.monotonic()
        timer = p._clock.call_later(p._limits.after_s, self._too_slow)
        result = await p._in_turn(mo.msisdn, lambda: p._attempt(mo, self._who, self._got_turn))
        timer.cancel()
        entry_id = await self._parking if self._parking is not None else None
        if result.work is Work.LATER:
            await self._later(entry_id, result.reason)
            return
        p._end(mo, result, started_s)
        try:
            if result.work is Work.DEAD:
                await p._park.bury(self._who, mo, entry_id, result.reason)
            elif entry_id is not None:
                await p._park.remove(self._who, mo, entry_id)
        except StoreError as error:
            # A parked entry that stays is recognised by the message's mark; a dead one that is not recorded
            # comes again.
            p._recorder.failed("unpark", error)
            if result.work is Work.DEAD and self._parking is None:
                self._settle(Verdict.TEMPORARY)
                return
        if self._parking is None:
            self._settle(Verdict.ACK)

    async def _later(self, entry_id: bytes | None, reason: str) -> None:
        """Not answered this time: to the park, unless it is there already."""
        p = self._p
        if self._parking is None:
            entry_id = await self._parked(0, reason)
            self._settle(Verdict.TEMPORARY if entry_id is None else Verdict.ACK)
        elif entry_id is not None:
            try:
                await p._park.unhold(self._who, self._mo, entry_id)
            except StoreError as error:  # the hold ends by itself
                p._recorder.failed("unhold", error)

    def _got_turn(self, turn: Turn) -> None:
        self._turn = turn

    def _too_slow(self) -> None:
        self._parking = asyncio.get_running_loop().create_task(self._park_under_way())

    async def _park_under_way(self) -> bytes | None:
        entry_id = await self._parked(self._p._limits.hold_s, "slow")
        self._settle(Verdict.TEMPORARY if entry_id is None else Verdict.ACK)
        return entry_id

    async def _parked(self, hold_s: float, reason: str) -> bytes | None:
        p = self._p
        try:
            if hold_s and self._turn is not None:
                await p._turns.extend(self._who, self._turn.token, hold_s)
            entry_id = await p._park.add(self._who, self._mo, hold_s)
        except StoreError as error:
            p._recorder.failed("park", error)
            return None
        p._recorder.parked(self._mo.carrier.name, reason)
        return entry_id
