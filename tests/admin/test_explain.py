"""`cxmyd subscriber explain`: why an answer names a city, or does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.admin.conftest import CELLS, Desk
from tests.admin.test_data_commands import HEADER

KNOWN, UNKNOWN = "8613800000001", "8613800000003"
WHY = ("--reason", "complaint 17")


@pytest.fixture
def filled(desk: Desk) -> Desk:
    """KNOWN spent five hours in Changsha and an hour in Ji'an."""
    day = datetime.now(UTC) + timedelta(hours=8) - timedelta(days=2)
    rows = [f"{day:%Y-%m-%d}T{hour:02}:00:00+08:00,{KNOWN},460,0,1,1\n" for hour in range(6)]
    rows += [f"{day:%Y-%m-%d}T{hour:02}:00:00+08:00,{KNOWN},460,0,1,2\n" for hour in (8, 9)]
    desk.good("cells", "import", desk.file("cells.csv", CELLS))
    people = f"msisdn,carrier,id_last4\n{KNOWN},china-mobile,1234\n"
    desk.good("subscribers", "import", desk.file("people.csv", people))
    desk.good("ingest", desk.file("sightings.csv", HEADER + "".join(rows)))
    return desk


@pytest.mark.parametrize("city", ["430100", "Changsha", "changsha", "长沙", "长沙市"])
def test_a_visit_is_explained(filled: Desk, city: str) -> None:
    """By code or name; the figure is that of `show`."""
    (view,) = filled.objects("subscriber", "explain", KNOWN, city, *WHY)
    assert (view["city"], view["visited"], view["why"], view["known"]) == ("430100", True, "visited", True)
    assert (view["figure_h"], view["stay_hours"]) == (5.5, 4.0)
    (shown,) = filled.objects("subscriber", "show", KNOWN, *WHY)
    assert shown["visited"][0]["longest_stay_h"] == view["figure_h"]
    assert view["stays"][0]["half_gap_after_h"] == 0.5
    assert [each["settled"] for each in view["seen"]] == [True]


def test_what_does_not_count_is_explained(filled: Desk) -> None:
    """Too short, never seen, a country, a number of which nothing is known."""
    for number, city, why in (
        (KNOWN, "360800", "too_short"),
        (KNOWN, "北京", "never_seen"),
        (KNOWN, "JP", "never_seen"),
        (UNKNOWN, "430100", "unknown"),
    ):
        (view,) = filled.objects("subscriber", "explain", number, city, *WHY)
        assert (view["visited"], view["why"]) == (False, why)


def test_of_a_forgotten_number_nothing_is_told(filled: Desk) -> None:
    """Also when it was seen again since."""
    filled.good("subscriber", "forget", KNOWN, *WHY)
    (view,) = filled.objects("subscriber", "explain", KNOWN, "430100", *WHY)
    assert (view["why"], view["seen"], view["stays"]) == ("forgotten", [], [])


def test_as_text(filled: Desk) -> None:
    """The verdict in a sentence, then the steps."""
    shown = filled.good("subscriber", "explain", KNOWN, "Jian", *WHY)
    assert "not visited, 1.50 h at most, and a visit takes 4 h" in shown
    assert "stays in the window" in shown
    assert "figure h" in shown


@pytest.mark.parametrize(
    ("city", "said"), [("Suzhou", "320500"), ("Chansha", "Changsha"), ("999999", "no such")]
)
def test_a_city_that_is_not_clear_is_wrong_usage(filled: Desk, city: str, said: str) -> None:
    """Several of one name are listed with their codes; a slip of the keyboard is mended; nothing is shown."""
    result = filled.run("subscriber", "explain", KNOWN, city, *WHY)
    assert result.exit_code == 2
    assert said in result.stderr


def test_every_look_is_on_record(filled: Desk) -> None:
    """With its reason; without one it is refused, and that is on record."""
    filled.good("subscriber", "explain", KNOWN, "430100", *WHY)
    assert filled.run("subscriber", "explain", KNOWN, "430100").exit_code == 2
    allowed, denied = filled.objects("audit", "tail", "-n", "10")
    assert (allowed["command"], allowed["reason"]) == ("subscriber explain", "complaint 17")
    assert denied["outcome"] == "denied: no reason"
