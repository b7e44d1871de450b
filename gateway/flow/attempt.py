"""One attempt at one message: its turn, the decision, the answer, the end of the turn.

Each step is what the one before it calls when it is over; no task and no future is made for a message that
goes the usual way. What is rare (another process has the turn, an answer that was not taken, a store that
went away) goes on as a coroutine, and ends the attempt likewise. Invariant: `end` is reached once, whatever
happens. Called by the pipeline.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from gateway.flow.deciding import Saying
from gateway.flow.messages import Mo, Mt, Outcome, Result, Sending, Verdict, Work
from gateway.flow.ports import Answered, Begun, Behind, Busy, Turn
from location_store.errors import StoreError
from location_store.pseudonyms import Pseudonym

if TYPE_CHECKING:
    from gateway.flow.pipeline import Pipeline

#: How long to wait before asking again for a turn that another process has.
BUSY_PAUSE_S = 0.05
#: What a message is not charged for as a try: the link was away, or too fast for the SMSC.
_NOT_ITS_FAULT = frozenset({"no_link", "throttled", "expired"})
NO_TURN: dict[type[Begun], Result] = {
    Answered: Result(Work.DONE, "redelivered"),
    Busy: Result(Work.LATER, "busy", counts=False),
    Behind: Result(Work.LATER, "behind", counts=False),
}
_LEASE_ENDED = Result(Work.LATER, "lease_ended", counts=False)


@cache
def _done(reason: str) -> Result:
    return Result(Work.DONE, reason)


class Taken(Protocol):
    """A message that was taken from an SMSC, as the pipeline sees it."""

    def settle(self, verdict: Verdict) -> None:
        """What to tell the SMSC: called once, as soon as that is decided."""

    def over(self) -> None:
        """Nothing of it is left to do here."""


class Attempt:
    """What attempts at fresh and at parked messages have in common; `ended` is theirs."""

    __slots__ = (
        "_asked_s", "_not_after_s", "_saying", "answered", "begun", "behind", "finishing", "fresh", "in_line",
        "mo", "parking", "pipeline", "turn", "who",
    )  # fmt: skip
    _saying: Saying

    def __init__(self, pipeline: "Pipeline", mo: Mo, who: Pseudonym, fresh: bool) -> None:
        """`fresh`: it comes from the SMSC, not from the park."""
        self.pipeline = pipeline
        self.mo = mo
        self.who = who
        self.fresh = fresh
        self.turn: Turn | None = None
        self.parking: asyncio.Task[bytes | None] | None = None
        self.behind: deque[Attempt] | None = None  # the subscriber's others in this process
        self.in_line = not fresh  # it has its place in the line; what is parked has its own order
        self.begun = False  # it has asked for its turn
        self.finishing = False  # its turn will be over with the next answer of the store
        self.answered = False  # the attempt is over, well or not

    def begin(self) -> None:
        """Once all earlier work for the subscriber in this process has ended."""
        p = self.pipeline
        self.begun = True
        if self.mo.digest in p.unmarked:
            self.end(NO_TURN[Answered])
            return
        if self.parking is not None:  # it has waited in line for too long
            self.end(NO_TURN[Busy])
            return
        try:
            self._asked_s = p.clock.monotonic()
            if p.pseudonyms.older is None:
                p.turns.begin_then(self.who, self.mo.digest, self.fresh, self._begun)
            else:
                p.take_place(self)  # it asks a little later than those behind it may take theirs
                self._go_on(self._begin_rotating())
        except Exception as error:  # noqa: BLE001 - the boundary of one message: its neighbours must flow
            self._broke(error)

    def _begun(self, turn: Begun | StoreError) -> None:
        if isinstance(turn, StoreError):
            self._failed(turn)
            return
        p = self.pipeline
        now_s = p.clock.monotonic()
        p.admission.waited(now_s - self._asked_s, now_s)
        if isinstance(turn, Turn):
            self._decide(turn)
        elif isinstance(turn, Busy):
            self._go_on(self._begin_later())
        else:
            self._without(turn)

    def _without(self, turn: Answered | Busy | Behind) -> None:
        # One that was parked meanwhile may have met its own mark: whoever works it off will see.
        self.end(NO_TURN[type(turn) if self.parking is None else Busy])

    def _decide(self, turn: Turn) -> None:
        self.turn = turn
        p, mo = self.pipeline, self.mo
        try:
            wall_s = p.clock.wall()
            self._saying = saying = p.decider.decide(mo, turn, wall_s)
            if saying.guessed:
                p.recorder.guessing(mo.carrier.name, saying.guessed)
            if saying.text is None:
                self._finish(turn, saying)
                return
            monotonic_s = p.clock.monotonic()
            if monotonic_s > turn.good_until_s:
                self.end(_LEASE_ENDED)
                return
            self._not_after_s = monotonic_s + mo.received_s + p.limits.answer_ttl_s - wall_s
            if saying.ahead and saying.state is not None:
                p.turns.keep_then(self.who, turn.token, saying.state, saying.state_ttl_s, self._kept)
            else:
                self._send(saying.text)
        except StoreError as error:
            self._failed(error)
        except Exception as fault:  # noqa: BLE001 - as above
            self._broke(fault)

    def _kept(self, ours: int | StoreError) -> None:
        if isinstance(ours, StoreError):
            self._failed(ours)
        elif not ours:
            self.end(_LEASE_ENDED)
        else:
            text = self._saying.text
            assert text is not None, "a question has words"
            self._send(text)

    def _send(self, text: str) -> None:
        mo = self.mo
        mt = Mt(mo.destination, mo.source, text, self._not_after_s)
        try:
            self.pipeline.outbox.send_then(mo.route, mt, self._sent)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)

    def _sent(self, outcome: Outcome) -> None:
        assert self.turn is not None, "there is no answer without"
        if outcome.sending is Sending.ACCEPTED:
            try:
                self._finish(self.turn, self._saying)
            except Exception as error:  # noqa: BLE001 - as above
                self._broke(error)
        else:
            self._go_on(self._not_sent(self.turn, self._saying, outcome))

    def _finish(self, turn: Turn, saying: Saying) -> None:
        """The answer is out; the state must follow."""
        self.finishing = True
        self.pipeline.turns.finish_then(
            self.who, self.mo.digest, turn.token, saying.state, saying.state_ttl_s, self._finished
        )

    def _finished(self, ours: int | StoreError) -> None:
        saying = self._saying
        if isinstance(ours, StoreError):
            assert self.turn is not None, "it has just ended"
            self._go_on(self._finish_later(self.turn, saying, ours))
        elif self.pipeline.pseudonyms.older is not None:
            self._go_on(self._mark_older(saying))
        else:
            self.end(_done(saying.reason))

    def end(self, result: Result) -> None:
        self.answered = True  # first: what is told of it may fail, which ends nothing a second time
        self.pipeline.next_in_line(self)
        self.ended(result)

    def ended(self, result: Result) -> None:
        raise NotImplementedError

    def _failed(self, error: StoreError) -> None:
        self.pipeline.recorder.failed("store", error)
        if not self.answered:
            self.end(Result(Work.LATER, "store", counts=False))

    def _broke(self, error: Exception) -> None:
        self.pipeline.recorder.failed("message", error)
        if not self.answered:
            self.end(Result(Work.LATER, type(error).__name__))

    # the rare ways

    def _go_on(self, rest: Coroutine[Any, Any, Result | None]) -> None:
        self.pipeline.spawn(self._rest(rest))

    async def _rest(self, rest: Coroutine[Any, Any, Result | None]) -> None:
        """`rest` gives how the attempt ended; None: it has gone on from there."""
        try:
            result = await rest
        except StoreError as error:
            self._failed(error)
        except Exception as fault:  # noqa: BLE001 - as above
            self._broke(fault)
        else:
            if result is not None:
                self.end(result)

    async def _begin_rotating(self) -> None:
        p = self.pipeline
        older = p.older(self.mo)
        assert older is not None, "asked before"
        self._begun(await p.turns.begin_rotating(self.who, older, self.mo.digest, fresh=self.fresh))

    async def _begin_later(self) -> None:
        """Another process has the turn: ask again for as long as a message may take, or until it is
        parked.
        """
        p, mo = self.pipeline, self.mo
        patience_s = p.clock.monotonic() + p.limits.after_s
        turn: Begun = Busy()
        while isinstance(turn, Busy) and p.clock.monotonic() <= patience_s:
            await p.clock.sleep(BUSY_PAUSE_S)
            if self.parking is not None:
                break
            older = p.older(mo)
            if older is None:
                turn = await p.turns.begin(self.who, mo.digest, fresh=self.fresh)
            else:
                turn = await p.turns.begin_rotating(self.who, older, mo.digest, fresh=self.fresh)
        if isinstance(turn, Turn):
            self._decide(turn)
        else:
            self._without(turn)

    async def _not_sent(self, turn: Turn, saying: Saying, outcome: Outcome) -> Result:
        turns = self.pipeline.turns
        if saying.ahead:  # the question did not reach him; and the next attempt is no second query
            await turns.keep(self.who, turn.token, turn.state, saying.before_ttl_s)
        if outcome.sending is Sending.LATER:
            await turns.abandon(self.who, turn.token)
            return Result(Work.LATER, outcome.reason, counts=outcome.reason not in _NOT_ITS_FAULT)
        # The words did not reach him, so the dialog did not move. It is marked when its death is recorded: a
        # mark without a record would hide it from whoever brings it again.
        await turns.abandon(self.who, turn.token)
        return Result(Work.DEAD, outcome.reason)

    async def _finish_later(self, turn: Turn, saying: Saying, error: StoreError) -> Result:
        """A store that went away after the answer left is given the lease's time to return for the state; the
        mark is made up for whenever it does.
        """
        p, mo, who = self.pipeline, self.mo, self.who
        if not saying.awaits_reply:
            names = [name for name in (who, p.older(mo)) if name is not None]
            p.unmarked.add(mo.digest, names)
        while p.clock.monotonic() < turn.good_until_s:
            await p.clock.sleep(BUSY_PAUSE_S)
            try:
                await p.turns.finish(who, mo.digest, turn.token, saying.state, saying.state_ttl_s)
            except StoreError as again:
                error = again.with_traceback(None)  # which holds this frame, and this the error
            else:
                p.unmarked.discard(mo.digest)
                return Result(Work.DONE, saying.reason)
        p.recorder.failed("finish", error)
        if saying.awaits_reply:  # he was asked, and his reply would not be understood: ask him again
            return Result(Work.LATER, "state_lost", counts=False)
        return Result(Work.DONE, saying.reason)

    async def _mark_older(self, saying: Saying) -> Result:
        await self.pipeline.mark(self.mo, None, answered=True)
        return Result(Work.DONE, saying.reason)


class Parked(Attempt):
    """At a parked message; `then` is given how it ended."""

    __slots__ = ("_then",)

    def __init__(self, pipeline: "Pipeline", mo: Mo, who: Pseudonym, then: Callable[[Result], None]) -> None:
        super().__init__(pipeline, mo, who, False)
        self._then = then

    def ended(self, result: Result) -> None:
        self._then(result)


class Flight(Attempt):
    """At a message between its arrival and its acknowledgement."""

    __slots__ = ("_taken", "started_s")

    def __init__(self, pipeline: "Pipeline", mo: Mo, who: Pseudonym, taken: Taken) -> None:
        super().__init__(pipeline, mo, who, True)
        self._taken = taken
        self.started_s = pipeline.clock.monotonic()

    def ended(self, result: Result) -> None:
        p = self.pipeline
        p.forget_answered()
        if result.work is Work.DONE and self.parking is None:
            p.ended(self.mo, result, self.started_s)
            try:
                self._taken.settle(Verdict.ACK)
            finally:
                self._taken.over()
        else:
            p.spawn(self._settle_later(result))

    async def _settle_later(self, result: Result) -> None:
        """Settle what was not simply answered in time."""
        try:
            await self._settled_by(result)
        finally:
            self._taken.over()

    async def _settled_by(self, result: Result) -> None:
        p, mo = self.pipeline, self.mo
        entry_id = await self.parking if self.parking is not None else None
        if result.work is Work.LATER:
            await self._later(entry_id, result.reason)
            return
        p.ended(mo, result, self.started_s)
        try:
            if result.work is Work.DEAD:
                await p.bury(mo, self.who, entry_id, result.reason)
            elif entry_id is not None:
                await p.park.remove(self.who, mo, entry_id)
        except StoreError as error:
            # A parked entry that stays is recognised by the message's mark; a dead one that is not recorded
            # comes again.
            p.recorder.failed("unpark", error)
            if result.work is Work.DEAD and self.parking is None:
                self._taken.settle(Verdict.TEMPORARY)
                return
        if self.parking is None:
            self._taken.settle(Verdict.ACK)

    async def _later(self, entry_id: bytes | None, reason: str) -> None:
        """Not answered this time: to the park, unless it is there already."""
        p = self.pipeline
        if self.parking is None:
            entry_id = await self._parked(0, reason)
            self._taken.settle(Verdict.TEMPORARY if entry_id is None else Verdict.ACK)
        elif entry_id is not None:
            try:
                await p.park.unhold(self.who, self.mo, entry_id)
            except StoreError as error:  # the hold ends by itself
                p.recorder.failed("unhold", error)

    def too_slow(self, reason: str = "slow") -> "asyncio.Task[bytes | None]":
        """The SMSC shall not wait any longer: park the message, with its attempt under way."""
        self.parking = asyncio.get_running_loop().create_task(self._park_under_way(reason))
        return self.parking

    async def _park_under_way(self, reason: str) -> bytes | None:
        if self.mo.digest in self.pipeline.unmarked:  # the answer is out, only the store cannot be told
            self._taken.settle(Verdict.ACK)
            return None
        entry_id = await self._parked(self.pipeline.limits.hold_s, reason)
        self._taken.settle(Verdict.TEMPORARY if entry_id is None else Verdict.ACK)
        return entry_id

    async def _parked(self, hold_s: float, reason: str) -> bytes | None:
        p = self.pipeline
        try:
            if hold_s and self.turn is not None:
                await p.turns.extend(self.who, self.turn.token, hold_s)
            entry_id = await p.park.add(self.who, self.mo, hold_s)
        except StoreError as error:
            p.recorder.failed("park", error)
            return None
        p.recorder.parked(self.mo.carrier.name, reason)
        if not await p.mark(self.mo, self.who) and self.turn is None:
            with suppress(StoreError):  # a copy of it was parked first; the park sees to what stays
                await p.park.remove(self.who, self.mo, entry_id)
        return entry_id
