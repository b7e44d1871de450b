"""To which stage of a message's way a sampled stack belongs: by the innermost function that names one.

Pure. Called by `run`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

OTHER: Final = "start-up, timers, the rest"
#: What is looked for in a frame `function (file:line)`, innermost frame first, and the stage.
STAGES: Final[Sequence[tuple[str, str]]] = (
    (r"\(gateway/smpp/framing", "frame"),
    (r"^(decode|_decode\w*|_cut|read_\w+|is_text|kind_of) ", "decode"),
    (
        r"^Session\.(acknowledge|respond)|^Machine\._acknowledge|^Connection\.acknowledge|^_Taken",
        "acknowledge",
    ),
    (r"^Receiving\.(answered|ended)", "acknowledge"),
    (r"^Session\.request|^Connection\.(request|_leave|_may_leave|_pump)|\(gateway/smpp/throttle", "window"),
    (r"^Session\.window_free", "window"),
    (r"\(gateway/smpp/(session|machine|events)|^Connection\._(dispatch|answered)", "session"),
    (
        r"^destined|^sm_template|\(gateway/links/routes|\(gateway/sms/segments|\(gateway/smpp/",
        "encode, choose the link",
    ),
    (r"\(gateway/links/receiving|^SmscLink\.|\(gateway/flow/admission", "take: receiving, admission"),
    (
        r"\(gateway/flow/intake|\(gateway/sms/|\(location_store/msisdn|^carrier_of",
        "text, number, digest (reassembly)",
    ),
    (r"\(location_store/pseudonyms", "pseudonym"),
    (r"^RedisTurns|\(gateway/redis/(keys|packing)|^bucket_key", "commands for Redis"),
    (r"^Node\.(received|_hand_out)|^Wire\.data_received|^_begun|^fulfil", "replies of Redis"),
    (r"\(gateway/redis/deliveries|\(gateway/flow/deliveries", "receipts to come"),
    (r"\(gateway/redis/(node|calls|wire)", "calls to Redis"),
    (
        r"\(location_store/(lookup|record|subscribers|stays|rotation|epoch)|^Decider\._(known|named)",
        "unpack and rules",
    ),
    (r"\(gateway/dialog/(replies)|^Decider\._words", "wording"),
    (
        r"\(gateway/dialog/|^Decider|\(gateway/flow/deciding|\(location_store/window",
        "grammar and conversation",
    ),
    (r"\(gateway/web/|^Pipeline\.ended", "metrics"),
    (r"\(gateway/flow/|\(gateway/steadytime", "the way: attempt, turns in line"),
    (r"^Connection\.|\(gateway/links/(reactor|connection)", "sockets and loop"),
    (r"\(twisted/|\(asyncio/|\(uvloop|\(selectors", "sockets and loop"),
)
_COMPILED: Final = [(re.compile(pattern), stage) for pattern, stage in STAGES]
_SERVING: Final = "AsyncioSelectorReactor.run"


def stage_of(stack: Sequence[str]) -> str:
    """`stack`: frames from the outermost; those of the loop are below all others."""
    if not any(_SERVING in frame for frame in stack):
        return OTHER
    for frame in reversed(stack):
        for pattern, stage in _COMPILED:
            if pattern.search(frame):
                return stage
    return OTHER


def stacks(raw: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """Frames and samples of each line of py-spy's raw format; of the main thread, whose frames have no
    `threading`.
    """
    for line in raw:
        joined, _, count = line.rpartition(" ")
        frames = joined.split(";")
        if count.strip().isdigit() and not any("threading" in frame for frame in frames):
            yield frames, int(count)


def shares(raw: Iterable[str]) -> dict[str, float]:
    """The share of each stage, the largest first; start-up is not a message's."""
    counts: Counter[str] = Counter()
    for frames, count in stacks(raw):
        counts[stage_of(frames)] += count
    total = sum(counts.values())
    return {stage: count / total for stage, count in counts.most_common()}
