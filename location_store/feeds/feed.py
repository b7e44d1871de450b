"""What a feed has to be able to do, so that `run` can write its sightings into the store.

Invariant of every feed: a position is given up (acknowledged, moved aside, committed) by `commit` only; what
was polled and not committed comes again, after a crash to whoever takes over. Merging is idempotent, so a
feed may deliver a row twice, but never not at all, and it should deliver in the order in which rows were
written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import polars as pl

from location_store.errors import StoreUnavailable
from location_store.sightings import SHAPE, TimeFormat


class FeedUnavailable(StoreUnavailable):
    """The source of a feed is away or refuses us: temporary, `run` goes on when it is back."""


class RejectedRow(NamedTuple):
    """One row for the rejects: the name of their file, the row's number there, its text."""

    source: str
    line: int
    text: str


@dataclass(slots=True)
class Origin:
    """Rows that have one time format: those of a file, a stream, a topic. `run` keeps it here."""

    time_format: TimeFormat | None = None


class Batch(NamedTuple):
    """Some rows of one origin, and the position behind them.

    rows: columns "line" (Int64, any number that `where` understands) and those of `sightings.SHAPE`, strings
    or as Parquet types them. position: what `commit` gets; None: nothing to commit for these rows alone.
    where: the row of a line, for the rejects. bad: (line, reason) of rows that could not be split.
    again: another process may have polled these rows before it was killed.
    alone: this batch, or one with it, ended an ingest before: it is written by itself.
    last: no row of this origin comes after it. unusable: why the rest of the origin cannot be read.
    """

    rows: pl.DataFrame
    position: object
    origin: Origin
    where: Callable[[int], RejectedRow]
    bad: Sequence[tuple[int, str]] = ()
    again: bool = False
    alone: bool = False
    last: bool = False
    unusable: str | None = None


class Feed(Protocol):
    """One source of sightings. Methods raise StoreUnavailable for what passes: they are called again."""

    @property
    def name(self) -> str:
        """For notices: "stream sightings"."""
        ...

    @property
    def shard(self) -> str | None:
        """What one process at a time may read, among all that name the same; None: the source sees to that
        itself."""
        ...

    def open(self, settle: Callable[[], None]) -> None:
        """Begin, or begin again after `close`, at the first position that was not committed.

        `settle` writes and commits all that was polled; a feed calls it, from within `poll` or `close`,
        before it gives something away by itself. It raises StoreUnavailable.
        """
        ...

    def poll(self, timeout_s: float) -> Batch | None:
        """The next rows, None when there are none within about `timeout_s`."""
        ...

    def commit(self, positions: Sequence[object]) -> None:
        """The rows before these positions are in the store; in the order in which they were polled."""
        ...

    def close(self) -> None:
        """End in order: what was added is committed, what was polled otherwise is forgotten."""
        ...

    def lag(self) -> int | None:
        """How much is waiting at the source, in its own units (entries, files, messages)."""
        ...


def empty_rows() -> pl.DataFrame:
    """The rows of a batch without any."""
    return pl.DataFrame(schema={"line": pl.Int64, **dict.fromkeys(SHAPE.columns, pl.String)})
