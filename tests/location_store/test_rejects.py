"""Rows set aside: complete, in order, harmless to open, and readable by their owner alone."""

import csv
from pathlib import Path

import pytest

from location_store.rejects import MAX_ROW_CHARS, Rejects


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_rejects_are_counted_and_written_in_the_order_of_lines(tmp_path: Path) -> None:
    """One file per input, with a header, sorted by line within a commit, owner-only."""
    with Rejects(tmp_path, "/data/sightings.csv.gz") as rejects:
        rejects.add(7, "time", "a,b")
        rejects.add(3, "msisdn", "c")
    assert rows(tmp_path / "rejects" / "sightings.csv.gz.csv") == [
        ["line", "reason", "row"],
        ["3", "msisdn", "c"],
        ["7", "time", "a,b"],
    ]
    assert rejects.counts == {"time": 1, "msisdn": 1}
    assert rejects.path.stat().st_mode & 0o777 == 0o600


def test_without_rejects_no_file_is_left(tmp_path: Path) -> None:
    """A clean run removes the rejects of an earlier one."""
    with Rejects(tmp_path, "in.csv") as rejects:
        rejects.add(2, "time", "x")
    with Rejects(tmp_path, "in.csv"):
        pass
    assert not rejects.path.exists()


def test_a_resumed_import_keeps_what_was_committed(tmp_path: Path) -> None:
    """Rows from the given line on, and one half written, are dropped: they are read again."""
    with Rejects(tmp_path, "in.csv") as rejects:
        rejects.add(2, "time", "x")
        rejects.add(9, "time", "y")
    with rejects.path.open("a") as file:
        file.write("1,ti")
    with Rejects(tmp_path, "in.csv", resume_before=9) as rejects:
        rejects.add(9, "time", "z")
    assert rows(rejects.path)[1:] == [["2", "time", "x"], ["9", "time", "z"]]


@pytest.mark.parametrize(
    ("row", "written"),
    [
        ("=cmd()", "'=cmd()"),
        ("+8613800000000,1", "'+8613800000000,1"),
        ("a\x1b[2J\x00\u202eb", "a\\x1b[2J\\x00\\x202eb"),
        ("x" * 9999, "x" * MAX_ROW_CHARS),
    ],
)
def test_a_row_is_harmless_to_open(tmp_path: Path, row: str, written: str) -> None:
    """No formula for a spreadsheet, no control characters for a terminal, no end of memory."""
    with Rejects(tmp_path, "-") as rejects:
        rejects.add(2, "time", row)
    assert rows(tmp_path / "rejects" / "stdin.csv")[1][2] == written
