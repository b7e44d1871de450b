"""The quick answer for a history that knows one place only, read from its bytes.

Most people have been in one city all along, and their query is the hot path: no objects are made of their
segments, and one that is long enough by itself will do. Invariant: `sole_place` gives a place only where the
plain way (`record.unpack`, `record.timeline`, `stays.visited`) names exactly this one; whatever is unusual,
damage included, is left to the plain way. A property test compares the two. Pure; called by the gateway for
every answer.
"""

from functools import lru_cache

from location_store.record import (
    EPOCH_MIN,
    HEADER_BYTES,
    MAX_MIN,
    MINUTE_BYTES,
    SEGMENT,
    SEGMENT_BYTES,
    VERSION,
    varint,
)
from location_store.stays import MAX_STEP_MIN, StayRules


def sole_place(blob: bytes, rules: StayRules, start_min: int, end_min: int) -> int | None:
    """The one place of the packed history, if it was visited in [start_min, end_min); None: ask `visited`."""
    if len(blob) < HEADER_BYTES + SEGMENT_BYTES or blob[1] != VERSION or rules.stay_rule != "continuous":
        return None
    end = HEADER_BYTES + SEGMENT_BYTES * blob[2]
    place = blob[HEADER_BYTES] | blob[HEADER_BYTES + 1] << 8
    if not blob[2] or len(blob) < end:
        return None
    start, stop = start_min - EPOCH_MIN, end_min - EPOCH_MIN
    first = last = longest = -1
    for other, low, high, length in SEGMENT.iter_unpack(blob[HEADER_BYTES:end]):
        first = high << 16 | low
        if other != place or first < last:
            return None
        last = first + length
        inside = (last if last < stop else stop) - (first if first > start else start)
        if inside > longest:  # noqa: PLR1730 -- max() costs more, for every answer
            longest = inside
    if len(blob) > end:
        tail = _tail(blob, end, place)
        if tail is None or tail[0] <= last:
            return None
        if tail[0] - last > MAX_STEP_MIN:  # else the last segment goes on with it
            first = tail[0]
        longest = max(longest, min(tail[1], stop) - max(first, start))
    if longest < 60 * rules.stay_hours:
        return None
    return place  # silences joined and half gaps could only add to it, and there is nobody to drift to


def _tail(blob: bytes, start: int, place: int) -> tuple[int, int] | None:
    """First and last minute of a tail of this place alone whose steps are one byte each; else None."""
    head = _head(place)
    steps = blob[start + MINUTE_BYTES + len(head) :]
    if not blob.startswith(head, start + MINUTE_BYTES) or not steps:
        return None
    if steps[0] or max(steps) > MAX_STEP_MIN or 0 in steps[1:]:
        return None
    first = int.from_bytes(blob[start : start + MINUTE_BYTES], "little")
    last = first + sum(steps)
    return (first, last) if last <= MAX_MIN else None


@lru_cache(4096)
def _head(place: int) -> bytes:
    """How a tail in one place begins."""
    return varint(1) + varint(place)
