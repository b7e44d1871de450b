"""Sightings from a Redis stream, by a consumer group: an entry is acknowledged after its write.

Invariant: an entry that was not acknowledged is read again by the same consumer; merging it twice changes
nothing. Called by `cxmyd ingest --stream`. Entries have the fields of `sightings.SHAPE`; their line in the
rejects is their number in this run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from location_store.errors import StoreRefused
from location_store.ingest import TURN, Ingester, Totals
from location_store.lease import Lease, Notice, silent
from location_store.rejects import Rejects
from location_store.sightings import SHAPE, TimeFormat

GROUP = "cxmyd"
ENTRIES_A_CALL = 10_000
BLOCK_MS = 500

Entry = tuple[bytes, dict[bytes, bytes]]


def ingest_stream(
    name: str,
    ingester: Ingester,
    *,
    data_dir: Path,
    consumer: str = "ingest",
    stop: Callable[[], bool] = lambda: False,
    idle_s: float | None = None,
    progress: Callable[[Totals], None] | None = None,
    notice: Notice = silent,
) -> Totals:
    """Read the stream `name` until `stop()` is true, or nothing has come for `idle_s` seconds (None: for
    ever).

    What this `consumer` of the group had read and not acknowledged comes first. A second run on the same
    stream stands by until the first one ends or dies; all wait while an ingest of files is at work: `notice`
    gets a line about that. `progress` gets the totals after each batch. Raises StoreUnavailable,
    StoreRefused.
    """
    stream = _Stream(name, ingester, consumer)
    nodes = ingester.store.nodes
    files = Lease(nodes, TURN, data_dir, notice=notice, stop=stop)
    totals = Totals()
    idle_ms = 0
    with (
        Lease(nodes, f"{TURN}-{name}", data_dir, notice=notice, stop=stop) as turn,
        Rejects(data_dir, f"stream-{Path(name).name}") as rejects,
    ):
        while not stop() and turn.hold():
            entries = stream.read()
            if entries:
                if not files.wait():
                    break
                idle_ms = 0
                totals.add(stream.ingest(entries, rejects))
                if progress is not None:
                    progress(totals)
                continue
            idle_ms += BLOCK_MS
            if idle_s is not None and idle_ms > 1000 * idle_s:
                break
    return totals


class _Stream:
    def __init__(self, name: str, ingester: Ingester, consumer: str) -> None:
        self._key = name.encode()
        self._ingester = ingester
        self._nodes = ingester.store.nodes
        self._consumer = consumer
        self._rows = 0
        self._time_format: TimeFormat | None = None
        self._reads_pending = True
        try:
            self._nodes.call(self._key, "XGROUP", "CREATE", self._key, GROUP, "0", "MKSTREAM")
        except StoreRefused as error:
            if "BUSYGROUP" not in str(error):  # the group is there from an earlier run
                raise

    def read(self) -> list[Entry]:
        """The next entries; none after `BLOCK_MS` without any."""
        if self._reads_pending:
            entries = self._read_from("0")
            if entries:
                return entries
            self._reads_pending = False
        return self._read_from(">")

    def _read_from(self, start: str) -> list[Entry]:
        reply: Any = self._nodes.call(
            self._key, "XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", ENTRIES_A_CALL, "BLOCK",
            BLOCK_MS, "STREAMS", self._key, start,
        )  # fmt: skip
        entries: list[Entry] = reply[0][1] if reply else []
        return entries

    def ingest(self, entries: list[Entry], rejects: Rejects) -> Totals:
        """Write the sightings of the entries, then acknowledge all of them."""
        first = self._rows + 1
        self._rows += len(entries)
        # an entry without fields was deleted since
        present = [(line, fields) for line, (_, fields) in enumerate(entries, first) if fields]
        frame = pl.DataFrame(
            {
                "line": pl.Series([line for line, _ in present], dtype=pl.Int64),
                **{name: _column(name, [fields for _, fields in present]) for name in SHAPE.columns},
            }
        )
        checked = self._ingester.check(frame, self._time_format)
        self._time_format = checked.time_format
        for line, reason in checked.bad.iter_rows():
            rejects.add(line, reason, _row(*entries[line - first]))
        totals = self._ingester.add(checked.good)
        self._ingester.flush()
        rejects.commit()
        totals.rows += checked.bad.height
        totals.rejected.update(checked.bad["reason"].to_list())
        self._nodes.call(self._key, "XACK", self._key, GROUP, *(entry for entry, _ in entries))
        return totals


def _column(name: str, rows: list[dict[bytes, bytes]]) -> pl.Series:
    key = name.encode()
    return pl.Series(
        [row[key].decode("utf-8", "replace") if key in row else None for row in rows], dtype=pl.String
    )


def _row(entry: bytes, fields: dict[bytes, bytes]) -> str:
    pairs = (
        (key.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for key, value in fields.items()
    )
    return " ".join([entry.decode(), *(f"{key}={value}" for key, value in pairs)])
