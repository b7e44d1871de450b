"""location_store.window: which days an answer covers."""

import datetime as dt
import time
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from location_store.window import Window, day_starts, window

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def minute(text: str, tz: ZoneInfo = SHANGHAI) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=tz).timestamp() // 60)


def test_yesterday_is_the_fourteen_days_before_today() -> None:
    """Asked on 15 September, it covers 1 September 00:00 to 14 September 24:00, China time."""
    now_s = minute("2020-09-15T10:30") * 60 + 59.5
    got = window(now_s, days=14, through="yesterday", tz=SHANGHAI)
    assert got == Window(minute("2020-09-01T00:00"), minute("2020-09-15T00:00"))


def test_now_is_today_and_the_thirteen_days_before() -> None:
    """It ends after the current minute."""
    now_s = minute("2020-09-15T10:30") * 60 + 59.5
    got = window(now_s, days=14, through="now", tz=SHANGHAI)
    assert got == Window(minute("2020-09-02T00:00"), minute("2020-09-15T10:31"))


@pytest.mark.parametrize(
    ("instant", "end"), [("23:59", "2020-09-15"), ("00:00", "2020-09-16"), ("00:01", "2020-09-16")]
)
def test_the_day_changes_at_local_midnight(instant: str, end: str) -> None:
    """23:59 still belongs to the old day; at 00:00 the window moves on by a day at both ends."""
    day = "2020-09-15" if instant == "23:59" else "2020-09-16"
    got = window(minute(f"{day}T{instant}") * 60, days=14, through="yesterday", tz=SHANGHAI)
    assert got.end_min == minute(f"{end}T00:00")
    assert got.end_min - got.start_min == 14 * 1440


def test_utc_midnight_means_nothing_in_china() -> None:
    """16:00 UTC is midnight in China."""
    before, after = (
        dt.datetime(2020, 9, 14, 15, 59, tzinfo=dt.UTC),
        dt.datetime(2020, 9, 14, 16, 0, tzinfo=dt.UTC),
    )
    windows = [window(t.timestamp(), days=14, through="yesterday", tz=SHANGHAI) for t in (before, after)]
    assert windows[1].start_min - windows[0].start_min == 1440


def test_the_switch_of_the_year_and_the_leap_day() -> None:
    """A window reaches over New Year, and over 29 February."""
    got = window(minute("2021-01-05T12:00") * 60, days=14, through="yesterday", tz=SHANGHAI)
    assert got == Window(minute("2020-12-22T00:00"), minute("2021-01-05T00:00"))
    got = window(minute("2020-03-01T12:00") * 60, days=1, through="yesterday", tz=SHANGHAI)
    assert got == Window(minute("2020-02-29T00:00"), minute("2020-03-01T00:00"))


def test_a_day_of_summer_time_has_23_hours() -> None:
    """Days are calendar days, not 24 hours."""
    got = window(minute("2021-03-29T12:00", BERLIN) * 60, days=1, through="yesterday", tz=BERLIN)
    assert got.end_min - got.start_min == 23 * 60
    got = window(minute("2021-10-31T12:00", BERLIN) * 60, days=1, through="now", tz=BERLIN)
    assert got.end_min - got.start_min == 13 * 60 + 1


@freeze_time("2026-02-28 15:59:59")
def test_the_frozen_clock_of_a_caller() -> None:
    """The caller's clock is the only one: a second before midnight in China."""
    assert window(time.time(), days=2, through="yesterday", tz=SHANGHAI).end_min == minute("2026-02-28T00:00")


def test_a_window_without_days_is_refused() -> None:
    """days = 0 is a programming error."""
    with pytest.raises(ValueError, match="at least one day"):
        window(0, days=0, through="now", tz=SHANGHAI)


def test_day_starts_of_a_span() -> None:
    """The first may lie before the span, and a day that begins where the span ends is not in it."""
    span = Window(minute("2020-12-31T23:00"), minute("2021-01-02T00:00"))
    assert day_starts(span, SHANGHAI) == [minute("2020-12-31T00:00"), minute("2021-01-01T00:00")]
    assert day_starts(Window(5, 5), SHANGHAI) == []
