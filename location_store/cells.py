"""The cell table: which city a radio cell stands in.

Invariant: rows are sorted by network and cell and each cell stands there once, in one file that is replaced
whole, so a reader sees the old table or the new one. Called by the ingester (`lookup`) and by
`cxmyd cells import` (`import_files`).
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from location_store.boundaries import Boundaries
from location_store.columns import Block, Shape, blocks, set_aside
from location_store.errors import BadInput, StoreRefused
from location_store.index import Column, Index
from location_store.places import Places
from location_store.rejects import Rejects

FILE_NAME: Final = "cells.npy"
MAX_AREA: Final = 2**24 - 1
"""5G tracking area codes have 24 bits, LTE and older 16 (3GPP TS 23.003 §19.4.2.3, §28.6)."""
MAX_CELL: Final = 2**36 - 1
"""The NR cell identity has 36 bits, LTE 28, GSM 16 (3GPP TS 23.003 §19.6, §4.3)."""
MAX_CODE: Final = 999
"""Mobile country and network codes have at most three digits (3GPP TS 23.003 §2.2)."""

MAX_ASKED: Final = 2**24
"""Cells of one network that are kept at hand; files full of invented ones must not fill the memory."""

_AREA_SHIFT = np.uint64(36)
_ROW = np.dtype([("network", "<u4"), ("cell", "<u8"), ("place", "<u2")])

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]


class CellTable:
    """Cells of many networks and the place of each. What it says does not change."""

    def __init__(self, rows: Rows) -> None:
        """`rows`: as `rows_of` makes them, in any order; of rows for one cell the last one wins."""
        rows = _sorted_unique(rows)
        self._rows = rows
        cells, places = (np.ascontiguousarray(rows[name]) for name in ("cell", "place"))
        networks, starts = np.unique(rows["network"], return_index=True)
        bounds = pairwise([*starts.tolist(), len(rows)])
        self._networks = {
            network: _Network(cells[start:end], places[start:end])
            for network, (start, end) in zip(networks.tolist(), bounds, strict=True)
        }

    @classmethod
    def load(cls, data_dir: Path) -> "CellTable":
        """Read the table of a data directory. Raises StoreRefused when there is none or it is damaged."""
        path = data_dir / FILE_NAME
        try:
            rows = np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise StoreRefused(
                f"{path}: there is no cell table yet: run `cxmyd cells import FILE`"
            ) from error
        except (OSError, ValueError, EOFError) as error:
            raise StoreRefused(f"{path}: the cell table cannot be read ({error}): {_MEND}") from error
        if rows.dtype != _ROW or rows.ndim != 1:
            raise StoreRefused(f"{path}: this is no cell table of this version: {_MEND}")
        return cls(rows)

    @classmethod
    def load_or_empty(cls, data_dir: Path) -> "CellTable":
        """The table of a data directory, or an empty one where none has been imported yet."""
        return cls.load(data_dir) if (data_dir / FILE_NAME).exists() else cls(np.empty(0, _ROW))

    def save(self, data_dir: Path) -> None:
        """Replace the table of a data directory in one step; a crash leaves the old one."""
        data_dir.mkdir(parents=True, exist_ok=True)
        unfinished = data_dir / f"{FILE_NAME}.{os.getpid()}.tmp"
        try:
            with unfinished.open("wb") as file:
                np.save(file, self._rows, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(data_dir / FILE_NAME)
        finally:
            unfinished.unlink(missing_ok=True)

    def merged(self, rows: Rows) -> "CellTable":
        """This table with more rows; where both know a cell, the new row wins."""
        return CellTable(np.concatenate([self._rows, rows]))

    def lookup(self, mcc: Ints, mnc: Ints, area: Ints, cell: Ints) -> npt.NDArray[np.uint16]:
        """The place id of each cell, 0 for cells that are not in the table. Any integers are accepted."""
        found = np.zeros(len(mcc), np.uint16)
        possible = in_range(mcc, mnc, area, cell)
        network = np.where(possible, mcc * 1000 + mnc, -1)
        key = _key(area, cell)
        for code, cells in self._networks.items():
            asked = np.flatnonzero(network == code)
            if asked.size:
                found[asked] = cells.lookup(key[asked])
        return found

    def __len__(self) -> int:
        return len(self._rows)


class _Network:
    """The cells of one network; found again by a hash: sightings repeat them."""

    def __init__(self, cells: npt.NDArray[np.uint64], places: npt.NDArray[np.uint16]) -> None:
        """cells: ascending, at least one; places: theirs."""
        self._cells, self._places = cells, places
        self._asked, self._found = Index(), Column(np.uint16)

    def lookup(self, wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
        """The place of each cell, 0 for one that is not there."""
        if self._found.size > MAX_ASKED:
            self._asked, self._found = Index(), Column(np.uint16)
        index = self._asked.of(wanted.astype(np.int64))
        new = self._asked.known.values[self._found.size :].astype(np.uint64)
        if new.size:
            at = np.minimum(np.searchsorted(self._cells, new), self._cells.size - 1)
            self._found.extend(np.where(self._cells[at] == new, self._places[at], 0))
        found: npt.NDArray[np.uint16] = self._found.values[index]
        return found


_MEND = "move it away and run `cxmyd cells import` again with all your files"


def in_range(mcc: Ints, mnc: Ints, area: Ints, cell: Ints) -> npt.NDArray[np.bool_]:
    """Which rows carry numbers that a network can send."""
    possible = (mcc >= 0) & (mcc <= MAX_CODE) & (mnc >= 0) & (mnc <= MAX_CODE)
    return possible & (area >= 0) & (area <= MAX_AREA) & (cell >= 0) & (cell <= MAX_CELL)


def rows_of(mcc: Ints, mnc: Ints, area: Ints, cell: Ints, place: npt.NDArray[np.uint16]) -> Rows:
    """Rows for a table; all numbers must be `in_range`."""
    rows = np.empty(len(mcc), _ROW)
    rows["network"] = mcc * 1000 + mnc
    rows["cell"] = _key(area, cell)
    rows["place"] = place
    return rows


def _key(area: Ints, cell: Ints) -> npt.NDArray[np.uint64]:
    return (area.astype(np.uint64) << _AREA_SHIFT) | cell.astype(np.uint64)


def _sorted_unique(rows: Rows) -> Rows:
    order = np.lexsort((rows["cell"], rows["network"]))  # stable: of equal cells the last row stays last
    rows = rows[order]
    if len(rows) < 2:
        return rows
    differs = (rows["network"][1:] != rows["network"][:-1]) | (rows["cell"][1:] != rows["cell"][:-1])
    unique: Rows = rows[np.append(differs, True)]
    return unique


# --- import -------------------------------------------------------------------------------------------------

_OPENCELLID = "radio,mcc,net,area,cell,unit,lon,lat,range,samples,changeable,created,updated,averageSignal"
OPENCELLID = Shape(tuple(_OPENCELLID.lower().split(",")), headerless=True, header=_OPENCELLID)
"""https://wiki.opencellid.org/wiki/Menu_map_view#database; the download has no header line."""
WITH_CITY = Shape(required=("mcc", "mnc", "area", "cell", "city"))

