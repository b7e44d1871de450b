"""The columnar reader: every way a file may be packed, and every way a row may be bad."""

import gzip
import io
import os
import threading
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from location_store.columns import Shape, blocks, set_aside
from location_store.errors import BadInput
from location_store.rejects import Rejects

SHAPE = Shape(("time", "msisdn", "cell"), ("note",))
ROWS = b"time,msisdn,cell\n1,2,3\n4,5,6\n"


def read(
    folder: Path, data: bytes, *shapes: Shape, block_bytes: int = 1 << 20
) -> tuple[list[tuple[object, ...]], dict[str, list[int]]]:
    """The rows of a file with these bytes, and the lines set aside by reason."""
    path = folder / "in.csv"
    path.write_bytes(data)
    rows: list[tuple[object, ...]] = []
    with Rejects(folder, "in.csv") as rejects:
        for block in blocks(path, shapes or (SHAPE,), block_bytes=block_bytes):
            rows += block.parse(rejects).rows()
    reasons: dict[str, list[int]] = {}
    if rejects.path.exists():
        for line, reason, _ in pl.read_csv(rejects.path).rows():
            reasons.setdefault(reason, []).append(line)
    return rows, reasons


def test_columns_come_in_any_order_with_bom_crlf_and_quotes(tmp_path: Path) -> None:
    """Byte order mark, CRLF, quotes, capitals and the order of columns make no difference."""
    rows, rejects = read(tmp_path, b'\xef\xbb\xbfMSISDN, Time,cell\r\n"1",2,3\r\n"4","5,0",6\r\n')
    assert rows == [(2, "2", "1", "3", None), (3, "5,0", "4", "6", None)]
    assert not rejects


@pytest.mark.parametrize("block_bytes", [16, 64, 1 << 20])
def test_bad_rows_keep_their_line_and_hurt_no_other(tmp_path: Path, block_bytes: int) -> None:
    """Foreign encodings, short and long rows and a half row at the end are set aside, empty lines skipped."""
    data = b'time,msisdn,cell\n1,2,3\n1,2\n\n1,2,3,4,5\n\xc9\xcf,2,3\n"1,2,3\n7,8,9\n1,2'
    rows, rejects = read(tmp_path, data, Shape(("time", "msisdn", "cell")), block_bytes=block_bytes)
    assert rows == [(2, "1", "2", "3"), (8, "7", "8", "9")]
    assert rejects == {"fields": [3, 5, 7, 9], "encoding": [6]}


