"""What the benches found: tables for the eye, JSON for the docs.

Invariant: a short run (`--quick`) never replaces the figures of a full one. Called by the benches and by
`report`, which writes the figures into the docs.
"""

import json
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

FOLDER: Final = Path(__file__).parent.parent / "results"

console = Console(width=None if sys.stdout.isatty() else 130)


def save(bench: str, figures: Mapping[str, Any], *, quick: bool) -> None:
    """Merge figures into bench/results/<bench>.json (or <bench>-quick.json); parts of a bench run singly."""
    path = _path(bench, quick=quick)
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    known |= dict(figures)
    known["run"] = conditions(quick=quick)
    path.write_text(json.dumps(known, indent=1) + "\n")
    console.print(f"written to {path.relative_to(FOLDER.parent.parent)}")


def conditions(*, quick: bool) -> dict[str, Any]:
    """When, where and by what the figures of now are found."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "quick": quick,
        "machine": _machine(),
        "python": platform.python_version(),
    }


def load(bench: str) -> dict[str, Any] | None:
    """The figures of the full run, else of a short one, else None."""
    for quick in (False, True):
        if (path := _path(bench, quick=quick)).exists():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
    return None


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table; all columns but the first are figures."""
    shown = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*map(str, row))
    console.print(shown)


def _path(bench: str, *, quick: bool) -> Path:
    return FOLDER / f"{bench}{'-quick' if quick else ''}.json"


def _machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text().split("\n")
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), "?")
    return f"{model}, {sum(line.startswith('processor') for line in cpus)} cores"
