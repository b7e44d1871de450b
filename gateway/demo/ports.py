"""Free TCP ports of this machine for the demo. Called by `command`.

Invariant: a port that was chosen stays ours until it is released to the part that listens on it: two demos
started at once do not choose the same.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Self

HOST = "127.0.0.1"


class Reserved:
    """`ports`: for each preferred port itself if it is free, else any free one."""

    def __init__(self, preferred: Iterable[int]) -> None:
        self._held = [_listening(port) or _listening(0) for port in preferred]
        self.ports: list[int] = [held.getsockname()[1] for held in self._held if held]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let the parts have them."""
        for held in self._held:
            if held:
                held.close()


def _listening(port: int) -> socket.socket | None:
    held = socket.socket()
    if port:  # as servers do: a port with nothing but finished connections on it is free
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((HOST, port))
        held.listen(1)  # a port that is only bound can be bound again
    except OSError:
        held.close()
        return None
    return held
