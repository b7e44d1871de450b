"""The way of one message: turn -> decision -> answer -> finished turn, or the park.

The promise kept here: a message is acknowledged only when (a) every part of its answer was accepted, or (b)
it is durably parked, or (c) by rule it is not answered. Otherwise the SMSC is told a temporary error and
keeps it. One subscriber's messages are handled one after the other, in this process by `_line_up`, across
processes by the lease and the line of `Turns`. The steps are those of `attempt`.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.flow.admission import Admission
from gateway.flow.attempt import NO_TURN, Attempt, Flight, Parked, Taken
from gateway.flow.deciding import Decider
from gateway.flow.messages import Mo, Result, Verdict, Work
from gateway.flow.ports import Answered, Clock, Outbox, Park, Recorder, Timer, Turns
from gateway.flow.unmarked import Unmarked
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym, Pseudonyms

#: Messages of one subscriber that wait here for the one before them; beyond, the SMSC keeps them.
MAX_WAITING = 8
#: In one turn of the loop: thousands may be too slow together, when the store is.
PARKED_AT_ONCE = 100


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
        self.admission = admission or Admission()
        self.turns = turns
        self.park = park
        self.outbox = outbox
        self.decider = decider
        self.pseudonyms = pseudonyms
        self.clock = clock
        self.recorder = recorder
        self.limits = limits
        self.unmarked = Unmarked(turns, clock)
        self._under_way: dict[str, Attempt] = {}  # of each subscriber
        self._flights: deque[Flight] = deque()  # the oldest first, and so the first to be too slow
        self._sweep: Timer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, mo: Mo, taken: Taken) -> None:
        """One message from an SMSC."""
        if mo.msisdn is None:
            self.ended(mo, Result(Work.DONE, "not_a_subscriber"), self.clock.monotonic())
            taken.settle(Verdict.ACK)
            taken.over()
            return
        ahead = self._under_way.get(mo.msisdn)
        if ahead is not None and ahead.behind is not None and len(ahead.behind) >= MAX_WAITING:
            taken.settle(Verdict.FULL)
            taken.over()
            return
        flight = Flight(self, mo, self.pseudonyms.of(mo.msisdn), taken)
        self._watch(flight)
        self._line_up(flight)

    async def accept(self, mo: Mo) -> bool:
        """Park first, answer afterwards: for peers that wait for their response before they read on. False:
        not kept.
        """
        if mo.msisdn is None:
            self.ended(mo, Result(Work.DONE, "not_a_subscriber"), self.clock.monotonic())
            return True
        who = self.pseudonyms.of(mo.msisdn)
        try:
            if await self._seen(mo, who):  # sent again, as the peer had no response in time
                self.ended(mo, NO_TURN[Answered], self.clock.monotonic())
                return True
            await self.park.add(who, mo, 0)
        except StoreError as error:
            self.recorder.failed("park", error)
            return False
        self.recorder.parked(mo.carrier.name, "listener")
        await self.mark(mo, who)
        return True

    async def _seen(self, mo: Mo, who: Pseudonym) -> bool:
        older, asked_s = self.older(mo), self.clock.monotonic()
        seen = await self.turns.seen(who, mo.digest) or (
            older is not None and await self.turns.seen(older, mo.digest)
        )
        now_s = self.clock.monotonic()
        self.admission.waited(now_s - asked_s, now_s)
        return seen

    async def mark(self, mo: Mo, who: Pseudonym | None, *, answered: bool = False) -> bool:
        """Mark a message beside its turn, also for processes that do not know the newest key yet; False when
        it had a mark. Where that fails, a redelivery of a parked one is parked behind it, and recognised once
        this one is answered.
        """
        first = True
        try:
            for name in (who, self.older(mo)):
                if name is not None:
                    first = await self.turns.mark(name, mo.digest, answered=answered) and first
        except StoreError as error:
            self.recorder.failed("mark", error)
        return first

    def older(self, mo: Mo) -> Pseudonym | None:
        """Who the sender is under the older key, while there is one."""
        older = self.pseudonyms.older
        return None if older is None or mo.msisdn is None else older.of(mo.msisdn)

    async def attempt(self, mo: Mo) -> Result:
        """One attempt at answering; never raises. The park's worker calls it for what is parked."""
        assert mo.msisdn is not None, "only subscribers' messages are parked"
        started_s = self.clock.monotonic()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._line_up(Parked(self, mo, self.pseudonyms.of(mo.msisdn), partial(_tell, future)))
        result = await future
        if result.work is not Work.LATER:
            self.ended(mo, result, started_s)
        return result

    def reconfigure(self, limits: Limits) -> None:
        """Times that hold from now on, for messages under way too."""
        self.limits = limits
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
        await self.park.bury(who, mo, entry_id, reason)
        await self.mark(mo, who)

    # for the attempts

    def _line_up(self, attempt: Attempt) -> None:
        """Begin when all earlier work for this subscriber in this process has ended."""
        msisdn = attempt.mo.msisdn
        assert msisdn is not None, "only a subscriber has turns"
        ahead = self._under_way.get(msisdn)
        if ahead is None:
            self._under_way[msisdn] = attempt
            attempt.begin()
            return
        if ahead.behind is None:
            ahead.behind = deque()
        ahead.behind.append(attempt)
        if not ahead.finishing:  # else its end is a round trip away
            self._take_places(ahead)

    def _take_places(self, ahead: Attempt) -> None:
        """All that wait have places, in the order in which they wait here."""
        if not ahead.begun:
            self.take_place(ahead)
        for each in ahead.behind or ():
            self.take_place(each)

    def take_place(self, attempt: Attempt) -> None:
        """Before all that come to the line later, from any process."""
        if not attempt.in_line:
            attempt.in_line = True
            self.turns.wait(attempt.who, attempt.mo.digest)

    def next_in_line(self, ended: Attempt) -> None:
        """An attempt has ended."""
        msisdn, behind = ended.mo.msisdn, ended.behind
        assert msisdn is not None, "only a subscriber has turns"
        if behind:
            following = self._under_way[msisdn] = behind.popleft()
            following.behind = behind
            if behind:
                self._take_places(following)
            asyncio.get_running_loop().call_soon(following.begin)
        else:
            del self._under_way[msisdn]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """What is rare goes on as a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ended(self, mo: Mo, result: Result, started_s: float) -> None:
        """For the metrics."""
        self.recorder.ended(mo.carrier.name, result.work, result.reason, self.clock.monotonic() - started_s)

    # the race of each answer with `after_s`: one timer for all, since all have the same time

    def _watch(self, flight: "Flight") -> None:
        self._flights.append(flight)
        if self._sweep is None:
            self._sweep = self.clock.call_later(self.limits.after_s, self._park_the_slow)

    def forget_answered(self) -> None:
        flights = self._flights
        while flights and flights[0].answered:
            flights.popleft()

    def _park_the_slow(self) -> None:
        self._sweep = None
        now_s = self.clock.monotonic()
        for _ in range(PARKED_AT_ONCE):
            if not self._flights:
                return
            flight = self._flights[0]
            left_s = flight.started_s + self.limits.after_s - now_s
            if left_s > 0 and not flight.answered:
                self._sweep = self.clock.call_later(left_s, self._park_the_slow)
                return
            self._flights.popleft()
            if not flight.answered:
                flight.too_slow()
        self._sweep = self.clock.call_later(0, self._park_the_slow)


def _tell(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():  # else whoever waited was cancelled
        future.set_result(result)
