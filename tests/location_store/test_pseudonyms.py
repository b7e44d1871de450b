"""location_store.pseudonyms: names that tell no number."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.pseudonyms import Key, KeyFile, Layout, Pseudonym, Pseudonyms

NEW, OLD = Key("new", "2026-02-14T00:00:00Z", bytes(range(32))), Key("old", "2026-01-01T00:00:00Z", bytes(32))
KEYS = KeyFile((NEW, OLD))
LAYOUT = Layout(1024, 8)


def test_a_pseudonym_is_the_same_in_every_process() -> None:
    """Stored names must be found again: these values never change."""
    names = Pseudonyms(KEYS, LAYOUT)
    assert names.of("8613800000000") == Pseudonym(723, 2, bytes.fromhex("8dc04c81a1d264"))
    assert names.id_digest("8613800000000", "123X").hex() == "e8b80f"
    assert names.subkey("audit").hex() == "d8a369b1f1acb61caf4959358fc33aab06fdbb8d9f1c53a3e7e1ad87c3f317ea"


@given(st.integers(10**7, 10**15 - 1))
def test_a_pseudonym_fits_the_layout(number: int) -> None:
    """Partition and bucket are in range; the field has 7 bytes."""
    pseudonym = Pseudonyms(KEYS, LAYOUT).of(str(number))
    assert 0 <= pseudonym.partition < 1024
    assert 0 <= pseudonym.bucket < 8
    assert len(pseudonym.field) == 7


def test_numbers_spread_over_partitions_and_buckets() -> None:
    """Consecutive numbers fall anywhere, each with a name of its own."""
    names = Pseudonyms(KEYS, Layout(16, 4))
    found = [names.of(str(8613800000000 + i)) for i in range(6400)]
    assert len(set(found)) == 6400
    load = Counter((p.partition, p.bucket) for p in found)
    assert len(load) == 64
    assert max(load.values()) < 160


def test_neither_key_nor_layout_may_differ() -> None:
    """Another key, as during a rotation, finds other names."""
    new, old = Pseudonyms(KEYS, LAYOUT), Pseudonyms(KEYS, LAYOUT, epoch=1)
    assert new.of("8613800000000") != old.of("8613800000000")
    assert old.of("8613800000000") == Pseudonyms(KeyFile((OLD,)), LAYOUT).of("8613800000000")


def test_id_digests_are_bound_to_the_number() -> None:
    """x equals X; the same digits of another number, or other digits, give another digest."""
    names = Pseudonyms(KEYS, LAYOUT)
    digest = names.id_digest("8613800000000", "123x")
    assert digest == names.id_digest("8613800000000", "123X")
    assert len(digest) == 3
    others = {names.id_digest("8613800000001", "123X"), names.id_digest("8613800000000", "1234")}
    assert digest not in others
    assert len(others) == 2


def test_every_purpose_has_its_own_key() -> None:
    """And its own length."""
    names = Pseudonyms(KEYS, LAYOUT)
    assert names.subkey("audit") != names.subkey("park")
    assert len(names.subkey("park", 64)) == 64


@pytest.mark.parametrize(
    ("expected", "buckets"),
    [(0, 1), (1, 1), (131_072, 1), (131_073, 2), (1_000_000, 8), (1_600_000_000, 12_208)],
)
def test_a_layout_for_so_many_subscribers(expected: int, buckets: int) -> None:
    """About 128 subscribers share a bucket."""
    assert Layout.for_subscribers(expected) == Layout(1024, buckets)


def test_no_secret_in_a_repr() -> None:
    """Neither of a key nor of what is made from it."""
    for thing in (NEW, KEYS, Pseudonyms(KEYS, LAYOUT)):
        assert NEW.secret.hex() not in repr(thing)
        assert repr(NEW.secret) not in repr(thing)