def test_a_last_line_without_its_end_is_a_row(tmp_path: Path) -> None:
    """Many programs leave the last line end out."""
    assert read(tmp_path, ROWS.rstrip())[0] == [(2, "1", "2", "3", None), (3, "4", "5", "6", None)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"1,2,3\n", "has no header"),
        (b"time,msisdn\n", "lacks cell"),
        (b"time,msisdn,cell,city\n", "unknown 'city'"),
        (b"time,msisdn,cell,cell\n", "names a column twice"),
        ("time,msisdn,cell\n".encode("utf-16"), "UTF-16"),
        (gzip.compress(ROWS)[:-4], "cut off"),
        (b"\x28\xb5\x2f\xfd nonsense", "damaged"),
        (b"PAR1 nonsense", "cannot be read as Parquet"),
        (b"x" * 100, "a line is longer"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    """What is wrong with a file is said in one line that names it."""
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path, data, block_bytes=32)
    assert str(tmp_path / "in.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_header_is_refused_without_showing_the_row(tmp_path: Path) -> None:
    """The first line of a file without header holds somebody's number, which belongs in no message."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, b"1700000000,8613800000000,1\n")
    assert "13800000000" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message names the file and the system's reason."""
    with pytest.raises(BadInput, match=r"none\.csv cannot be read: No such file"):
        next(blocks(tmp_path / "none.csv", [SHAPE]))


def test_a_headerless_shape_reads_the_first_line_as_a_row(tmp_path: Path) -> None:
    """Dumps without header are read by the order of their columns."""
    shape = Shape(("time", "msisdn", "cell"), headerless=True)
    assert read(tmp_path, b"1,2,3\n", shape)[0] == [(1, "1", "2", "3")]
    assert read(tmp_path, ROWS, shape)[0] == [(2, "1", "2", "3"), (3, "4", "5", "6")]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_packed_files_are_known_by_their_first_bytes(tmp_path: Path, pack: object) -> None:
    """A name without .gz or .zst makes no difference."""
    assert callable(pack)
    assert len(read(tmp_path, pack(ROWS))[0]) == 2


def test_members_of_a_packed_file_are_read_as_one(tmp_path: Path) -> None:
    """Concatenated gzip members and zstd frames, as parallel packers write them."""
    head, tail = ROWS[:20], ROWS[20:]
    assert len(read(tmp_path, gzip.compress(head) + gzip.compress(tail))[0]) == 2
    assert len(read(tmp_path, zstandard.compress(head) + zstandard.compress(tail))[0]) == 2


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "-" is standard input, packed or not; its size is unknown."""
    for data in (ROWS, gzip.compress(ROWS)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        with Rejects(tmp_path, "-") as rejects:
            (block,) = blocks("-", [SHAPE])
            assert block.parse(rejects).height == 2
            assert block.bytes_total is None


def test_named_pipes(tmp_path: Path) -> None:
    """`cxmyd ingest <(zcat …)`: read as it comes, its size unknown."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(ROWS,))
    writer.start()
    (block,) = blocks(path, [SHAPE])
    writer.join()
    assert (block.rows, block.bytes_done, block.bytes_total) == (2, len(ROWS), None)


def test_parquet(tmp_path: Path) -> None:
    """Parquet keeps its types; a row's line is its number."""
    path = tmp_path / "in[1]*"
    pl.DataFrame({"Cell": [3, None], "time": [1, 2], "msisdn": ["a", "b"]}).write_parquet(path)
    (block,) = blocks(path, [SHAPE])
    with Rejects(tmp_path, path.name) as rejects:
        assert block.parse(rejects).rows() == [(1, 1, "a", 3, None), (2, 2, "b", None, None)]
        set_aside(block, rejects, [2], "cell")
    assert rejects.path.read_text() == 'line,reason,row\n2,cell,",2,b"\n'


def test_a_digest_names_all_bytes_before_it(tmp_path: Path) -> None:
    """Two files that begin alike share the digests of the blocks that are alike, and no others."""

    def digests(data: bytes) -> list[bytes]:
        (tmp_path / "in.csv").write_bytes(data)
        return [block.digest for block in blocks(tmp_path / "in.csv", [SHAPE], block_bytes=24)]

    one, longer, other = digests(ROWS), digests(ROWS + b"7,8,9\n"), digests(ROWS.replace(b"1", b"0"))
    assert longer[: len(one) - 1] == one[:-1]
    assert not set(other) & set(one)


@given(
    st.lists(st.lists(st.text('ab,"\n\r é', max_size=4), min_size=1, max_size=4), max_size=8),
    st.integers(8, 64),
)
def test_every_row_is_read_or_set_aside(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], block_bytes: int
) -> None:
    """Whatever stands in a file, no row vanishes and the cut into blocks changes nothing."""
    folder = tmp_path_factory.mktemp("columns")
    shape = Shape(("time", "msisdn"))
    data = "time,msisdn\n" + "".join(",".join(fields) + "\n" for fields in rows)
    read_rows, rejects = read(folder, data.encode(), shape, block_bytes=max(block_bytes, 40))
    assert (read_rows, rejects) == read(folder, data.encode(), shape)
    lines = [line for line, text in enumerate(data[:-1].split("\n"), 1) if text.strip()]
    seen = [int(str(row[0])) for row in read_rows] + [line for some in rejects.values() for line in some]
    assert sorted(seen) == lines[1:]
