"""location_store.record and record_columns: the bytes of a record, one at a time and many at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.epoch import EPOCH_MIN, MAX_MIN
from location_store.errors import RecordError
from location_store.record import (
    EMPTY,
    MAX_SEGMENTS,
    NOTHING,
    History,
    Point,
    Record,
    Segment,
    history_offset,
    pack,
    rewritten,
    timeline,
    unpack,
    with_subscriber,
)
from location_store.record_columns import Heads, Points, Segments, pack_columns, unpack_columns
from location_store.stays import Stay
from location_store.subscribers import Subscriber
from location_store.subscribers import pack as pack_subscriber
from tests.location_store.histories import BASE_MIN, histories, packed, stays_of
from tests.location_store.test_subscribers import subscribers

records = st.builds(Record, subscribers, histories())


@given(records, st.integers(0, 1000))
def test_what_is_packed_is_unpacked(record: Record, count: int) -> None:
    """Every field survives; the first byte is the write counter mod 256."""
    blob = pack(record, count)
    assert unpack(blob) == record
    assert blob[0] == count % 256


def test_the_format_byte_by_byte() -> None:
    """Stored records must stay readable: this one never changes while the version is 2."""
    history = History(
        (Segment(1100, EPOCH_MIN + 0x012345, EPOCH_MIN + 0x012345 + 300),),
        (Point(EPOCH_MIN + 0x012345 + 330, 1100), Point(EPOCH_MIN + 0x012345 + 340, 3101)),
    )
    head = "07 8a 03"  # write counter; version 2, imported, blocked; carrier
    begin = "452301 03 02 cc08 9d18"  # first minute; one segment, more than one place; two: 1100, 3101
    items = "00 ac02 3c 15"  # at once in place 0, for 300; 30 later in place 0; 10 later in place 1
    record = Record(Subscriber(carrier_id=3, blocked=True, imported=True), history)
    assert pack(record, 7).hex() == (head + begin + items).replace(" ", "")


def test_nothing() -> None:
    """What is not known is not stored; a mark alone takes two bytes."""
    assert unpack(None) == NOTHING
    assert rewritten(b"\x01\x80", NOTHING) is None
    assert rewritten(b"\xff\x80", Record(Subscriber(blocked=True))) == b"\x00\x82"
    assert timeline(EMPTY) == []


def test_a_common_record_is_small() -> None:
    """At home for twelve days, one trip, six sightings in the tail, identified by digits: 30 bytes."""
    segments = (
        Segment(1100, BASE_MIN, BASE_MIN + 9000),
        Segment(1200, BASE_MIN + 9060, BASE_MIN + 9500),
        Segment(1100, BASE_MIN + 9560, BASE_MIN + 17_000),
    )
    tail = tuple(Point(BASE_MIN + 17_020 + 20 * i, 1100) for i in range(6))
    subscriber = Subscriber(1, b"abc", imported=True)
    assert len(pack(Record(subscriber, History(segments, tail)), 0)) == 30


def test_readers_see_the_segments_and_then_each_sighting_of_the_tail() -> None:
    """And the tail goes on with the last settled stay, as if all were folded."""
    settled = Segment(1100, BASE_MIN, BASE_MIN + 600)
    history = History((settled,), (Point(BASE_MIN + 660, 1100), Point(BASE_MIN + 700, 3101)))
    assert timeline(history) == [
        settled,
        Segment(1100, BASE_MIN + 660, BASE_MIN + 660),
        Segment(3101, BASE_MIN + 700, BASE_MIN + 700),
    ]
    assert stays_of(timeline(history)) == [
        Stay(1100, BASE_MIN, BASE_MIN + 660, 660),
        Stay(3101, BASE_MIN + 700, BASE_MIN + 700, 0),
    ]


@given(records, subscribers)
def test_an_import_leaves_the_history_alone(record: Record, imported: Subscriber) -> None:
    """And counts as a write."""
    blob = with_subscriber(pack(record, 9), pack_subscriber(imported))
    assert (unpack(blob), blob[0]) == (Record(imported, record.history), 10)
    assert unpack(with_subscriber(None, pack_subscriber(imported))) == Record(imported)


@pytest.mark.parametrize(
    "history",
    [
        History(tuple(Segment(1, BASE_MIN + i, BASE_MIN + i) for i in range(MAX_SEGMENTS + 1))),
        History((), (Point(EPOCH_MIN - 1, 1),)),
        History((), (Point(EPOCH_MIN + MAX_MIN + 1, 1),)),
        History((Segment(1, EPOCH_MIN - 10, EPOCH_MIN),)),
    ],
)
def test_what_the_format_cannot_hold_is_refused(history: History) -> None:
    """More than 255 segments, or times outside 2016 to 2047: never cut in silence."""
    with pytest.raises(ValueError, match="a record holds"):
        packed(history)


def test_time_that_runs_backwards_is_refused() -> None:
    """There are no bytes for it."""
    with pytest.raises(ValueError, match="follow one another"):
        packed(History((Segment(1, BASE_MIN, BASE_MIN + 60), Segment(2, BASE_MIN + 30, BASE_MIN + 90))))


@given(records, st.data())
def test_a_record_cut_short_is_refused_or_a_record(record: Record, data: st.DataObject) -> None:
    """Only RecordError, one at a time and in columns alike."""
    blob = pack(record, 1)
    agree(blob[: data.draw(st.integers(0, len(blob)))])


@given(records, st.data())
def test_mutated_bytes_never_raise_anything_else(record: Record, data: st.DataObject) -> None:
    """Any byte changed: RecordError or a well-formed record, the same in columns."""
    blob = bytearray(pack(record, 1))
    blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    agree(bytes(blob))


@given(st.binary(max_size=60))
def test_random_bytes_never_raise_anything_else(rest: bytes) -> None:
    """The same for bytes that were never a record."""
    agree(b"\x01\x80" + rest)


def test_a_place_that_is_none_is_refused_even_if_nobody_was_there() -> None:
    """In the table of places, and no item says it."""
    history = "000050" + "05" + "02" + "cc08" + "ffff7f" + "0002" + "0002"
    agree(b"\x01\x80" + bytes.fromhex(history))
    with pytest.raises(RecordError):
        unpack(b"\x01\x80" + bytes.fromhex(history))


def agree(blob: bytes) -> None:
    """unpack and unpack_columns take the same bytes for the same record, or both refuse them."""
    try:
        one: History | None = unpack(blob).history
    except RecordError:
        one = None
    try:
        many: History | None = to_histories([blob])[0]
    except RecordError:
        many = None
    if blob:
        assert one == many


def to_histories(blobs: list[bytes | None]) -> list[History]:
    _, segments, tails = unpack_columns(blobs)
    out = []
    for i in range(len(blobs)):
        mine = segments.where(segments.owner == i)
        rows = zip(*(column.tolist() for column in mine[1:]), strict=True)
        tail = tails.owner == i
        points = zip(tails.minute[tail].tolist(), tails.place[tail].tolist(), strict=True)
        out.append(
            History(
                tuple(Segment(p, f + EPOCH_MIN, t + EPOCH_MIN) for p, f, t in rows),
                tuple(Point(m + EPOCH_MIN, p) for m, p in points),
            )
        )
    return out


@given(st.lists(st.none() | records, max_size=6))
def test_columns_hold_what_the_records_hold(many: list[Record | None]) -> None:
    """unpack_columns is unpack for each; None is an empty record."""
    blobs = [None if record is None else pack(record, 3) for record in many]
    assert to_histories(blobs) == [EMPTY if record is None else record.history for record in many]


@given(st.lists(records, min_size=1, max_size=6))
def test_columns_are_packed_like_records(many: list[Record]) -> None:
    """pack_columns gives byte for byte what pack gives, with the counter raised."""
    whole = [pack(record, 50 * i) for i, record in enumerate(many)]
    heads, segments, tails = unpack_columns(whole)
    packed_again = pack_columns(heads, segments, tails).blobs()
    assert packed_again == [pack(record, 50 * i + 1) for i, record in enumerate(many)]


def test_nothing_to_pack() -> None:
    """No owners: no bytes."""
    none = np.array([], np.int64)
    heads = Heads(np.array([], np.uint8), none, none)
    assert pack_columns(heads, Segments(none, none, none, none), Points(none, none, none)).blobs() == []


def test_one_damaged_record_among_many_is_named() -> None:
    """The message says what is wrong with it."""
    good = packed(History((), (Point(BASE_MIN, 1100),)))
    with pytest.raises(RecordError, match="ends within a number"):
        unpack_columns([good, good[:-1] + b"\x80", None])


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x01\x40", b"\x01\x88"])
def test_a_record_without_its_head_is_refused(blob: bytes) -> None:
    """Empty, cut off, or of another version."""
    with pytest.raises(RecordError):
        history_offset(blob)
