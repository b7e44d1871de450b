"""Sightings into the store: the ingester, which every source feeds, and the ingest of files.

Theory of operation. A block of a file is checked as columns and gathered by subscriber (`coalescer`); a flush
merges what was gathered into the records. Then the digests of the blocks that it completes, each of which
names all bytes of its file up to its end, are saved in the store as checkpoints: a later run skips the blocks
whose checkpoints it finds. A flush that was cut short by a kill is done again, which changes nothing that is
right, since merging is idempotent. The table of cells is part of a checkpoint's name: with another table the
rows mean something else and are read again.

Invariants: a checkpoint is saved only after all rows of its block were written; of several ingests of files
at the same time one writes (`lease`). Called by the command line; `feeds` use `Ingester` for other sources.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from location_store import cells as cell_table
from location_store.coalescer import Pending
from location_store.columns import Block
from location_store.epoch import EPOCH_MIN
from location_store.errors import BadInput, StoreUnavailable
from location_store.lease import Lease, Notice, silent
from location_store.merge import LATENESS_MIN, Limits
from location_store.order import Input, fault, survey
from location_store.pseudonyms import Pseudonyms
from location_store.rejects import Rejects
from location_store.sightings import SHAPE, Cells, Checked, Countries, TimeFormat, check
from location_store.sources import BLOCK_BYTES
from location_store.stays import NEW_STAY_GAP_MIN
from location_store.store import Store
from location_store.window import Window, day_starts

Progress = Callable[[int, int | None], None]
"""Bytes read so far, of how many (None: not known)."""

TURN = "ingest"
"""Name of the lease that ingests of files hold one after another."""

FLUSH_ROWS = 16_000_000
"""Rows of a file that are gathered, 8 bytes each: a subscriber's sightings of about half a day."""

FLUSH_S = 60.0
"""What is gathered at most when a run is killed."""


class Geography(Countries, Protocol):
    """What is asked of the table of places (`places.Places`)."""

    def neighbours(self, a: int, b: int) -> bool:
        """Whether two places share a border."""
        ...


