"""The quick answer for a history that knows one place only, read from its bytes.

Most people have been in one city all along, and their query is the hot path: no objects are made of their
segments, and one that is long enough by itself will do. Invariant: `sole_place` gives a place only where the
plain way (`record.unpack`, `record.timeline`, `stays.visited`) names exactly this one; whatever is unusual,
damage included, is left to the plain way. A property test compares the two. Pure; called by the gateway for
every answer.
"""

from location_store.epoch import EPOCH_MIN, MAX_MIN, MINUTE_BYTES
from location_store.stays import MAX_STEP_MIN, StayRules


def sole_place(history: bytes, rules: StayRules, start_min: int, end_min: int) -> int | None:
    """The one place of a packed history, if it was visited in [start_min, end_min); None: ask `visited`."""
    numbers = _numbers(history)
    if numbers is None or len(numbers) < 3 or numbers[0] & 1 or rules.stay_rule != "continuous":
        return None
    settled, place = 2 + numbers[0], numbers[1]  # two numbers a segment
    if len(numbers) < settled or numbers[2] or place > 0xFFFF:
        return None
    start, stop = start_min - EPOCH_MIN, end_min - EPOCH_MIN
    last = int.from_bytes(history[:MINUTE_BYTES], "little")
    longest = -1
    first = last
    for i in range(2, settled, 2):
        first = last + numbers[i]
        last = first + numbers[i + 1]
        inside = (last if last < stop else stop) - (first if first > start else start)
        if inside > longest:  # noqa: PLR1730 -- max() costs more, for every answer
            longest = inside
    tail = numbers[settled:]
    if tail:
        steps = tail[1:]
        if 0 in steps or max(steps, default=0) > MAX_STEP_MIN or (settled > 2 and not tail[0]):
            return None
        if tail[0] > MAX_STEP_MIN:  # else the last segment goes on with it
            first = last + tail[0]
        last += sum(tail)
        longest = max(longest, min(last, stop) - max(first, start))
    if longest < 60 * rules.stay_hours or last > MAX_MIN:
        return None
    return place  # silences joined and half gaps could only add to it, and there is nobody to drift to


def _numbers(history: bytes) -> list[int] | None:
    """The varints of a history; None where one is longer than a minute of it needs, or cut off."""
    numbers = []
    value = shift = 0
    for byte in history[MINUTE_BYTES:]:
        if byte < 128:
            numbers.append(value | byte << shift)
            value = shift = 0
        else:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 21:
                return None
    return None if shift else numbers
