"""The one loop that writes the sightings of all feeds into the store.

    poll -> check -> rejects -> add -> ... -> flush -> commit

Rows are gathered in the ingester until there are `flush_rows` of them or the oldest has waited `flush_s`;
then they are written, and only then their positions are committed, so that whatever ends the process, nothing
is lost: what was not committed is read again, and merging it again changes nothing. A store or a source that
is away is waited for, with what is pending kept. An ingest of files has precedence: nothing is taken in while
it is at work.

Invariant: `commit` gets exactly what was added before a flush that succeeded. Called by the command line.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from location_store.errors import StoreError, StoreUnavailable
from location_store.feeds.feed import Batch, Feed
from location_store.feeds.rejected import Rejected
from location_store.feeds.share import TAKEOVER_S, Shares
from location_store.ingest import TURN, Ingester, Totals
from location_store.lease import Lease, Notice, silent

WAIT_S = 0.25
"""For new rows, when there were none a moment ago."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
"""Between two tries at a store or a source that is away; doubled from one to the other."""
_NAP_S = 0.05

T = TypeVar("T")


class Pace(NamedTuple):
    """When to write. flush_rows: in memory at most, about. flush_s: age of the oldest. takeover_s: silence
    after which another process takes what this one reads."""

    flush_rows: int = 8_000_000
    flush_s: float = 5.0
    takeover_s: float = TAKEOVER_S


class State(NamedTuple):
    """How it goes. pending_rows: in memory, not written. reading: names of the feeds that this process reads
    now. lag: what waits at each of them."""

    totals: Totals
    pending_rows: int
    reading: tuple[str, ...]
    lag: Callable[[], dict[str, int | None]]


Progress = Callable[[State], None]


def run(
    feeds: Sequence[Feed],
    ingester: Ingester,
    *,
    data_dir: Path,
    pace: Pace | None = None,
    stop: Callable[[], bool] = lambda: False,
    idle_s: float | None = None,
    progress: Progress | None = None,
    notice: Notice = silent,
) -> Totals:
    """Read `feeds` until `stop()` is true, or nothing has come for `idle_s` seconds (None: for ever); then
    write and commit what is pending.

    Raises StoreRefused; StoreUnavailable only when it is told to stop while the store is away: what was not
    written is read again by the next run.
    """
    pace = pace or Pace()
    nodes = ingester.store.nodes
    shards = [feed.shard for feed in feeds if feed.shard is not None]
    shares = Shares(nodes, shards, data_dir, notice=notice, takeover_s=pace.takeover_s)
    files = Lease(nodes, TURN, data_dir, notice=notice, stop=stop)
    whole = _Run(feeds, ingester, shares, files, data_dir=data_dir, pace=pace, stop=stop, notice=notice)
    return whole.run(idle_s, progress)