Progress = Callable[[Block], None]


class Totals(NamedTuple):
    """What an import did, in rows. `by_mcc`: of networks outside mainland China, which need no table.

    `table`: cells in the table now.
    """

    rows: int
    imported: int
    by_mcc: int
    rejected: Counter[str]
    table: int


def import_files(
    paths: Sequence[Path], data_dir: Path, places: Places, progress: Progress | None = None
) -> Totals:
    """Merge files of either shape (CSV, packed or not, Parquet) into the table of `data_dir`; later rows win.

    Nothing changes unless every file could be read. Bad rows go to `<data_dir>/rejects/`. `progress` is
    called after each block. Raises BadInput when a file cannot be read or no row of any could be used.
    """
    table = CellTable.load_or_empty(data_dir)
    read = _Import(places)
    for path in paths:
        with Rejects(data_dir, str(path)) as rejects:
            for block in blocks(path, [OPENCELLID, WITH_CITY]):
                read.block(block, rejects)
                rejects.commit()
                if progress:
                    progress(block)
            read.rejected += rejects.counts
    if not read.rows:
        raise BadInput(f"{', '.join(map(str, paths))}: nothing but a header, so no cells to import")
    if not read.imported and not read.by_mcc:
        raise BadInput(
            f"none of {read.rows} rows could be used as a cell: the reasons are in {data_dir / 'rejects'}"
        )
    if read.imported:
        table = table.merged(np.concatenate(read.parts))
        table.save(data_dir)
    return Totals(read.rows, read.imported, read.by_mcc, read.rejected, len(table))


