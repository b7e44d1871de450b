"""What systemd is told (sd_notify): a datagram to the socket that it names; without one, nothing.

Called by `gateway.app` for a single process, by `gateway.supervisor` for workers: only the process that
systemd started speaks.
"""

import os
import socket
import time
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def tell(*lines: str) -> None:
    """Never raises and never waits: a service manager that does not listen changes nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # of Linux's abstract namespace
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        connection.sendto("\n".join(lines).encode(), address)


def status(text: str) -> str:
    return f"STATUS={text}"


def reloading() -> tuple[str, ...]:
    """To be followed by READY."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
