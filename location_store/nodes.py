"""The Redis behind a URL, one node or a cluster, for the location store's batched calls.

Invariants: a call goes out once (redis-py's retries are off: a lost reply must not write twice); a failure
leaves as StoreUnavailable (try again later) or StoreRefused (mend something), one line without the password.
Called by `store`; the gateway has its own asynchronous connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.retry import Retry

from location_store.errors import StoreRefused, StoreUnavailable

CONNECT_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 30.0
PIPELINE_COMMANDS = 512
"""Commands on their way to one node at a time: bounds the memory of both ends."""

_DEFAULT_PORT = 6379
_TEMPORARY = {
    "LOADING",
    "READONLY",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "TRYAGAIN",
    "BUSY",
}
_TEMPORARY_ERRORS = (  # redis-py strips the word from the text of these
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
)
_CREDENTIALS = {"NOAUTH", "WRONGPASS", "NOPERM"}
_REDIRECTIONS = (redis_errors.AskError, redis_errors.TryAgainError)  # AskError is MovedError's base

Client = Any  # redis-py leaves half of the methods used here without types


class Command(NamedTuple):
    """One Redis command and the key whose slot it goes to."""

    key: bytes
    args: tuple[bytes | str | int, ...]


class Nodes:
    """Connections to the node or nodes of one URL, opened by the first call (a cluster's at once)."""

    def __init__(self, url: str, library: str) -> None:
        """`library`: Lua source that `load` puts on every primary. Raises StoreRefused for a wrong URL."""
        self.name = _without_password(url)
        self.is_cluster = url.startswith("redis+cluster://")
        self._library = library
        self._client: Client = None
        with self._translated():
            try:
                self._client = _cluster(url) if self.is_cluster else _single(url)
            except ValueError as error:
                raise StoreRefused(
                    f"{self.name} has no Redis URL ({error}): it is redis://host:port/db, rediss://…, "
                    "unix:///path or redis+cluster://host:port,host:port"
                ) from error

    def on_primaries(self, *args: bytes | str | int) -> list[Any]:
        """The replies of all nodes that take writes to one command."""
        with self._translated():
            primaries = [self._client]
            if self.is_cluster:
                primaries = [self._client.get_redis_connection(node) for node in self._client.get_primaries()]
            return [client.execute_command(*args) for client in primaries]

    def load(self) -> None:
        """Put the library on every primary, in place of an older version."""
        self.on_primaries("FUNCTION", "LOAD", "REPLACE", self._library)

    def call(self, key: bytes, *args: bytes | str | int) -> Any:
        """The reply to one command."""
        return self.run([Command(key, args)])[0]

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in the order of the commands, which go out as pipelines, one node after another.

        Raises on the first command that failed; others of the batch may have been carried out.
        """
        replies: list[Any] = [None] * len(commands)
        with self._translated():
            for client, numbers in self._by_node(commands):
                for start in range(0, len(numbers), PIPELINE_COMMANDS):
                    batch = numbers[start : start + PIPELINE_COMMANDS]
                    pipeline = client.pipeline(transaction=False)
                    for number in batch:
                        pipeline.execute_command(*commands[number].args)
                    for number, reply in zip(batch, pipeline.execute(raise_on_error=False), strict=True):
                        replies[number] = reply
            for number, reply in enumerate(replies):
                if isinstance(reply, Exception):
                    replies[number] = self._again(commands[number], reply)
        return replies

    def close(self) -> None:
        self._client.close()

    def _by_node(self, commands: Sequence[Command]) -> Iterator[tuple[Client, Sequence[int]]]:
        if not self.is_cluster:
            yield self._client, range(len(commands))
            return
        numbers: dict[str, list[int]] = {}
        for number, command in enumerate(commands):
            node = self._client.nodes_manager.get_node_from_slot(key_slot(command.key))
            numbers.setdefault(node.name, []).append(number)
        for name, batch in numbers.items():
            yield self._client.get_redis_connection(self._client.get_node(node_name=name)), batch

    def _again(self, command: Command, error: Exception) -> Any:
        """A command that the node did not carry out: redirected, or its function is missing there."""
        if self.is_cluster and isinstance(error, _REDIRECTIONS):
            return self._client.execute_command(*command.args)
        if "Function not found" in str(error):
            self.load()
            return self._client.execute_command(*command.args)
        raise error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis_errors.AuthenticationError as error:
            raise StoreRefused(
                f"{self.name} refuses the credentials ({error}): mend the user and password"
            ) from error
        except redis_errors.RedisClusterException as error:
            if "Cluster mode is not enabled" in str(error):
                raise StoreRefused(f"{self.name} is no cluster: use redis://") from error
            if isinstance(error.__cause__, redis_errors.InvalidResponse):
                raise self._stranger() from error
            raise StoreUnavailable(
                f"{self.name} cannot be reached ({_one_line(error)}): is it running?"
            ) from error
        except redis_errors.ResponseError as error:
            raise self._refusal(error) from error
        except redis_errors.InvalidResponse as error:
            raise self._stranger() from error
        except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError) as error:
            self._learn_topology()
            raise StoreUnavailable(
                f"{self.name} cannot be reached ({_one_line(error)}): is it running?"
            ) from error

    def _stranger(self) -> StoreRefused:
        return StoreRefused(
            f"{self.name} answers, but not as Redis does: another service listens there; mend redis.url"
        )

    def _refusal(self, error: redis_errors.ResponseError) -> StoreRefused | StoreUnavailable:
        text = _one_line(error)
        code = text.partition(" ")[0]
        if isinstance(error, _TEMPORARY_ERRORS) or code in _TEMPORARY:
            return StoreUnavailable(f"{self.name} cannot take this now: {text}")
        if isinstance(error, redis_errors.NoPermissionError) or code in _CREDENTIALS:
            return StoreRefused(f"{self.name} refuses the credentials ({text}): mend the user and password")
        if isinstance(error, redis_errors.AskError):
            return StoreRefused(
                f"{self.name} is a node of a cluster: use redis+cluster://host:port,host:port"
            )
        return StoreRefused(f"{self.name} refused: {text}")

    def _learn_topology(self) -> None:
        """After a node was lost, ask the others who serves its slots now."""
        if self.is_cluster and self._client is not None:
            try:
                self._client.nodes_manager.initialize()
            except (redis_errors.RedisError, OSError):
                return  # all of them are away: the error under way says so


def _single(url: str) -> Client:
    return redis.Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=CALL_TIMEOUT_S,
        protocol=2,
    )


def _cluster(url: str) -> Client:
    parts = urlsplit(url)
    new_node: Client = ClusterNode
    nodes: list[Client] = []
    for address in filter(None, parts.netloc.rpartition("@")[2].split(",")):
        host, _, port = address.rpartition(":")
        nodes.append(new_node(host or port, int(port) if host else _DEFAULT_PORT))
    if not nodes:
        raise ValueError("it names no node")
    return RedisCluster(
        startup_nodes=nodes,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        retry=Retry(NoBackoff(), 3),  # follows redirections; nodes themselves are not asked twice
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=CALL_TIMEOUT_S,
        protocol=2,
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return f"Redis at {address or parts.path or repr(url)}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
