"""location_store.lookup against the plain way: the same places, always."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from location_store.epoch import EPOCH_MIN
from location_store.errors import RecordError
from location_store.lookup import named, places_of
from location_store.lookup_columns import FEW, places_of_many
from location_store.record import History, Record, pack, pack_history, timeline, unpack_history
from location_store.stays import Point, Segment, StayRules, visited
from location_store.subscribers import Subscriber
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


PLACES = [1100, 3101, 3301, 14290, 65_535]


@st.composite
def journeys(draw: st.DrawFn) -> History:
    """Stays of hours and days in a few places, with silences between, and the sightings of the last hours."""
    minute, segments = BASE_MIN, []
    steps = st.sampled_from([0, 1, 30, 60, 119, 120, 121, 300, 719, 720, 721, 900])
    lengths = st.sampled_from([0, 10, 200, 239, 240, 241, 300, 700, 2000])
    for place, step, length in draw(st.lists(st.tuples(st.sampled_from(PLACES[:3]), steps, lengths))):
        minute += step
        segments.append(Segment(place, minute, minute + length))
        minute += length
    tail = draw(histories()).tail
    moved = minute + 1 - tail[0].minute if tail else 0
    return History(tuple(segments), tuple(point._replace(minute=point.minute + moved) for point in tail))


def neighbours(a: int, b: int) -> bool:
    return {a, b} != {1100, 3301}


def plainly(history: History, rule: StayRules, window: Window, since_min: int | None) -> tuple[int, ...]:
    found = visited(timeline(history), rule, neighbours, window, since_min, CHINA)
    return tuple(visit.place for visit in found.visits)


@given(homes() | histories() | journeys(), rules, windows, st.none() | st.integers(BASE_MIN, BASE_MIN + 5000))
def test_the_places_are_those_of_the_plain_way(
    history: History, rule: StayRules, window: Window, since_min: int | None
) -> None:
    blob = pack_history(history)
    found = named(blob, rule, neighbours, window, since_min, CHINA)
    assert found == plainly(history, rule, window, since_min)


@given(homes() | histories() | journeys(), st.data())
def test_damaged_bytes_are_refused_as_the_plain_way_refuses_them(
    history: History, data: st.DataObject
) -> None:
    """Changed bytes that still are a history give what that history gives."""
    blob = bytearray(pack_history(history) or b"?")
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(blob[: data.draw(st.integers(0, len(blob)))] if data.draw(st.booleans()) else blob)
    window = Window(EPOCH_MIN, EPOCH_MIN + 2**24)

    def answer(way: object) -> object:
        try:
            if way is named:
                return named(cut, StayRules(), neighbours, window, None, CHINA)
            return plainly(unpack_history(cut), StayRules(), window, None)
        except RecordError:
            return RecordError

    assert answer(named) == answer(plainly)


def test_what_a_record_hides_is_not_named() -> None:
    """Nothing of no record, of a forgotten number, and before `since`."""
    window = Window(BASE_MIN, BASE_MIN + DAY_MIN)
    history = History(
        (Segment(1100, BASE_MIN, BASE_MIN + 300), Segment(3101, BASE_MIN + 400, BASE_MIN + 900))
    )
    someone = Subscriber(2, b"abc", "en", imported=True)

    def found(subscriber: Subscriber | None, history: History = history) -> tuple[int, ...]:
        record = None if subscriber is None else pack(Record(subscriber, history), 1)
        return places_of(record, StayRules(), neighbours, window, CHINA)

    assert found(someone) == (3101, 1100)
    assert found(someone._replace(since_min=BASE_MIN)) == (3101, 1100)
    assert found(someone._replace(since_min=BASE_MIN + 350)) == (3101,)
    assert found(Subscriber(forgotten=True)) == ()
    assert found(someone, History()) == ()
    assert found(None) == ()


subscribers = st.sampled_from(
    [Subscriber(), Subscriber(2, b"abc", "en", imported=True), Subscriber(forgotten=True)]
) | st.integers(BASE_MIN, BASE_MIN + 5000).map(lambda since_min: Subscriber(since_min=since_min))
records = st.builds(
    lambda who, history: pack(Record(who, history), 1), subscribers, homes() | histories() | journeys()
)


@given(st.lists(st.none() | records | st.binary(max_size=12), min_size=1, max_size=6), rules, windows)
def test_many_at_once_are_those_one_by_one(some: list[bytes | None], rule: StayRules, window: Window) -> None:
    """A damaged record among them harms no other."""

    def one(record: bytes | None) -> object:
        try:
            return places_of(record, rule, neighbours, window, CHINA)
        except RecordError:
            return RecordError

    many = some * -(-FEW // len(some))
    found = places_of_many(many, rule, neighbours, window, CHINA)
    assert [RecordError if isinstance(each, RecordError) else each for each in found] == [
        one(each) for each in many
    ]
