"""The rows an import could not use, set aside with line and reason so that they can be mended and fed again.

Invariant: what is counted is written; the file is its owner's alone (0600), since its rows hold numbers.
Called by every import (cells, subscribers, sightings); the counts by reason go into the operator's totals.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

HEADER = ("line", "reason", "row")
MAX_ROW_CHARS = 500
_SPILL_ROWS = 50_000
_FORMULA_START = ("=", "+", "-", "@")


class Rejects:
    """Bad rows of one input, written to `<data_dir>/rejects/<input name>.csv`: line, reason, row.

    The file appears with the first reject; one left by an earlier run of the same input is replaced. With
    `resume_before` the rejects of the lines before it are kept, so that an import that was killed and is
    taken up again sets every row aside once.
    """

    def __init__(self, data_dir: Path, source: str, *, resume_before: int | None = None) -> None:
        name = Path(source).name if source != "-" else "stdin"
        self.path = data_dir / "rejects" / (name if name.endswith(".csv") else f"{name}.csv")
        self.counts: Counter[str] = Counter()
        self._pending: list[tuple[int, str, str]] = []
        self._file: TextIO | None = None
        kept = _rows_before(self.path, resume_before) if resume_before is not None else []
        self.path.unlink(missing_ok=True)
        if kept:
            self._write(kept)

    def add(self, line: int, reason: str, row: str) -> None:
        """Set one row aside. `line` counts from 1, header included; `reason` is one word of snake_case."""
        self.counts[reason] += 1
        self._pending.append((line, reason, printable(row)))
        if len(self._pending) >= _SPILL_ROWS:
            self.commit()

    def commit(self) -> None:
        """Write what was added, in the order of the lines."""
        if not self._pending:
            return
        self._write(sorted(self._pending))
        self._pending.clear()

    @property
    def total(self) -> int:
        return self.counts.total()

    def close(self) -> None:
        self.commit()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, rows: Iterable[Sequence[object]]) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(HEADER)
        csv.writer(self._file).writerows(rows)
        self._file.flush()


def printable(row: str) -> str:
    """`row` as one line that neither a terminal nor a spreadsheet acts upon, cut at `MAX_ROW_CHARS`."""
    text = row[:MAX_ROW_CHARS]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return f"'{text}" if text.startswith(_FORMULA_START) else text


def _rows_before(path: Path, line: int) -> list[list[str]]:
    """The complete rows of an earlier rejects file that belong to lines before `line`."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="", errors="replace") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(HEADER) and row[0].isdigit()]
    return [row for row in rows if int(row[0]) < line]
