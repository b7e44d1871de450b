"""Connections between simulated processes: octets in order, or the end.

As TCP gives them: cut anywhere, late, or held back, but never reordered, doubled or changed. A connection
ends in order (what was written arrives first) or by a reset (what is on its way may be lost, from any octet
on). Who writes more than the other reads is told so, as by a full socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sim.world import World

HIGH_OCTETS, LOW_OCTETS = 64 * 1024, 16 * 1024
MAX_CUTS = 3


class Shape(NamedTuple):
    """How the network of a run is: least and most latency, and how many of a hundred writes are cut."""

    least_s: float = 0.0002
    most_s: float = 0.002
    cut_percent: int = 0


class End:
    """One end of a connection. Its owner sets the calls, which `post` runs: in the owner's process."""

    def __init__(self, connection: Connection, post: Callable[[Callable[[], object]], None]) -> None:
        self.connection = connection
        self.other: End
        self.post = post
        self.on_data: Callable[[bytes], object] = lambda data: None
        self.on_lost: Callable[[bool], object] = lambda clean: None
        self.on_full: Callable[[], object] = lambda: None
        self.on_drained: Callable[[], object] = lambda: None
        self.lost = False
        self.closing = False
        self.full = False
        self.unread = 0  # octets written and not taken by the other end
        self._reading = True
        self._arrived: deque[bytes] = deque()
        self._last_s = 0.0

    # the owner's side

    def write(self, data: bytes) -> None:
        if self.lost or self.closing or not data:
            return
        self.unread += len(data)
        for piece in self._pieces(data):
            self._send(piece)
        if not self.full and self.unread > HIGH_OCTETS:
            self.full = True
            self.post(self.on_full)

    def close(self) -> None:
        """End in order, once all is taken."""
        self.closing = True
        self._finish()

    def abort(self) -> None:
        """Reset."""
        self.connection.reset(self)

    def pause(self) -> None:
        self._reading = False

    def resume(self) -> None:
        if not self._reading:
            self._reading = True
            self.post(self._take)

    # inside

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        chance, shape = self.connection.world.chance, self.connection.shape
        if len(data) == 1 or chance.randrange(100) >= shape.cut_percent:
            yield data
            return
        cuts = sorted(chance.randrange(1, len(data)) for _ in range(chance.randint(1, MAX_CUTS)))
        at = 0
        for cut in (*cuts, len(data)):
            if cut > at:
                yield data[at:cut]
                at = cut

    def _send(self, piece: bytes) -> None:
        connection = self.connection
        world, shape = connection.world, connection.shape
        arrives_s = world.now_s + world.chance.uniform(shape.least_s, shape.most_s)
        self._last_s = max(self._last_s, arrives_s, connection.held_until_s)
        world.at(self._last_s, lambda: self.other._arrive(piece))

    def _arrive(self, piece: bytes) -> None:
        if self.lost or self.connection.broken:
            return
        cut = self.connection.cut_after
        if cut is not None:
            self.connection.cut_after = cut - len(piece)
            if len(piece) > cut:
                self._arrived.append(piece[:cut])
                self._take()
                self.connection.broken = True
                self.connection.reset(None)
                return
        self._arrived.append(piece)
        self._take()

    def _take(self) -> None:
        while self._arrived and self._reading and not self.lost:
            piece = self._arrived.popleft()
            self.post(lambda piece=piece: None if self.lost else self.on_data(piece))  # type: ignore[misc]
            writer = self.other
            writer.unread -= len(piece)
            if writer.full and writer.unread < LOW_OCTETS:
                writer.full = False
                writer.post(writer.on_drained)
            writer._finish()

    def _finish(self) -> None:
        if self.closing and not self.lost and not self.unread:
            self.connection.closed(self)

    def end(self, clean: bool, delay_s: float = 0.0) -> None:
        """It is over for this end, so much later."""

        def tell() -> None:
            if not self.lost:
                self.lost = True
                self.post(lambda: self.on_lost(clean))

        if delay_s:
            self.connection.world.after(delay_s, tell)
        else:
            tell()


class Connection:
    """`ends`: who connected, and who listened."""

    def __init__(
        self, network: Network, name: str, port: int, *posts: Callable[[Callable[[], object]], None]
    ) -> None:
        self.name, self.port = name, port
        self.world = network.world
        self.shape = network.shape
        self.held_until_s = 0.0
        self.cut_after: int | None = None
        """So many octets more, of both directions together, and the connection is reset."""
        self.broken = False  # in the middle of a piece: what comes behind it would not be what was written
        self._network = network
        self.ends = End(self, posts[0]), End(self, posts[1])
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    def hold(self, seconds: float) -> None:
        """Nothing arrives for so long: a cable that was pulled, and put back."""
        self.held_until_s = self.world.now_s + seconds

    def reset(self, by: End | None) -> None:
        """By one of its ends, or (None) by something between them."""
        self._network.forget(self)
        for end in self.ends:
            late_s = 0.0 if end is by else self.world.chance.uniform(0, self.shape.most_s)
            end.end(False, late_s)

    def closed(self, by: End) -> None:
        self._network.forget(self)
        by.end(True)
        by.other.end(True, self.shape.most_s)


Post = Callable[[Callable[[], object]], None]


def directly(call: Callable[[], object]) -> None:
    """For who is no process: it acts at once."""
    call()


class Network:
    def __init__(self, world: World, shape: Shape) -> None:
        self.world, self.shape = world, shape
        self.open: dict[Connection, None] = {}
        self._listeners: dict[int, Callable[[End], object]] = {}

    def listen(self, port: int, accept: Callable[[End], object]) -> None:
        self._listeners[port] = accept

    def unlisten(self, port: int) -> None:
        self._listeners.pop(port, None)

    def connect(self, name: str, port: int, post: Post, then: Callable[[End | None], object]) -> None:
        """`then` is given the end, or None where nobody listens."""

        def arrive() -> None:
            accept = self._listeners.get(port)
            if accept is None:
                post(lambda: then(None))
                return
            connection = Connection(self, name, port, post, directly)
            self.open[connection] = None
            accept(connection.ends[1])
            post(lambda: then(connection.ends[0]))

        self.world.after(self.world.chance.uniform(self.shape.least_s, self.shape.most_s), arrive)

    def forget(self, connection: Connection) -> None:
        self.open.pop(connection, None)

    def died(self, post: Post) -> None:
        """The process of this `post` is gone: the kernel resets what it had open."""
        for connection in list(self.open):
            if connection.ends[0].post == post:
                connection.reset(connection.ends[0])
