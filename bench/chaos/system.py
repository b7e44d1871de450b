"""What is under test: two gateways, one of them with two workers, on a Redis Cluster whose first primary and
its replica have small disks of their own.

Invariant: whatever is started and mounted here ends with the process that did it. The mounts are in a
namespace of their own, so that they do. Called by `run` and `faults`, from the main thread.
"""

import ctypes
import json
import os
import random
import signal
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bench.chaos import people
from bench.chaos.people import SERVICES, Subscriber
from bench.chaos.phones import Traffic
from bench.cluster import nodes
from bench.cluster.nodes import Cluster, Node, until
from bench.endurance.gateway import CXMYD
from gateway import children
from gateway.config.loading import load
from gateway.redis.keys import tag_of
from location_store.keys import KeyFile
from location_store.pseudonyms import Pseudonyms

DISK_MB: Final = 192
"""More than an append-only file takes until it is rewritten, and little enough to fill."""
WORKERS: Final = {"1": 2, "2": 1}
PATIENCE_S: Final = 120.0
"""Until what is mended must be well, on a slow machine."""
_CLONE_NEWNS: Final = 0x00020000  # <sched.h>
_HEAD: Final = """
[redis]
url = {url}
[keys]
file = "keys.json"
[data]
dir = "data"
[http]
listen = "127.0.0.1:{http}"
[dedup]
window_s = 600
[park]
wait_replicas = 1
"""
_SMSC: Final = """
[carrier.{carrier}]
queries_per_day = 0
numbers = ["{service}"]
[[smsc]]
name = "{carrier}"
port = {port}
system_id = "{carrier}.{gateway}"
password = "secret"
carrier = "{carrier}"
bind = "{bind}"
reconnect_max_s = 2
enquire_link_s = 5
enquire_timeout_s = 3
response_timeout_s = 5
session_init_s = 5
receipts = false
"""
_BINDS: Final = {
    "plain": "transceiver",
    "china-unicom": "transmitter+receiver",
    "china-mobile": "transceiver",
}


class Gateway:
    """One `cxmyd serve`, with so many workers."""

    def __init__(self, name: str, folder: Path, url: str, smsc_port: int) -> None:
        self.name, self.workers = name, WORKERS[name]
        self.http = free_run(self.workers)
        self.config = folder / f"gateway{name}.toml"
        self.log = folder / f"gateway{name}.log"
        text = _HEAD.format(url=json.dumps(url), http=self.http)
        for carrier, service in SERVICES.items():
            text += _SMSC.format(
                carrier=carrier, service=service, gateway=name, port=smsc_port, bind=_BINDS[carrier]
            )
        self.config.write_text(text, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*CXMYD, "-c", str(self.config), "serve", "--log-level", "warning"]
        if self.workers > 1:
            command += ["--workers", str(self.workers)]
        with self.log.open("ab") as log:
            # what it leaves behind when it is killed goes with the run
            environment = {"TMPDIR": str(self.log.parent)}
            self._process = children.spawn(command, output=log, environment=environment)

    def end(self) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None
        return children.end(self._process, timeout_s=60)

    def kill(self) -> None:
        """kill -9 of all its processes at once."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def worker(self, chance: random.Random) -> int:
        """The pid of one of the processes that do the work."""
        assert self._process is not None
        pid = self._process.pid
        if self.workers == 1:
            return pid
        until(lambda: bool(_children_of(pid)), f"gateway {self.name} has no workers", PATIENCE_S)
        return chance.choice(_children_of(pid))

    def is_ready(self) -> bool:
        """All its workers say so. Of one that has ended, this says why."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise SystemExit(f"gateway {self.name} has ended by itself: {self.log.read_text()[-2000:]}")
        return all(_is_ready(self.http + worker) for worker in range(self.workers))

    def logged(self) -> Counter[str]:
        """Its errors, by event; and lines that are no event."""
        found: Counter[str] = Counter()
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                found[line[:120]] += 1
                continue
            if event.get("level") == "error":
                found[" ".join(filter(None, (event.get(name) for name in ("event", "error"))))] += 1
        return found


