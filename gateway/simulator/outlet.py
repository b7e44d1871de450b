"""The way out of one connection: what is written, when and in which pieces, as the orders in force have it.

Invariant: nothing is written once it is closed; what is held back keeps its order. Called by `session`.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.simulator.clock import Clock
from gateway.simulator.faults import Faults
from gateway.simulator.trace import Parties


class Wire(Protocol):
    """The connection; an `asyncio.Transport` is one."""

    def write(self, data: bytes) -> object: ...

    def close(self) -> object: ...

    def abort(self) -> object: ...

    def pause_reading(self) -> object: ...

    def resume_reading(self) -> object: ...


class Outlet:
    """`traced` is told of every PDU when it is written."""

    def __init__(
        self, wire: Wire, clock: Clock, faults: Faults, traced: Callable[[bytes, Parties], None]
    ) -> None:
        self.open = True
        self._wire, self._clock, self._faults, self._traced = wire, clock, faults, traced
        self._held: list[tuple[bytes, Parties]] = []
        self._chunks: deque[bytes] = deque()
        self._dripping = False

    def put(self, frame: bytes, parties: Parties) -> None:
        """Write a PDU, or hold it back as long as an ordered fault lasts; what is held keeps its order."""
        if not self.open:
            return
        now_s = self._clock.now_s()
        hold_s = self._faults.lasting_s("mute", now_s)
        if frame[4] & 0x80:
            hold_s = max(hold_s, self._faults.lasting_s("stall_responses", now_s))
        if hold_s:
            self._held.append((frame, parties))
            if len(self._held) == 1:
                self._clock.call_later(hold_s, self._release)
            return
        self._traced(frame, parties)
        pieces = self._faults.lasting("fragment")
        size = pieces["bytes"] if pieces else len(frame)
        self._chunks.extend(frame[start : start + size] for start in range(0, len(frame), size))
        if not self._dripping:
            self._drip()

    def put_raw(self, octets: bytes) -> None:
        """Write octets that are no PDU."""
        if self.open:
            self._wire.write(octets)

    def cut(self, frame: bytes) -> None:
        """Write the first half of a PDU and reset the connection."""
        self.put_raw(frame[: len(frame) // 2])
        self.abort()

    def stop_reading(self, seconds: float) -> None:
        """Leave what comes in the kernel's buffers, until the peer's writes stall."""
        self._wire.pause_reading()
        self._clock.call_later(seconds, self._wire.resume_reading)

    def close(self) -> None:
        """End the connection in order."""
        self.open = False
        self._wire.close()

    def abort(self) -> None:
        """Reset the connection."""
        self.open = False
        self._wire.abort()

    def _release(self) -> None:
        held, self._held = self._held, []
        for frame, parties in held:
            self.put(frame, parties)

    def _drip(self) -> None:
        """Write what is due; piece by piece with a pause between while `fragment` is in force."""
        self._dripping = False
        while self._chunks and self.open:
            self._wire.write(self._chunks.popleft())
            pieces = self._faults.lasting("fragment")
            if pieces and pieces["delay_s"] and self._chunks:
                self._dripping = True
                self._clock.call_later(pieces["delay_s"], self._drip)
                return
