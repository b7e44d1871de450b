"""How an ingest without an end goes, for whoever watches the terminal; nothing is shown elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table

from gateway.admin.output import cell, console
from location_store.feeds.run import State

REFRESH_S = 1.0
RATE_OVER_S = 10.0


@contextmanager
def feed_table() -> Iterator[Callable[[State], None]]:
    """Gives the callback of `feeds.run`: a table on stderr, drawn anew every second."""
    if not sys.stderr.isatty():
        yield lambda _state: None
        return
    marks: deque[tuple[float, int]] = deque()
    drawn_s = 0.0
    with Live(console=console(stderr=True), transient=True, auto_refresh=False) as live:

        def show(state: State) -> None:
            nonlocal drawn_s
            now_s = time.monotonic()
            if now_s - drawn_s < REFRESH_S:
                return
            drawn_s = now_s
            marks.append((now_s, state.totals.rows))
            while now_s - marks[0][0] > RATE_OVER_S:
                marks.popleft()
            live.update(_table(state, _rate(marks)), refresh=True)

        yield show


def _rate(marks: deque[tuple[float, int]]) -> int:
    """Rows a second over the last seconds."""
    (first_s, first), (last_s, last) = marks[0], marks[-1]
    return round((last - first) / (last_s - first_s)) if last_s > first_s else 0


def _table(state: State, rate: int) -> Table:
    totals = state.totals
    rows: list[tuple[str, object]] = [
        ("rows", totals.rows),
        ("rows a second", rate),
        ("in memory, not written", state.pending_rows),
        ("rejected", totals.rejected.total()),
        ("late, left out", totals.late),
    ]
    rows += [(f"waiting in {name}", lag) for name, lag in state.lag().items()]
    if not state.reading:
        rows.append(("reading", "nothing: others do"))
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(cell(name), cell(value))
    return table
