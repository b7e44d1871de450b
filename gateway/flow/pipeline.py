"""The way of one message: turn -> decision -> answer -> finished turn, or the park.

The promise kept here: a message is acknowledged only when (a) every part of its answer was accepted, or (b)
it is durably parked, or (c) by rule it is not answered. Otherwise the SMSC is told a temporary error and
keeps it. One subscriber's messages are handled one after the other, in this process by `_line_up`, across
processes by the lease of `Turns`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from gateway.flow.admission import Admission
from gateway.flow.deciding import Decider, Saying
from gateway.flow.messages import Mo, Mt, Outcome, Result, Sending, Verdict, Work
from gateway.flow.ports import Answered, Behind, Busy, Clock, Outbox, Park, Recorder, Timer, Turn, Turns
from gateway.flow.unmarked import Unmarked
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym, Pseudonyms

#: How long to wait before asking again for a turn that another process has.
BUSY_PAUSE_S = 0.05
#: Messages of one subscriber that wait here for the one before them; beyond, the SMSC keeps them.
MAX_WAITING = 8
#: In one turn of the loop: thousands may be too slow together, when the store is.
PARKED_AT_ONCE = 100
#: What a message is not charged for as a try: the link was away, or too fast for the SMSC.
_NOT_ITS_FAULT = frozenset({"no_link", "throttled", "expired"})

_NO_TURN = {
    Answered: Result(Work.DONE, "redelivered"),
    Busy: Result(Work.LATER, "busy", counts=False),
    Behind: Result(Work.LATER, "behind", counts=False),
}

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
        clock: Clock,
        recorder: Recorder,
        limits: Limits,
        admission: Admission | None = None,
    ) -> None:
        """`admission` is told how long turns take to begin."""
        self._admission = admission or Admission()
        self._turns = turns
        self._park = park
        self._outbox = outbox
        self._decider = decider
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._recorder = recorder
        self._limits = limits
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._flights: deque[_Flight] = deque()  # the oldest first, and so the first to be too slow
        self._sweep: Timer | None = None
        self._unmarked = Unmarked(turns, clock)

    async def handle(self, mo: Mo, settle: Settle) -> None:
        """One message from an SMSC. `settle` is called once, with what to tell it, as soon as that is
        decided.
        """
        started_s = self._clock.monotonic()
        if mo.msisdn is None:
            self._end(mo, Result(Work.DONE, "not_a_subscriber"), started_s)
            settle(Verdict.ACK)
            return
        if len(self._queues.get(mo.msisdn, ())) >= MAX_WAITING:
            settle(Verdict.FULL)
            return
        flight = _Flight(self, mo, self._pseudonyms.of(mo.msisdn), settle, started_s)
        self._watch(flight)
        result = await self._attempt(mo, flight.who, flight)
        flight.answered = True
        self._forget_answered()
        if result.work is Work.DONE and flight.parking is None:
            self._end(mo, result, started_s)
            settle(Verdict.ACK)
        else:
            await flight.end(result)

    async def accept(self, mo: Mo) -> bool:
        """Park first, answer afterwards: for peers that wait for their response before they read on. False:
        not kept.
        """
        if mo.msisdn is None:
            self._end(mo, Result(Work.DONE, "not_a_subscriber"), self._clock.monotonic())
            return True
        who = self._pseudonyms.of(mo.msisdn)
        try:
            if await self._seen(mo, who):  # sent again, as the peer had no response in time
                self._end(mo, _NO_TURN[Answered], self._clock.monotonic())
                return True
            await self._park.add(who, mo, 0)
        except StoreError as error:
            self._recorder.failed("park", error)
            return False
        self._recorder.parked(mo.carrier.name, "listener")
        await self._mark(mo, who)
        return True

    async def _seen(self, mo: Mo, who: Pseudonym) -> bool:
        older, asked_s = self._older(mo), self._clock.monotonic()
        seen = await self._turns.seen(who, mo.digest) or (
            older is not None and await self._turns.seen(older, mo.digest)
        )
        now_s = self._clock.monotonic()
        self._admission.waited(now_s - asked_s, now_s)
        return seen

    async def _mark(self, mo: Mo, who: Pseudonym | None, *, answered: bool = False) -> bool:
        """Mark a message beside its turn, also for processes that do not know the newest key yet; False when
        it had a mark. Where that fails, a redelivery of a parked one is parked behind it, and recognised once
        this one is answered.
        """
        first = True
        try:
            for name in (who, self._older(mo)):
                if name is not None:
                    first = await self._turns.mark(name, mo.digest, answered=answered) and first
        except StoreError as error:
            self._recorder.failed("mark", error)
        return first

    def _older(self, mo: Mo) -> Pseudonym | None:
        """Who the sender is under the older key, while there is one."""
        older = self._pseudonyms.older
        return None if older is None or mo.msisdn is None else older.of(mo.msisdn)

    async def attempt(self, mo: Mo) -> Result:
        """One attempt at answering; never raises. The park's worker calls it for what is parked."""
        assert mo.msisdn is not None, "only subscribers' messages are parked"
        started_s = self._clock.monotonic()
        who = self._pseudonyms.of(mo.msisdn)
        result = await self._attempt(mo, who)
        if result.work is not Work.LATER:
            self._end(mo, result, started_s)
        return result

    def reconfigure(self, limits: Limits) -> None:
        """Times that hold from now on, for messages under way too."""
        self._limits = limits
        if self._sweep is not None:
            self._sweep.cancel()
            self._park_the_slow()

    def park_the_rest(self) -> "list[asyncio.Task[bytes | None]]":
        """The process is about to end: park what is neither answered nor parked. Each gives its entry's id,
        or None where it was refused for the time being.
        """
        flights = [flight for flight in self._flights if not flight.answered and flight.parking is None]
        return [flight.too_slow("drain") for flight in flights]

    async def bury(self, mo: Mo, who: Pseudonym, entry_id: bytes | None, reason: str) -> None:
        """Record a message as dead (entry_id None: it was never parked), then mark it: a redelivery is not
        attempted. An operator may have it tried again, so it is not marked as answered.
        """
        await self._park.bury(who, mo, entry_id, reason)
        await self._mark(mo, who)

    # one attempt

    def _line_up(self, msisdn: str) -> asyncio.Future[None] | None:
        """What to wait for until all earlier work for this subscriber in this process has ended."""
        queue = self._queues.get(msisdn)
        if queue is None:
            self._queues[msisdn] = deque()
            return None
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(waiting)
        return waiting

    def _next_in_line(self, msisdn: str) -> None:
        queue = self._queues[msisdn]
        while queue:
            following = queue.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._queues[msisdn]

    async def _attempt(self, mo: Mo, who: Pseudonym, flight: "_Flight | None" = None) -> Result:
        assert mo.msisdn is not None, "only a subscriber has turns"
        earlier = self._line_up(mo.msisdn)
        if earlier is not None:
            await earlier
        try:
            if mo.digest in self._unmarked:
                return _NO_TURN[Answered]
            if flight is not None and flight.parking is not None:  # it has waited in line for too long
                return _NO_TURN[Busy]
            fresh = flight is not None
            begun_s = self._clock.monotonic()
            turn = await self._begin(mo, who, fresh)
            now_s = self._clock.monotonic()
            self._admission.waited(now_s - begun_s, now_s)
            if isinstance(turn, Busy):
                turn = await self._begin_later(mo, who, flight)
            if not isinstance(turn, Turn):
                # One that was parked meanwhile may have met its own mark: whoever works it off will see.
                parked = flight is not None and flight.parking is not None
                return _NO_TURN[Busy if parked else type(turn)]
            if flight is not None:
                flight.turn = turn
            return await self._answer(mo, who, turn)
        except StoreError as error:
            self._recorder.failed("store", error)
            return Result(Work.LATER, "store", counts=False)
        except Exception as error:  # noqa: BLE001 - the boundary of one message: its neighbours must flow
            self._recorder.failed("message", error)
            return Result(Work.LATER, type(error).__name__)
        finally:
            self._next_in_line(mo.msisdn)

    def _begin(self, mo: Mo, who: Pseudonym, fresh: bool) -> Awaitable[Turn | Answered | Busy | Behind]:
        older = self._older(mo)
        if older is None:
            return self._turns.begin(who, mo.digest, fresh=fresh)
        return self._turns.begin_rotating(who, older, mo.digest, fresh=fresh)

    async def _begin_later(
        self, mo: Mo, who: Pseudonym, flight: "_Flight | None"
    ) -> Turn | Answered | Busy | Behind:
        """Another process has the turn: ask again for as long as a message may take, or until it is
        parked.
        """
        patience_s = self._clock.monotonic() + self._limits.after_s
        turn: Turn | Answered | Busy | Behind = Busy()
        while isinstance(turn, Busy) and self._clock.monotonic() <= patience_s:
            await self._clock.sleep(BUSY_PAUSE_S)
            if flight is not None and flight.parking is not None:
                break
            turn = await self._begin(mo, who, flight is not None)
        return turn

    async def _answer(self, mo: Mo, who: Pseudonym, turn: Turn) -> Result:
        now_s = self._clock.wall()
        saying = self._decider.decide(mo, turn, now_s)
        if saying.guessed:
            self._recorder.guessing(mo.carrier.name, saying.guessed)
        if saying.text is not None:
            monotonic_s = self._clock.monotonic()
            ours = monotonic_s <= turn.good_until_s
            if ours and saying.ahead and saying.state is not None:
                ours = await self._turns.keep(who, turn.token, saying.state, saying.state_ttl_s)
            if not ours:
                return Result(Work.LATER, "lease_ended", counts=False)
            left_s = mo.received_s + self._limits.answer_ttl_s - now_s
            mt = Mt(mo.destination, mo.source, saying.text, monotonic_s + left_s)
            outcome = await self._outbox.send(mo.route, mt)
            if outcome.sending is not Sending.ACCEPTED:
                return await self._not_sent(mo, who, turn, saying, outcome)
        # The answer is out; the state must follow.
        try:
            await self._turns.finish(who, mo.digest, turn.token, saying.state, saying.state_ttl_s)
        except StoreError as error:
            return await self._finish_later(mo, who, turn, saying, error)
        if self._pseudonyms.older is not None:
            await self._mark(mo, None, answered=True)
        return Result(Work.DONE, saying.reason)

    async def _not_sent(self, mo: Mo, who: Pseudonym, turn: Turn, saying: Saying, outcome: Outcome) -> Result:
        if saying.ahead:  # the question did not reach him; and the next attempt is no second query
            await self._turns.keep(who, turn.token, turn.state, saying.before_ttl_s)
        if outcome.sending is Sending.LATER:
            await self._turns.abandon(who, turn.token)
            return Result(Work.LATER, outcome.reason, counts=outcome.reason not in _NOT_ITS_FAULT)
        # The words did not reach him, so the dialog did not move. It is marked when its death is recorded: a
        # mark without a record would hide it from whoever brings it again.
        await self._turns.abandon(who, turn.token)
        return Result(Work.DEAD, outcome.reason)

    async def _finish_later(
        self, mo: Mo, who: Pseudonym, turn: Turn, saying: Saying, error: StoreError
    ) -> Result:
        """A store that went away after the answer left is given the lease's time to return for the state; the
        mark is made up for whenever it does.
        """
        if not saying.awaits_reply:
            names = [name for name in (who, self._older(mo)) if name is not None]
            self._unmarked.add(mo.digest, names)
        while self._clock.monotonic() < turn.good_until_s:
            await self._clock.sleep(BUSY_PAUSE_S)
            try:
                await self._turns.finish(who, mo.digest, turn.token, saying.state, saying.state_ttl_s)
            except StoreError as again:
                error = again
            else:
                self._unmarked.discard(mo.digest)
                return Result(Work.DONE, saying.reason)
        self._recorder.failed("finish", error)
        if saying.awaits_reply:  # he was asked, and his reply would not be understood: ask him again
            return Result(Work.LATER, "state_lost", counts=False)
        return Result(Work.DONE, saying.reason)

    def _end(self, mo: Mo, result: Result, started_s: float) -> None:
        elapsed_s = self._clock.monotonic() - started_s
        self._recorder.ended(mo.carrier.name, result.work, result.reason, elapsed_s)

    # the race of each answer with `after_s`: one timer for all, since all have the same time

    def _watch(self, flight: "_Flight") -> None:
        self._flights.append(flight)
        if self._sweep is None:
            self._sweep = self._clock.call_later(self._limits.after_s, self._park_the_slow)

    def _forget_answered(self) -> None:
        flights = self._flights
        while flights and flights[0].answered:
            flights.popleft()

    def _park_the_slow(self) -> None:
        self._sweep = None
        now_s = self._clock.monotonic()
        for _ in range(PARKED_AT_ONCE):
            if not self._flights:
                return
            flight = self._flights[0]
            left_s = flight.started_s + self._limits.after_s - now_s
            if left_s > 0 and not flight.answered:
                self._sweep = self._clock.call_later(left_s, self._park_the_slow)
                return
            self._flights.popleft()
            if not flight.answered:
                flight.too_slow()
        self._sweep = self._clock.call_later(0, self._park_the_slow)


