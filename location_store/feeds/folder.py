"""Sightings from the files that appear in a folder: read when they are finished, then moved aside.

A file is finished when its size and time have not changed for `settle_s`. Left alone: folders, empty files,
and what is not meant to be read yet, names that begin with a dot or end in .tmp, .part or .partial (so a
writer is safest who writes under such a name and renames). Finished files are read in the order of their
first sightings; once all rows of one are in the store, it goes to done/, and one that cannot be read, or not
to its end, to failed/ with the reason beside it, in NAME.reason.

Invariant: a file leaves the folder after its rows are written; one that was cut short by a crash is read
again from its start. A file that ended the ingest `tries` times goes to failed/: `.NAME.tries` counts.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import NamedTuple

from location_store.columns import Block, blocks
from location_store.errors import BadInput
from location_store.feeds.feed import Batch, FeedUnavailable, Origin, RejectedRow, empty_rows
from location_store.ingest import TURN
from location_store.order import PROBE_BYTES, TimeOf, fault
from location_store.sightings import SHAPE, BadTimes
from location_store.sources import BLOCK_BYTES

SETTLE_S = 2.0
TRIES = 5

_UNFINISHED = (".tmp", ".part", ".partial")
_ID_FILE = ".cxmyd"
_SCAN_S = 0.5
_PROBES_S = 0.5
"""For how long files are looked into before other feeds have their turn."""

Stamp = tuple[int, int]
"""Size and mtime_ns of a file."""


class Ended(NamedTuple):
    """Position behind a file. reason: why it could not be read, or not to its end."""

    path: Path
    stamp: Stamp
    reason: str | None


@dataclass(slots=True)
class _Found:
    """A file in the folder. `time_s`: of its first sighting, None before it was looked into."""

    path: Path
    stamp: Stamp
    since_s: float
    time_s: float | None = None
    reason: str | None = None


@dataclass(slots=True)
class _Reading:
    found: _Found
    blocks: Iterator[Block]
    alone: bool
    origin: Origin = field(default_factory=Origin)


class FolderFeed:
    """One folder. `time_of`: the time of a block's first usable row (`Ingester.first_time_s`)."""

    def __init__(
        self,
        folder: Path,
        time_of: TimeOf,
        *,
        settle_s: float = SETTLE_S,
        tries: int = TRIES,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Raises BadInput where there is no folder, or none that may be written to."""
        self.name = f"folder {folder}"
        self.shard = f"{TURN}-folder-{_identity(folder)}"
        self._folder = folder
        self._time_of = time_of
        self._settle_s = settle_s
        self._tries = tries
        self._block_bytes = block_bytes
        self._found: dict[str, _Found] = {}
        self._taken: set[str] = set()
        """Read to their end, not committed yet."""
        self._reading: _Reading | None = None
        self._next_scan_s = 0.0

    def open(self, settle: Callable[[], None]) -> None:
        del settle  # nobody takes a folder from us but by the lease
        self._found.clear()
        self._taken.clear()
        self._reading = None
        self._next_scan_s = 0.0

    def poll(self, timeout_s: float) -> Batch | None:
        try:
            if self._reading is None:
                self._scan()
                found = self._first()
                if found is None:
                    time.sleep(timeout_s)
                    return None
                self._reading = self._begin(found)
            return self._read(self._reading)
        except OSError as error:
            raise FeedUnavailable(f"{self._folder} cannot be read: {error.strerror}.") from error

    def commit(self, positions: Sequence[object]) -> None:
        for position in positions:
            if isinstance(position, Ended):
                self._put_aside(position)

    def close(self) -> None:
        if self._reading is not None:
            _count_file(self._reading.found.path).unlink(missing_ok=True)
        self._reading = None

    def lag(self) -> int | None:
        return len(self._found)

    # --- which file ---

    def _scan(self) -> None:
        """See what is there, what has changed, and what is gone."""
        now_s = time.monotonic()
        if now_s < self._next_scan_s:
            return
        present = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                    continue
                with suppress(FileNotFoundError):  # renamed in this moment
                    stamp = _stamp(entry)
                    if entry.is_file() and stamp[0] and entry.name not in self._taken:
                        present[entry.name] = stamp
        for name, stamp in present.items():
            if name not in self._found or self._found[name].stamp != stamp:
                self._found[name] = _Found(self._folder / name, stamp, now_s)
        for name in self._found.keys() - present:
            del self._found[name]
        took_s = time.monotonic() - now_s
        self._next_scan_s = now_s + max(_SCAN_S, 10 * took_s)

    def _first(self) -> _Found | None:
        """The finished file to read next; None also while there are more to look into."""
        now_s = time.monotonic()
        finished = [each for each in self._found.values() if now_s - each.since_s >= self._settle_s]
        for each in finished:
            if each.time_s is None:
                if time.monotonic() - now_s > _PROBES_S:
                    return None
                self._look_into(each)
        return min(finished, key=lambda each: each.time_s or 0.0, default=None)

    def _look_into(self, found: _Found) -> None:
        """Find the time of the first sighting. It is counted as a try: a bad file may end the process."""
        tries = _count(found.path)
        if tries >= self._tries:
            found.time_s, found.reason = 0.0, f"it ended the ingest {tries} times"
            return
        _set_count(found.path, tries + 1)
        try:
            with closing(blocks(found.path, [SHAPE], block_bytes=PROBE_BYTES)) as probe:
                times = (time_s for time_s in map(self._time_of, probe) if time_s is not None)
                found.time_s = next(times, inf)
        except BadTimes as error:
            found.time_s, found.reason = 0.0, fault(found.path, error)
        except BadInput:
            found.time_s = inf  # reading it will tell, and there may be good rows before that
        _set_count(found.path, tries)

    # --- its rows ---

    def _begin(self, found: _Found) -> _Reading:
        tries = _count(found.path)
        _set_count(found.path, tries + 1)
        content = blocks(found.path, [SHAPE], block_bytes=self._block_bytes)
        return _Reading(found, content, alone=tries > 0)

    def _read(self, reading: _Reading) -> Batch:
        """The next block, or the end of the file."""
        reason = reading.found.reason
        try:
            block = next(reading.blocks, None) if reason is None else None
            if block is not None:
                return self._batch(block, reading)
        except BadInput as error:
            reason = fault(reading.found.path, error)
        path, stamp = reading.found.path, reading.found.stamp
        self._reading = None
        self._found.pop(path.name, None)
        self._taken.add(path.name)
        return Batch(
            empty_rows(),
            Ended(path, stamp, reason),
            reading.origin,
            _nowhere,
            alone=reading.alone,
            last=True,
            unusable=None if reason is None else f"{reason} (moved to {path.parent / 'failed'})",
        )

    def _batch(self, block: Block, reading: _Reading) -> Batch:
        unsplit: list[tuple[int, str]] = []
        sink = _Unsplit(unsplit)
        rows = block.parse(sink)
        source = f"{self._folder.name}-{reading.found.path.name}"

        def where(line: int) -> RejectedRow:
            return RejectedRow(source, line, block.row(line))

        return Batch(rows, None, reading.origin, where, bad=unsplit, again=reading.alone, alone=reading.alone)

    # --- afterwards ---

    def _put_aside(self, ended: Ended) -> None:
        name = ended.path.name
        self._taken.discard(name)
        try:
            if _stamp(ended.path) == ended.stamp:
                folder = self._folder / ("done" if ended.reason is None else "failed")
                folder.mkdir(exist_ok=True)
                target = _free_name(folder / name)
                if ended.reason is not None:
                    target.with_name(f"{target.name}.reason").write_text(f"{ended.reason}\n")
                ended.path.rename(target)
            # else more was written to it while we read: it is read again
        except FileNotFoundError:
            pass  # another process, or its writer, has moved it
        except OSError as error:
            raise FeedUnavailable(f"{ended.path} cannot be moved: {error.strerror}.") from error
        finally:
            _count_file(ended.path).unlink(missing_ok=True)


class _Unsplit(NamedTuple):
    """Takes the rows of a block that could not be split."""

    rows: list[tuple[int, str]]

    def add(self, line: int, reason: str, row: str) -> None:
        del row  # `where` gives it
        self.rows.append((line, reason))


def _nowhere(line: int) -> RejectedRow:
    raise LookupError(line)


def _stamp(file: Path | os.DirEntry[str]) -> Stamp:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _free_name(path: Path) -> Path:
    """This path, or with a number behind it where there is a file already."""
    number = 1
    target = path
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}")
    return target


def _count_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.tries")


def _count(path: Path) -> int:
    """How often reading this file was begun and not ended."""
    try:
        return _count_file(path).stat().st_size
    except FileNotFoundError:
        return 0


def _set_count(path: Path, tries: int) -> None:
    if tries:
        _count_file(path).write_bytes(b"." * tries)
    else:
        _count_file(path).unlink(missing_ok=True)


def _identity(folder: Path) -> str:
    """A name for the folder by which all machines that mount it know it; made up at the first look."""
    path = folder / _ID_FILE
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder: make it, or name another one")
    try:
        draft = folder / f"{_ID_FILE}.{secrets.token_hex(8)}"
        draft.write_text(draft.suffix)
        try:
            path.hardlink_to(draft)  # whole, and the first one stays, over NFS too
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not path.exists():
                draft.rename(path)
        draft.unlink(missing_ok=True)
        return path.read_text().strip(".")
    except OSError as error:
        raise BadInput(f"{folder} cannot be written to ({error.strerror}): files are moved in it") from error
