"""Sightings from files into the store, so that the same command run again after any end completes the work.

Theory of operation. A block of a file is checked as columns, its rows are grouped by subscriber, the
histories are read, merged and written back if nobody wrote them meanwhile (else read and merged again).
Then the block's digest, which names all bytes up to its end, is saved in the store as a checkpoint: a later
run skips the blocks whose checkpoints it finds. A block that was cut short by a kill is merged again, which
changes nothing that is right, since merging is idempotent. The table of cells is part of a checkpoint's
name: with another table the rows mean something else and are read again.

Invariant: a checkpoint is saved only after all of its block was written. Called by the command line;
`stream` uses `Ingester` for another source.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from location_store import cells as cell_table
from location_store.columns import Block, blocks
from location_store.errors import BadInput, StoreUnavailable
from location_store.merge import LATENESS_MIN, merge
from location_store.pseudonyms import Pseudonyms
from location_store.rejects import Rejects
from location_store.sightings import SHAPE, BadTimes, Cells, Checked, Countries, TimeFormat, check
from location_store.sources import BLOCK_BYTES, size_of
from location_store.stays import NEW_STAY_GAP_MIN
from location_store.store import MAX_ATTEMPTS, Store, Update
from location_store.window import Window, day_starts

Progress = Callable[[int, int | None], None]
"""Bytes read so far, of how many (None: not known)."""

_CACHED_PSEUDONYMS = 1 << 19


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
        """Where memory ends: a stay over the start of the window has its last sighting before that here."""
        return self.keep_from_min - NEW_STAY_GAP_MIN

    @property
    def midnights_min(self) -> list[int]:
        """The unix minutes, ascending, at which segments end: from the cutoff to past tomorrow."""
        span = Window(self.cutoff_min, int(self.now_s // 60) + 2880)
        return sorted({start for zone in self.day_zones for start in day_starts(span, zone)})

    def after(self, elapsed_s: float) -> Settings:
        """The same some time later; the window moves by whole days, at most one behind midnight."""
        days = int(elapsed_s // 86_400)
        return self._replace(now_s=self.now_s + elapsed_s, keep_from_min=self.keep_from_min + 1440 * days)


class Ingester:
    """Checks rows and writes them into the histories, whatever they come from."""

    def __init__(
        self, store: Store, cells: Cells, places: Geography, pseudonyms: Pseudonyms, settings: Settings
    ) -> None:
        self.store = store
        self.key = pseudonyms.subkey("ingest")
        """Of the digests that name checkpoints."""
        self._cells = cells
        self._places = places
        self.settings = settings
        self._pseudonym = lru_cache(_CACHED_PSEUDONYMS)(pseudonyms.of)

    def check(self, rows: pl.DataFrame, time_format: TimeFormat | None) -> Checked:
        """`sightings.check` with this ingest's tables and clock."""
        return check(
            rows,
            self._cells,
            self._places,
            now_s=self.settings.now_s,
            default_country=self.settings.default_country,
            time_format=time_format,
        )

    def write(self, good: pl.DataFrame) -> Totals:
        """Merge checked sightings into the histories of their subscribers."""
        minute = good["time_s"].to_numpy() // 60
        old = minute < self.settings.keep_from_min
        # Rows shortly before the window are merged all the same, by themselves since they are counted as old:
        # readers clip a stay that crosses the window's edge, and for that its beginning must be known.
        edge = old & (minute >= self.settings.cutoff_min)
        if edge.any():
            self._merge(good.filter(edge))
        late = self._merge(good.filter(~old))
        old_rows = int(np.count_nonzero(old))
        return Totals(rows=len(good), written=len(good) - late - old_rows, late=late, old=old_rows)

    def _merge(self, good: pl.DataFrame) -> int:
        """Read, merge and write, again where another wrote meanwhile. Returns how many rows were late."""
        numbers, owner = np.unique(good["msisdn"].cast(pl.Int64).to_numpy(), return_inverse=True)
        minute, place = good["time_s"].to_numpy() // 60, good["place"].to_numpy()
        pseudonyms = [self._pseudonym(str(number)) for number in numbers.tolist()]
        midnights = self.settings.midnights_min
        late = None
        for _ in range(MAX_ATTEMPTS):
            states = self.store.read_histories(pseudonyms)
            merged = merge(
                states,
                owner,
                minute,
                place,
                lateness_min=self.settings.lateness_min,
                cutoff_min=self.settings.cutoff_min,
                midnights_min=midnights,
                neighbours=self._places.neighbours,
            )
            late = merged.late if late is None else late
            triples = zip(pseudonyms, states, merged.blobs, strict=True)
            updates = [Update(*triple) for triple in triples if triple[2] is not None]
            conflicts = {updates[n].pseudonym for n in self.store.put_histories(updates)}
            if not conflicts:
                return late
            again = np.array([pseudonym in conflicts for pseudonym in pseudonyms])
            rows = again[owner]
            owner, minute, place = (np.cumsum(again) - 1)[owner[rows]], minute[rows], place[rows]
            pseudonyms = [pseudonym for pseudonym in pseudonyms if pseudonym in conflicts]
        raise StoreUnavailable(f"{self.store.nodes.name}: histories change too fast to be written")


