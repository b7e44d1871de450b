"""One worker among its like, as it sees them: who it is, what it tells its parent and the others, what it is
told.

Worker 0 has the configured HTTP port (worker i that port plus i) and the listeners; what the others report
about themselves once a second, through files in a private folder, is part of its status. Parent and worker
talk over a pair of sockets (`Channel`). Called by `gateway.app`; the parent's side is `gateway.supervisor`.
"""

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway import notify

FRESH_S = 5.0
#: Of one message: the rules of some hundred carriers.
_BUFFER = 1 << 20


class Channel:
    """Messages between a parent and its child. Nobody waits: what does not fit in the buffers is dropped."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        connection.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER)

    @classmethod
    def pair(cls) -> "tuple[Channel, Channel]":
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: dict[str, Any]) -> bool:
        """Whether it is on its way."""
        try:
            self._socket.send(json.dumps(message).encode())
        except OSError:  # the buffers are full, or the other side is gone
            return False
        return True

    def receive(self) -> list[dict[str, Any]]:
        messages = []
        while True:
            try:
                messages.append(json.loads(self._socket.recv(_BUFFER)))
            except OSError:
                return messages

    def close(self) -> None:
        self._socket.close()


class Workers:
    """Who this process is among its like."""

    def __init__(self, index: int, total: int, folder: Path | None, parent: Channel | None = None) -> None:
        self.index, self.total = index, total
        self._folder = folder
        self.parent = parent

    @classmethod
    def alone(cls) -> "Workers":
        return cls(0, 1, None)

    def started(self) -> None:
        self._say({"started": True}, notify.READY)

    def alive(self, *, ready: bool, text: str) -> None:
        """To be said every second or so, by the event loop that does the work."""
        self._say({"ready": ready, "text": text}, notify.ALIVE, notify.status(text))

    def stopping(self) -> None:
        self._say({"stopping": True}, notify.STOPPING)

    def left(self, left: dict[str, Any]) -> None:
        """The last word: what the drain left."""
        self._say({"left": left})

    def _say(self, message: dict[str, Any], *to_systemd: str) -> None:
        if self.parent is not None:
            self.parent.send(message)
        elif to_systemd:
            notify.tell(*to_systemd)

    def publish(self, status: dict[str, Any] | None) -> None:
        """Let worker 0 see our status; None: we are gone."""
        if self._folder is None or self.index == 0:
            return
        mine = self._folder / f"{self.index}.json"
        if status is None:
            mine.unlink(missing_ok=True)
            return
        new = mine.with_suffix(".new")
        # The monotonic clock is one for all processes; the wall clock may be set between two looks.
        new.write_text(json.dumps([time.monotonic(), status]), encoding="utf-8")
        new.replace(mine)

    def others(self) -> dict[int, dict[str, Any] | None]:
        """The status of every other worker, None for one that has not reported lately. Worker 0 asks."""
        if self._folder is None or self.index != 0:
            return {}
        return {index: self._read(index) for index in range(1, self.total)}

    def _read(self, index: int) -> dict[str, Any] | None:
        assert self._folder is not None
        try:
            text = (self._folder / f"{index}.json").read_text(encoding="utf-8")
            written_s, status = json.loads(text)
        except (OSError, ValueError):
            return None
        fresh: dict[str, Any] | None = status if time.monotonic() - written_s <= FRESH_S else None
        return fresh


def summed(lefts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all workers left, in the order of their ends: the last has seen the park last."""
    seen = [left["waiting"] for left in lefts if left["waiting"] is not None]
    sums: dict[str, Any] = {
        key: sum(left[key] for left in lefts) for key in ("unanswered", "parked", "put_off")
    }
    return sums | {"waiting": seen[-1] if seen else None}
