"""The quick answer for a history that knows one place only, read from its bytes.

Most people have been in one city all along, and their query is the hot path: no objects are made of their
stays. Invariant: `sole_place` gives a place only where the plain way (`record.unpack`, `record.all_stays`,
`stays.visited`) names exactly this one; whatever is unusual, damage included, is left to the plain way. A
property test compares the two. Pure; called by the gateway for every answer.
"""

from functools import lru_cache

from location_store.record import (
    EPOCH_MIN,
    HEADER_BYTES,
    MAX_MIN,
    MINUTE_BYTES,
    STAY,
    STAY_BYTES,
    VERSION,
    varint,
)
from location_store.stays import MAX_STEP_MIN, NEW_RECORD_GAP_MIN, Stay, StayRules, clip


def sole_place(blob: bytes, rules: StayRules, start_min: int, end_min: int) -> int | None:
    """The one place of the packed history, if it was visited in [start_min, end_min); None: ask `visited`."""
    if len(blob) < HEADER_BYTES + STAY_BYTES or blob[1] != VERSION or rules.stay_rule != "continuous":
        return None
    end = HEADER_BYTES + STAY_BYTES * blob[2]
    place = blob[HEADER_BYTES] | blob[HEADER_BYTES + 1] << 8
    if not blob[2] or len(blob) < end:
        return None
    last = 0
    stays = []
    for other, low, high, length, dwell in STAY.iter_unpack(blob[HEADER_BYTES:end]):
        first = EPOCH_MIN + (high << 16 | low)
        if other != place or first < last or dwell > length:
            return None
        last = first + length
        stays.append((first, last, dwell))
    if len(blob) > end:
        tail = _tail(blob, end, place)
        if tail is None or tail[0] <= last:
            return None
        gap = tail[0] - last
        if gap <= NEW_RECORD_GAP_MIN:
            first, _, dwell = stays.pop()
            tail = first, tail[1], dwell + min(gap, MAX_STEP_MIN) + tail[2]
        stays.append(tail)
    needed = 60 * rules.stay_hours
    for first, last, dwell in reversed(stays):
        if dwell >= needed and _inside(Stay(place, first, last, dwell), start_min, end_min) >= needed:
            return place  # half gaps could only add to it, and there is nobody to drift to
    return None


def _tail(blob: bytes, start: int, place: int) -> tuple[int, int, int] | None:
    """(first, last, dwell) of a tail in this place alone whose steps are one byte each; else None."""
    head = _head(place)
    steps = blob[start + MINUTE_BYTES + len(head) :]
    if not blob.startswith(head, start + MINUTE_BYTES) or not steps:
        return None
    if steps[0] or max(steps) > MAX_STEP_MIN or 0 in steps[1:]:
        return None
    first = EPOCH_MIN + int.from_bytes(blob[start : start + MINUTE_BYTES], "little")
    length = sum(steps)
    return (first, first + length, length) if first + length <= EPOCH_MIN + MAX_MIN else None


@lru_cache(4096)
def _head(place: int) -> bytes:
    """How a tail in one place begins."""
    return varint(1) + varint(place)


def _inside(stay: Stay, start_min: int, end_min: int) -> int:
    """The dwell that counts in the window, cut as `visited` cuts it; -1 when nothing is inside."""
    if stay.first_min >= start_min and stay.last_min <= end_min and stay.first_min < end_min:
        return stay.dwell_min
    for part in clip(clip([stay], start_min=start_min), end_min=end_min):
        return part.dwell_min
    return -1