class _Import:
    """The rows read so far, and what became of the others."""

    def __init__(self, places: Places) -> None:
        self.parts: list[Rows] = []
        self.rows = self.imported = self.by_mcc = 0
        self.rejected: Counter[str] = Counter()
        self._places = places
        self._city_ids = {place.code: place.id for place in places.cities()}
        self._boundaries: Boundaries | None = None

    def block(self, block: Block, rejects: Rejects) -> None:
        frame = block.parse(rejects)
        self.rows += block.rows
        if block.shape is OPENCELLID:
            frame = frame.rename({"net": "mnc"})
        limits = {"mcc": MAX_CODE, "mnc": MAX_CODE, "area": MAX_AREA, "cell": MAX_CELL}
        frame = frame.with_columns(_text(name).cast(pl.Int64, strict=False) for name in limits)
        for name, limit in limits.items():
            frame = _keep(block, rejects, frame, pl.col(name).is_between(0, limit), name)
        elsewhere = self._places.place_of_mcc[frame["mcc"].to_numpy()] > 0
        self.by_mcc += int(elsewhere.sum())
        frame = frame.filter(~elsewhere)
        frame = self._with_place(block, rejects, frame)
        mcc, mnc, area, cell = (frame[name].to_numpy() for name in limits)
        self.parts.append(rows_of(mcc, mnc, area, cell, frame["place"].to_numpy()))
        self.imported += frame.height

    def _with_place(self, block: Block, rejects: Rejects, frame: pl.DataFrame) -> pl.DataFrame:
        if block.shape is WITH_CITY:
            place = _text("city").replace_strict(self._city_ids, default=0, return_dtype=pl.UInt16)
            frame = frame.with_columns(place.fill_null(0).alias("place"))
            return _keep(block, rejects, frame, pl.col("place") > 0, "unknown_city")
        frame = frame.with_columns(_text(name).cast(pl.Float64, strict=False) for name in ("lon", "lat"))
        frame = _keep(block, rejects, frame, pl.col("lon").is_between(-180, 180), "lon")
        frame = _keep(block, rejects, frame, pl.col("lat").is_between(-90, 90), "lat")
        if self._boundaries is None:
            self._boundaries = Boundaries.load()
        located = self._boundaries.locate(frame["lon"].to_numpy(), frame["lat"].to_numpy())
        frame = frame.with_columns(pl.Series("place", located))
        return _keep(block, rejects, frame, pl.col("place") > 0, "outside_every_city")


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.strip_chars()


def _keep(block: Block, rejects: Rejects, frame: pl.DataFrame, good: pl.Expr, reason: str) -> pl.DataFrame:
    """The rows that are good; the others (null is not good) are set aside."""
    kept = frame.filter(good)
    if kept.height < frame.height:
        bad = frame.filter(~good | good.is_null())
        set_aside(block, rejects, bad["line"], reason)
    return kept