def ingest(
    paths: Sequence[str | Path],
    ingester: Ingester,
    *,
    data_dir: Path,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Totals:
    """Ingest files ("-": standard input) one after another; bad rows go to `rejects/` in `data_dir`.

    `block_bytes`: what is merged and checkpointed together; another value takes no checkpoint of an earlier
    run.

    Raises BadInput for a file that cannot be read or has no usable header; StoreUnavailable when the store
    goes away: what was written stays, and the same call goes on from there.
    """
    run = _Run(ingester, data_dir, paths, progress)
    totals = Totals()
    for path in paths:
        totals.add(run.file(path, block_bytes))
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


class _Run:
    def __init__(
        self, ingester: Ingester, data_dir: Path, paths: Sequence[str | Path], progress: Progress | None
    ) -> None:
        self._ingester = ingester
        self._data_dir = data_dir
        self._progress = progress
        self._table = _digest(data_dir / cell_table.FILE_NAME)
        self._reject_names: set[str] = set()
        sizes = [size_of(path) for path in paths]
        self._bytes_total = None if None in sizes else sum(size or 0 for size in sizes)
        self._bytes_before = 0

    def file(self, path: str | Path, block_bytes: int) -> Totals:
        """One file from the first block on that has no checkpoint."""
        done = _Checkpoint(Totals())
        rejects: Rejects | None = None
        source = self._reject_name(path)
        try:
            for block in blocks(path, [SHAPE], block_bytes=block_bytes):
                name = self._name(block)
                saved = self._ingester.store.checkpoint(name)
                if saved is not None:
                    done = _Checkpoint.parse(saved)
                else:
                    rejects = rejects or Rejects(self._data_dir, source, resume_before=block.first_line)
                    self._block(block, done, rejects)
                    self._ingester.store.save_checkpoint(name, done.dump())
                self._report(block)
        except BadTimes as error:
            raise BadInput(f"{path}: {error}") from error
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"{error} The same command run again goes on after row {done.totals.rows}"
            ) from error
        finally:
            if rejects is not None:
                rejects.close()
        self._bytes_before += size_of(path) or 0
        if rejects is None and done.totals.usable:
            return Totals(skipped_files=1)
        return done.totals

    def _block(self, block: Block, done: _Checkpoint, rejects: Rejects) -> None:
        before = rejects.counts.copy()
        rows = block.parse(rejects)
        checked = self._ingester.check(rows, done.time_format)
        for line, reason in checked.bad.iter_rows():
            rejects.add(line, reason, block.row(line))
        done.totals.add(self._ingester.write(checked.good))
        rejects.commit()
        rejected = rejects.counts - before
        done.totals.rejected.update(rejected)
        done.totals.rows += rejected.total()
        done.time_format = checked.time_format

    def _name(self, block: Block) -> str:
        return hashlib.blake2b(block.digest + self._table, key=self._ingester.key, digest_size=16).hexdigest()

    def _reject_name(self, path: str | Path) -> str:
        """The file's name; where another of this run has it too, with its folder's before it."""
        name = Path(path).name
        if name in self._reject_names:
            name = f"{Path(path).resolve().parent.name}-{name}"
        self._reject_names.add(name)
        return name

    def _report(self, block: Block) -> None:
        if self._progress is not None:
            self._progress(self._bytes_before + block.bytes_done, self._bytes_total)


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except FileNotFoundError:
        return b""
