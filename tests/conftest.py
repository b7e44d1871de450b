"""Fixtures all tests share: a real redis-server, on a port of its own for every pytest process.

Invariant: no server outlives the process that started it, however that ended. `redis_url` gives an empty
database; `own_redis` gives a test servers of its own, to be stopped, paused or configured as it likes.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway import children

# How long one example takes says more of the machine, which others use too, than of the code.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

START_TIMEOUT_S = 60.0


# Below those that Linux gives to connections (from 32768), which would take a port before its server does, or
# while that is away. Every test process begins somewhere else.
_PORTS = range(12_000, 32_000)
_begin = secrets.randbelow(len(_PORTS))
_ports: Iterator[int] = cycle((*_PORTS[_begin:], *_PORTS[:_begin]))


def free_port(in_a_row: int = 1) -> int:
    """A TCP port of 127.0.0.1 that nobody has; the ones behind it are free as well. None comes twice before
    all others were asked for.
    """
    while True:
        ports = list(islice(_ports, in_a_row))
        if ports[-1] - ports[0] == in_a_row - 1 and all(map(_is_free, ports)):
            return ports[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class RedisServer:
    """One redis-server process on 127.0.0.1, its files in `folder`."""

    program_name = "redis-server"

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.environment: dict[str, str] = {}  # added to ours
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        """Start; after `stop` on the same port again, unless another process has taken it meanwhile."""
        for _ in range(5):
            self.port = self.port or free_port()
            self._process = self._spawn()
            if self._wait_until_ready():
                return
            self.port = 0
        raise RuntimeError(f"redis-server does not start: {(self.folder / 'log').read_text()[-500:]}")

    def stop(self) -> None:
        """kill -9: nothing is saved unless the arguments asked for it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = shutil.which(self.program_name)
        if program is None:
            pytest.fail("redis-server is not installed: `make test` installs it", pytrace=False)
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        options += ["--save", "", "--hash-max-listpack-value", "512", "--hash-max-listpack-entries", "256"]
        with (self.folder / "log").open("ab") as log:
            command = [program, *options, *self.arguments]
            return children.spawn(command, output=log, environment=self.environment)

    def _wait_until_ready(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with self.client() as client:
                    client.ping()
            except redis.AuthenticationError:
                return self._process.poll() is None
            except (redis.BusyLoadingError, redis.ConnectionError):
                time.sleep(0.01)
            else:
                return self._is_ours()
        self.stop()
        return False

    def _is_ours(self) -> bool:
        """A stranger on the port answers PING as well: the process id tells."""
        with self.client() as client:
            return int(client.info("server")["process_id"]) == self.pid


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One real redis-server for the whole session."""
    with tempfile.TemporaryDirectory(prefix="cxmyd-test-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def spare_clusters() -> Iterator[list[list[RedisServer]]]:
    """What `cluster` has started ahead, and nobody has taken."""
    spare: list[list[RedisServer]] = []
    yield spare
    for server in chain(*spare):
        server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty database: no keys, no functions."""
    with redis_server.client() as client:
        client.flushall()
        client.function_flush()
    return redis_server.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers of the test's own: `own_redis("--requirepass", "secret")`."""
    servers: list[RedisServer] = []

    def start(*arguments: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(servers)}"
        folder.mkdir()
        server = RedisServer(folder, *arguments)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
