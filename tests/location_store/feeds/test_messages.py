"""Rows from the values of messages: all the shapes that probes send, and what is wrong with the others."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.feeds.messages import Parsed, parse
from location_store.sightings import SHAPE

COLUMNS = SHAPE.columns
ROW = ("1700000000", "8613800000000", "460", "0", "1", "2")
CSV = ",".join(ROW).encode()
JSON = json.dumps(dict(zip(COLUMNS, ROW, strict=True))).encode()


def rows_of(parsed: Parsed) -> list[tuple[object, ...]]:
    assert parsed.rows.columns == ["line", *COLUMNS]
    return list(parsed.rows.rows())


@pytest.mark.parametrize(
    "value",
    [
        CSV,
        CSV + b"\n",
        CSV + b"\r\n",
        b"\n\n" + CSV,
        JSON,
        b" " + JSON,
        b'"1700000000","8613800000000",460,0,1,2',
        b'{"time":1700000000,"msisdn":8613800000000,"mcc":460,"mnc":0,"area":1,"cell":2,"colour":[{}]}',
    ],
)
def test_one_row(value: bytes) -> None:
    """CSV or JSON, with line ends and quotes, numbers or text; alone and among others."""
    assert parse([value]).bad == []
    assert rows_of(parse([value])) == [(0, *ROW)]
    mixed = parse([b"", JSON, None, value, CSV])
    assert rows_of(mixed) == [(1, *ROW), (3, *ROW), (4, *ROW)]


def test_several_rows_in_one_value() -> None:
    """A line each, of both kinds; each is a row of its message."""
    value = b"\n".join([CSV, JSON, b"", CSV])
    assert rows_of(parse([JSON, value])) == [(0, *ROW), *[(1, *ROW)] * 3]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe", "encoding"),
        (b"1,2,3", "fields"),
        (CSV + b",7", "fields"),
        (b'"1,2",3,4,5,6,7', "fields"),
        (b"{", "fields"),
        (b"{} {}", "fields"),
        (b'{"time":' + b"[" * 100_000, "fields"),
    ],
)
def test_what_cannot_be_split(value: bytes, reason: str) -> None:
    """Is named by its message, and the others are read."""
    parsed = parse([CSV, value, JSON])
    assert parsed.bad == [(1, reason)]
    assert rows_of(parsed) == [(0, *ROW), (2, *ROW)]


def test_what_is_missing_is_null() -> None:
    """For the check of sightings to name; a value that is no text is shown as JSON."""
    parsed = parse([b"1,,460,,,2", b'{"time":true,"mcc":null,"area":{"a":1}}'])
    assert rows_of(parsed)[0] == (0, "1", None, "460", None, None, "2")
    assert rows_of(parsed)[1][:4] == (1, "true", None, None)
    assert rows_of(parse([])) == rows_of(parse([b"", None])) == []


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0,", exclude_categories=["Z", "C"]))


@given(st.lists(st.tuples(st.booleans(), *[texts.filter(bool)] * len(COLUMNS)), max_size=8))
def test_any_text_comes_through(rows: list[tuple[str, ...]]) -> None:
    """As it was written, by whichever writer of CSV or JSON."""
    values = []
    for as_json, *fields in rows:
        if as_json:
            values.append(json.dumps(dict(zip(COLUMNS, fields, strict=True))).encode())
        else:
            line = io.StringIO()
            csv.writer(line, lineterminator="", quoting=csv.QUOTE_ALL).writerow(fields)
            values.append(line.getvalue().encode())
    parsed = parse(values)
    assert rows_of(parsed) == [(at, *fields) for at, (_, *fields) in enumerate(rows)]


@given(st.lists(st.binary(max_size=60) | st.none(), max_size=6))
def test_no_bytes_do_any_harm(values: list[bytes | None]) -> None:
    """Every message that is not empty gives rows or a reason; nothing is raised."""
    parsed = parse([*values, CSV])
    named = {line for line, _ in parsed.bad} | set(parsed.rows["line"])
    full = {at for at, value in enumerate(values) if value and value.strip()}
    assert full & named == {at for at in full if at in named}
    assert (len(values), *ROW) in rows_of(parsed)
