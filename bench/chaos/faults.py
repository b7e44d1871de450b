"""The faults: each does its damage when it is entered and mends it when it is left.

A fault tells whose memory it may cost (see `judging`): the store's, a gateway's by its name, or nobody's.
Called by `run`, from the main thread.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from bench.chaos.smsc import Moods
from bench.chaos.system import PATIENCE_S, Gateway, System, pair_with_disk
from bench.cluster.nodes import SLOTS, Node, until

PROMOTION_S: Final = 60.0
"""Of a replica, on a slow machine."""
RESETTING: Final = 0.1
THROTTLED, SYSTEM_ERROR = 0x58, 0x08
_BLOCK: Final = bytes(65_536)

Act = Callable[[System, random.Random], AbstractContextManager[str]]
"""Gives whom it excuses."""


class Fault(NamedTuple):
    """It lasts for between `least_s` and `most_s`. Two of one `side` are never under way at a time, and one
    of the side `alone` is by itself.
    """

    name: str
    side: str
    act: Act
    least_s: float
    most_s: float


# gateways


@contextmanager
def worker_killed(system: System, chance: random.Random) -> Iterator[str]:
    """kill -9 of one worker; its parent starts another."""
    gateway = system.gateways[0]
    os.kill(gateway.worker(chance), signal.SIGKILL)
    yield gateway.name


@contextmanager
def gateway_killed(system: System, chance: random.Random) -> Iterator[str]:
    """kill -9 of a parent and all its workers."""
    gateway = chance.choice(system.gateways)
    gateway.kill()
    yield gateway.name
    gateway.start()


@contextmanager
def worker_stopped(system: System, chance: random.Random) -> Iterator[str]:
    """SIGSTOP of one worker."""
    gateway = chance.choice(system.gateways)
    pid = gateway.worker(chance)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield gateway.name
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def rolling_restart(system: System, _chance: random.Random) -> Iterator[str]:
    """SIGTERM to one gateway after the other, each started again and ready before the next."""
    for gateway in system.gateways:
        _restart(system, gateway)
    yield ""


def _restart(system: System, gateway: Gateway) -> None:
    status = gateway.end()
    if status:
        system.exits.append(f"gateway {gateway.name}: {status}")
    gateway.start()
    until(gateway.is_ready, f"gateway {gateway.name} is not ready again", PATIENCE_S)


# the store


def _primary(system: System, chance: random.Random) -> Node:
    return system.cluster.primary_of(chance.randrange(SLOTS))


def _back(system: System, node: Node) -> None:
    """Start a node that has a primary. Where it refuses its own append-only file, as Redis 7.0 does after a
    disk was full, do as an operator would: empty it, so that it takes all from its primary.
    """
    try:
        node.start()
    except RuntimeError as error:
        if "redis-check-aof" not in str(error):
            raise
        system.emptied += 1
        node.empty()
        node.start()


@contextmanager
def primary_killed(system: System, chance: random.Random) -> Iterator[str]:
    """kill -9; back, as a replica, some seconds after its replica was promoted."""
    primary = _primary(system, chance)
    heir = system.cluster.replica_of(primary)
    primary.kill()
    yield "store"
    until(lambda: heir.is_primary, "no replica is promoted", PROMOTION_S)
    time.sleep(2)
    _back(system, primary)


@contextmanager
def primary_stopped(system: System, chance: random.Random) -> Iterator[str]:
    """SIGSTOP: beyond the node timeout a replica is promoted, and the old primary wakes up."""
    primary = _primary(system, chance)
    primary.pause()
    try:
        yield "store"
    finally:
        primary.resume()


@contextmanager
def failover(system: System, chance: random.Random) -> Iterator[str]:
    """CLUSTER FAILOVER: primary and replica change places by agreement."""
    heir = system.cluster.replica_of(_primary(system, chance))
    heir.call("CLUSTER", "FAILOVER")
    yield ""
    for _ in range(10):
        with suppress(RuntimeError):
            until(lambda: heir.is_primary, timeout_s=PROMOTION_S / 10)
            return
        heir.try_call("CLUSTER", "FAILOVER")  # it is given up after 5 s
    raise RuntimeError("the failover does not end")


@contextmanager
def replica_killed(system: System, chance: random.Random) -> Iterator[str]:
    replica = system.cluster.replica_of(_primary(system, chance))
    replica.kill()
    yield ""
    _back(system, replica)


@contextmanager
def disk_full(system: System, _chance: random.Random) -> Iterator[str]:
    """No octet more for the append-only file of a primary, which then refuses to write."""
    filler = pair_with_disk(system).folder / "filler"
    _fill(filler)
    try:
        yield "store"
    finally:
        filler.unlink()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(_BLOCK)


# the SMSC


def _mood(**moods: float | bool) -> Act:
    """Changes of `Moods`, taken back at the end."""

    @contextmanager
    def act(system: System, _chance: random.Random) -> Iterator[str]:
        smsc, before = system.traffic.smsc, Moods()

        def change(mended: bool) -> None:
            for name, value in moods.items():
                setattr(smsc.moods, name, getattr(before, name) if mended else value)
            for link in list(smsc.links):
                if "deaf" in moods:
                    link.hear(again=mended)
                if "mute" in moods and mended:
                    link.speak()

        system.traffic.do(lambda: change(mended=False))
        try:
            yield ""
        finally:
            system.traffic.do(lambda: change(mended=True))

    return act


@contextmanager
def smsc_restarted(system: System, _chance: random.Random) -> Iterator[str]:
    """All its connections reset, nobody there for a while, its messages kept."""
    traffic = system.traffic
    traffic.do(traffic.smsc.leave)
    yield ""
    traffic.wait(traffic.smsc.listen())


DISK_FULL: Final = Fault("disk of a primary full", "store", disk_full, 4, 8)
FAULTS: Final = (
    Fault("worker killed", "gateway", worker_killed, 1, 2),
    Fault("gateway killed, all its processes", "gateway", gateway_killed, 1, 4),
    Fault("worker stopped, below the timeouts", "gateway", worker_stopped, 0.5, 2),
    Fault("worker stopped, beyond the timeouts", "gateway", worker_stopped, 12, 15),
    Fault("gateways restarted, one after the other", "alone", rolling_restart, 0, 0),
    Fault("primary killed", "store", primary_killed, 0, 0),
    Fault("primary stopped, below the timeouts", "store", primary_stopped, 0.5, 1.2),
    Fault("primary stopped, beyond the timeouts", "store", primary_stopped, 6, 8),
    Fault("failover by agreement", "store", failover, 0, 0),
    Fault("replica killed", "store", replica_killed, 3, 5),
    DISK_FULL,
    Fault("connections reset at any octet", "smsc", _mood(resetting=RESETTING), 3, 6),
    Fault("SMSC restarted", "smsc", smsc_restarted, 1, 4),
    Fault("SMSC reads nothing", "smsc", _mood(deaf=True), 2, 8),
    Fault("SMSC answers nothing", "smsc", _mood(mute=True), 2, 8),
    Fault("SMSC throttles", "smsc", _mood(status=THROTTLED), 3, 6),
    Fault("SMSC has system errors", "smsc", _mood(status=SYSTEM_ERROR), 3, 6),
)


class Step(NamedTuple):
    """One fault, or two at a time; the second begins `after_s` later."""

    faults: tuple[Fault, ...]
    lasts_s: tuple[float, ...]
    after_s: float
    calm_s: float

    def __str__(self) -> str:
        return " + ".join(
            f"{fault.name} ({lasts_s:.1f} s)" if lasts_s else fault.name
            for fault, lasts_s in zip(self.faults, self.lasts_s, strict=True)
        )


def plan(seed: int, *, with_disk: bool) -> Iterator[Step]:
    """Without end: all faults in random order, then again; every other step has two, of different sides."""
    chance = random.Random(seed)
    deck: list[Fault] = []
    while True:
        if len(deck) < 2:
            more = [fault for fault in FAULTS if with_disk or fault is not DISK_FULL]
            chance.shuffle(more)
            deck += more
        chosen = [deck.pop(0)]
        if chance.random() < 0.5:
            other = next((each for each in deck if len({each.side, chosen[0].side} - {"alone"}) == 2), None)
            if other is not None:
                deck.remove(other)
                chosen.append(other)
        yield Step(
            tuple(chosen),
            tuple(round(chance.uniform(fault.least_s, fault.most_s), 1) for fault in chosen),
            round(chance.uniform(0, 1.5), 1),
            round(chance.uniform(3, 6), 1),
        )
