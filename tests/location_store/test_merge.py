"""location_store.merge against a reference that keeps every sighting."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from location_store.epoch import EPOCH_MIN
from location_store.errors import RecordError
from location_store.merge import MAX_TAIL_POINTS, Limits, MergeResult, merge
from location_store.record import EMPTY, MAX_SEGMENTS, History, Record, pack, timeline, unpack
from location_store.stays import Point, Segment, Stay, StayRules, visited
from location_store.subscribers import Subscriber
from location_store.window import Window
from tests.location_store.histories import BASE_MIN, fold, packed, places, sighted, stays_of, steps

LATENESS = 120
Row = tuple[int, int, int]  # owner, minute, place


@dataclass
class Reference:
    """One subscriber in the plainest way: every sighting in time is kept and folded from the start."""

    kept: list[Point] = field(default_factory=list)
    newest: int = 0

    def see(self, point: Point) -> bool:
        """Whether it came in time."""
        if point.minute < self.newest - LATENESS:
            return False
        self.newest = max(self.newest, point.minute)
        self.kept.append(point)
        return True


@st.composite
def arrivals(draw: st.DrawFn, *, in_time: bool = False, owners: int = 3) -> list[Row]:
    """Sightings as they arrive: late by up to 2 h, by more (unless in_time), and twice."""
    delays = st.sampled_from([0, 0, 0, 1, 60, 119, 120] + ([] if in_time else [121, 300]))
    seen = st.tuples(steps, delays, st.integers(0, owners - 1), places, st.booleans())
    now, rows = BASE_MIN, []
    for step, delay, owner, place, twice in draw(st.lists(seen)):
        now += step
        rows.append((owner, now - delay, place))
        if twice:
            rows.append(rows[-1] if in_time else draw(st.sampled_from(rows)))
    return rows


def put(states: list[bytes | None], rows: list[Row], **options: Any) -> MergeResult:
    """Merge rows and store the result in states."""
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    result = merge(states, *columns, limits=Limits(**options))
    for i, blob in enumerate(result.blobs):
        if blob is not None:
            states[i] = blob
    return result


def kept(state: bytes | None) -> History:
    """The history in a record."""
    return unpack(state).history


def stored(state: bytes | None) -> list[Stay]:
    """The stays of a record."""
    return stays_of(timeline(kept(state)))


def plain(points: Iterable[Point]) -> list[Stay]:
    """The stays of sightings that were never folded."""
    return stays_of(sighted(points))


@given(arrivals(), st.lists(st.integers(1, 12), min_size=1))
def test_batches_equal_the_fold_of_everything_in_time(rows: list[Row], sizes: list[int]) -> None:
    """However the arrivals are cut: segments, stays and the count of late ones are the reference's."""
    states: list[bytes | None] = [None] * 3
    references = [Reference() for _ in states]
    late = sum(not references[owner].see(Point(minute, place)) for owner, minute, place in rows)
    counted = begin = 0
    for i in range(len(rows)):
        size = sizes[i % len(sizes)]
        counted += put(states, rows[begin : begin + size]).late
        begin += size
    assert counted == late
    assert [stored(state) for state in states] == [plain(reference.kept) for reference in references]
    for state, reference in zip(states, references, strict=True):
        settled = [point for point in reference.kept if point.minute < reference.newest - LATENESS]
        assert list(kept(state).segments) == fold(settled)


@given(arrivals(in_time=True), st.integers(0, 80))
def test_sightings_within_the_lateness_give_the_answer_of_sorted_input(rows: list[Row], cut: int) -> None:
    """Shuffled by up to 2 h, across two runs, nothing is lost and the bytes are those of the sorted file."""
    shuffled: list[bytes | None] = [None] * 3
    late = put(shuffled, rows[:cut]).late + put(shuffled, rows[cut:]).late
    ordered: list[bytes | None] = [None] * 3
    put(ordered, sorted(rows, key=lambda row: row[1:]))
    assert late == 0
    assert [s and s[1:] for s in shuffled] == [s and s[1:] for s in ordered]


