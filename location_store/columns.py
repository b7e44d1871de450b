"""The columnar reader of every import: CSV (plain, gzip, zstd, standard input) and Parquet, block by block.

Invariants: a file is never loaded whole; a row that cannot be split is set aside with its line and hurts no
other; blocks are cut at the same places whenever the same bytes are read, so a block's digest names it across
runs. Called by the imports of sightings, subscribers and cells.

A shape states the columns a kind of file may have:

    SHAPE = Shape(required=("msisdn", "carrier", "id_last4"), optional=("since", "language"))
    for block in blocks(path, [SHAPE]):
        frame = block.parse(rejects)         # "line" and the shape's columns, strings, null where empty
        ...
        set_aside(block, rejects, frame.filter(~good)["line"], "msisdn")
        rejects.commit()
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import polars as pl

from location_store.errors import BadInput
from location_store.rejects import printable
from location_store.sources import BLOCK_BYTES, Source, opened

PARQUET_BLOCK_ROWS = 400_000
_DIGEST_BYTES = 16


class Shape(NamedTuple):
    """The columns of one kind of file.

    headerless: a first line that is no header is a row of `columns`. secret: columns that are never written
    to rejects. header: how the required columns are usually spelt, where that is not in small letters.
    integers: columns that are given as Int64 where all of a block can be read as such, or all but the first
    (a time, which may be written out); else as strings.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    headerless: bool = False
    secret: tuple[str, ...] = ()
    header: str = ""
    integers: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.required + self.optional


class Sink(Protocol):
    """Where rows go that cannot be split (`rejects.Rejects`)."""

    def add(self, line: int, reason: str, row: str) -> None: ...


class Block(Protocol):
    """Some whole rows of a file, not parsed until asked."""

    shape: Shape
    first_line: int
    """Line of the first row, counted from 1, header included (Parquet: number of the row)."""
    rows: int
    """Rows in the block, empty and bad ones included."""
    digest: bytes
    """16 bytes that name everything in the file up to the end of this block."""
    bytes_done: int
    """Bytes of the file (as stored, compressed or not) read so far."""
    bytes_total: int | None
    """Size of the file, None where it is not known (standard input)."""

    def parse(self, rejects: Sink) -> pl.DataFrame:
        """The rows as "line" (Int64) and the shape's columns, null where empty or not in the file.

        Columns are strings, or what the shape allows; from Parquet as they are stored there. Rows that are
        not UTF-8 (`encoding`) or have another number of fields than the header (`fields`) are set aside in
        `rejects`.
        """
        ...

    def row(self, line: int) -> str:
        """The text of one row, for a reject: without the shape's secret columns."""
        ...


def set_aside(block: Block, rejects: Sink, lines: Iterable[int], reason: str) -> None:
    """Reject the rows of `block` that stand in `lines`."""
    for line in lines:
        rejects.add(line, reason, block.row(line))


def blocks(
    path: str | Path, shapes: Sequence[Shape], *, block_bytes: int = BLOCK_BYTES
) -> Generator[Block, None, None]:
    """Read `path` ("-": standard input) in blocks of about `block_bytes` (after decompression).

    The kind of file is known by its first bytes, not by its name. Raises BadInput when it cannot be read, is
    empty, has no header, or one that none of `shapes` allows; also midway, when compressed data is damaged.
    """
    with opened(path) as source:
        if source.kind == "parquet":
            yield from _parquet_blocks(Path(path), source.total, shapes)
        else:
            yield from _text_blocks(source, shapes, block_bytes)


# --- text ---------------------------------------------------------------------------------------------------


