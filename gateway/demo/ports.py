"""Free TCP ports of this machine for the demo. Called by `command`."""

from __future__ import annotations

import socket
from collections.abc import Iterable

HOST = "127.0.0.1"


def choose(preferred: Iterable[int]) -> list[int]:
    """For each preferred port itself if it is free, else any free one; all different."""
    probes = [_bound(port) or _bound(0) for port in preferred]
    try:
        return [probe.getsockname()[1] for probe in probes if probe]
    finally:
        for probe in probes:
            if probe:
                probe.close()


def _bound(port: int) -> socket.socket | None:
    probe = socket.socket()
    if port:  # as servers do: a port with nothing but finished connections on it is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
    except OSError:
        probe.close()
        return None
    return probe
