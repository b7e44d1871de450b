"""location_store.subscribers: the record of who somebody is to the dialog."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.epoch import EPOCH_MIN, MAX_MIN
from location_store.errors import BadInput, RecordError
from location_store.subscribers import Subscriber, pack, unpack

subscribers = st.builds(
    Subscriber,
    carrier_id=st.integers(0, 255),
    id_digest=st.just(b"") | st.binary(min_size=3, max_size=3),
    language=st.sampled_from(["zh", "en"]),
    since_min=st.none() | st.integers(EPOCH_MIN, EPOCH_MIN + MAX_MIN),
    blocked=st.booleans(),
    forgotten=st.booleans(),
    imported=st.booleans(),
).map(lambda each: each if each.imported else each._replace(carrier_id=0))


@given(subscribers)
def test_what_is_packed_is_unpacked(subscriber: Subscriber) -> None:
    """Every field survives, in at most 8 bytes."""
    blob = pack(subscriber)
    assert unpack(blob) == subscriber
    assert len(blob) <= 8


def test_the_format_byte_by_byte() -> None:
    """Stored records must stay readable."""
    subscriber = Subscriber(3, b"\x01" * 3, "en", EPOCH_MIN + 0x010203, imported=True)
    assert pack(subscriber).hex() == "b9" + "03" + "030201" + "01" * 3


def test_a_usual_subscriber_takes_five_bytes() -> None:
    """The ID digest is most of it; a number that was seen only takes one."""
    assert len(pack(Subscriber(1, b"\x00" * 3, imported=True))) == 5
    assert len(pack(Subscriber())) == 1


def test_since_before_the_format_begins_hides_as_much() -> None:
    """A line of 2003 is kept as one of 2016; one after 2047 is refused with a mend."""
    assert unpack(pack(Subscriber(since_min=EPOCH_MIN - 5_000_000))).since_min == EPOCH_MIN
    with pytest.raises(BadInput, match="2047"):
        pack(Subscriber(since_min=EPOCH_MIN + MAX_MIN + 1))


def test_a_digest_of_another_length_is_a_programming_error() -> None:
    """Nothing is cut in silence."""
    with pytest.raises(ValueError, match="3 bytes"):
        pack(Subscriber(id_digest=b"1234"))


@given(st.binary(max_size=20))
def test_other_bytes_are_refused_or_a_record(blob: bytes) -> None:
    """Only RecordError, and what is read can be written again."""
    try:
        subscriber = unpack(blob)
    except RecordError:
        return
    assert pack(subscriber) == blob


def test_a_carrier_without_an_import_is_a_programming_error() -> None:
    """There would be no place for it."""
    with pytest.raises(ValueError, match="no carrier"):
        pack(Subscriber(carrier_id=1))
