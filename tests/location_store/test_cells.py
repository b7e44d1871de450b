"""The table of cells: what an import keeps, what a look-up finds."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.cells import MAX_AREA, MAX_CELL, CellTable, import_files, rows_of
from location_store.errors import BadInput, StoreRefused
from location_store.places import Places, place_id

OPENCELLID_HEADER = (
    "radio,mcc,net,area,cell,unit,lon,lat,range,samples,changeable,created,updated,averageSignal\n"
)
BEIJING_ROW = "LTE,460,0,4321,98765,0,116.3975,39.9087,1000,5,1,1459000000,1460000000,-90\n"
SUZHOU_ROW = "NR,460,1,16777215,68719476735,0,120.9807,31.3856,500,5,1,1459000000,1460000000,0\n"


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.load()


def find(table: CellTable, *cells: tuple[int, int, int, int]) -> list[int]:
    mcc, mnc, area, cell = (np.array(column, np.int64) for column in zip(*cells, strict=True))
    return [int(place) for place in table.lookup(mcc, mnc, area, cell)]


def rejects_of(path: Path) -> list[tuple[int, str]]:
    frame = pl.read_csv(path)
    return list(zip(frame["line"].to_list(), frame["reason"].to_list(), strict=True))


@pytest.mark.parametrize("header", [OPENCELLID_HEADER, ""])
@pytest.mark.parametrize("packed", [False, True])
def test_opencellid_rows_are_located_by_boundary(
    tmp_path: Path, places: Places, header: str, packed: bool
) -> None:
    """With or without its header, plain or .gz; 24-bit areas and 36-bit cells keep all their bits."""
    content = (header + BEIJING_ROW + SUZHOU_ROW).encode()
    path = tmp_path / ("460.csv.gz" if packed else "460.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    totals = import_files([path], tmp_path, places)
    assert (totals.rows, totals.imported, totals.table) == (2, 2, 2)
    table = CellTable.load(tmp_path)
    found = find(table, (460, 0, 4321, 98765), (460, 1, MAX_AREA, MAX_CELL), (460, 0, MAX_AREA, MAX_CELL))
    assert found == [place_id("110000"), place_id("320500"), 0]


def test_rows_with_city_codes_and_what_is_wrong_with_the_others(tmp_path: Path, places: Places) -> None:
    """`00` equals `0`; every bad row stands in the rejects file with its line and the field at fault."""
    path = tmp_path / "cells.csv"
    path.write_text(
        "mcc,mnc,area,cell,city\n"
        "460,00,1,1,110000\n"
        "460,0,1,2,999900\n"  # no such city
        "460,0,1,3,110105\n"  # a district
        "460,0,1,4,\n"
        "460,0,16777216,5,110000\n"
        "460,0,1,68719476736,110000\n"
        "460,0,1,-7,110000\n"
        "460,x,1,8,110000\n"
        "46000,0,1,9,110000\n"
        "460,0,1\n"
        " 460 , 0 , 2 , 1 , 469021 \n",
        encoding="utf-8",
    )
    totals = import_files([path], tmp_path, places)
    assert (totals.rows, totals.imported) == (11, 2)
    assert rejects_of(tmp_path / "rejects" / "cells.csv") == [
        (3, "unknown_city"),
        (4, "unknown_city"),
        (5, "unknown_city"),
        (6, "area"),
        (7, "cell"),
        (8, "cell"),
        (9, "mnc"),
        (10, "mcc"),
        (11, "fields"),
    ]
    assert totals.rejected.total() == 9
    table = CellTable.load(tmp_path)
    assert find(table, (460, 0, 1, 1), (460, 0, 2, 1)) == [place_id("110000"), place_id("469021")]


def test_positions_that_no_city_holds_are_set_aside(tmp_path: Path, places: Places) -> None:
    """A cell in the open sea, one at an impossible longitude, one without a latitude."""
    path = tmp_path / "460.csv"
    rows = [
        BEIJING_ROW.replace("116.3975,39.9087", position)
        for position in ("125,27", "216.4,39.9", "116.4,", "nan,39.9", "116.3975,39.9087")
    ]
    path.write_text("".join(rows), encoding="utf-8")
    import_files([path], tmp_path, places)
    assert rejects_of(tmp_path / "rejects" / "460.csv") == [
        (1, "outside_every_city"),
        (2, "lon"),
        (3, "lat"),
        (4, "lon"),
    ]


def test_networks_abroad_need_no_table(tmp_path: Path, places: Places) -> None:
    """A world file's foreign rows are counted, not rejected: their country is known by MCC."""
    path = tmp_path / "world.csv"
    path.write_text(
        BEIJING_ROW + BEIJING_ROW.replace("460", "440", 1) + BEIJING_ROW.replace("460", "454", 1),
        encoding="utf-8",
    )
    totals = import_files([path], tmp_path, places)
    assert (totals.imported, totals.by_mcc, totals.rejected.total()) == (1, 2, 0)
    path.write_text(BEIJING_ROW.replace("460", "440", 1), encoding="utf-8")
    assert import_files([path], tmp_path, places).table == 1


