"""One connection to one Redis node for ready-made commands, and the traffic of several at the same time.

redis-py opens the connection and logs in (TCP, TLS or unix socket). From then on whole batches go out over
its socket as they are, and hiredis reads the replies: what redis-py does for each command costs three to
five times as much as the exchange itself.

Invariants: replies are matched to commands by order alone, so a connection of which anything failed is
closed; all connections are written to and read from in turns, so that none waits for another and no full
socket buffer stops both sides. Called by `nodes`.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import hiredis

from location_store.errors import StoreUnavailable
from location_store.topology import Address

READ_BYTES = 1 << 18
UNIX_SOCKET_BYTES = 1 << 20

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Packed(NamedTuple):
    """Commands that are ready to be sent: all their keys are in the slot of `key`.

    resp: so many whole `commands` in the Redis protocol, one after another.
    """

    key: bytes
    resp: bytes
    commands: int


class Sent:
    """A batch on its way: complete once it has all its replies (error replies among them) or an `error`."""

    __slots__ = ("error", "link", "packed", "replies")

    def __init__(self, packed: Packed, link: Link) -> None:
        self.packed = packed
        self.link = link
        self.replies: list[Any] = []
        self.error: StoreUnavailable | None = None

    @property
    def complete(self) -> bool:
        return self.error is not None or len(self.replies) == self.packed.commands


class Link:
    """A connection, until the first failure."""

    def __init__(self, connection: Any, name: str, address: Address) -> None:
        """`connection`: one of redis-py's; raises its errors when it cannot be opened. `name`: for errors."""
        connection.connect()
        self.name = name
        self.address = address
        self.open = True
        self._connection = connection
        self._socket = connection._sock  # redis-py has no other way to it
        self._socket.setblocking(False)
        if self._socket.family == socket.AF_UNIX:  # those do not grow by themselves, as TCP's do
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNIX_SOCKET_BYTES)
        self._reader = hiredis.Reader()
        self._buffer = bytearray(READ_BYTES)
        self._out: list[bytes | memoryview] = []
        self._expected: deque[Sent] = deque()
        self._moved_s = time.monotonic()

    def fileno(self) -> int:
        number: int = self._socket.fileno()
        return number

    @property
    def writes(self) -> bool:
        """Whether something has not gone out yet."""
        return bool(self._out)

    def silent_s(self, now_s: float) -> float:
        """For how long nothing has come or gone; 0 while nothing is due."""
        return now_s - self._moved_s if self._expected else 0.0

    def usable(self) -> bool:
        """Whether the server has not closed it meanwhile, as far as can be seen from here."""
        if self.open and not self._expected:
            self.read()
        return self.open

    def send(self, packed: Packed) -> Sent:
        """Queue a batch; `write` and `exchange` carry it."""
        sent = Sent(packed, self)
        if not self._expected:
            self._moved_s = time.monotonic()
        self._out.append(packed.resp)
        self._expected.append(sent)
        return sent

    def write(self) -> None:
        """Send as much as the socket takes now."""
        if len(self._out) > 1:
            self._out = [b"".join(self._out)]
        try:
            while self._out:
                rest = memoryview(self._out[0])
                taken = self._socket.send(rest)
                self._moved_s = time.monotonic()
                self._out = [rest[taken:]] if taken < len(rest) else []
        except _NOT_NOW:
            return
        except OSError as error:
            self.close(str(error))

    def read(self) -> None:
        """Take the replies that have come."""
        try:
            while self.open:
                received = self._socket.recv_into(self._buffer)
                if not received:
                    self.close("the server closed the connection")
                    return
                self._moved_s = time.monotonic()
                self._reader.feed(self._buffer, 0, received)  # type: ignore[arg-type]  # any buffer will do
                self._take()
        except _NOT_NOW:
            return
        except OSError as error:
            self.close(str(error))
        except hiredis.ProtocolError as error:
            self.close(f"not the Redis protocol: {error}")

    def _take(self) -> None:
        next_reply = self._reader.gets
        while self._expected:
            sent = self._expected[0]
            for _ in range(sent.packed.commands - len(sent.replies)):
                reply = next_reply()
                if reply is False:
                    return
                sent.replies.append(reply)
            self._expected.popleft()
        if next_reply() is not False:
            self.close("a reply that nobody asked for")

    def close(self, why: str) -> None:
        """Close for good; whether the batches still open took effect is not known."""
        self.open = False
        self._connection.disconnect()
        self._out.clear()
        for sent in self._expected:
            sent.error = self.unknown(why)
        self._expected.clear()

    def unknown(self, why: str) -> StoreUnavailable:
        """The error of a batch that was sent and came to nothing that is known."""
        return StoreUnavailable(f"{self.name}: {why}; whether what was sent last took effect is unknown")


def exchange(links: Collection[Link], until: Sequence[Sent], silence_s: float) -> set[Link]:
    """Write and read on `links` until all of `until` are complete, or one that owes them replies has been
    silent for so long: these, none when all is complete.
    """
    left = until
    while left := [sent for sent in left if not sent.complete]:
        now_s = time.monotonic()
        patience_s = silence_s - max(sent.link.silent_s(now_s) for sent in left)
        if patience_s <= 0:
            return {sent.link for sent in left if sent.link.silent_s(now_s) >= silence_s}
        poll = select.poll()
        by_number = {link.fileno(): link for link in links if link.open}
        for number, link in by_number.items():
            poll.register(number, select.POLLIN | (select.POLLOUT if link.writes else 0))
        for number, _ in poll.poll(1000 * patience_s + 1):
            link = by_number[number]
            link.write()
            if link.open:
                link.read()
    return set()
