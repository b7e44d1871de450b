"""The framer: any segments give the same frames, within bounds of memory and time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.codec import encode
from gateway.smpp.errors import FramingError
from gateway.smpp.framing import Framer
from tests.smpp.strategies import pdus


def frames(framer: Framer, segments: list[bytes]) -> list[bytes]:
    return [frame for segment in segments for frame in framer.frames(segment)]


@given(st.lists(pdus, max_size=6), st.data())
def test_segments_make_no_difference(sent: list[p.Pdu], data: st.DataObject) -> None:
    """One octet at a time, all at once, or cut anywhere: the same frames, and nothing is left."""
    encoded = [encode(pdu) for pdu in sent]
    stream = b"".join(encoded)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    anywhere = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for segments in ([stream], [stream[i : i + 1] for i in range(len(stream))], anywhere):
        framer = Framer()
        assert frames(framer, segments) == encoded
        assert framer.held == 0


@pytest.mark.parametrize("length", [0, 1, 15, 1001, 0x7FFFFFFF, 0x47455420])
def test_impossible_lengths(length: int) -> None:
    """A command_length below 16 or above the limit is fatal at its fourth octet, after all PDUs before it."""
    good = encode(p.EnquireLink(sequence_number=1))
    framer = Framer(max_length=1000)
    stream = iter(framer.frames(good + length.to_bytes(4, "big")))
    assert next(stream) == good
    with pytest.raises(FramingError) as caught:
        next(stream)
    assert caught.value.fatal
    assert framer.held <= 4


def test_an_announced_length_allocates_nothing() -> None:
    """A header that promises a large PDU holds only what was received."""
    framer = Framer()
    assert frames(framer, [(60_000).to_bytes(4, "big") + bytes(96)]) == []
    assert framer.held == 100


def test_time_is_linear() -> None:
    """A 64 KB PDU octet by octet costs about 16 times a 4 KB PDU, not 256 times."""

    def cost_s(length: int) -> float:
        framer = Framer()
        data = length.to_bytes(4, "big") + bytes(length - 4)
        began_s = time.process_time()
        for i in range(length):
            for _ in framer.frames(data[i : i + 1]):
                pass
        return time.process_time() - began_s

    assert cost_s(65_536) < 80 * max(cost_s(4_096), 0.001)
