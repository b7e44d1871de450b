"""A real Redis Cluster for the tests of its users; a test module takes the fixture by importing it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import RedisServer, free_port


@pytest.fixture
def cluster(own_redis: Callable[..., RedisServer]) -> list[RedisServer]:
    """Two primaries that share the slots."""
    servers = [own_redis("--cluster-enabled", "yes", "--cluster-port", str(free_port())) for _ in range(2)]
    for server, (first, last) in zip(servers, ((0, 8191), (8192, 16383)), strict=True):
        command(server, "CLUSTER", "ADDSLOTSRANGE", first, last)
    command(servers[0], "CLUSTER", "MEET", "127.0.0.1", servers[1].port, _bus_port(servers[1]))
    deadline = time.monotonic() + 20
    while not all(command(server, "CLUSTER INFO")["cluster_state"] == "ok" for server in servers):
        assert time.monotonic() < deadline, "the cluster does not form"
        time.sleep(0.05)
    return servers


def move_a_slot(source: RedisServer, target: RedisServer) -> int:
    """Move one slot that holds keys, as a resharding does; returns how many keys it held."""
    slot, keys = next(
        (slot, keys)
        for slot in range(8192)
        if (keys := command(source, "CLUSTER", "GETKEYSINSLOT", slot, 10))
    )
    source_id, target_id = (command(server, "CLUSTER", "MYID").decode() for server in (source, target))
    command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    command(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for server in (target, source):
        command(server, "CLUSTER", "SETSLOT", slot, "NODE", target_id)
    return len(keys)


def command(server: RedisServer, *words: Any) -> Any:
    """One command to one node."""
    with server.client() as client:
        execute: Any = client.execute_command
        return execute(*words)


def _bus_port(server: RedisServer) -> int:
    return int(server.arguments[server.arguments.index("--cluster-port") + 1])
