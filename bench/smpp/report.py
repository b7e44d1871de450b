"""What `measure` found, as tables: for the eye, and into docs/smpp.md between its markers.

The page belongs to people; only what stands between `<!-- bench-smpp:begin -->` and `<!-- bench-smpp:end -->`
is replaced, whole, and a page that is not there is left alone.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.store import results

PAGE: Final = Path(__file__).parents[2] / "docs" / "smpp.md"
_MARKED = re.compile(r"(<!-- bench-smpp:begin -->\n).*?(<!-- bench-smpp:end -->)", re.DOTALL)


class Table(NamedTuple):
    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def show(figures: dict[str, Any]) -> None:
    for title, head, rows in _tables(figures):
        results.table(title, head, rows)


def write(figures: dict[str, Any] | None) -> None:
    """Replace the tables of the page; `figures` None: a short run, which no page is to show."""
    if figures is None or not PAGE.exists():
        return
    run = figures["run"]
    parts = [f"**{title}**\n\n{_markdown(head, rows)}" for title, head, rows in _tables(figures)]
    source = f"`make bench-smpp`, {run['machine']}, Python {run['python']}, {run['at'][:10]}.\n"
    text = "\n".join([*parts, source])
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_MARKED.sub(lambda found: f"{found[1]}{text}{found[2]}", page), encoding="utf-8")


def _tables(figures: dict[str, Any]) -> Iterable[Table]:
    codec, session, parser = figures["codec"], figures["session"], figures["parser"]
    names = list(next(iter(codec.values())))
    yield Table(
        "Codec: µs of CPU, and times what ours takes",
        ("", *names),
        [
            (work, *(f"{each[name]['us']:.1f} ({each[name]['ratio']:.1f} x)" for name in names))
            for work, each in codec.items()
        ],
    )
    yield Table(
        "Session: µs of CPU a PDU, in a whole exchange of four",
        ("questions a read", "codec alone", "session with codec", "machine to codec"),
        [
            (
                at_once,
                f"{each['codec_us']:.2f}",
                f"{each['session_us']:.2f}",
                f"{each['machine_to_codec']:.2f}",
            )
            for at_once, each in session.items()
        ],
    )
    sizes = list(next(iter(parser.values())))
    yield Table(
        "Framing and decoding of one PDU: ns an octet, by its size",
        ("", *(f"{int(size):,}" for size in sizes)),
        [(name, *(f"{each[size]:.1f}" for size in sizes)) for name, each in parser.items()],
    )


def _markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