@given(arrivals(), st.integers(0, 80))
def test_merging_again_changes_nothing(rows: list[Row], cut: int) -> None:
    """Neither the batch, nor all from the start after a crash in the middle."""
    states: list[bytes | None] = [None] * 3
    put(states, rows)
    assert put(states, rows).blobs == [None] * 3

    crashed: list[bytes | None] = [None] * 3
    put(crashed, rows[:cut])
    put(crashed, rows)
    assert [s and s[1:] for s in crashed] == [s and s[1:] for s in states]


@given(arrivals())
def test_what_is_written_is_a_record_in_its_one_form(rows: list[Row]) -> None:
    """pack(unpack(blob)) is the blob."""
    states: list[bytes | None] = [None] * 3
    put(states, rows)
    for state in states:
        assert state is None or pack(unpack(state), state[0]) == state


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_a_large_batch_equals_the_fold(seed: int) -> None:
    """Hundreds of subscribers with days of sightings in one call, and again a day later."""
    random = np.random.default_rng(seed)
    states: list[bytes | None] = [None] * 200
    rows: list[Row] = []
    for day in range(2):
        minute = np.sort(random.integers(0, 1440, 4000)) + BASE_MIN + 1440 * day
        place = random.choice([1100, 3100, 3205], 4000)
        batch = np.stack([random.integers(0, 200, 4000), minute, place], axis=1)
        rows += [tuple(row) for row in batch.tolist()]
        assert put(states, rows[-4000:]).late == 0
    for owner in range(200):
        assert stored(states[owner]) == plain(Point(m, p) for o, m, p in rows if o == owner)


def test_only_changed_records_are_returned_each_with_the_next_counter() -> None:
    """A new one begins at 1; 255 is followed by 0; one without news is None."""
    states: list[bytes | None] = [None, packed(EMPTY, 255), None]
    result = put(states, [(0, BASE_MIN, 1100), (1, BASE_MIN, 1100)])
    assert [blob and blob[0] for blob in result.blobs] == [1, 0, None]
    result = put(states, [(0, BASE_MIN, 1100), (1, BASE_MIN + 1, 1100)])
    assert [blob and blob[0] for blob in result.blobs] == [None, 1, None]


def test_the_limit_of_lateness() -> None:
    """120 minutes behind the newest still count, 121 are late; 0 leaves the newest minute open."""
    states: list[bytes | None] = [None]
    result = put(states, [(0, BASE_MIN, 1100), (0, BASE_MIN - 120, 3100), (0, BASE_MIN - 121, 3100)])
    assert (result.late, result.old) == (1, 0)
    assert [stay.place for stay in stored(states[0])] == [3100, 1100]
    rows = [(0, BASE_MIN + 5, 1100), (0, BASE_MIN + 5, 3100), (0, BASE_MIN + 4, 1100)]
    assert put([None], rows, lateness_min=0).late == 1


def test_the_lateness_may_be_raised_later() -> None:
    """What was settled under a smaller lateness stays settled: a sighting before it is late all the same."""
    states: list[bytes | None] = [None]
    put(states, [(0, BASE_MIN + 10 * i, 1100) for i in range(60)], lateness_min=60)
    before = stored(states[0])
    result = put(states, [(0, BASE_MIN + 5, 3100), (0, BASE_MIN + 595, 3100)], lateness_min=600)
    assert result.late == 1
    assert [stay.place for stay in stored(states[0])] == [1100, 3100]
    assert stored(states[0])[0] == before[0]