@dataclass(slots=True)
class Totals:
    """What an ingest did, in rows. An accepted row is counted once: written, late or old."""

    rows: int = 0
    written: int = 0
    late: int = 0
    """More than the lateness behind the newest sighting of their subscriber: left out."""
    old: int = 0
    """Before the longest window of any carrier."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    skipped_files: int = 0
    """Files that an earlier run had completed; their rows are not in the other figures."""
    unusable: list[str] = field(default_factory=list)
    """Files that could not be read, or not to their end: a line each that names file, fault and mend."""

    @property
    def usable(self) -> int:
        """Rows that were sightings, late and old ones included."""
        return self.rows - self.rejected.total()

    def add(self, other: Totals) -> None:
        self.rows += other.rows
        self.written += other.written
        self.late += other.late
        self.old += other.old
        self.rejected.update(other.rejected)
        self.skipped_files += other.skipped_files
        self.unusable += other.unusable


class Settings(NamedTuple):
    """What a configuration asks of ingest.

    now_s: unix seconds. keep_from_min: unix minute at which the longest window of any carrier begins.
    day_zones: zones at whose midnights segments end, for the carriers that reckon by days ("daily-span").
    """

    now_s: float
    keep_from_min: int
    lateness_min: int = LATENESS_MIN
    default_country: str = "CN"
    day_zones: tuple[ZoneInfo, ...] = ()

    @property
    def cutoff_min(self) -> int:
        """What ended before is dropped: a silence over the window's start is known by both its ends."""
        return self.keep_from_min - NEW_STAY_GAP_MIN

    @property
    def midnights_min(self) -> list[int]:
        """The unix minutes, ascending, at which segments end: from the cutoff to past tomorrow."""
        span = Window(self.cutoff_min, int(self.now_s // 60) + 2880)
        return sorted({start for zone in self.day_zones for start in day_starts(span, zone)})

    def at(self, now_s: float) -> Settings:
        """The same at another time; the window moves by whole days, at most one behind midnight."""
        days = int((now_s - self.now_s) // 86_400)
        return self._replace(now_s=now_s, keep_from_min=self.keep_from_min + 1440 * days)


class Ingester:
    """Takes sightings, whatever they come from, into memory, and writes them into the records.

    A source's position may be committed up to what was added before the last `flush`. Adding again what was
    written changes nothing, so after a crash the source is read again from the committed position.
    """

    def __init__(
        self,
        store: Store,
        cells: Cells,
        places: Geography,
        pseudonyms: Pseudonyms,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`settings`: as they are now; they go on by `clock` (unix seconds)."""
        self.store = store
        self.keys = pseudonyms.subkeys("ingest")
        """Of the digests that name checkpoints: the newest to save with, the older to find with too."""
        self._cells = cells
        self._places = places
        self.settings = settings
        self._settings_at_first = settings
        self._clock = clock
        self._pending = Pending(store, pseudonyms, self._cutoff())

    @property
    def pending_rows(self) -> int:
        """Rows that were added and not yet flushed: 8 bytes each."""
        return self._pending.count

    def check(self, rows: pl.DataFrame, time_format: TimeFormat | None) -> Checked:
        """`sightings.check` of rows that were read just now, with this ingest's tables."""
        self.settings = self._settings_at_first.at(self._clock())
        return check(
            rows,
            self._cells,
            self._places,
            now_s=self.settings.now_s,
            default_country=self.settings.default_country,
            time_format=time_format,
        )

    def first_time_s(self, block: Block) -> int | None:
        """Unix seconds of the first usable row of a block, None where it has none. Raises BadInput."""
        good = self.check(block.parse(_Nowhere()), None).good
        return None if good.is_empty() else int(good["time_s"][0])

    def add(self, good: pl.DataFrame, *, again: bool = False) -> Totals:
        """Take checked sightings into memory, in the order of their arrival; what became of them.

        `again`: another process may have taken them before it was killed. What of them lies before an erasure
        of its subscriber in the last two days counts as late, so that nothing erased comes back.
        """
        minute = good["time_s"].to_numpy() // 60
        old = minute < self.settings.keep_from_min
        # Rows shortly before the window are kept all the same, though they are counted as old: readers clip
        # a stay that crosses the window's edge, and for that its beginning must be known.
        kept = minute >= self.settings.cutoff_min
        timely = np.ones_like(kept)
        timely[kept] = self._pending.add(
            good["msisdn"].to_numpy()[kept],
            minute[kept] - EPOCH_MIN,
            good["place"].to_numpy()[kept],
            self.settings.lateness_min,
            again=again,
        )
        old_rows = int(np.count_nonzero(old))
        late = int(np.count_nonzero(~timely & ~old))
        return Totals(rows=len(good), written=len(good) - late - old_rows, late=late, old=old_rows)

    def flush(self) -> None:
        """Write what is in memory, and wait for as many replicas as the store was told to.

        Raises StoreUnavailable and keeps it all, to be flushed again.
        """
        settings = self.settings
        limits = Limits(
            settings.lateness_min, settings.cutoff_min, settings.midnights_min, self._places.neighbours
        )
        self._pending.flush(limits)
        self.store.confirm()
        self._pending.clear(self._cutoff())

    def _cutoff(self) -> int:
        return self.settings.cutoff_min - EPOCH_MIN


def ingest(
    paths: Sequence[str | Path],
    ingester: Ingester,
    *,
    data_dir: Path,
    progress: Progress | None = None,
    notice: Notice | None = None,
    block_bytes: int = BLOCK_BYTES,
    flush_rows: int = FLUSH_ROWS,
) -> Totals:
    """Ingest files ("-": standard input) one after another, in the order of their times (`order`); bad rows
    go to `rejects/` in `data_dir`.

    Files that cannot be read, or have no usable header, are named in `Totals.unusable`; the others go on.
    Where another ingest is at work, it is waited for, and `notice` gets a line about that. `block_bytes`:
    what is merged and checkpointed together; another value takes no checkpoint of an earlier run.

    Raises StoreUnavailable when the store goes away: what was written stays, and the same call goes on from
    there. `flush_rows`: so many are gathered before they are written.
    """
    found = survey(paths, SHAPE, ingester.first_time_s, block_bytes)
    totals = Totals(unusable=found.unusable)
    with Lease(ingester.store.nodes, TURN, data_dir, notice=notice or silent) as turn:
        turn.hold()
        run = _Run(ingester, turn, data_dir, found.inputs, progress=progress, flush_rows=flush_rows)
        try:
            for each in found.inputs:
                totals.add(run.file(each))
            run.flush()
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error} The same command run again goes on from there") from error
    return totals


@dataclass(slots=True)
class _Checkpoint:
    """What was done of one file up to the end of a block."""

    totals: Totals
    time_format: TimeFormat | None = None

    def dump(self) -> bytes:
        totals = {each.name: getattr(self.totals, each.name) for each in fields(Totals)}
        return json.dumps({"totals": totals, "time_format": self.time_format}).encode()

    @classmethod
    def parse(cls, value: bytes) -> _Checkpoint:
        done = json.loads(value)
        done["totals"]["rejected"] = Counter(done["totals"]["rejected"])
        return cls(Totals(**done["totals"]), done["time_format"])


class _Nowhere:
    """Takes the rejects of a block that is only looked at."""

    def add(self, line: int, reason: str, row: str) -> None:
        pass


class _Run:
    def __init__(
        self,
        ingester: Ingester,
        turn: Lease,
        data_dir: Path,
        inputs: Sequence[Input],
        *,
        progress: Progress | None,
        flush_rows: int,
    ) -> None:
        self._ingester = ingester
        self._turn = turn
        self._data_dir = data_dir
        self._progress = progress
        self._table = _digest(data_dir / cell_table.FILE_NAME)
        self._reject_names = _reject_names(inputs)
        sizes = [each.size for each in inputs]
        self._bytes_total = None if None in sizes else sum(size or 0 for size in sizes)
        self._bytes_before = 0
        self._flush_rows = flush_rows
        self._flushed_s = time.monotonic()
        self._unsaved: list[tuple[str, bytes]] = []
        """Checkpoints of the blocks that are in memory only."""

    def file(self, source: Input) -> Totals:
        """One file from the first block on that has no checkpoint."""
        done = _Checkpoint(Totals())
        rejects: Rejects | None = None
        unusable = []
        try:
            for block in source.blocks:
                self._turn.hold()  # before the checkpoint is asked for: who held it may have done our block
                name, *older = self._names(block)
                saved = next(filter(None, map(self._ingester.store.checkpoint, (name, *older))), None)
                if saved is not None:
                    done = _Checkpoint.parse(saved)
                else:
                    rejects = rejects or Rejects(
                        self._data_dir, self._reject_names[source.number], resume_before=block.first_line
                    )
                    self._block(block, done, rejects)
                    self._unsaved.append((name, done.dump()))
                    self._flush_if_due()
                self._report(block)
        except BadInput as error:
            unusable.append(fault(source.path, error))
        finally:
            if rejects is not None:
                rejects.close()
        self._bytes_before += source.size or 0
        if rejects is None and done.totals.usable and not unusable:
            return Totals(skipped_files=1)
        done.totals.unusable += unusable
        return done.totals

    def flush(self) -> None:
        """Write what was gathered, and say of which blocks that is all."""
        self._turn.hold()
        self._ingester.flush()
        self._ingester.store.save_checkpoints(self._unsaved)
        self._unsaved.clear()
        self._flushed_s = time.monotonic()

    def _flush_if_due(self) -> None:
        is_long = time.monotonic() - self._flushed_s > FLUSH_S
        if self._ingester.pending_rows >= self._flush_rows or is_long:
            self.flush()

    def _block(self, block: Block, done: _Checkpoint, rejects: Rejects) -> None:
        before = rejects.counts.copy()
        rows = block.parse(rejects)
        checked = self._ingester.check(rows, done.time_format)
        for line, reason in checked.bad.iter_rows():
            rejects.add(line, reason, block.row(line))
        done.totals.add(self._ingester.add(checked.good))
        rejects.commit()
        rejected = rejects.counts - before
        done.totals.rejected.update(rejected)
        done.totals.rows += rejected.total()
        done.time_format = checked.time_format

    def _names(self, block: Block) -> list[str]:
        content = block.digest + self._table
        keys = self._ingester.keys
        return [hashlib.blake2b(content, key=key, digest_size=16).hexdigest() for key in keys]

    def _report(self, block: Block) -> None:
        if self._progress is not None:
            self._progress(self._bytes_before + block.bytes_done, self._bytes_total)


def _reject_names(inputs: Sequence[Input]) -> dict[int, str]:
    """The file's name; where another one given before it has it too, with its folder's before it."""
    names: dict[int, str] = {}
    for number, path in sorted((each.number, each.path) for each in inputs):
        name = Path(path).name
        names[number] = f"{Path(path).resolve().parent.name}-{name}" if name in names.values() else name
    return names


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except FileNotFoundError:
        return b""
