"""What the chaos run found, as tables: for the eye, and into docs/chaos.md between its markers.

Called by `run` after a full run; by itself (`python -m bench.chaos.report`) it takes the results of the last
one.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.store import results

PAGE: Final = Path(__file__).parents[2] / "docs" / "chaos.md"
_MARKED: Final = re.compile(r"(<!-- chaos-gateway -->\n).*?(<!-- /chaos-gateway -->)", re.DOTALL)
COLUMNS: Final = {
    "fault": "fault",
    "times": "times",
    "under_way": "messages under way when it began",
    "met": "met in all",
    "answered": "of them answered",
    "too_many": "answers too many",
    "sent_again": "sent again by the SMSC",
    "longest_silence_s": "longest time without any answer, s",
    "longest_wait_s": "longest wait for an answer, s",
}
TOTALS: Final = {
    "subscribers": "conversations",
    "messages": "messages",
    "answered_once": "answered once",
    "answered_again": "answered more than once",
    "answers_too_many": "answers too many",
    "beyond_the_bound": "of them beyond the bound",
    "dead": "dead, and shown by `cxmyd parked list`",
    "missing": "**missing**",
    "kept_by_the_smsc": "still kept by the SMSC at the end",
    "wrong_answers": "wrong answers",
    "out_of_order": "answered out of a subscriber's order",
    "refused": "deliver_sm refused for the time being",
    "sent_again": "deliver_sm sent again",
    "sent_again_answered": "of them after the answer was accepted",
    "emptied": "nodes of the cluster that refused their own append-only file",
}
MUST_BE_NONE: Final = ("missing", "kept_by_the_smsc", "beyond_the_bound", "wrong_answers", "out_of_order")


def is_good(found: Mapping[str, Any]) -> bool:
    return not any(found[name] for name in MUST_BE_NONE) and not found["ends_out_of_order"]


def show(found: Mapping[str, Any]) -> None:
    results.table("by fault", COLUMNS.values(), ([row[name] for name in COLUMNS] for row in found["faults"]))
    rows = [
        (text.strip("*"), found[name], "" if not found[name] or name not in MUST_BE_NONE else "BAD")
        for name, text in TOTALS.items()
    ]
    results.table(f"{found['minutes']:g} minutes, seed {found['seed']}", ("", "", "verdict"), rows)
    for name in ("unanswered", "beyond", "wrong", "ends_out_of_order"):
        for line in found[name]:
            results.console.print(f"BAD  {line}", soft_wrap=True, highlight=False, markup=False)
    for name in ("parked_at_the_end", "logged"):
        if found[name]:
            results.console.print(f"{name}: {dict(found[name])}", highlight=False, markup=False)
    if found["no_disk_filled"]:
        results.console.print(f"[bold]NO DISK WAS FILLED: {found['no_disk_filled']}[/bold]")


def write(found: Mapping[str, Any]) -> None:
    """Replace the tables of the page."""
    run = found["run"]
    lines = [
        f"{found['minutes']:g} minutes, seed {found['seed']}, {found['rate_per_s']:g} conversations "
        f"a second. {run['at'][:10]}, {run['machine']}.",
        "",
        "| | |",
        "| --- | ---: |",
        *(f"| {text} | {found[name]:,} |" for name, text in TOTALS.items()),
        "",
        f"| {' | '.join(COLUMNS.values())} |",
        f"| --- {'| ---: ' * (len(COLUMNS) - 1)}|",
        *(f"| {' | '.join(str(row[name]) for name in COLUMNS)} |" for row in found["faults"]),
    ]
    if found["no_disk_filled"]:
        lines += ["", f"**No disk was filled**: {found['no_disk_filled']}."]
    table = "\n".join(lines) + "\n"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_MARKED.sub(lambda mark: f"{mark[1]}{table}{mark[2]}", page), encoding="utf-8")


def main() -> None:
    found = results.load("chaos-gateway")
    if found is not None:
        write(found)


if __name__ == "__main__":
    main()
