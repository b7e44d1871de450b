"""The window of an answer: whole calendar days in the carrier's time zone.

Invariant: pure; the clock is an argument. Called by whoever answers or shows a history, and by ingest, which
keeps nothing older than the longest window.
"""

import datetime as dt
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

Through = Literal["yesterday", "now"]


class Window(NamedTuple):
    """Unix minutes, [start_min, end_min)."""

    start_min: int
    end_min: int


def window(now_s: float, *, days: int, through: Through, tz: ZoneInfo) -> Window:
    """The window that a query at now_s (unix seconds) covers.

    "yesterday": the `days` calendar days before today, up to last midnight (T+1, as the carriers did).
    "now": today and the `days - 1` days before it, up to and including the current minute.
    A day has 23 or 25 hours where the zone says so. Raises ValueError when days < 1.
    """
    if days < 1:
        raise ValueError(f"a window has at least one day, not {days}")
    today = dt.datetime.fromtimestamp(now_s, tz).date()
    if through == "yesterday":
        return Window(midnight_min(today - dt.timedelta(days=days), tz), midnight_min(today, tz))
    first = today - dt.timedelta(days=days - 1)
    return Window(midnight_min(first, tz), int(now_s // 60) + 1)


def midnight_min(day: dt.date, tz: ZoneInfo) -> int:
    """The unix minute at which the local day begins."""
    return int(dt.datetime.combine(day, dt.time(), tz).timestamp() // 60)


def day_starts(span: Window, tz: ZoneInfo) -> list[int]:
    """The unix minutes, ascending, at which the local days that touch the span begin.

    The first may lie before the span.
    """
    if span.start_min >= span.end_min:
        return []
    day = dt.datetime.fromtimestamp(span.start_min * 60, tz).date()
    starts = []
    while (start := midnight_min(day, tz)) < span.end_min:
        starts.append(start)
        day += dt.timedelta(days=1)
    return starts