class _Run:
    def __init__(
        self,
        feeds: Sequence[Feed],
        ingester: Ingester,
        shares: Shares,
        files: Lease,
        *,
        data_dir: Path,
        pace: Pace,
        stop: Callable[[], bool],
        notice: Notice,
    ) -> None:
        self._feeds = feeds
        self._ingester = ingester
        self._shares = shares
        self._files = files
        self._rejected = Rejected(data_dir)
        self._pace = pace
        self._stop = stop
        self._notice = notice
        self._open: list[Feed] = []
        self._positions: dict[str, list[object]] = {}
        self._totals = Totals()
        self._oldest_s = 0.0
        """When the first was taken in that is not written and committed (monotonic); 0.0: there is none."""

    def run(self, idle_s: float | None, progress: Progress | None) -> Totals:
        busy = False
        last_s = time.monotonic()
        try:
            while not self._stop():
                self._share()
                busy = self._round(0.0 if busy else WAIT_S)
                if self._due():
                    self._insist(self._flush)
                if progress is not None:
                    progress(self._state())
                if busy or not self._open:
                    last_s = time.monotonic()
                elif idle_s is not None and time.monotonic() - last_s >= idle_s and not self._waiting():
                    break
            self._insist(self._flush)
            for feed in self._open:
                feed.close()
        finally:
            for feed in self._feeds:
                self._rejected.close(feed.name)
            with suppress(StoreError):  # then others find out by themselves
                self._shares.leave()
        return self._totals

    def _waiting(self) -> bool:
        """Whether there is something to read, though not now (a file that is not finished)."""
        return any(self._insist(feed.lag) for feed in self._open)

    # --- who reads what ---

    def _share(self) -> None:
        """Open what has become ours, close what is another's from now on."""
        surplus = self._insist(self._shares.update)
        for feed in self._feeds:
            ours = feed.shard is None or (feed.shard in self._shares.held and feed.shard not in surplus)
            if ours and feed not in self._open:
                self._insist(partial(feed.open, self._flush))
                self._open.append(feed)
            elif not ours and feed in self._open:
                self._insist(self._flush)
                self._insist(feed.close)
                self._rejected.close(feed.name)
                self._open.remove(feed)
        for shard in surplus:
            self._insist(partial(self._shares.release, shard))

    # --- rows in ---

    def _round(self, timeout_s: float) -> bool:
        """One batch of each feed; whether there was any."""
        if not self._open:
            time.sleep(timeout_s)
            return False
        any_rows = False
        for feed in self._open:
            each_s = timeout_s / len(self._open)
            batch = self._insist(partial(feed.poll, each_s))
            if batch is not None:
                if not self._insist(self._files.wait):
                    return any_rows  # told to stop: it is read again by the next run
                self._take(feed, batch)
                any_rows = True
        return any_rows

    def _take(self, feed: Feed, batch: Batch) -> None:
        if batch.alone:
            self._insist(self._flush)
        totals = Totals()
        bad = list(batch.bad)
        if batch.rows.height:
            checked = self._ingester.check(batch.rows, batch.origin.time_format)
            batch.origin.time_format = checked.time_format
            bad += checked.bad.iter_rows()
            totals = self._insist(partial(self._ingester.add, checked.good, again=batch.again))
        for line, reason in bad:
            self._rejected.add(feed.name, reason, batch.where(line))
        self._rejected.commit(feed.name)
        totals.rows += len(bad)
        totals.rejected.update(reason for _, reason in bad)
        if batch.unusable is not None:
            totals.unusable.append(batch.unusable)
            self._notice(batch.unusable)
        if batch.last:
            self._rejected.close(feed.name)
        self._oldest_s = self._oldest_s or time.monotonic()
        if batch.position is not None:
            self._positions.setdefault(feed.name, []).append(batch.position)
        self._totals.add(totals)
        if batch.alone:
            self._insist(self._flush)

    # --- rows out ---

    def _due(self) -> bool:
        if not self._oldest_s:
            return False
        waited_s = time.monotonic() - self._oldest_s
        return self._ingester.pending_rows >= self._pace.flush_rows or waited_s >= self._pace.flush_s

    def _flush(self) -> None:
        """Write what is pending, then commit it. Raises StoreUnavailable: to be called again."""
        self._ingester.flush()
        for feed in self._feeds:
            positions = self._positions.get(feed.name)
            if positions:
                feed.commit(positions)
                del self._positions[feed.name]
        self._oldest_s = 0.0

    # --- waiting ---

    def _insist(self, step: Callable[[], T]) -> T:
        """`step` until the store (or the source) is there; raises StoreUnavailable only when told to stop."""
        pause_s = FIRST_PAUSE_S
        told = False
        while True:
            try:
                result = step()
            except StoreUnavailable as error:
                if self._stop():
                    raise
                if not told:
                    self._notice(f"{error} Trying again, with {self._ingester.pending_rows:,} rows in memory")
                    told = True
                self._pause(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 -- so that not all come at once
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                if told:
                    self._notice("it is back: going on")
                return result

    def _pause(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s and not self._stop():
            time.sleep(_NAP_S)

    def _state(self) -> State:
        def lag() -> dict[str, int | None]:
            with suppress(StoreUnavailable):  # the next step tells
                return {feed.name: feed.lag() for feed in self._open}
            return {}

        return State(self._totals, self._ingester.pending_rows, tuple(feed.name for feed in self._open), lag)
