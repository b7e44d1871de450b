"""location_store.sole against the plain way: the same answer, or none."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from location_store.epoch import EPOCH_MIN
from location_store.errors import RecordError
from location_store.record import History, pack_history, timeline, unpack_history
from location_store.sole import sole_place
from location_store.stays import Point, Segment, StayRules, visited
from location_store.window import Window
from tests.location_store.histories import BASE_MIN, fold, histories

CHINA = ZoneInfo("Asia/Shanghai")
DAY_MIN = 24 * 60
steps = st.integers(1, 130) | st.sampled_from([60, 120, 121, 720, 721, 3000])
rules = st.builds(
    StayRules,
    stay_hours=st.sampled_from([0.5, 4.0, 6.0]),
    stay_rule=st.sampled_from(["continuous", "daily-span"]),
)
windows = st.tuples(st.integers(-2000, 20_000), st.integers(0, 20_000)).map(
    lambda span: Window(BASE_MIN + span[0], BASE_MIN + span[0] + span[1])
)


@st.composite
def homes(draw: st.DrawFn) -> History:
    """The history of somebody who has been in one place."""
    place = draw(st.sampled_from([1, 127, 128, 1100, 20_243, 65_535]))
    minute, points = BASE_MIN, []
    for step in draw(st.lists(steps, min_size=1, max_size=60)):
        minute += step
        points.append(Point(minute, place))
    settled = fold(p for p in points if p.minute < minute - 120)
    return History(tuple(settled), tuple(p for p in points if p.minute >= minute - 120))


def plainly(history: History, rule: StayRules, window: Window) -> list[int]:
    found = visited(timeline(history), rule, lambda a, b: True, window, None, CHINA)
    return [visit.place for visit in found.visits]


@given(homes() | histories(), rules, windows)
def test_a_place_is_given_only_where_the_plain_way_names_it_alone(
    history: History, rule: StayRules, window: Window
) -> None:
    place = sole_place(pack_history(history), rule, *window)
    assert place is None or plainly(history, rule, window) == [place]


@given(homes() | histories(), st.data())
def test_damage_is_left_to_the_plain_way(history: History, data: st.DataObject) -> None:
    """Bytes that the plain way refuses get no quick answer; changed bytes that are a record, the same one."""
    blob = bytearray(pack_history(history) or b"?")
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(blob[: data.draw(st.integers(0, len(blob)))] if data.draw(st.booleans()) else blob)
    window = Window(EPOCH_MIN, EPOCH_MIN + 2**24)
    place = sole_place(cut, StayRules(), *window)
    try:
        plain = plainly(unpack_history(cut), StayRules(), window)
    except RecordError:
        assert place is None
    else:
        assert place is None or plain == [place]


def test_days_at_home_are_answered_quickly() -> None:
    """A segment over both edges of the window, a tail that goes on with it, nights without the phone."""
    window = Window(BASE_MIN, BASE_MIN + 14 * DAY_MIN)
    over_both = Segment(1100, BASE_MIN - 900, BASE_MIN + 15 * DAY_MIN)
    days = tuple(
        Segment(1100, BASE_MIN + day, BASE_MIN + day + 960) for day in range(0, 14 * DAY_MIN, DAY_MIN)
    )
    tail = tuple(Point(over_both.last_min + 60 + 30 * n, 1100) for n in range(4))
    for history in (History((over_both,)), History((over_both,), tail), History(days), History(days, tail)):
        assert sole_place(pack_history(history), StayRules(), *window) == 1100


def test_a_tail_makes_the_last_segment_longer() -> None:
    """Two hours settled and two more not settled yet are four."""
    tail = tuple(Point(BASE_MIN + 120 + 60 * n, 1100) for n in range(1, 3))
    blob = pack_history(History((Segment(1100, BASE_MIN, BASE_MIN + 120),), tail))
    assert sole_place(blob, StayRules(), BASE_MIN, BASE_MIN + DAY_MIN) == 1100
    assert sole_place(blob, StayRules(), BASE_MIN + 1, BASE_MIN + DAY_MIN) is None
