"""Sightings as probes deliver them: when, who, and the cell; checked as columns, each bad row with its
reason.

Invariant: every row is either good (time not in the future, E.164 number, place known) or has one reason;
nothing is guessed. Called by `ingest` for files and for the Redis stream.

The reasons: time, time_without_offset, time_format (a file has one, its first good row's), future, msisdn,
mcc, unknown_mcc, cell (a domestic row without usable mnc, area and cell), unknown_cell (not in the table of
cells).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from location_store.columns import Shape
from location_store.errors import BadInput
from location_store.msisdn import normalise_series
from location_store.places import DOMESTIC_MCCS

SHAPE = Shape(
    required=("time", "msisdn", "mcc", "mnc", "area", "cell"),
    integers=("time", "mcc", "mnc", "area", "cell"),  # of a number leading zeros count
)

TimeFormat = Literal["epoch", "rfc3339"]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_RFC3339 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_WITHOUT_OFFSET = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?$"
_MAX_EPOCH_S = 10**11 - 1  # the year 5138: what has more digits is no time in seconds
_EPOCH = r"^[0-9]{1,11}(\.[0-9]+)?$"


class Cells(Protocol):
    """What is asked of the cell table (`cells.CellTable`)."""

    def lookup(self, mcc: Ints, mnc: Ints, area: Ints, cell: Ints) -> npt.NDArray[np.uint16]:
        """Place ids, 0 for unknown cells."""
        ...


class Countries(Protocol):
    """What is asked of the table of places (`places.Places`)."""

    place_of_mcc: npt.NDArray[np.uint16]


class BadTimes(BadInput):
    """The column of times has a type that names no instant, so no row can be used."""


class Checked(NamedTuple):
    """The rows of one block, told apart.

    good: line, time_s (unix), msisdn (Int64, E.164), place (u16). bad: line, reason. time_format: the
    input's, None as long as no row had one.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    time_format: TimeFormat | None


class _Fault(NamedTuple):
    reason: str
    rows: Mask


class _Times(NamedTuple):
    time_s: Ints
    """0 where there is a fault."""
    faults: list[_Fault]
    format: TimeFormat | None


def check(
    rows: pl.DataFrame,
    cells: Cells,
    places: Countries,
    *,
    now_s: float,
    default_country: str = "CN",
    time_format: TimeFormat | None = None,
) -> Checked:
    """Check rows of `SHAPE` (strings, or as Parquet types them) with a column "line".

    `time_format`: that of the rows before, None when these are the first. Raises BadTimes when the column
    of times has a type that names no instant.
    """
    times = _times(rows["time"], time_format)
    msisdn = normalise_series(rows["msisdn"], default_country)
    place, place_faults = _places(rows, cells, places)
    faults = [
        *times.faults,
        _Fault("future", times.time_s > now_s),
        _Fault("msisdn", msisdn.is_null().to_numpy()),
        *place_faults,
    ]
    # of several faults the first counts
    number = np.select([fault.rows for fault in faults], range(len(faults)), default=-1)
    bad = number >= 0
    reasons = pl.Series([fault.reason for fault in faults])
    good = pl.DataFrame({"line": rows["line"], "time_s": times.time_s, "msisdn": msisdn, "place": place})
    return Checked(
        good.filter(~bad),
        pl.DataFrame({"line": rows["line"].filter(pl.Series(bad)), "reason": reasons.gather(number[bad])}),
        times.format,
    )


def _times(column: pl.Series, known: TimeFormat | None) -> _Times:
    kind = column.dtype
    if kind == pl.String or (kind.is_integer() and known == "rfc3339"):
        return _text_times(column.cast(pl.String).str.strip_chars(), known)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        time_s, known = column.dt.epoch("s"), "rfc3339"
    elif kind.is_integer():
        time_s = column.cast(pl.Int64, strict=False)
        time_s, known = time_s.set(~time_s.is_between(0, _MAX_EPOCH_S), None), "epoch"
    else:
        raise BadTimes(
            f"the column time is {kind}: it must be int64 epoch seconds or a timestamp with a zone"
        )
    return _Times(time_s.fill_null(0).to_numpy(), [_Fault("time", time_s.is_null().to_numpy())], known)


