"""Sightings from a Redis stream, by the consumer group `cxmyd`: acknowledged after their write.

Entries have the fields of `sightings.SHAPE`. One process at a time reads a stream (`share`), so whatever is
delivered and not acknowledged when it begins was left behind by one that died: it is claimed first, in its
order. What was delivered before is read in ever smaller pieces, each written by itself, so that an entry
which ends the ingest comes to be alone; after `tries` deliveries it goes to the stream NAME:dead, with its
fields, its id, and how often it was tried.

Invariant: an entry is acknowledged when its row is in the store, in the rejects, or in the dead letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl

from location_store.errors import StoreRefused, StoreUnavailable
from location_store.feeds.feed import Batch, Origin, RejectedRow
from location_store.ingest import TURN
from location_store.nodes import Command, Nodes
from location_store.sightings import SHAPE

GROUP = "cxmyd"
CONSUMER = "ingest"
ENTRIES_A_CALL = 10_000
TRIES = 5

_FEWER = 20
"""By how much smaller a piece gets with every delivery."""

Entry = Sequence[Any]
"""Id, and names and values in turns: replies as they are. (A command in bytes is not known to redis-py.)"""
_Pending = tuple[bytes, int]
"""Id and number of deliveries of an entry that was not acknowledged."""


class StreamFeed:
    """One stream. `tries`: deliveries of an entry before it is given up. `trim`: delete acknowledged entries,
    which is right where no other group reads the stream.
    """

    def __init__(self, name: str, nodes: Nodes, *, tries: int = TRIES, trim: bool = False) -> None:
        self.name = f"stream {name}"
        self.shard = f"{TURN}-{name}"
        self._source = f"stream-{Path(name).name}"
        self._key = name.encode()
        self._nodes = nodes
        self._tries = tries
        self._trim = trim
        self._origin = Origin()
        self._lines = 0
        self._claiming = True
        self._after = b"-"
        """Behind the last entry that was polled: what is pending before it is in the hands of `run`."""

    def open(self, settle: Callable[[], None]) -> None:
        del settle  # nobody takes a stream from us but by the lease
        self._claiming, self._after = True, b"-"
        try:
            self._nodes.call(self._key, "XGROUP", "CREATE", self._key, GROUP, "0", "MKSTREAM")
        except StoreRefused as error:
            if "BUSYGROUP" not in str(error):  # the group is there from an earlier run
                raise

    def poll(self, timeout_s: float) -> Batch | None:
        while self._claiming:
            pending = self._pending()
            if not pending:
                self._claiming = False
            elif batch := self._again(pending):
                return batch
        entries = self._new(timeout_s)
        return self._batch(entries, again=False, alone=False) if entries else None

    def commit(self, positions: Sequence[object]) -> None:
        ids: list[tuple[bytes, ...]] = [position for position in positions if isinstance(position, tuple)]
        if not ids:
            return
        commands = [Command(self._key, ("XACK", self._key, GROUP, *some)) for some in ids]
        if self._trim:
            commands.append(Command(self._key, ("XTRIM", self._key, "MINID", "~", ids[-1][-1])))
        self._nodes.run(commands)

    def close(self) -> None:
        """Nothing is held open."""

    def lag(self) -> int | None:
        for pairs in self._nodes.call(self._key, "XINFO", "GROUPS", self._key):
            group = dict(zip(pairs[::2], pairs[1::2], strict=True))
            if group[b"name"] == GROUP.encode():
                lag: int | None = group.get(b"lag")
                return lag
        return None

    # --- entries that were delivered before ---

    def _pending(self) -> list[_Pending]:
        """The next entries of all consumers of the group."""
        start = self._after if self._after == b"-" else b"(" + self._after
        reply: list[tuple[bytes, bytes, int, int]] = self._nodes.call(
            self._key, b"XPENDING", self._key, GROUP, start, "+", ENTRIES_A_CALL
        )
        return [(entry, deliveries) for entry, _, _, deliveries in reply]

    def _again(self, pending: list[_Pending]) -> Batch | None:
        """Some of them that were delivered equally often; None when these were given up or deleted."""
        deliveries = pending[0][1]
        size = ENTRIES_A_CALL // _FEWER ** (deliveries - 1)
        if deliveries >= self._tries - 1:
            size = 1
        ids = [entry for entry, _ in takewhile(lambda each: each[1] == deliveries, pending)][: max(1, size)]
        if deliveries >= self._tries:
            self._bury(ids, deliveries)
            entries = []
        else:
            entries = self._nodes.call(self._key, b"XCLAIM", self._key, GROUP, CONSUMER, 0, *ids)
        # deleted ones leave the list of pending ones as they are claimed
        self._after = ids[-1]
        return self._batch(entries, again=True, alone=deliveries > 1) if entries else None

    def _bury(self, ids: Sequence[bytes], deliveries: int) -> None:
        """Into the dead letters, which may be on another node; twice there if we die in between."""
        dead = self._key + b":dead"
        reason = f"delivered {deliveries} times and never written"
        for entry in ids:
            for _, words in self._nodes.call(self._key, b"XRANGE", self._key, entry, entry):
                self._nodes.call(dead, "XADD", dead, "*", *words, "dead_id", entry, "dead_reason", reason)
            self._nodes.call(self._key, "XACK", self._key, GROUP, entry)

    # --- new ones ---

    def _new(self, timeout_s: float) -> list[Entry]:
        block: tuple[str | int, ...] = ("BLOCK", round(1000 * timeout_s)) if timeout_s >= 0.001 else ()
        try:
            reply: Any = self._nodes.call(
                self._key, b"XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", ENTRIES_A_CALL, *block,
                "STREAMS", self._key, ">",
            )  # fmt: skip
        except StoreUnavailable:
            self._claiming = True  # they may have been delivered, and only the reply lost
            raise
        entries: list[Entry] = reply[0][1] if reply else []
        if entries:
            self._after = entries[-1][0]
        return entries

    def _batch(self, entries: list[Entry], *, again: bool, alone: bool) -> Batch:
        first = self._lines + 1
        self._lines += len(entries)
        columns = _columns([fields for _, fields in entries])
        lines = pl.int_range(first, first + len(entries), dtype=pl.Int64, eager=True)

        def where(line: int) -> RejectedRow:
            return RejectedRow(self._source, line, _text(*entries[line - first]))

        return Batch(
            pl.DataFrame({"line": lines, **columns}),
            tuple(entry for entry, _ in entries),
            self._origin,
            where,
            again=again,
            alone=alone,
        )


def _columns(entries: Sequence[Sequence[bytes]]) -> dict[str, pl.Series]:
    """The columns of `SHAPE` of entries that are names and values in turns; null where there is none."""
    names = entries[0][::2]
    if all(fields[::2] == names for fields in entries):
        values = dict(zip(names, zip(*(fields[1::2] for fields in entries), strict=True), strict=True))
        nothing: tuple[bytes | None, ...] = (None,) * len(entries)
        return {name: _text_column(values.get(name.encode(), nothing)) for name in SHAPE.columns}
    rows = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in entries]
    return {name: _text_column([row.get(name.encode()) for row in rows]) for name in SHAPE.columns}


def _text_column(values: Sequence[bytes | None]) -> pl.Series:
    try:
        return pl.Series(values, dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.PolarsError:  # one of them is not UTF-8: shown as it can be, for the check to refuse
        return pl.Series([value and value.decode("utf-8", "replace") for value in values], dtype=pl.String)


def _text(entry: bytes, fields: Sequence[bytes]) -> str:
    words = [word.decode("utf-8", "replace") for word in fields]
    return " ".join([entry.decode(), *map("=".join, zip(words[::2], words[1::2], strict=True))])
