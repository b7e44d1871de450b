"""Calendar days of a carrier's time zone: when one ends, and how a date is written.

Pure. Called by the conversation (limits a day, locks until midnight) and the replies (dates of the window).
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_QUARTER_S = 900


class LocalDay(NamedTuple):
    """A calendar day: its number since 1970-01-01, and the unix second of the midnight that ends it."""

    number: int
    ends_s: int


def local_day(now_s: float, tz: tzinfo) -> LocalDay:
    """The calendar day of `tz` that holds the unix time `now_s`."""
    return _day_of_quarter(int(now_s) // _QUARTER_S, tz)


@lru_cache(maxsize=256)
def _day_of_quarter(quarter: int, tz: tzinfo) -> LocalDay:
    """The day that holds a quarter of an hour: no zone in use today starts a day off a full quarter."""
    today = local_date(quarter * _QUARTER_S, tz)
    tomorrow = today + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=tz)
    return LocalDay(today.toordinal() - _EPOCH_ORDINAL, int(midnight.timestamp()))


def local_date(at_s: float, tz: tzinfo) -> date:
    """The date on the wall of `tz` at the unix time `at_s`."""
    return datetime.fromtimestamp(at_s, UTC).astimezone(tz).date()
