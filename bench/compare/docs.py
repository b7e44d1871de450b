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
BUSY: Final = 0.3
COLUMNS: Final = (
    *("answers/s", "least", "most", "loadsmsc", "x npm", "x null", "p50 ms", "p99 ms"),
    *("CPU s", "Redis", "RSS MB", "foreign", "refused", "wrong"),
)
MEANING: Final = (
    "answers/s: median, least and most of the rounds, and median by loadsmsc; as a multiple of npm smpp and "
    "of the null gateway in Twisted. p50, p99: at half the rate. CPU s: for 1,000 answers, in all its "
    "processes; in Redis. foreign: cores busy with something else."
)
_COLOURS: Final = {"null": "#bbb", "cxmyd": "#1f6feb"}

Summary = Mapping[str, Mapping[str, Any]]


def summary(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds; refused and wrong are added up."""
    rates = [each["answers_per_s"] for each in rounds]
    found: dict[str, Any] = {"least": min(rates), "most": max(rates)}
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        added = name in ("refused", "wrong", "loadsmsc_wrong")
        found[name] = sum(values) if added else statistics.median(values)
    found["loadsmsc_most"] = max(each["loadsmsc_per_s"] for each in rounds)
    return found


def rows(found: Summary) -> Iterator[tuple[str, list[str]]]:
    for name, each in found.items():
        rate = each["answers_per_s"]
        ratios = [
            f"{rate / found[other]['answers_per_s']:.2f}" if other in found else ""
            for other in (NPM, NULL_TWISTED)
        ]
        yield (
            name,
            [
                f"{rate:,.0f}",
                f"{each['least']:,.0f}",
                f"{each['most']:,.0f}",
                f"{each['loadsmsc_per_s']:,.0f}",
                *ratios,
                f"{each['p50_ms']:.2f}",
                f"{each['p99_ms']:.1f}",
                f"{each['cpu_s_per_1000']:.4f}",
                f"{each['redis_cpu_s_per_1000']:.4f}",
                f"{each['rss_mb']:.0f}",
                f"{each['foreign_cores']:.1f}",
                f"{each['refused']}",
                f"{each['wrong']}",
            ],
        )


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
            said[name] = f"own load {rate:,.0f}/s, loadsmsc {other:,.0f}/s at best: they {verdict}{wrong}"
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
    medians = {name: summary(each) for name, each in found["contenders"].items()}
    run = found["run"]
    said = "".join(f"- {name}: {line}.\n" for name, line in agreement(medians).items())
    source = (
        f"\n{MEANING}\n\n"
        f"Medians of {found['rounds']} rounds, {found['subscribers']:,} subscribers; {run['machine']}, "
        f"{run['at'][:10]}, CPython {run['python']}.{_busy(medians)}\n"
    )
    table = markdown(["contender", *COLUMNS], ([name, *row] for name, row in rows(medians)))
    replace(PAGE, "bench", f"{table}{source}\n{said}")
    PICTURE.write_text(svg(medians), encoding="utf-8")


def _busy(found: Summary) -> str:
    """Whether to warn of the figures."""
    most = max(each["foreign_cores"] for each in found.values())
    return f" The machine was busy with something else (up to {most:.1f} cores)." if most > BUSY else ""


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