class _TextBlock:
    def __init__(self, raw: bytes, header: _Header, first_line: int, digest: bytes, source: Source) -> None:
        self.shape = header.shape
        self.first_line = first_line
        self.digest = digest
        self.bytes_done = source.done()
        self.bytes_total = source.total
        self.rows = raw.count(b"\n") + (not raw.endswith(b"\n"))
        self._raw = raw
        self._header = header

    def parse(self, rejects: Sink) -> pl.DataFrame:
        frame = self._parse_at_once(rejects)
        if frame is None:
            frame = self._parse_by_line(rejects)
        missing = [name for name in self.shape.columns if name not in frame.columns]
        return frame.with_columns(pl.lit(None, pl.String).alias(name) for name in missing).select(
            "line", *self.shape.columns
        )

    def row(self, line: int) -> str:
        text = self._text(line)
        if not self.shape.secret:
            return text
        fields = _fields(text)
        if len(fields) != len(self._header.names):
            return f"({len(fields)} fields, not shown)"  # which of them is the secret one is anybody's guess
        pairs = zip(self._header.names, fields, strict=True)
        return ",".join("****" if name in self.shape.secret else field for name, field in pairs)

    def _text(self, line: int) -> str:
        return self._lines[line - self.first_line].decode("utf-8", "replace").rstrip("\r")

    @cached_property
    def _lines(self) -> list[bytes]:
        lines = self._raw.split(b"\n")
        return lines if lines[-1] else lines[:-1]

    def _parse_at_once(self, rejects: Sink) -> pl.DataFrame | None:
        """The whole block by polars; None when a row in it needs to be looked at by itself."""
        names = self._header.names
        if b"\r" in self._raw and self._raw.count(b"\r") != self._raw.count(b"\r\n"):
            return None  # within a row polars takes it for space
        integers = self.shape.integers
        for tried in (integers, integers[1:], ()):
            frame = self._read(dict.fromkeys(tried, pl.Int64))
            if frame is not None:
                break
        else:
            return None  # not UTF-8, or a row with too many fields
        if b'"' in self._raw:
            frame = frame.with_columns(pl.col(pl.String).replace("", None))  # "" is empty, like nothing
        if frame.height != self.rows or b"\n\n" in self._raw or b"\n\r\n" in self._raw:
            return None  # an empty line, or a quote that swallows line ends
        frame = frame.with_columns(
            pl.int_range(self.first_line, self.first_line + self.rows, dtype=pl.Int64).alias("line")
        )
        # polars fills rows that are too short with nulls: tell them from those whose last field is empty
        short = [
            line
            for line in frame.filter(pl.col(names[-1]).is_null())["line"]
            if len(_fields(self._text(line))) != len(names)
        ]
        if not short:
            return frame
        if any(not self._text(line).strip() for line in short):
            return None
        set_aside(self, rejects, short, "fields")
        return frame.filter(~pl.col("line").is_in(short))

    def _read(self, types: Mapping[str, type[pl.DataType]]) -> pl.DataFrame | None:
        """The block as strings but for `types`; None where a field is something else."""
        try:
            return pl.read_csv(
                io.BytesIO(",".join(self._header.names).encode() + b"\n" + self._raw),
                infer_schema=False,
                schema_overrides=types,
                quote_char='"' if b'"' in self._raw else None,
            )
        except pl.exceptions.PolarsError:
            return None

    def _parse_by_line(self, rejects: Sink) -> pl.DataFrame:
        names = self._header.names
        rows: list[list[str]] = []
        lines: list[int] = []
        for line, raw in enumerate(self._lines, self.first_line):
            if not raw.strip():
                continue
            try:
                fields = _fields(raw.decode().rstrip("\r"))
            except UnicodeDecodeError:
                set_aside(self, rejects, [line], "encoding")
                continue
            if len(fields) != len(names):
                set_aside(self, rejects, [line], "fields")
                continue
            rows.append(fields)
            lines.append(line)
        frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
        frame = frame.with_columns(pl.col(pl.String).replace("", None))
        return frame.with_columns(pl.Series("line", lines, pl.Int64))


def _text_blocks(source: Source, shapes: Sequence[Shape], block_bytes: int) -> Iterator[Block]:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    header: _Header | None = None
    line = 1
    for raw in source.lines(block_bytes):
        digest.update(raw)
        rows = raw
        if header is None:
            first, _, rest = raw.partition(b"\n")
            header = _read_header(first, shapes, source.name)
            if not header.assumed:
                rows = rest
                line = 2
        if rows:
            block = _TextBlock(rows, header, line, digest.digest(), source)
            line += block.rows
            yield block
    if header is None:
        raise BadInput(f"{source.name} is empty: the first line must be {_wanted(shapes)}")


def _fields(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text]))
    except csv.Error:
        return []  # a field over the csv module's limit