class _Flight:
    """One message between its arrival and its acknowledgement."""

    __slots__ = ("_mo", "_p", "_settle", "answered", "parking", "started_s", "turn", "who")

    def __init__(self, pipeline: Pipeline, mo: Mo, who: Pseudonym, settle: Settle, started_s: float) -> None:
        self._p = pipeline
        self._mo = mo
        self._settle = settle
        self.who = who
        self.started_s = started_s
        self.turn: Turn | None = None
        self.answered = False  # the attempt is over, well or not
        self.parking: asyncio.Task[bytes | None] | None = None

    async def end(self, result: Result) -> None:
        """Settle what was not simply answered in time."""
        p, mo = self._p, self._mo
        entry_id = await self.parking if self.parking is not None else None
        if result.work is Work.LATER:
            await self._later(entry_id, result.reason)
            return
        p._end(mo, result, self.started_s)
        try:
            if result.work is Work.DEAD:
                await p.bury(mo, self.who, entry_id, result.reason)
            elif entry_id is not None:
                await p._park.remove(self.who, mo, entry_id)
        except StoreError as error:
            # A parked entry that stays is recognised by the message's mark; a dead one that is not recorded
            # comes again.
            p._recorder.failed("unpark", error)
            if result.work is Work.DEAD and self.parking is None:
                self._settle(Verdict.TEMPORARY)
                return
        if self.parking is None:
            self._settle(Verdict.ACK)

    async def _later(self, entry_id: bytes | None, reason: str) -> None:
        """Not answered this time: to the park, unless it is there already."""
        p = self._p
        if self.parking is None:
            entry_id = await self._parked(0, reason)
            self._settle(Verdict.TEMPORARY if entry_id is None else Verdict.ACK)
        elif entry_id is not None:
            try:
                await p._park.unhold(self.who, self._mo, entry_id)
            except StoreError as error:  # the hold ends by itself
                p._recorder.failed("unhold", error)

    def too_slow(self, reason: str = "slow") -> "asyncio.Task[bytes | None]":
        """The SMSC shall not wait any longer: park the message, with its attempt under way."""
        self.parking = asyncio.get_running_loop().create_task(self._park_under_way(reason))
        return self.parking

    async def _park_under_way(self, reason: str) -> bytes | None:
        if self._mo.digest in self._p._unmarked:  # the answer is out, only the store is not there to be told
            self._settle(Verdict.ACK)
            return None
        entry_id = await self._parked(self._p._limits.hold_s, reason)
        self._settle(Verdict.TEMPORARY if entry_id is None else Verdict.ACK)
        return entry_id

    async def _parked(self, hold_s: float, reason: str) -> bytes | None:
        p = self._p
        try:
            if hold_s and self.turn is not None:
                await p._turns.extend(self.who, self.turn.token, hold_s)
            entry_id = await p._park.add(self.who, self._mo, hold_s)
        except StoreError as error:
            p._recorder.failed("park", error)
            return None
        p._recorder.parked(self._mo.carrier.name, reason)
        if not await p._mark(self._mo, self.who) and self.turn is None:
            with suppress(StoreError):  # a copy of it was parked first; the park sees to what stays
                await p._park.remove(self.who, self._mo, entry_id)
        return entry_id
