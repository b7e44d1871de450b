"""Calendar days of a time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialog.localday import local_date, local_day

SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_a_day_of_china_ends_at_16_utc() -> None:
    """One second before midnight belongs to the day, midnight to the next."""
    midnight = int(datetime(2026, 1, 1, tzinfo=SHANGHAI).timestamp())
    before, after = local_day(midnight - 0.5, SHANGHAI), local_day(midnight, SHANGHAI)
    assert before.ends_s == midnight
    assert after.number == before.number + 1
    assert after.ends_s == midnight + 86_400


@pytest.mark.parametrize(
    "zone", ["Asia/Shanghai", "Asia/Kathmandu", "Europe/Berlin", "America/St_Johns", "UTC"]
)
@given(st.integers(0, 4_000_000_000))
def test_every_second_lies_in_its_day(zone: str, now_s: int) -> None:
    """A day's number is that of the date, its end the first second of the next date, summer time or not."""
    tz = ZoneInfo(zone)
    day = local_day(now_s, tz)
    today = datetime.fromtimestamp(now_s, UTC).astimezone(tz).date()
    assert day.number == (today - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    assert now_s < day.ends_s <= now_s + 25 * 3600
    assert local_date(day.ends_s, tz) == today + timedelta(days=1)
    assert local_date(day.ends_s - 1, tz) == today
