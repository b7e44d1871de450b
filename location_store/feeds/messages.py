"""Rows from the values of messages: CSV without a header, or JSON objects, told apart by their first byte.

A value holds one row or several, one a line: `time,msisdn,mcc,mnc,area,cell` in this order, or an object with
these names. Invariant: every row that is not good is named with its message, and hurts no other. Pure; parsed
by columns, row by row only where something is odd. Called by `kafka`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from location_store.sightings import SHAPE

_COLUMNS = list(SHAPE.columns)
_TEXT = dict.fromkeys(_COLUMNS, pl.String())


class Parsed(NamedTuple):
    """rows: "line" (index of the message) and the columns of `SHAPE`, strings. bad: (line, reason)."""

    rows: pl.DataFrame
    bad: list[tuple[int, str]]


def parse(values: Sequence[bytes | None]) -> Parsed:
    """The rows of all values in their order; empty lines and values of no bytes are passed over."""
    bad: list[tuple[int, str]] = []
    try:
        text = pl.Series(values, dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.PolarsError:  # one of them is not UTF-8
        text = pl.Series([_decoded(line, value, bad) for line, value in enumerate(values)], dtype=pl.String)
    lines = pl.DataFrame({"line": pl.int_range(len(text), dtype=pl.Int64, eager=True), "text": text})
    if text.str.contains("\n", literal=True).any():
        lines = lines.with_columns(pl.col("text").str.split("\n")).explode("text")
    lines = lines.with_columns(pl.col("text").str.strip_chars()).filter(pl.col("text") != "")
    is_json = lines["text"].str.starts_with("{")
    if not is_json.any():
        rows = _csv(lines, bad)
    elif is_json.all():
        rows = _json(lines, bad)
    else:
        numbered = lines.with_row_index("at")
        parts = [_csv(numbered.filter(~is_json), bad), _json(numbered.filter(is_json), bad)]
        rows = pl.concat(parts).sort("at").drop("at")
    return Parsed(rows, bad)


def _decoded(line: int, value: bytes | None, bad: list[tuple[int, str]]) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        bad.append((line, "encoding"))
        return None


def _csv(lines: pl.DataFrame, bad: list[tuple[int, str]]) -> pl.DataFrame:
    text = lines["text"]
    plain = (text.str.count_matches(",", literal=True) == len(_COLUMNS) - 1) & ~text.str.contains(
        '"', literal=True
    )
    if not plain.all():
        lines = _mended(lines, plain, bad)
    fields = pl.col("text").str.split_exact(",", len(_COLUMNS) - 1).struct.rename_fields(_COLUMNS)
    split = lines.select(pl.exclude("text"), fields.alias("fields")).unnest("fields")
    return split.with_columns(pl.col(_COLUMNS).replace("", None))


def _mended(lines: pl.DataFrame, plain: pl.Series, bad: list[tuple[int, str]]) -> pl.DataFrame:
    """Rows with quotes written without them; those with another number of fields left out."""
    texts = lines["text"].to_list()
    keep = plain.to_list()
    for at in (~plain).arg_true():
        try:
            fields = next(csv.reader([texts[at]]))
        except csv.Error:
            fields = []
        if len(fields) == len(_COLUMNS) and not any("," in each for each in fields):
            texts[at], keep[at] = ",".join(fields), True
        else:
            bad.append((lines["line"][at], "fields"))
    return lines.with_columns(pl.Series("text", texts, pl.String)).filter(pl.Series(keep, dtype=pl.Boolean))


def _json(lines: pl.DataFrame, bad: list[tuple[int, str]]) -> pl.DataFrame:
    rest = lines.drop("text")
    found = _decoded_at_once(lines["text"])
    if found is None:
        objects = [_object(text) for text in lines["text"]]
        good = pl.Series([each is not None for each in objects], dtype=pl.Boolean)
        bad += [(lines["line"][at], "fields") for at in (~good).arg_true()]
        found = pl.DataFrame([each for each in objects if each is not None], schema=_TEXT)
        rest = rest.filter(good)
    return rest.hstack(found)


def _decoded_at_once(text: pl.Series) -> pl.DataFrame | None:
    """All objects as columns; None when one of them is none."""
    try:
        found = pl.read_ndjson(io.BytesIO("\n".join(text).encode()), schema=_TEXT)
    except pl.exceptions.PolarsError:
        return None
    return found if found.height == len(text) else None


def _object(text: str) -> dict[str, str | None] | None:
    """The fields of one JSON object as text; None where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    values = {name: found.get(name) for name in _COLUMNS}
    return {
        name: each if each is None or isinstance(each, str) else json.dumps(each)
        for name, each in values.items()
    }
