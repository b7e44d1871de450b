"""Sightings checked as columns: every form that is good, every reason that one is bad."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.cells import CellTable, rows_of
from location_store.places import Places
from location_store.sightings import SHAPE, BadTimes, Checked, TimeFormat, check

PLACES = Places.load()
BEIJING = 1100
NOW_S = 1_770_000_000
NUMBER = "8613800000000"


def column(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


CELLS = CellTable(rows_of(column(460), column(0), column(7), column(9), np.array([BEIJING], np.uint16)))


def rows(**columns: object) -> pl.DataFrame:
    """Good rows, with these columns instead."""
    good = {"time": NOW_S, "msisdn": NUMBER, "mcc": "460", "mnc": "00", "area": "7", "cell": "9"}
    length = max(
        (len(values) for values in columns.values() if isinstance(values, list | pl.Series)), default=1
    )
    frame = {
        name: columns.get(name, pl.Series([str(good[name])] * length, dtype=pl.String))
        for name in SHAPE.columns
    }
    return pl.DataFrame({"line": range(2, 2 + length), **frame})


def checked(known: TimeFormat | None = None, /, **columns: object) -> Checked:
    return check(rows(**columns), CELLS, PLACES, now_s=NOW_S, time_format=known)


def reasons(**columns: object) -> list[str | None]:
    """The reason of each row, None for good ones."""
    result = checked(**columns)
    by_line: dict[int, str | None] = dict.fromkeys(result.good["line"].to_list())
    by_line.update(dict(result.bad.iter_rows()))
    return [by_line[line] for line in sorted(by_line)]


def test_a_good_row() -> None:
    """mnc 00 is 0; the place is the cell's."""
    assert checked().good.rows() == [(2, NOW_S, int(NUMBER), BEIJING)]


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("2026-01-31T12:00:00+08:00", 1769832000),
        ("2026-01-31T04:00:00Z", 1769832000),
        ("2026-01-31 04:00:00.999z", 1769832000),
        ("2026-01-30t18:30:00-09:30", 1769832000),
        ("2024-02-29T00:00:00+00:00", 1709164800),
        (" 1769832000 ", 1769832000),
        ("1769832000.7", 1769832000),
    ],
)
def test_times(text: str, time_s: int) -> None:
    """RFC 3339 with any offset, and epoch seconds; fractions are cut off."""
    assert checked(time=[text]).good["time_s"].to_list() == [time_s]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-01-31T12:00:00", "time_without_offset"),
        ("2026-01-31", "time_without_offset"),
        ("2026-02-30T12:00:00Z", "time"),
        ("2026-01-31T25:00:00Z", "time"),
        ("2026-01-31T12:00:00+8", "time"),
        ("2026-01-31T12:00:00+24:00", "time"),
        ("31/01/2026 12:00", "time"),
        ("-5", "time"),
        ("1770000000000", "time"),  # milliseconds
        ("soon", "time"),
        (None, "time"),
        ("2099-01-01T00:00:00Z", "future"),
        (str(NOW_S + 1), "future"),
        (str(NOW_S), None),
    ],
)
def test_bad_times(text: str | None, reason: str | None) -> None:
    """What names no instant, or one that has not come."""
    assert reasons(time=pl.Series([text], dtype=pl.String)) == [reason]


def test_an_input_has_one_time_format() -> None:
    """The first good row decides, in this block or in one before."""
    both = ["nonsense", "1769832000", "2026-01-31T04:00:00Z", "1769832001"]
    assert reasons(time=both) == ["time", None, "time_format", None]
    assert checked(time=both).time_format == "epoch"
    assert [line for line, *_ in checked("rfc3339", time=both).good.rows()] == [4]
    assert checked(time=["nonsense"]).time_format is None


@given(st.datetimes(datetime(2016, 1, 1), datetime(2026, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001 -- the offset is drawn apart
def test_every_instant_is_read_as_python_reads_it(moment: datetime, offset_min: int) -> None:
    """Against datetime.fromisoformat."""
    sign = "-" if offset_min < 0 else "+"
    text = f"{moment.isoformat(timespec='seconds')}{sign}{abs(offset_min) // 60:02}:{abs(offset_min) % 60:02}"
    expected = int(datetime.fromisoformat(text).astimezone(UTC).timestamp())
    assert checked(time=[text]).good["time_s"].to_list() == [expected]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"msisdn": "+86 138-0000-0000"}, None),
        ({"msisdn": "13800000000"}, None),
        ({"msisdn": "12"}, "msisdn"),
        ({"mcc": "466", "mnc": "", "area": "", "cell": "x"}, None),  # abroad the country is enough
        ({"mcc": "999"}, "unknown_mcc"),
        ({"mcc": "4600"}, "mcc"),
        ({"mcc": "-460"}, "mcc"),
        ({"mcc": "x"}, "mcc"),
        ({"mcc": " 460 ", "cell": " 009"}, None),
        ({"mnc": ""}, "cell"),
        ({"area": "-1"}, "cell"),
        ({"cell": "9.5"}, "cell"),
        ({"cell": "10"}, "unknown_cell"),
        ({"mnc": "1"}, "unknown_cell"),
        ({"cell": "99999999999999"}, "unknown_cell"),
        ({"time": "soon", "msisdn": "12", "cell": "10"}, "time"),  # the first fault counts
    ],
)
def test_reasons(columns: dict[str, str], reason: str | None) -> None:
    """One reason a row."""
    series = {name: pl.Series([value or None], dtype=pl.String) for name, value in columns.items()}
    assert reasons(**series) == [reason]


def test_places_abroad() -> None:
    """Countries by MCC; Hong Kong, Macau and Taiwan as units."""
    found = checked(mcc=["440", "454", "455", "466"]).good["place"].to_list()
    assert [PLACES.by_id(place).code for place in found] == ["JP", "810000", "820000", "710000"]


def test_parquet_types() -> None:
    """int64 seconds or timestamps with a zone; numbers as integers; nullable integers as floats."""
    typed: dict[str, object] = {
        "msisdn": pl.Series([int(NUMBER)]),
        "mcc": pl.Series([460.0]),
        "mnc": pl.Series([0]),
    }
    instant = pl.Series([datetime(2026, 1, 31, 4, tzinfo=UTC)])
    for time in (
        pl.Series([1769832000]),
        instant,
        instant.dt.convert_time_zone("Asia/Shanghai").dt.cast_time_unit("ns"),
    ):
        assert checked(time=time, **typed).good.rows() == [(2, 1769832000, int(NUMBER), BEIJING)]
    assert reasons(time=pl.Series([None], dtype=pl.Int64)) == ["time"]
    assert reasons(time=pl.Series([NOW_S]), mcc=pl.Series([460.5])) == ["mcc"]


def test_a_column_of_times_without_zone_is_refused() -> None:
    """A Parquet file whose times name no instant has no usable row."""
    with pytest.raises(BadTimes, match="must be int64 epoch seconds or a timestamp with a zone"):
        checked(time=pl.Series([datetime(2026, 1, 31)]))  # noqa: DTZ001 -- the very case


def test_no_rows() -> None:
    """An empty block is fine."""
    empty = rows().clear()
    result = check(empty, CELLS, PLACES, now_s=NOW_S)
    assert (result.good.height, result.bad.height, result.time_format) == (0, 0, None)