# --- header -------------------------------------------------------------------------------------------------


class _Header(NamedTuple):
    shape: Shape
    names: tuple[str, ...]
    assumed: bool


def _read_header(first: bytes, shapes: Sequence[Shape], name: str) -> _Header:
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput(f"{name} is UTF-16: save it as UTF-8")
    text = first.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r")
    names = tuple(field.strip().lower() for field in _fields(text))
    known = {column for shape in shapes for column in shape.columns}
    if known.isdisjoint(names):
        for shape in shapes:
            if shape.headerless and len(names) == len(shape.columns):
                return _Header(shape, shape.columns, assumed=True)
        raise BadInput(f"{name} has no header: the first line must be {_wanted(shapes)}")
    return _Header(_match(names, shapes, name), names, assumed=False)


def _match(names: Sequence[str], shapes: Sequence[Shape], name: str) -> Shape:
    """The shape that allows exactly these columns, in any order."""
    for shape in shapes:
        if set(shape.required) <= set(names) <= set(shape.columns) and len(set(names)) == len(names):
            return shape
    nearest = max(shapes, key=lambda shape: len(set(shape.columns) & set(names)))
    faults = []
    if missing := [column for column in nearest.required if column not in names]:
        faults.append(f"lacks {', '.join(missing)}")
    if unknown := [printable(column)[:40] for column in names if column not in nearest.columns]:
        faults.append(f"has unknown {', '.join(map(repr, unknown))}")
    if not faults:
        faults.append("names a column twice")
    raise BadInput(f"{name}: the header {' and '.join(faults)}; it must be {_wanted([nearest])}")


def _wanted(shapes: Sequence[Shape]) -> str:
    return " or ".join(
        (shape.header or ",".join(shape.required)) + "".join(f"[,{column}]" for column in shape.optional)
        for shape in shapes
    )


# --- Parquet ------------------------------------------------------------------------------------------------


class _ParquetBlock:
    def __init__(self, path: Path, shape: Shape, offset: int, rows: int, digest: bytes) -> None:
        self.shape = shape
        self.first_line = offset + 1
        self.rows = rows
        self.digest = digest
        self.bytes_done = 0
        self.bytes_total: int | None = None
        self._path = path

    def parse(self, rejects: Sink) -> pl.DataFrame:
        del rejects  # a Parquet row has its fields by construction
        missing = [name for name in self.shape.columns if name not in self._frame.columns]
        return self._frame.with_columns(
            pl.int_range(self.first_line, self.first_line + self.rows, dtype=pl.Int64).alias("line"),
            *(pl.lit(None, pl.String).alias(name) for name in missing),
        ).select("line", *self.shape.columns)

    def row(self, line: int) -> str:
        values = self._frame.row(line - self.first_line, named=True)
        shown = {name: "****" if name in self.shape.secret else value for name, value in values.items()}
        return ",".join("" if value is None else str(value) for value in shown.values())

    @cached_property
    def _frame(self) -> pl.DataFrame:
        try:
            frame = pl.scan_parquet(self._path, glob=False).slice(self.first_line - 1, self.rows).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadInput(f"{self._path} is damaged Parquet: {printable(str(error))}") from error
        return frame.rename(str.lower)


def _parquet_blocks(path: Path, total: int | None, shapes: Sequence[Shape]) -> Iterator[Block]:
    try:
        scan = pl.scan_parquet(path, glob=False)
        names = [name.lower() for name in scan.collect_schema().names()]
        height: int = scan.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path} cannot be read as Parquet: {printable(str(error))}") from error
    shape = _match(names, shapes, str(path))
    with path.open("rb") as file:
        whole = hashlib.file_digest(file, "blake2b").digest()
    for offset in range(0, height, PARQUET_BLOCK_ROWS):
        rows = min(PARQUET_BLOCK_ROWS, height - offset)
        digest = hashlib.blake2b(b"%d" % (offset + rows), key=whole, digest_size=_DIGEST_BYTES).digest()
        block = _ParquetBlock(path, shape, offset, rows, digest)
        block.bytes_total = total
        block.bytes_done = (total or 0) * (offset + rows) // height
        yield block
