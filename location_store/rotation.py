"""Two keys at the same time: what lies under the older one is read too, and nothing is rewritten.

Theory of operation. After a rotation everybody writes under the new key. What was seen before the first
sighting under it stays where it is, and leaves with the window; sightings that belong before the newest of
those are still put in there (`coalescer`), so that one history simply goes on in the other. Who a subscriber
is does not grow old: an import writes it under the new key and removes it from the old place. Only an import
can, since the digest of the ID digits is bound to its key.

Invariant: `joined` is what would lie under one key, if there had been no rotation. Pure but for `records`.
Called by readers; `retirement` is the end of a rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from location_store.pseudonyms import Pseudonyms
from location_store.record import NOTHING, History, Record, timeline, unpack
from location_store.stays import Segment
from location_store.subscribers import Subscriber

if TYPE_CHECKING:
    from location_store.store import Store


def records(store: Store, names: Pseudonyms, msisdns: Sequence[str]) -> list[Record]:
    """What is kept of each number, under whichever key. Raises RecordError, StoreUnavailable."""
    found = [unpack(blob) for blob in store.read([names.of(msisdn) for msisdn in msisdns])]
    if names.older is None:
        return found
    return [joined(*both) for both in zip(found, records(store, names.older, msisdns), strict=True)]


def joined(new: Record, old: Record) -> Record:
    """One record of two: history and subscriber. The history is to be read, not to be packed."""
    if old == NOTHING:
        return new
    return Record(subscriber(new.subscriber, old.subscriber), _after(old.history, new.history))


def subscriber(new: Subscriber, old: Subscriber) -> Subscriber:
    """An import or an erasure under the new key counts, else what was known before; a block counts anyway."""
    return (old if is_older(new) else new)._replace(blocked=new.blocked or old.blocked)


def is_older(new: Subscriber) -> bool:
    """Whether, by what lies under the new key, it is the older one that knows who this is."""
    return not (new.imported or new.forgotten)


def _after(old: History, new: History) -> History:
    """One history behind the other. Where a process with the old key alone went on writing, they overlap:
    what begins first goes to its end.
    """
    out: list[Segment] = []
    for place, first, last in sorted(timeline(old) + timeline(new), key=lambda each: each.first_min):
        begin = max(first, out[-1].last_min) if out else first
        if last >= begin:
            out.append(Segment(place, begin, last))
    return History(tuple(out))
