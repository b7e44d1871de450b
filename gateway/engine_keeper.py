"""The embedded engine's keeper: a process that runs one Redis-compatible server while anyone uses it.

Invariant: the server runs only while a process is connected to the keeper's socket; it has ended, its
files written, before the last connection is closed from this side. A user that is killed is
disconnected by the kernel, so nothing is left behind. Run by `gateway.engine` as a script, with the
standard library only so that it is up in milliseconds; its stdout says `ready`, or ends without having
said so:

    engine_keeper.py FOLDER SERVER [OPTION...]

In FOLDER, which only its owner may enter: `keeper.sock` (here a user connects and reads `ready`),
`engine.sock` (the server), `engine.log`, and the server's own files. A second keeper waits until the
first has ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

READY_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0
FIRST_USER_TIMEOUT_S = 10.0  # whoever started us connects at once, or has died


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _start_server(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    log = os.open(folder / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - an argument list, no shell
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        )
    finally:
        os.close(log)


def _answers(address: Path) -> bool:
    """Whether the server answers PING (while it loads its data it answers -LOADING)."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(address))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _wait_until_ready(server: subprocess.Popen[bytes], address: Path) -> bool:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        if _answers(address):
            return True
        time.sleep(0.01)
    return False


def _serve(listener: socket.socket, ending: socket.socket) -> list[socket.socket]:
    """Until the last user has gone, or `ending` says that the server has. Gives those still connected."""
    users: list[socket.socket] = []
    timeout_s: float | None = FIRST_USER_TIMEOUT_S
    while True:
        ready, _, _ = select.select([listener, ending, *users], [], [], timeout_s)
        timeout_s = None
        if not ready or ending in ready:
            return users
        if listener in ready:
            user, _ = listener.accept()
            users.append(user)
            with contextlib.suppress(OSError):  # gone already: the next turn finds it so
                user.sendall(b"ready\n")
            continue
        leaving = [user for user in users if user in ready]
        if len(leaving) == len(users):
            return users
        for user in leaving:
            users.remove(user)
            user.close()


def _ending_signals() -> socket.socket:
    """Readable once the server has ended (SIGCHLD) or we are told to end (SIGTERM)."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.detach())
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    return receiver


def _say_ready() -> None:
    """Tell the user that started us, who reads our stdout; nobody reads it afterwards."""
    with contextlib.suppress(OSError):
        os.write(1, b"ready\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _stop_server(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main(folder: Path, command: list[str]) -> None:
    if os.fork():
        os._exit(0)  # the user does not wait for us: we may outlive it for another
    os.setsid()  # the terminal's Ctrl-C is for the users
    lock = os.open(folder / "keeper.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    keeper, engine = folder / "keeper.sock", folder / "engine.sock"
    for stale in (keeper, engine):
        stale.unlink(missing_ok=True)
    ending = _ending_signals()
    server = _start_server(folder, command)
    users: list[socket.socket] = []
    listener = socket.socket(socket.AF_UNIX)
    try:
        if _wait_until_ready(server, engine):
            listener.bind(str(keeper))
            listener.listen(64)
            _say_ready()
            users = _serve(listener, ending)
    finally:
        keeper.unlink(missing_ok=True)
        _stop_server(server)
        engine.unlink(missing_ok=True)
        listener.close()
        for user in users:
            user.close()


if __name__ == "__main__":
    os.umask(0o077)
    main(Path(sys.argv[1]), sys.argv[2:])
