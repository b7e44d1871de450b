"""The simulated SMSC without sockets: a clock that is moved by hand and an ESME that says what it is told
to.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from gateway.simulator import pdus
from gateway.simulator.events import Event
from gateway.simulator.smsc import Rules, Smsc


class _Timer:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class HandClock:
    """Time that passes only by `advance`."""

    def __init__(self) -> None:
        self._now_s = 1_600_000_000.0
        self._due: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()

    def now_s(self) -> float:
        return self._now_s

    def call_later(self, delay_s: float, call: Callable[[], object]) -> _Timer:
        timer = _Timer(call)
        heapq.heappush(self._due, (self._now_s + delay_s, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        end_s = self._now_s + seconds
        while self._due and self._due[0][0] <= end_s:
            self._now_s, _, timer = heapq.heappop(self._due)
            if timer.call is not None:
                timer.call()
        self._now_s = end_s


class Esme:
    """The other end of one connection; `wrote` holds the octets of each write, `frames` whole PDUs."""

    def __init__(self, smsc: Smsc) -> None:
        self.wrote: list[bytes] = []
        self.closed = False
        self.unread = False
        self._taken = 0
        self.session = smsc.accept(self)

    # The wire, called by the SMSC

    def write(self, data: bytes) -> None:
        self.wrote.append(data)

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self.session.connection_lost()

    def pause_reading(self) -> None:
        self.unread = True

    def resume_reading(self) -> None:
        self.unread = False

    # What the ESME does

    def say(self, name: str, sequence: int = 1, status: int = 0, **fields: Any) -> None:
        self.session.data_received(pdus.encode(name, sequence, status, **fields))

    def bind(self, name: str = "bind_transceiver", system_id: str = "esme", **fields: Any) -> "Esme":
        self.say(name, system_id=system_id, password="secret", **fields)
        return self

    def submit(self, sequence: int = 2, **fields: Any) -> None:
        self.say("submit_sm", sequence, **(SUBMIT | fields))

    def heard(self, name: str | None = None) -> list[Any]:
        """The PDUs that came since the last call (of one command, if given)."""
        octets = b"".join(self.wrote)
        found = []
        while len(octets) - self._taken >= 4:
            length = int.from_bytes(octets[self._taken : self._taken + 4], "big")
            if len(octets) - self._taken < length:
                break
            found.append(pdus.decode(octets[self._taken : self._taken + length]))
            self._taken += length
        return [pdu for pdu in found if name in (None, pdu.command)]

    def answer_deliveries(self, status: int = 0) -> list[Any]:
        """Answer every deliver_sm that came, with this status."""
        deliveries = self.heard("deliver_sm")
        for pdu in deliveries:
            self.say("deliver_sm_resp", pdu.sequence, status)
        return deliveries


SUBMIT: dict[str, Any] = {
    "source_addr": "10086",
    "dest_addr_ton": 1,
    "dest_addr_npi": 1,
    "destination_addr": "8613800000000",
    "short_message": b"answer",
}


class World:
    """A clock, an SMSC and the events it told."""

    def __init__(self, **rules: Any) -> None:
        self.clock = HandClock()
        self.events: list[Event] = []
        self.smsc = Smsc(self.clock, Rules(**rules), self.events.append)

    def esme(self) -> Esme:
        return Esme(self.smsc)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events if event.kind != "pdu"]
