"""The end of a rotation: what lies under the older key is counted, and deleted.

Once a window has passed over all that was seen under a key, only records that an import or an operator made
matter there. All hashes of a key bear its number, so they are deleted as a whole, nothing being read.
Invariant: other keys' hashes are not touched. Called by `cxmyd keys retire`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from location_store.nodes import Command
from location_store.pseudonyms import Layout, Pseudonym, bucket_key
from location_store.store import Store
from location_store.subscribers import NOBODY, pack

KEYS_AT_ONCE = 64

_NOBODY = pack(NOBODY)

Progress = Callable[[int, int], None]
"""Partitions done, of how many."""


def count_subscribers(store: Store, layout: Layout, number: int, progress: Progress) -> int:
    """How many under the key of this number have more than a history: an import, a block, an erasure."""
    count = 0
    for keys, done in _keys(layout, number):
        found = store.nodes.run([Command(key, ("HVALS", key)) for key in keys])
        blobs = [blob for values in found for blob in values]
        count += sum(blob[1:2] != _NOBODY for blob in blobs)
        progress(done, layout.partitions)
    return count


def erase(store: Store, layout: Layout, number: int, progress: Progress) -> None:
    """Delete all that lies under the key of this number."""
    for keys, done in _keys(layout, number):
        store.nodes.run([Command(key, ("UNLINK", key)) for key in keys])
        progress(done, layout.partitions)


def _keys(layout: Layout, number: int) -> Iterator[tuple[list[bytes], int]]:
    """All buckets under a key, some of one partition at a time; and how many partitions are done then."""
    for partition in range(layout.partitions):
        buckets = range(layout.buckets)
        for start in range(0, layout.buckets, KEYS_AT_ONCE):
            some = buckets[start : start + KEYS_AT_ONCE]
            yield [bucket_key(Pseudonym(partition, bucket, b"", number)) for bucket in some], partition + 1
