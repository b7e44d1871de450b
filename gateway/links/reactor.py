"""Twisted's reactor on uvloop's event loop, without losing connections that end by a reset.

uvloop closes its watcher of a socket when the kernel reports an error on it (EPOLLERR, which a reset is),
after one more call of the reader. If octets came before the reset, that call reads them and not the error:
nothing would ever be read again, the connection never end. So a reader is called until the error is out.
Called by `gateway.app`.
"""

import asyncio
import select
import time
from typing import Any

from twisted.internet import asyncioreactor
from twisted.internet.main import installReactor

_Base: Any = asyncioreactor.AsyncioSelectorReactor  # without types of its own


class Reactor(_Base):  # type: ignore[misc]  # see above
    """Its timers are on the monotonic clock: Twisted's follow the wall clock, and do not fire while that is
    set back.
    """

    seconds = staticmethod(time.monotonic)

    def addReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's own
        """Without Twisted's log context around each event, which is a third of what one costs: we log by
        other means.
        """
        super().addReader(reader)
        fd = self._readers.get(reader)
        if fd is not None:
            self._asyncioEventloop.add_reader(fd, self._readOrWrite, reader, True)

    def _readOrWrite(self, selectable: Any, read: bool) -> None:  # noqa: N802 - Twisted's own
        super()._readOrWrite(selectable, read)
        while read and selectable in self._readers and _has_error(selectable.fileno()):
            super()._readOrWrite(selectable, read)


def _has_error(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)  # errors are always told
    return any(event & select.POLLERR for _, event in poll.poll(0))


def install(loop: asyncio.AbstractEventLoop) -> Any:
    """Make it the reactor of this process, before anything imports the default one."""
    reactor = Reactor(loop)
    installReactor(reactor)
    return reactor
