"""What became of our answers: each part that an SMSC accepted is remembered until its receipt tells its end.

Called by the links, beside the way of a message: `accepted` and `receipt` return at once and never raise.
Delivery states are figures for the operator, and nothing waits for them: a receipt always has its ESME_ROK,
since a temporary error would make the SMSC send it again ahead of its subscribers' messages. What the store
cannot take is counted as lost. Parts are counted, not answers: the SMSC knows no more. Nothing here knows a
number, a text or a place.

A receipt may overtake the response to its submit_sm, come over another bind or meet a store that is away, so
one that finds no message is looked up again a few times before it counts as unmatched.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from gateway.flow.ports import Clock
from gateway.smpp.pdu import DataSm, Sm
from gateway.smpp.receipts import FINAL, MessageState, Receipt, candidates, canonical, parse
from location_store.errors import StoreError

#: Until a receipt that found no message is looked up again: the longest covers the response timeout.
PAUSES_S = (0.5, 5.0, 30.0)
#: Receipts in hand, most of them in such a pause: 3 KB each, so 30 MB.
MAX_RECEIPTS = 10_000
#: Accepted parts of so long are written at once: a write costs more than the rest of it.
GATHERED_S = 0.02
#: Accepted parts that are not written yet.
MAX_UNWRITTEN = 50_000
#: Reasons shown for each link.
TOP_REASONS = 5


class Settled(NamedTuple):
    """A message that was found: its state before, whether the new one followed, and when it was accepted
    (unix seconds).
    """

    before: MessageState | None
    moved: bool
    accepted_s: float


class Ledger(Protocol):
    """What is remembered of today and the two days before (UTC), durable, for all processes, and how many
    parts stand how. All raise StoreError.
    """

    async def note(self, link: str, message_ids: Sequence[str], now_s: float) -> None:
        """Remember parts that the SMSC accepted under these canonical ids."""

    async def settle(
        self, link: str, message_id: str, state: MessageState, error: str, now_s: float
    ) -> Settled | None:
        """Move the newest message of this canonical id on to `state`, if it may; None: there is none."""

    async def unmatched(self, link: str, now_s: float) -> None:
        """Count a receipt that belongs to no message."""

    async def sums(self, link: str, now_s: float) -> Mapping[str, int]:
        """Parts by the names of their states, `no_word` where there is none yet; `failed:STATE:ERROR` by
        reasons; `unmatched` receipts.
        """


class DeliveryRecorder(Protocol):
    def delivery(self, link: str, state: str) -> None:
        """A part reached a state: `submitted`, or a message_state."""

    def delivery_ended(self, link: str, elapsed_s: float) -> None: ...

    def receipt(self, link: str, result: str) -> None:
        """`matched`, `repeated`, `late`, `unmatched`, `unreadable` or `lost`; `not_kept`: an accepted part
        that is not remembered, so that its receipt will not be matched.
        """


class Deliveries:
    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        recorder: DeliveryRecorder,
        accounts: Mapping[str, object],
    ) -> None:
        """`accounts`: of the links that ask for receipts. Those of one account may get each other's."""
        self._ledger = ledger
        self._clock = clock
        self._recorder = recorder
        self._others = {
            link: [other for other in accounts if other != link and accounts[other] == account]
            for link, account in accounts.items()
        }
        self._accepted: defaultdict[str, list[str]] = defaultdict(list)
        self._unwritten = 0
        self._writing: asyncio.Task[None] | None = None
        self._receipts: set[asyncio.Task[None]] = set()
        self._pauses: set[asyncio.Event] = set()
        self._stopping = False
        self.table: list[dict[str, Any]] = []  # for the operator, as last looked at
        self.failures: list[dict[str, Any]] = []

    # from the links

    def accepted(self, link: str, message_id: str) -> None:
        """An SMSC accepted a part of an answer, whose receipt we asked for, under this id."""
        self._recorder.delivery(link, "submitted")
        if not message_id or self._unwritten >= MAX_UNWRITTEN:
            self._recorder.receipt(link, "not_kept")
            return
        self._accepted[link].append(message_id)
        self._unwritten += 1
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def receipt(self, link: str, pdu: Sm | DataSm) -> None:
        """A receipt came over this link."""
        if link not in self._others:  # we never asked
            return
        receipt = parse(pdu)
        if receipt is None or receipt.state is None:
            self._recorder.receipt(link, "unreadable")
        elif len(self._receipts) >= MAX_RECEIPTS:
            self._recorder.receipt(link, "lost")
        else:
            task = asyncio.get_running_loop().create_task(self._settle(link, receipt, receipt.state))
            self._receipts.add(task)
            task.add_done_callback(self._receipts.discard)

    # receipts

    async def _settle(self, link: str, receipt: Receipt, state: MessageState) -> None:
        result = "unmatched"
        for pause_s in (*PAUSES_S, None):
            try:
                if await self._found(link, receipt, state):
                    return
                result = "unmatched"
            except StoreError:
                result = "lost"
            if pause_s is None or self._stopping:
                break
            await self._pause(pause_s)
        self._recorder.receipt(link, result)
        if result == "unmatched":
            with suppress(StoreError):
                await self._ledger.unmatched(link, self._clock.wall())

    async def _found(self, link: str, receipt: Receipt, state: MessageState) -> bool:
        now_s = self._clock.wall()
        for name, message_id in self._places(link, receipt):
            settled = await self._ledger.settle(name, message_id, state, receipt.error, now_s)
            if settled is not None:
                self._record(name, settled, state, now_s)
                return True
        return False

    def _places(self, link: str, receipt: Receipt) -> Iterator[tuple[str, str]]:
        for message_id in candidates(receipt.message_ids):
            yield link, message_id
        for other in self._others[link]:
            yield other, canonical(receipt.message_ids[0])

    def _record(self, link: str, settled: Settled, state: MessageState, now_s: float) -> None:
        if settled.moved:
            self._recorder.receipt(link, "matched")
            self._recorder.delivery(link, state.name.lower())
            if state in FINAL:
                self._recorder.delivery_ended(link, max(0.0, now_s - settled.accepted_s))
        else:
            self._recorder.receipt(link, "repeated" if settled.before is state else "late")

    async def _pause(self, pause_s: float) -> None:
        """Sleep, but not beyond `stop`."""
        wake = asyncio.Event()
        self._pauses.add(wake)
        timer = self._clock.call_later(pause_s, wake.set)
        await wake.wait()
        timer.cancel()
        self._pauses.discard(wake)

    # writing: one batch at a time, of all that came while the last one was under way

    async def _write(self) -> None:
        try:
            while self._accepted:
                await self._clock.sleep(GATHERED_S)
                accepted, self._accepted = self._accepted, defaultdict(list)
                self._unwritten = 0
                for link, message_ids in accepted.items():
                    await self._note(link, message_ids)
        finally:
            self._writing = None

    async def _note(self, link: str, message_ids: Sequence[str]) -> None:
        try:
            await self._ledger.note(link, [canonical(each) for each in message_ids], self._clock.wall())
        except StoreError:
            for _ in message_ids:
                self._recorder.receipt(link, "not_kept")

    async def stop(self) -> None:
        """Write what is left; receipts in a pause have a last try."""
        self._stopping = True
        for wake in self._pauses:
            wake.set()
        while self._receipts or self._writing is not None:
            await asyncio.wait([*self._receipts, *([self._writing] if self._writing else [])])

    # for the operator

    async def look(self) -> None:
        """Bring the tables up to date. Raises StoreError."""
        now_s = self._clock.wall()
        sums = {link: await self._ledger.sums(link, now_s) for link in self._others}
        self.table = [{"link": link} | figures(of_link) for link, of_link in sums.items()]
        self.failures = [
            {"link": link} | reason for link, of_link in sums.items() for reason in reasons(of_link)
        ]


def figures(sums: Mapping[str, int]) -> dict[str, int]:
    """The parts submitted, by how they ended; what waits has no end yet."""
    by_state = {state: max(0, sums.get(state.name, 0)) for state in MessageState}
    delivered = by_state[MessageState.DELIVERED]
    ended = sum(by_state[state] for state in FINAL)
    unknown = by_state[MessageState.UNKNOWN]
    waiting = max(0, sums.get("no_word", 0)) + sum(by_state.values()) - ended - unknown
    return {
        "submitted": waiting + ended + unknown,
        "delivered": delivered,
        "undelivered": ended - delivered,
        "unknown": unknown,
        "waiting": waiting,
        "unmatched": sums.get("unmatched", 0),
    }


def reasons(sums: Mapping[str, int]) -> list[dict[str, Any]]:
    """Why parts were not delivered, the commonest first."""
    counts = Counter({name: count for name, count in sums.items() if name.startswith("failed:")})
    rows = []
    for name, count in counts.most_common(TOP_REASONS):
        _, state, error = name.split(":", 2)
        rows.append({"state": state, "error": error, "count": count})
    return rows
