"""What `run` found, as rows, as a table of docs/performance.md and as a picture.

`python -m bench.compare.docs` writes the last full run into the docs again.
"""

import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.compare.contenders import NPM, NULL_TWISTED
from bench.store import results

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "performance.md"
PICTURE: Final = DOCS / "pictures" / "bench.svg"
AGREE: Final = 0.10
QUIET: Final = 0.1
COLUMNS: Final = (
    *("answers/s", "before", "rounds", "loadsmsc", "x npm", "x null", "p50 ms", "p99 ms", "loadsmsc"),
    *("CPU s", "before", "Redis", "RSS MB", "foreign", "refused", "wrong"),
)
MEANING: Final = (
    "answers/s: median of the rounds; of the sitting before; least and most of the rounds; median by "
    "loadsmsc; as a multiple of npm smpp's best row and of the null gateway in Twisted. p50, p99: at half "
    "the rate; p99 by loadsmsc. CPU s: for 1,000 answers, in all its processes; in the sitting before; in "
    "Redis. foreign: cores busy with something else, in the worst run."
)
_COLOURS: Final = {"null": "#bbb", "cxmyd": "#1f6feb"}

Summary = Mapping[str, Mapping[str, Any]]


def sitting(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a sitting beside the next one."""
    return {name: record[name] for name in ("contenders", "rounds", "subscribers", "run")}


def medians(record: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """By contender; of no sitting none."""
    return {name: summary(rounds) for name, rounds in record["contenders"].items()} if record else {}


def summary(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds; refused and wrong are added up, of foreign cores the most counts."""
    rates = [each["answers_per_s"] for each in rounds]
    found: dict[str, Any] = {"least": min(rates), "most": max(rates)}
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        added = name in ("refused", "wrong", "loadsmsc_wrong")
        found[name] = sum(values) if added else statistics.median(values)
    found["loadsmsc_most"] = max(each["loadsmsc_per_s"] for each in rounds)
    found["foreign_cores"] = max(each["foreign_cores"] for each in rounds)
    return found


def rows(found: Summary, before: Summary | None = None) -> Iterator[tuple[str, list[str]]]:
    """`before`: the same of the sitting before."""
    best = {
        start: max(
            (each["answers_per_s"] for name, each in found.items() if name.startswith(start)), default=0
        )
        for start in (NPM, NULL_TWISTED)
    }
    for name, each in found.items():
        rate, other = each["answers_per_s"], (before or {}).get(name)
        p99_ms = each.get("loadsmsc_p99_ms")
        yield (
            name,
            [
                f"{rate:,.0f}",
                f"{other['answers_per_s']:,.0f}" if other else "",
                f"{each['least']:,.0f} to {each['most']:,.0f}",
                f"{each['loadsmsc_per_s']:,.0f}",
                *(f"{rate / of:.2f}" if of else "" for of in best.values()),
                f"{each['p50_ms']:.2f}",
                f"{each['p99_ms']:.1f}",
                f"{p99_ms:.1f}" if p99_ms else "",
                f"{each['cpu_s_per_1000']:.4f}",
                f"{other['cpu_s_per_1000']:.4f}" if other else "",
                f"{each['redis_cpu_s_per_1000']:.4f}",
                f"{each['rss_mb']:.0f}",
                f"{each['foreign_cores']:.1f}",
                f"{each['refused']}",
                f"{each['wrong']}",
            ],
        )


def remarks(record: Mapping[str, Any]) -> list[str]:
    """How quiet the machine was, how far the sitting before is from this one, and what loadsmsc says."""
    found, before = medians(record), medians(record.get("before"))
    said = [f"This sitting, {_when(record)}: {_quiet(found)}."]
    common = [name for name in found if name in before]
    if common:
        said += [f"The sitting before, {_when(record['before'])}: {_quiet(before)}."]
        for title, field in (("answers/s", "answers_per_s"), ("CPU for an answer", "cpu_s_per_1000")):
            away = {name: found[name][field] / before[name][field] - 1 for name in common}
            most = max(common, key=lambda name: abs(away[name]))
            middle = statistics.median(map(abs, away.values()))
            said.append(
                f"{title} beside those of the sitting before: {middle:.0%} off in the median of "
                f"{len(common)} rows, at most {away[most]:+.0%} ({most})."
            )
    else:
        said.append("No sitting before this one: run the bench again to see whether it repeats.")
    return said + [f"{name}: {line}." for name, line in agreement(found).items()]


def _when(record: Mapping[str, Any]) -> str:
    run = record["run"]
    return f"{run['at'].partition('+')[0].replace('T', ' ')} UTC, CPython {run['python']}"


def _quiet(found: Summary) -> str:
    """Which rows the machine's other work has touched."""
    busy = [
        f"{name} ({each['foreign_cores']:.1f})"
        for name, each in found.items()
        if each["foreign_cores"] > QUIET
    ]
    if not busy:
        return "the machine was quiet"
    which = "all rows" if len(busy) == len(found) else "these rows"
    worse = f"more than {QUIET} cores were busy with something else in {which}"
    return f"the machine was NOT QUIET: {worse}: {', '.join(busy)}"


def agreement(found: Summary) -> dict[str, str]:
    """What the independent load says of ours, beside our own load: of each its best round, which the
    machine's other work has touched least.
    """
    said = {}
    for name, each in found.items():
        rate, other = each["most"], each["loadsmsc_most"]
        if name.startswith("cxmyd"):
            away = rate / other - 1
            verdict = "agree within 10 %" if abs(away) <= AGREE else f"DIFFER by {away:+.0%}"
            wrong = f"; wrong by loadsmsc: {each['loadsmsc_wrong']}" if each["loadsmsc_wrong"] else ""
            p99_ms = (
                f"; p99 {each['p99_ms']:.1f} and {each['loadsmsc_p99_ms']:.1f} ms"
                if "loadsmsc_p99_ms" in each
                else ""
            )
            said[name] = (
                f"own load {rate:,.0f}/s, loadsmsc {other:,.0f}/s at best: they {verdict}{p99_ms}{wrong}"
            )
    return said


def markdown(head: Iterable[str], body: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in body)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def replace(page: Path, name: str, text: str) -> None:
    """What stands on the page between `<!-- figures:name -->` and `<!-- /figures -->`."""
    marked = re.compile(rf"(<!-- figures:{name} -->\n).*?(<!-- /figures -->)", re.DOTALL)
    old = page.read_text(encoding="utf-8")
    if not marked.search(old):
        raise SystemExit(f"{page.name}: no <!-- figures:{name} -->")
    page.write_text(marked.sub(lambda mark: f"{mark[1]}{text}{mark[2]}", old), encoding="utf-8")


def write(found: Mapping[str, Any] | None) -> None:
    """`found`: as `run` saves it."""
    if found is None:
        raise SystemExit("bench/results/compare.json: there is none; make bench writes it")
    figures, run = medians(found), found["run"]
    source = (
        f"\n{MEANING}\n\n"
        f"Medians of {found['rounds']} rounds, {found['subscribers']:,} subscribers; {run['machine']}.\n\n"
    )
    said = "".join(f"- {line}\n" for line in remarks(found))
    body = ([name, *row] for name, row in rows(figures, medians(found.get("before"))))
    replace(PAGE, "bench", f"{markdown(['contender', *COLUMNS], body)}{source}{said}")
    PICTURE.write_text(svg(figures), encoding="utf-8")


def svg(found: Summary) -> str:
    """Bars of answers a second, on a logarithmic scale."""
    left, width, height = 190, 420, 22
    low = 10 ** math.floor(math.log10(min(each["answers_per_s"] for each in found.values())))
    span = math.log10(max(each["answers_per_s"] for each in found.values()) / low)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 {height * len(found) + 50}">',
        f'<rect width="820" height="{height * len(found) + 50}" fill="white"/>',
        _text(left, 20, "answers a second (logarithmic), and CPU seconds for 1,000 of them"),
    ]
    for number, (name, each) in enumerate(found.items()):
        y = 34 + number * height
        long = width * math.log10(each["answers_per_s"] / low) / span
        colour = next((c for start, c in _COLOURS.items() if name.startswith(start)), "#e09f3e")
        lines += [
            _text(left - 8, y + 14, name, "end"),
            f'<rect x="{left}" y="{y}" width="{max(long, 2):.0f}" height="{height - 5}" fill="{colour}"/>',
            _text(left + long + 8, y + 14, f"{each['answers_per_s']:,.0f} · {each['cpu_s_per_1000']:.4f} s"),
        ]
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    style = "font-family:sans-serif;font-size:12px;fill:#333"
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" style="{style}">{words}</text>'


if __name__ == "__main__":
    write(results.load("compare"))