def test_a_later_row_wins_within_a_file_across_files_and_across_runs(tmp_path: Path, places: Places) -> None:
    """Imports merge with what is there; the table never holds a cell twice."""
    header = "mcc,mnc,area,cell,city\n"
    first, second, third = (tmp_path / name for name in ("1.csv", "2.csv", "3.csv"))
    first.write_text(header + "460,0,1,1,110000\n460,0,1,1,120000\n460,0,1,2,110000\n", encoding="utf-8")
    second.write_text(header + "460,0,1,2,310000\n", encoding="utf-8")
    third.write_text(header + "460,0,1,1,440300\n460,0,1,3,440300\n", encoding="utf-8")
    assert import_files([first, second], tmp_path, places).table == 2
    assert import_files([third], tmp_path, places).table == 3
    found = find(CellTable.load(tmp_path), (460, 0, 1, 1), (460, 0, 1, 2), (460, 0, 1, 3))
    assert found == [place_id("440300"), place_id("310000"), place_id("440300")]


def test_a_parquet_file_with_integers(tmp_path: Path, places: Places) -> None:
    """Parquet columns may be integers, the city's code too."""
    path = tmp_path / "cells.parquet"
    pl.DataFrame(
        {"mcc": [460], "mnc": [0], "area": [1], "cell": [2**36 - 1], "city": [110000]}
    ).write_parquet(path)
    import_files([path], tmp_path, places)
    assert find(CellTable.load(tmp_path), (460, 0, 1, 2**36 - 1)) == [place_id("110000")]


@pytest.mark.parametrize(
    "content", ["", "a,b,c\n1,2,3\n", "460,0,1,1,110000\n", "mcc,mnc,area,cell\n460,0,1,1\n"]
)
def test_a_file_of_neither_shape_is_refused_and_changes_nothing(
    tmp_path: Path, places: Places, content: str
) -> None:
    """No header, a wrong one or nothing at all: BadInput names the file; a good one beside it waits."""
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(BEIJING_ROW, encoding="utf-8")
    bad.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match=r"bad\.csv"):
        import_files([good, bad], tmp_path, places)
    with pytest.raises(StoreRefused, match="cxmyd cells import"):
        CellTable.load(tmp_path)


def test_when_no_row_could_be_used_the_import_says_so(tmp_path: Path, places: Places) -> None:
    """Only bad rows: refused, and the table that was there stays."""
    path = tmp_path / "cells.csv"
    path.write_text("mcc,mnc,area,cell,city\n460,0,1,1,000000\n", encoding="utf-8")
    with pytest.raises(BadInput, match="none of 1 rows"):
        import_files([path], tmp_path, places)


@pytest.mark.parametrize("content", [b"", b"not a table", b"\x93NUMPY\x01\x00"])
def test_a_damaged_table_is_refused_with_the_mend(tmp_path: Path, content: bytes) -> None:
    """Cut off, overwritten or of another version: never read as something else."""
    (tmp_path / "cells.npy").write_bytes(content)
    with pytest.raises(StoreRefused, match="cxmyd cells import"):
        CellTable.load(tmp_path)
    np.save(tmp_path / "cells.npy", np.arange(10))
    with pytest.raises(StoreRefused, match="this version"):
        CellTable.load(tmp_path)


@given(
    st.lists(
        st.tuples(
            st.integers(458, 462),
            st.integers(0, 3),
            st.integers(MAX_AREA - 2, MAX_AREA),
            st.integers(0, 3),
            st.integers(1, 65535),
        ),
        max_size=60,
    ),
    st.lists(
        st.tuples(
            st.integers(-1, 1001),
            st.integers(-1, 1001),
            st.integers(-1, MAX_AREA + 1),
            st.integers(-1, MAX_CELL + 1),
        ),
        max_size=10,
    ),
)
def test_look_up_equals_a_dictionary(
    rows: list[tuple[int, int, int, int, int]], strangers: list[tuple[int, int, int, int]]
) -> None:
    """Any rows in any order, any question: what a dict of the last row for each cell would answer."""
    known = {row[:4]: row[4] for row in rows}
    mcc, mnc, area, cell, place = np.array(rows, np.int64).reshape(-1, 5).T
    table = CellTable(rows_of(mcc, mnc, area, cell, place.astype(np.uint16)))
    assert len(table) == len(known)
    questions = [row[:4] for row in rows] + strangers
    if questions:
        assert find(table, *questions) == [known.get(question, 0) for question in questions]
