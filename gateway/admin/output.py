"""What commands print: tables with colour for people, JSON for programs.

Invariant: nothing that came from outside is acted upon by a terminal; control characters are escaped.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import printable

_WIDE = 1000


def console(*, stderr: bool = False) -> Console:
    """A console on the stream as it is now (tests replace it)."""
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _WIDE  # what a program reads is not wrapped
    return Console(file=file, highlight=False, width=width)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = ""
) -> None:
    """A table; numbers to the right. Without a row, the line `empty`."""
    rows = [[*row] for row in rows]
    if not rows and empty:
        click.echo(empty)
        return
    table = Table(
        title=title or None, title_justify="left", header_style="bold cyan", show_header=any(columns)
    )
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float, NoneType)) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console().print(table)


def cell(value: object) -> Text:
    """A value as a cell: no markup is read in it, nothing in it moves the cursor."""
    if value is None or value == "":
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no", style="green" if value else "")
    if isinstance(value, (int, float)):
        return Text(f"{value:,}" if isinstance(value, int) else f"{value:,.10g}")
    return value if isinstance(value, Text) else Text(printable(str(value)))


def print_json(value: Any) -> None:
    """One value, indented, in UTF-8; for streams of objects see `json_line`."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def json_line(value: Any) -> str:
    """One object as one line."""
    return json.dumps(value, ensure_ascii=False)


def nothing_usable(files: Iterable[object], rows: int, data_dir: Path) -> str:
    """What an import is told that found no row to use in its files."""
    if rows:
        return f"no row of {rows} could be used: see {data_dir / 'rejects'}"
    names = ("standard input" if str(file) == "-" else str(file) for file in files)
    return f"{', '.join(names)}: nothing but a header, so no row to use"
