"""Writes what the conformance suite found into docs/conformance.md, between its markers.

Called by `compare` after a full run; by itself (`python -m bench.conformance.docs`) it takes the results of
the last one.
"""

import json
import re
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "conformance.md"
FOUND: Final = Path(__file__).parents[1] / "results" / "conformance.json"
_MARKED: Final = re.compile(r"(<!-- conformance:([a-z]+) -->\n).*?(<!-- /conformance -->)", re.DOTALL)
_SIGNS: Final = {"passed": "✔", "failed": "✘", "inconclusive": "?", "not_applicable": "–"}


def main() -> None:
    """Replace every marked part of the page."""
    write(json.loads(FOUND.read_text(encoding="utf-8")))


def write(found: dict[str, Any]) -> None:
    """`found`: as `compare` writes it."""
    parts = {"summary": _summary(found), "scenarios": _scenarios(found)}
    text = PAGE.read_text(encoding="utf-8")
    filled = _MARKED.sub(lambda mark: f"{mark[1]}\n{parts[mark[2]]}\n{mark[3]}", text)
    PAGE.write_text(filled, encoding="utf-8")


def _summary(found: dict[str, Any]) -> str:
    """Each ESME with its version, and how many of each level it passed."""
    esmes = found["esmes"]
    titles = " | ".join(f"{name} {one['version']}" for name, one in esmes.items())
    lines = [f"| | {titles} |", "|---" * (len(esmes) + 1) + "|"]
    for level in ("must", "should", "may"):
        names = [one["name"] for one in found["scenarios"] if one["level"] == level]
        if names:
            counts = " | ".join(_count(one["results"], names) for one in esmes.values())
            lines.append(f"| {level} ({len(names)}) | {counts} |")
    return "\n".join(lines) + "\n"


def _count(results: dict[str, Any], names: list[str]) -> str:
    """`40 of 45`, of those that apply to it."""
    counts = Counter(results[name]["verdict"] for name in names if name in results)
    return f"{counts['passed']} of {counts.total() - counts['not_applicable']}"


def _scenarios(found: dict[str, Any]) -> str:
    """A table for each group: what happens, where it is written, what each ESME did."""
    esmes, tables = found["esmes"], []
    for group, members in groupby(found["scenarios"], key=lambda one: one["group"]):
        rows = [
            f"### {group}\n",
            f"| scenario | level | reference | {' | '.join(esmes)} |",
            "|---" * (len(esmes) + 3) + "|",
        ]
        for one in members:
            results = (esme["results"].get(one["name"], {}).get("verdict") for esme in esmes.values())
            signs = " | ".join(_SIGNS.get(result, " ") for result in results)
            title = one["name"].removeprefix(f"{group}.")
            rows.append(f"| {title} | {one['level']} | {one['reference']} | {signs} |")
        tables.append("\n".join(rows))
    return "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    main()
