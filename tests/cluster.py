"""A real Redis Cluster for the tests of its users; a test module takes the fixture by importing it."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.conftest import RedisServer, free_port

OwnRedis = Callable[..., RedisServer]

OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")


SPARE = 3
"""Clusters that are started ahead: a primary keeps out of service for its first 2 seconds."""


@pytest.fixture
def cluster(
    spare_clusters: list[list[RedisServer]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[RedisServer]]:
    """Two primaries that share the slots."""
    while len(spare_clusters) <= SPARE:
        spare_clusters.append(_begun(tmp_path_factory))
    servers = spare_clusters.pop(0)
    until(lambda: all(command(server, "CLUSTER INFO")["cluster_state"] == "ok" for server in servers))
    yield servers
    for server in servers:
        server.stop()


def _begun(tmp_path_factory: pytest.TempPathFactory) -> list[RedisServer]:
    servers = [RedisServer(tmp_path_factory.mktemp("node"), *_options()) for _ in range(2)]
    for server, (first, last) in zip(servers, ((0, 8191), (8192, 16383)), strict=True):
        server.start()
        command(server, "CLUSTER", "ADDSLOTSRANGE", first, last)
    _meet(*servers)
    return servers


def new_node(own_redis: OwnRedis) -> RedisServer:
    """A node that knows no other."""
    return own_redis(*_options())


def _options() -> tuple[str, ...]:
    return (*OPTIONS, "--cluster-port", str(free_port()))


def replica(cluster: list[RedisServer], own_redis: OwnRedis) -> RedisServer:
    """A new node that follows the first of the cluster and has its data; all know one another."""
    primary, server = cluster[0], new_node(own_redis)
    _meet(primary, server)
    node_id = command(primary, "CLUSTER", "MYID").decode()
    until(lambda: node_id in _known(server))
    command(server, "CLUSTER", "REPLICATE", node_id)
    until(lambda: command(server, "INFO", "replication").get("master_link_status") == "up")
    everybody = [*cluster, server]
    until(lambda: all(command(each, "CLUSTER INFO")["cluster_state"] == "ok" for each in everybody))
    until(lambda: all(len(_known(each)) == len(everybody) for each in everybody))
    return server


def url_of(servers: Sequence[RedisServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, a minute at most."""
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, "the cluster does not get there"
        time.sleep(0.02)


def begin_move(source: RedisServer, target: RedisServer, slot: int) -> None:
    """From now on `source` answers with ASK where it lacks a key of the slot, and `target` takes them."""
    source_id, target_id = (command(server, "CLUSTER", "MYID").decode() for server in (source, target))
    command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)


def move_keys(source: RedisServer, target: RedisServer, keys: Sequence[bytes]) -> None:
    command(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)


def end_move(source: RedisServer, target: RedisServer, slot: int) -> None:
    target_id = command(target, "CLUSTER", "MYID").decode()
    for server in (target, source):
        command(server, "CLUSTER", "SETSLOT", slot, "NODE", target_id)


def move_a_slot(source: RedisServer, target: RedisServer) -> int:
    """Move one slot that holds keys, as a resharding does; returns how many keys it held."""
    slot, keys = next(
        (slot, keys)
        for slot in range(8192)
        if (keys := command(source, "CLUSTER", "GETKEYSINSLOT", slot, 10))
    )
    begin_move(source, target, slot)
    move_keys(source, target, keys)
    end_move(source, target, slot)
    return len(keys)


def command(server: RedisServer, *words: Any) -> Any:
    """One command to one node."""
    with server.client() as client:
        execute: Any = client.execute_command
        return execute(*words)


def _meet(one: RedisServer, other: RedisServer) -> None:
    bus_port = int(other.arguments[other.arguments.index("--cluster-port") + 1])
    command(one, "CLUSTER", "MEET", "127.0.0.1", other.port, bus_port)


def _known(server: RedisServer) -> set[str]:
    """The ids of the nodes that it knows."""
    return {node["node_id"] for node in command(server, "CLUSTER NODES").values()}
