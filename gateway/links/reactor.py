"""Twisted's reactor on uvloop's event loop, without losing connections that end by a reset.

uvloop closes its watcher of a socket when the kernel reports an error on it (EPOLLERR, which a reset is),
after one more call of the reader. If octets came before the reset, that call reads them and not the error:
nothing would ever be read again, the connection never end. So a reader is called until the error is out.

What all connections together read in one turn of the loop is bounded by time: a peer without a window sends
hundreds of texts in 64 KiB, and eight binds of his at once would stop timers, and the store's replies, for
longer than a turn may take. Called by `gateway.app`.
"""

import asyncio
import select
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import asyncioreactor
from twisted.internet.main import installReactor

#: Of one turn of the loop, after which whoever has not been read has to wait for the next; and at once.
READING_S = 0.005
READ_OCTETS = 8192

_Base: Any = asyncioreactor.AsyncioSelectorReactor  # without types of its own


class Reactor(_Base):  # type: ignore[misc]  # see above
    """Its timers are on the monotonic clock: Twisted's follow the wall clock, and do not fire while that is
    set back.
    """

    seconds = staticmethod(time.monotonic)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._polls: dict[Any, Callable[[int], list[tuple[int, int]]]] = {}  # for the errors of each reader
        super().__init__(loop)
        self._in_turn, self._began_s = False, 0.0
        self._first: set[Any] = set()  # who may read in this turn, when in the last one not all could
        self._left_over: set[Any] = set()  # who had to wait in this one

    def addReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's own
        """Without Twisted's log context around each event, which is a third of what one costs: we log by
        other means.
        """
        if hasattr(reader, "bufferSize"):  # a connection
            reader.bufferSize = READ_OCTETS
        super().addReader(reader)
        fd = self._readers.get(reader)
        if fd is not None:
            self._asyncioEventloop.add_reader(fd, self._readOrWrite, reader, True)
            poll = select.poll()
            poll.register(fd, 0)  # errors are always told
            self._polls[reader] = poll.poll

    def removeReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's own
        self._polls.pop(reader, None)
        super().removeReader(reader)

    def _readOrWrite(self, selectable: Any, read: bool) -> None:  # noqa: N802 - Twisted's own
        # Whoever may not read now is asked again in the next turn, but for an error (see above).
        if read and not self._may_read(selectable) and not self._has_error(selectable):
            return
        super()._readOrWrite(selectable, read)
        while read and self._has_error(selectable):
            super()._readOrWrite(selectable, read)

    def _has_error(self, selectable: Any) -> bool:
        """Of one that is still read."""
        poll = self._polls.get(selectable)
        return poll is not None and any(event & select.POLLERR for _, event in poll(0))

    def _may_read(self, selectable: Any) -> bool:
        """Until this turn's time is over; then whoever was left over goes first."""
        now_s = time.monotonic()
        if not self._in_turn:
            self._in_turn, self._began_s = True, now_s
            self._asyncioEventloop.call_soon(self._end_turn)
        if self._first and selectable not in self._first:
            return False
        if now_s - self._began_s > READING_S:
            self._left_over.add(selectable)
            return False
        return True

    def _end_turn(self) -> None:
        self._in_turn = False
        if self._first or self._left_over:
            self._first, self._left_over = self._left_over, set()


def install(loop: asyncio.AbstractEventLoop) -> Any:
    """Make it the reactor of this process, before anything imports the default one."""
    reactor = Reactor(loop)
    installReactor(reactor)
    return reactor