class System:
    """All of it. `disks`: folders of the nodes that have small disks of their own, if they could be had."""

    def __init__(self, folder: Path, cluster: Cluster, traffic: Traffic, disks: Sequence[Path]) -> None:
        self.cluster, self.traffic, self.disks = cluster, traffic, disks
        port = traffic.smsc.port
        self.gateways = [Gateway(name, folder, cluster.url, port) for name in WORKERS]
        self.exits: list[str] = []
        """Ends on SIGTERM that were not in order."""
        self.emptied = 0
        """Nodes that refused their own append-only file."""
        self._folder = folder

    def fill(self, population: Sequence[Subscriber]) -> None:
        """Keys, cells, subscribers and their histories, by the project's own commands."""
        people.write(self._folder, population)
        self.command("keys", "init")
        self.command("cells", "import", "cells.csv")
        self.command("subscribers", "import", "subscribers.csv")
        self.command("ingest", "sightings.csv")

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [*CXMYD, "-c", str(self.gateways[0].config), *words],
            cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"cxmyd {' '.join(words)}: {done.stderr}{done.stdout}")
        return done.stdout

    def parked(self) -> list[dict[str, Any]]:
        """What `cxmyd parked list` shows."""
        return [json.loads(line) for line in self.command("parked", "list", "--json").splitlines()]

    def tags(self, population: Sequence[Subscriber]) -> dict[str, str]:
        """Numbers by the names under which `parked list` shows subscribers."""
        config = load(self.gateways[0].config)
        pseudonyms = Pseudonyms(KeyFile.load(config.keys.file), config.layout)
        return {tag_of(pseudonyms.of(who.msisdn)): who.msisdn for who in population}

    def is_well(self) -> bool:
        return self.cluster.is_well() and all(gateway.is_ready() for gateway in self.gateways)

    def stop(self) -> None:
        for gateway in self.gateways:
            status = gateway.end()
            if status:
                self.exits.append(f"gateway {gateway.name}: {status}")


class Disks:
    """Gives two nodes of one pair disks of `DISK_MB`; makes none where that is not permitted."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.why_not = ""
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
            self.why_not = os.strerror(ctypes.get_errno())
        else:
            self._mount("--make-rprivate", "/")

    def _mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
        self.why_not = self.why_not or done.stderr.strip()

    @contextmanager
    def of(self, number: int, folder: Path) -> Iterator[None]:
        """For `nodes.running`: the first primary and its replica."""
        if number % 3 or self.why_not:
            yield
            return
        self._mount("-t", "tmpfs", "-o", f"size={DISK_MB}m", "chaos", str(folder))
        if not self.why_not:
            self.folders.append(folder)
        try:
            yield
        finally:
            subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def pair_with_disk(system: System) -> Node:
    """That of the two nodes with disks of their own which is the primary."""
    return next(node for node in system.cluster.nodes if node.folder in system.disks and node.is_primary)


@contextmanager
def running(
    folder: Path, traffic: Traffic, disks: Disks, population: Sequence[Subscriber]
) -> Iterator[System]:
    """Filled and ready."""
    with nodes.running(disk=disks.of) as cluster:
        system = System(folder, cluster, traffic, disks.folders)
        system.fill(population)
        for gateway in system.gateways:
            gateway.start()
        try:
            until(system.is_well, "the gateways are not ready", PATIENCE_S)
            yield system
        finally:
            system.stop()


def _children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_ready(http: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def free_run(count: int) -> int:
    """The first of so many ports in a row. Below those that the kernel gives out by itself: they are left
    and taken again, and must not be somebody's meanwhile.
    """
    while True:
        first = random.randrange(22_000, 32_000)
        if all(nodes.is_free(first + each) for each in range(count)):
            return first