def _text_times(text: pl.Series, known: TimeFormat | None) -> _Times:
    epoch_s, rfc3339_s = _epoch_s(text), _rfc3339_s(text)
    is_epoch, is_rfc3339 = epoch_s.is_not_null().to_numpy(), rfc3339_s.is_not_null().to_numpy()
    known = known or _first_format(is_epoch, is_rfc3339)
    time_s, other = (rfc3339_s, is_epoch) if known == "rfc3339" else (epoch_s, is_rfc3339)
    faults = [
        _Fault("time_format", other),
        _Fault("time_without_offset", text.str.contains(_WITHOUT_OFFSET).fill_null(value=False).to_numpy()),
        _Fault("time", time_s.is_null().to_numpy()),
    ]
    return _Times(time_s.fill_null(0).to_numpy(), faults, known)


def _first_format(is_epoch: Mask, is_rfc3339: Mask) -> TimeFormat | None:
    either = np.flatnonzero(is_epoch | is_rfc3339)
    if not either.size:
        return None
    return "epoch" if is_epoch[either[0]] else "rfc3339"


def _epoch_s(text: pl.Series) -> pl.Series:
    """Unix seconds, fractions cut off; null where the text is something else."""
    matches = text.str.contains(_EPOCH).fill_null(value=False)
    return text.set(~matches, None).cast(pl.Float64).floor().cast(pl.Int64)


def _rfc3339_s(text: pl.Series) -> pl.Series:
    """Unix seconds of RFC 3339 timestamps; null where the text is something else or names no instant."""
    matches = text.str.contains(_RFC3339).fill_null(value=False)
    if not matches.any():
        return pl.repeat(None, len(text), dtype=pl.Int64, eager=True)
    stamp = text.set(~matches, None).str.to_uppercase()
    local = stamp.str.slice(0, 19).str.replace(" ", "T", literal=True)
    local_s = local.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False).dt.epoch("s")
    offset = stamp.str.replace("Z", "+00:00", literal=True).str.slice(-6)
    offsets = offset.drop_nulls().unique()
    offsets_s = pl.Series([_offset_s(text) for text in offsets], dtype=pl.Int64)
    return local_s - offset.replace_strict(offsets, offsets_s, default=None, return_dtype=pl.Int64)


def _offset_s(text: str) -> int:
    seconds = 60 * (60 * int(text[1:3]) + int(text[4:]))
    return -seconds if text[0] == "-" else seconds


def _integers(column: pl.Series) -> Ints:
    """A column of strings or numbers, -1 where it is no whole number."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    elif column.dtype.is_float():
        column = column.set(column != column.floor(), None)
    return column.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()


def _places(
    rows: pl.DataFrame, cells: Cells, places: Countries
) -> tuple[npt.NDArray[np.uint16], list[_Fault]]:
    """Place ids: a country by its MCC alone, a city by its cell."""
    mcc, mnc, area, cell = (_integers(rows[name]) for name in ("mcc", "mnc", "area", "cell"))
    is_code = (mcc >= 0) & (mcc < len(places.place_of_mcc))
    place = np.where(is_code, places.place_of_mcc[np.where(is_code, mcc, 0)], 0)
    is_domestic = np.isin(mcc, list(DOMESTIC_MCCS))
    is_complete = (mnc >= 0) & (area >= 0) & (cell >= 0)
    asked = np.flatnonzero(is_domestic & is_complete)
    place[asked] = cells.lookup(mcc[asked], mnc[asked], area[asked], cell[asked])
    return place.astype(np.uint16), [
        _Fault("mcc", ~is_code),
        _Fault("cell", is_domestic & ~is_complete),
        _Fault("unknown_cell", is_domestic & (place == 0)),
        _Fault("unknown_mcc", place == 0),
    ]