def test_what_is_older_than_the_cutoff_is_counted_and_forgotten() -> None:
    """Rows before it are old, not late; segments that ended before it leave a record that is written."""
    cutoff = BASE_MIN + 10_000
    states: list[bytes | None] = [None]
    put(states, [(0, BASE_MIN + 60 * i, 1100 + i // 5) for i in range(20)])
    result = put(states, [(0, BASE_MIN, 1100), (0, cutoff, 3100), (0, cutoff - 1, 3100)], cutoff_min=cutoff)
    assert (result.late, result.old) == (0, 2)
    assert stored(states[0]) == [Stay(3100, cutoff, cutoff, 0)]
    assert put([None], [(0, cutoff - 1, 3100)], cutoff_min=cutoff) == MergeResult([None], 0, 1)


def test_a_segment_across_the_cutoff_is_kept_whole() -> None:
    """What ended before it is gone, whatever it belonged to."""
    states: list[bytes | None] = [None]
    put(states, [(0, BASE_MIN + 60 * i, 1100) for i in range(20)])
    put(states, [(0, BASE_MIN + 1140 + 700, 1100)], cutoff_min=BASE_MIN + 1140)
    assert stored(states[0]) == [Stay(1100, BASE_MIN, BASE_MIN + 1840, 1140 + 120)]
    put(states, [(0, BASE_MIN + 1960, 1100)], cutoff_min=BASE_MIN + 1141)
    assert stored(states[0]) == [Stay(1100, BASE_MIN + 1840, BASE_MIN + 1960, 120)]


@given(arrivals(), st.lists(st.integers(1, 12), min_size=1), st.lists(st.integers(0, 3000), max_size=6))
def test_no_segment_goes_on_over_midnight(rows: list[Row], sizes: list[int], cuts: list[int]) -> None:
    """Where it is told to; the stays are those without midnights, and batches make no difference."""
    midnights = sorted(BASE_MIN + cut for cut in cuts)
    states: list[bytes | None] = [None] * 3
    begin = 0
    for i in range(len(rows)):
        size = sizes[i % len(sizes)]
        put(states, rows[begin : begin + size], midnights_min=midnights)
        begin += size
    references = [Reference() for _ in states]
    for owner, minute, place in rows:
        references[owner].see(Point(minute, place))
    for state, reference in zip(states, references, strict=True):
        settled = [point for point in reference.kept if point.minute < reference.newest - LATENESS]
        assert list(kept(state).segments) == fold(settled, midnights)
    assert [stored(state) for state in states] == [plain(reference.kept) for reference in references]


def test_a_record_keeps_255_segments() -> None:
    """Over the limit the shortest go, then the oldest; the newest remains for the next sighting to join."""
    rows = []
    for i in range(MAX_SEGMENTS + 10):
        length = 1 if i % 40 == 7 else 10
        rows += [(0, BASE_MIN + 200 * i, 1100 + i), (0, BASE_MIN + 200 * i + length, 1100 + i)]
    states: list[bytes | None] = [None]
    put(states, rows)
    segments = kept(states[0]).segments
    assert len(segments) == MAX_SEGMENTS
    assert (segments[0].place, segments[-1].place) == (1102, 1100 + MAX_SEGMENTS + 8)
    assert min(segment.last_min - segment.first_min for segment in segments) == 10


def test_over_the_limit_drift_is_absorbed_first() -> None:
    """A border dweller's flips collapse before anything is dropped."""
    rows = [(0, BASE_MIN + 60 * i, 3100) for i in range(10)]
    rows += [(0, BASE_MIN + 600 + 5 * i, 3100 + i % 2) for i in range(600)]
    columns = np.array(rows, np.int64).T
    (blob,) = merge([None], *columns, limits=Limits(neighbours=lambda a, b: True)).blobs
    segments = kept(blob).segments
    assert len(segments) < 3
    assert segments[0] == Segment(3100, BASE_MIN, segments[0].last_min)
    (blob,) = merge([None], *columns).blobs
    assert len(kept(blob).segments) == MAX_SEGMENTS


def test_a_number_shared_by_many_phones_stays_bounded() -> None:
    """More points than a tail holds: the oldest settle early, then count as late, and nothing breaks."""
    minutes = np.repeat(np.arange(BASE_MIN, BASE_MIN + 120), 50)
    place = np.tile(np.arange(1, 51), 120)
    (blob,) = merge([None], np.zeros_like(minutes), minutes, place).blobs
    history = kept(blob)
    assert len(history.tail) <= MAX_TAIL_POINTS
    assert history.tail[-1] == Point(BASE_MIN + 119, 50)
    assert merge([blob], *np.array([[0], [BASE_MIN], [7]])).late == 1


def test_more_places_in_a_minute_than_a_tail_holds() -> None:
    """The newest minute always stays in the tail, whole."""
    place = np.arange(1, 3000)
    (blob,) = merge([None], np.zeros_like(place), np.full_like(place, BASE_MIN), place).blobs
    assert len(kept(blob).tail) == 2999


def test_nothing_to_do() -> None:
    """No rows, no states: no error."""
    none = np.array([], np.int64)
    assert merge([], none, none, none) == MergeResult([], 0, 0)
    assert merge([None, packed(EMPTY, 1)], none, none, none) == MergeResult([None, None], 0, 0)


def test_columns_of_any_integer_type() -> None:
    """As polars hands them over."""
    owner, minute = np.array([0, 0], np.uint32), np.array([BASE_MIN, BASE_MIN + 5], np.int64)
    (blob,) = merge([None], owner, minute, np.array([1100, 1100], np.uint16)).blobs
    assert stored(blob) == [Stay(1100, BASE_MIN, BASE_MIN + 5, 5)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, BASE_MIN, 1100), "owner"),
        ((-1, BASE_MIN, 1100), "owner"),
        ((0, BASE_MIN, 65_536), "16 bits"),
        ((0, BASE_MIN, -1), "16 bits"),
        ((0, EPOCH_MIN + 2**24, 1100), "2047"),
    ],
)
def test_columns_that_do_not_fit_are_refused(row: Row, message: str) -> None:
    """A programming error in the caller: nothing is stored wrongly."""
    with pytest.raises(ValueError, match=message):
        put([None], [row])


