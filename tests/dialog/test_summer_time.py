"""Limits and questions on the days on which a zone's clocks are set: 23 and 25 hours, one day each."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.dialog.localday import local_day
from tests.dialog.phones import Phone, carrier

BERLIN = ZoneInfo("Europe/Berlin")
#: Local midnight at the beginning of each, and its hours.
CHANGE_DAYS = [("2026-03-29", 23), ("2026-10-25", 25)]


def _midnight_s(day: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=zone).timestamp())


@pytest.mark.parametrize(("day", "hours"), CHANGE_DAYS)
def test_a_lock_of_that_day_ends_with_it(day: str, hours: int) -> None:
    """At local midnight, an hour sooner or later than on other days."""
    phone = Phone(carrier("china-unicom"), tz=BERLIN)
    phone.now_s = _midnight_s(day) + 60
    phone.outcomes("CXMYD#0001", "CXMYD#0002", "CXMYD#0003")
    assert phone.state.locked_until_s == _midnight_s(day) + hours * 3600
    phone.now_s = _midnight_s(day) + hours * 3600 - 2
    assert phone.outcomes("CXMYD#123X", "CXMYD#123X") == ["locked", "answered"]


@pytest.mark.parametrize(("day", "hours"), CHANGE_DAYS)
def test_the_queries_of_that_day_are_those_of_a_day(day: str, hours: int) -> None:
    """One in each hour: the hour that comes twice, or never, begins no new day."""
    phone = Phone(carrier("plain", queries_per_day=10, loop_answers=1000), tz=BERLIN)
    answered = 0
    for hour in range(hours):
        phone.now_s = _midnight_s(day) + 3600 * hour + 1800
        answered += phone.outcomes("CXMYD") == ["answered"]
    assert answered == 10
    phone.now_s = _midnight_s(day) + 3600 * hours + 60
    assert phone.outcomes("CXMYD") == ["answered"]


@pytest.mark.parametrize(("day", "hours"), CHANGE_DAYS)
def test_a_question_stays_open_over_the_change(day: str, hours: int) -> None:
    """Its ten minutes are ten minutes, whatever the clocks on the wall show."""
    for waited_s, outcome in ((500, "answered"), (660, "expired")):
        phone = Phone(carrier("china-mobile"), tz=BERLIN)
        change_s = _midnight_s(day) + {23: 2, 25: 3}[hours] * 3600
        phone.now_s = change_s - 300
        phone.outcomes("CXMYD")
        phone.now_s += waited_s
        assert phone.outcomes("123X") == [outcome]


@pytest.mark.parametrize(
    ("zone", "day"), [("America/Santiago", "2026-09-06"), ("Africa/Cairo", "2026-04-24")]
)
def test_a_day_without_a_midnight_begins_when_the_clocks_are_set(zone: str, day: str) -> None:
    """They go from 24:00 to 1:00."""
    tz = ZoneInfo(zone)
    first_s = _midnight_s(day, tz)
    assert datetime.fromtimestamp(first_s, tz).hour == 1
    assert local_day(first_s - 1, tz).ends_s == first_s
    assert local_day(first_s, tz).number == local_day(first_s - 1, tz).number + 1
    assert local_day(first_s, tz).ends_s == first_s + 23 * 3600
