"""Connecting: every URL form, every refusal in one clear line; a real cluster of two."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from location_store.errors import StoreError, StoreRefused, StoreUnavailable
from location_store.pseudonyms import Layout, Pseudonym
from location_store.store import Store
from tests.cluster import cluster, command, move_a_slot  # noqa: F401 - a fixture among them
from tests.conftest import RedisServer, free_port
from tests.location_store.support import names_of

LAYOUT = Layout(partitions=64, buckets=1)
NAMES = names_of(LAYOUT)
EVERYBODY = [Pseudonym(partition, 0, b"x") for partition in range(LAYOUT.partitions)]


def refusal(url: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        Store.connect(url, NAMES)
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)
    return caught.value


def test_unix_sockets(own_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    """unix:///path."""
    own_redis("--unixsocket", str(tmp_path / "s"))
    assert Store.connect(f"unix://{tmp_path}/s", NAMES).read(EVERYBODY[:1]) == [None]


@pytest.mark.parametrize("credentials", [":sesame@", ""])
def test_a_wrong_or_missing_password_is_refused(
    own_redis: Callable[..., RedisServer], credentials: str
) -> None:
    """To be mended, not retried."""
    server = own_redis("--requirepass", "right")
    error = refusal(f"redis://{credentials}127.0.0.1:{server.port}/0")
    assert isinstance(error, StoreRefused)
    assert f"127.0.0.1:{server.port} refuses the credentials" in str(error)
    Store.connect(f"redis://:right@127.0.0.1:{server.port}/0", NAMES).close()


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster"])
def test_an_unreachable_server_is_a_temporary_failure(scheme: str) -> None:
    """Nobody listens there (yet)."""
    error = refusal(f"{scheme}://:sesame@127.0.0.1:{free_port()}")
    assert isinstance(error, StoreUnavailable)
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "http://x/",
        "redis://127.0.0.1:port/",
        "redis+cluster://",
        "redis+cluster://:sesame@x:port",
        "nonsense",
        "",
    ],
)
def test_a_malformed_url_is_refused(url: str) -> None:
    """The message shows the forms that there are."""
    error = refusal(url)
    assert isinstance(error, StoreRefused)
    assert "redis://host:port/db" in str(error)


def test_an_old_server_is_refused() -> None:
    """6.2 has no functions."""
    with _pretender(b"redis_version:6.2.14\r\nredis_mode:standalone\r\n") as port:
        error = refusal(f"redis://127.0.0.1:{port}")
    assert isinstance(error, StoreRefused)
    assert "is version 6.2.14: 7.0 or newer is needed" in str(error)


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.parametrize(
    "banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"<!DOCTYPE html>\n"]
)
def test_another_service_is_named_as_such(scheme: str, banner: bytes) -> None:
    """A web server on the port of the URL."""
    with _stranger(banner) as port:
        error = refusal(f"{scheme}://:sesame@127.0.0.1:{port}")
    assert f"127.0.0.1:{port} answers, but not as Redis does" in str(error)
    assert "mend redis.url" in str(error)


def test_a_single_server_is_no_cluster(redis_url: str) -> None:
    """redis+cluster:// wants one."""
    assert "is no cluster: use redis://" in str(refusal(redis_url.replace("redis", "redis+cluster", 1)))


def test_a_node_of_a_cluster_is_refused_alone(cluster: list[RedisServer]) -> None:  # noqa: F811
    """The message says what URL it takes."""
    assert "is a node of a cluster: use redis+cluster://" in str(refusal(cluster[0].url))


@contextmanager
def _pretender(info: bytes) -> Iterator[int]:
    """A server that answers INFO with these lines, and everything else with OK."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                words = [
                    self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))
                ]
                reply = b"$%d\r\n%s\r\n" % (len(info), info) if words[0] == b"INFO" else b"+OK\r\n"
                self.wfile.write(reply)

    with _served(Handler) as port:
        yield port


@contextmanager
def _stranger(banner: bytes) -> Iterator[int]:
    """A server that says the same to everybody."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline():
                self.wfile.write(banner)

    with _served(Handler) as port:
        yield port


@contextmanager
def _served(handler: type[socketserver.StreamRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
