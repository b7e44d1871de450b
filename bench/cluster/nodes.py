"""A cluster of redis-servers on this machine: primaries that share the slots, each with a replica.

Invariant: all of it ends with the process that started it, and its files with it. Called by `start`
(`make cluster`) and by `chaos`.
"""

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway import children

SLOTS: Final = 16_384
BUS: Final = 10_000
"""A node's other port, which the nodes speak to one another on, is so far above its first."""
PORTS: Final = range(17_000, 22_000)
START_TIMEOUT_S: Final = 30.0
KEYS_A_MOVE: Final = 100


class Node:
    """One redis-server."""

    def __init__(self, program: str, port: int, folder: Path, options: Sequence[str]) -> None:
        self.port = port
        self.folder = folder
        self.address = f"127.0.0.1:{port}"
        self._command = [program, "--port", str(port), "--dir", str(folder), *options]
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, again too: a node remembers its cluster and its data."""
        with self._log.open("ab") as log:
            process = self._process = children.spawn(self._command, output=log)
        with suppress(RuntimeError):
            until(lambda: bool(self.try_call("PING")) or process.poll() is not None)
        if not self.try_call("PING"):
            said = self._log.read_text(errors="replace").splitlines()
            raise RuntimeError(f"redis-server does not start: {' '.join(said[-3:])}")

    def empty(self) -> None:
        """Throw its data away, while it is down; what it knows of its cluster stays."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, and it answers nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def call(self, *words: Any) -> Any:
        with redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0), socket_timeout=5) as client:
            execute: Any = client.execute_command
            return execute(*words)

    def try_call(self, *words: Any) -> Any:
        """None where it does not answer."""
        with suppress(redis.RedisError):
            return self.call(*words)
        return None

    @property
    def id(self) -> str:
        found: str = self.call("CLUSTER MYID").decode()
        return found

    @property
    def is_primary(self) -> bool:
        role = self.try_call("ROLE")
        return role is not None and role[0] == b"master"

    @property
    def is_synced(self) -> bool:
        """Of a replica: it has its primary's data and follows it."""
        said = self.try_call("INFO", "replication")
        return said is not None and said.get("master_link_status") == "up"


class Cluster:
    """Primaries that share the slots evenly, then, with `replicas`, as many replicas of theirs."""

    def __init__(self, nodes: Sequence[Node], *, replicas: bool = True) -> None:
        self.nodes = nodes
        self._primaries = len(nodes) // 2 if replicas else len(nodes)
        self.url = "redis+cluster://" + ",".join(node.address for node in nodes)

    def form(self) -> None:
        """Join nodes that know nothing of one another. Takes some 3 s."""
        count = self._primaries
        primaries, replicas = self.nodes[:count], self.nodes[count:]
        for number, node in enumerate(primaries):
            first, end = SLOTS * number // count, SLOTS * (number + 1) // count
            node.call("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self.nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, node.port + BUS)
        until(lambda: all(len(self.known_to(node)) == len(self.nodes) for node in self.nodes))
        for primary, replica in zip(primaries, replicas, strict=False):  # of no replicas none
            replica.call("CLUSTER", "REPLICATE", primary.id)
        until(self.is_well)

    def is_well(self) -> bool:
        """Every slot is served, every primary has its replica, which follows it, and all nodes know it."""
        for node in self.nodes:
            said = node.try_call("CLUSTER INFO")
            if said is None or said["cluster_state"] != "ok":
                return False
            if not node.is_primary and not node.is_synced:
                return False
            followed = {each["master_id"] for each in self.known_to(node).values()} - {"-"}
            if len(followed) != len(self.nodes) - self._primaries:
                return False
        return sum(node.is_primary for node in self.nodes) == self._primaries

    def known_to(self, node: Node) -> dict[str, dict[str, Any]]:
        """CLUSTER NODES, by the address of each."""
        found: dict[str, dict[str, Any]] = node.call("CLUSTER NODES")
        return found

    def primary_of(self, slot: int) -> Node:
        """As told by any node that answers."""
        for node in self.nodes:
            for first, last, (_, port, *_), *_ in node.try_call("CLUSTER", "SLOTS") or ():
                if first <= slot <= last:
                    return next(each for each in self.nodes if each.port == port)
        raise RuntimeError(f"nobody serves slot {slot}")

    def replica_of(self, primary: Node) -> Node:
        address = next(
            address for address, each in self.known_to(primary).items() if each["master_id"] == primary.id
        )
        return next(node for node in self.nodes if node.address == address)

    def move(self, slots: Sequence[int], source: Node, target: Node, *, pause_s: float = 0.0) -> int:
        """Move slots under load, one after another, as `redis-cli --cluster reshard` does; the keys moved.

        `pause_s`: after each `KEYS_A_MOVE` keys, so that a slot is on its way for longer.
        """
        moved = 0
        source_id, target_id = source.id, target.id
        for slot in slots:
            target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
            while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_MOVE):
                source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
                moved += len(keys)
                time.sleep(pause_s)
            for node in (target, source):
                node.call("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        return moved


@contextmanager
def _plain(_number: int, _folder: Path) -> Iterator[None]:
    yield


@contextmanager
def running(
    *,
    primaries: int = 3,
    port: int = 0,
    node_timeout_ms: int = 2000,
    program: str | None = None,
    replicas: bool = True,
    appendonly: bool = True,
    disk: Callable[[int, Path], AbstractContextManager[None]] = _plain,
) -> Iterator[Cluster]:
    """A formed cluster. `port`: of the first node, the others' follow; 0 takes free ones. `disk` puts
    something of its own under the folder of a node, by its number.
    """
    program = program or shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise SystemExit("redis-server is not on the PATH: `make test` installs it")
    count = 2 * primaries if replicas else primaries
    settings = {
        "bind": "127.0.0.1",
        "save": "",
        "appendonly": "yes" if appendonly else "no",
        "cluster-enabled": "yes",
        "cluster-node-timeout": str(node_timeout_ms),
        "cluster-require-full-coverage": "no",  # or all slots are down while one has no primary
        "repl-diskless-sync-delay": "0",
        "hash-max-listpack-value": "512",
        "hash-max-listpack-entries": "256",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with tempfile.TemporaryDirectory(prefix="cxmyd-cluster-") as folder, ExitStack() as disks:
        ports = list(range(port, port + count)) if port else free_ports(count)
        nodes = [Node(program, each, Path(folder) / str(each), words) for each in ports]
        for number, node in enumerate(nodes):
            disks.enter_context(disk(number, node.folder))
        try:
            for node in nodes:
                node.start()
            cluster = Cluster(nodes, replicas=replicas)
            cluster.form()
            yield cluster
        finally:
            for node in nodes:
                node.kill()


def until(
    condition: Callable[[], bool],
    why: str = "the cluster does not get there",
    timeout_s: float = START_TIMEOUT_S,
) -> float:
    """Wait for it; how many seconds that took."""
    started_s = time.monotonic()
    while not condition():
        if time.monotonic() > started_s + timeout_s:
            raise RuntimeError(why)
        time.sleep(0.02)
    return time.monotonic() - started_s


def free_ports(count: int) -> list[int]:
    """Whose bus ports are free too; below those that the kernel gives out by itself. Drawn at random: a node
    of another cluster may be down just now, and wants to find its port again.
    """
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if is_free(port) and is_free(port + BUS):
            found.append(port)
        if len(found) == count:
            return found
    raise SystemExit(f"no free ports between {PORTS.start} and {PORTS.stop}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