def test_columns_of_different_lengths_are_refused() -> None:
    """Nothing is broadcast."""
    one, two = np.array([0]), np.array([BASE_MIN, BASE_MIN])
    with pytest.raises(ValueError, match="one length"):
        merge([None], one, two, one)


def test_a_damaged_state_is_refused() -> None:
    """Never folded on, never overwritten."""
    with pytest.raises(RecordError, match="damaged"):
        put([b"\x01\x80\x05\x00"], [(0, BASE_MIN, 1100)])


@given(arrivals(), st.lists(st.integers(1, 12), min_size=1), st.integers(-100, 4000))
def test_since_drops_the_former_owner_and_changes_no_answer(
    rows: list[Row], sizes: list[int], after_min: int
) -> None:
    """Of a number that was given to somebody else, nothing is settled that lies over 12 h before; what is
    shown is the same as if all had been kept.
    """
    since = BASE_MIN + after_min
    recycled = Record(Subscriber(since_min=since, imported=True))
    states: list[bytes | None] = [pack(recycled, 0)] * 3
    whole: list[bytes | None] = [None] * 3
    begin = 0
    for i in range(len(rows)):
        batch = rows[begin : begin + sizes[i % len(sizes)]]
        put(states, batch)
        put(whole, batch)
        begin += len(batch)
    period = Window(BASE_MIN - 10_000, BASE_MIN + 100_000)
    for state, full in zip(states, whole, strict=True):
        assert all(each.first_min >= since - 720 for each in kept(state).segments)
        shown = [
            visited(timeline(history), StayRules(), lambda *_: False, period, since, ZoneInfo("UTC"))
            for history in (kept(state), kept(full))
        ]
        assert shown[0] == shown[1]
        assert unpack(state).subscriber == recycled.subscriber
