"""`make chaos-store`: what becomes of queries and of acknowledged sightings when nodes of a cluster fail.

One process ingests (`feeder`), one asks (`asker`), both with the project's own code; this one does the
damage, and compares the store at the end with one that was filled from the same sightings in peace. Once
without waiting for replicas, once with `wait_replicas = 1`. Prints a table, writes JSON and, after a full
run, the table of docs/cluster.md.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from redis.crc import key_slot

from bench.cluster.nodes import SLOTS, Cluster, Node, running, until
from bench.cluster.people import (
    BATCH_ROWS,
    BATCHES_A_ROUND,
    STEP_S,
    SUBSCRIBERS,
    People,
    ingester_of,
    msisdn,
    names,
    read_back,
)
from bench.store import results
from bench.store.engines import engine
from gateway import children
from location_store.store import Store

ROWS_PER_S: Final = 5_000
QUERIES_PER_S: Final = 500
STEADY_S: Final = 5.0
"""Between two faults."""
PAUSE_S: Final = 6.0
"""Of a node that is stopped for longer than the node timeout."""
CUT_S: Final = 1.0
SLOTS_MOVED: Final = 40
BIG: Final = b"{big}"
BIG_BUCKETS, FIELD_BYTES, RECORD_BYTES = 2_000, 7, 38
PAGE: Final = Path(__file__).parents[2] / "docs" / "cluster.md"


class Damage(NamedTuple):
    """at_s: unix. promoted_s: seconds until the replica was promoted, None where none is."""

    at_s: float
    promoted_s: float | None = None


Act = Callable[[Cluster, Node], Damage]
"""Does the damage to a primary, and mends it."""


class Fault(NamedTuple):
    name: str
    act: Act


class Event(NamedTuple):
    """from_s to to_s (unix): what is put down to this fault, the steady time before it included."""

    name: str
    from_s: float
    at_s: float
    to_s: float
    promoted_s: float | None


def killed(cluster: Cluster, primary: Node) -> Damage:
    """kill -9; back, as a replica, two seconds after its replica was promoted."""
    heir = cluster.replica_of(primary)
    return _killed(primary, heir)


def killed_when_cut_off(cluster: Cluster, primary: Node) -> Damage:
    """The connection between it and its replica ends `CUT_S` before the primary does."""
    heir = cluster.replica_of(primary)
    heir.pause()
    primary.call("CLIENT", "KILL", "TYPE", "replica")
    time.sleep(CUT_S)
    return _killed(primary, heir)


def _killed(primary: Node, heir: Node) -> Damage:
    at_s = time.time()
    primary.kill()
    heir.resume()
    promoted_s = until(lambda: heir.is_primary)
    time.sleep(2)
    primary.start()
    return Damage(at_s, promoted_s)


def paused(cluster: Cluster, primary: Node) -> Damage:
    """SIGSTOP for longer than the node timeout: a replica is promoted, and the old primary wakes up."""
    heir = cluster.replica_of(primary)
    at_s = time.time()
    primary.pause()
    promoted_s = until(lambda: heir.is_primary)
    time.sleep(max(0.0, PAUSE_S - promoted_s))
    primary.resume()
    return Damage(at_s, promoted_s)


def replica_paused(cluster: Cluster, primary: Node) -> Damage:
    """SIGSTOP of the replica."""
    replica = cluster.replica_of(primary)
    at_s = time.time()
    replica.pause()
    time.sleep(PAUSE_S)
    replica.resume()
    return Damage(at_s)


def moved(cluster: Cluster, primary: Node) -> Damage:
    """Some of its slots that hold records, key by key, to another primary."""
    used = sorted({key_slot(b"{%d}" % partition) for partition in range(names().layout.partitions)})
    mine = [slot for slot in used if cluster.primary_of(slot) is primary][:SLOTS_MOVED]
    other = next(node for node in cluster.nodes if node.is_primary and node is not primary)
    at_s = time.time()
    cluster.move(mine, primary, other, pause_s=0.1)
    return Damage(at_s)


FAULTS: Final = (
    Fault("primary killed", killed),
    Fault("primary killed, again", killed),
    Fault("primary killed 1 s after its replica was cut off", killed_when_cut_off),
    Fault("primary stopped for 6 s", paused),
    Fault("replica stopped for 6 s", replica_paused),
    Fault(f"{SLOTS_MOVED} slots moved, key by key", moved),
)


@click.command()
@click.option("--quick", is_flag=True, help="One kill and one move, with and without waiting for replicas.")
@click.option("--node-timeout-ms", default=2000, show_default=True)
def main(quick: bool, node_timeout_ms: int) -> None:
    """Damage a cluster under load."""
    faults = (FAULTS[0], FAULTS[-1]) if quick else FAULTS
    rows = [row for replicas in (0, 1) for row in run(faults, replicas, node_timeout_ms)]
    results.table(f"cluster-node-timeout {node_timeout_ms} ms", COLUMNS, map(cells, rows))
    moving = moving_mb_per_s()
    results.console.print(f"a slot moves at {moving} MB/s")
    found = {"node_timeout_ms": node_timeout_ms, "faults": rows, "moving_mb_per_s": moving}
    results.save("chaos", found, quick=quick)
    if not quick:
        write_page(found)


def run(faults: Sequence[Fault], replicas: int, node_timeout_ms: int) -> list[dict[str, Any]]:
    """All faults one after another, on a cluster of their own; a row for each."""
    people = People.at(time.time())
    with (
        tempfile.TemporaryDirectory(prefix="cxmyd-chaos-") as folder,
        running(node_timeout_ms=node_timeout_ms) as cluster,
    ):
        fed, asked = Path(folder) / "fed", Path(folder) / "asked"
        feeder = [cluster.url, people.start_s, ROWS_PER_S, replicas, fed]
        asker = [cluster.url, people.start_s, QUERIES_PER_S, asked]
        with (
            process("feeder", feeder, fed, f" done {BATCHES_A_ROUND - 1}\n"),
            process("asker", asker, asked, " ready\n"),
        ):
            events = [damaged(cluster, fault, number) for number, fault in enumerate(faults)]
            time.sleep(STEADY_S)
        feeding = [line.split(" ", 3) for line in fed.read_text().splitlines()]
        asking = [line.split() for line in asked.read_text().splitlines()[1:]]
        missing = lost(cluster.url, people, feeding)
    return [row(event, replicas, feeding, asking, missing) for event in events]


def damaged(cluster: Cluster, fault: Fault, number: int) -> Event:
    """One fault, from a steady time before it until the cluster is well again."""
    results.console.print(f"{time.strftime('%H:%M:%S')} {fault.name}")
    from_s = time.time()
    time.sleep(STEADY_S)
    victim = cluster.primary_of(SLOTS * number // 3 % SLOTS)
    damage = fault.act(cluster, victim)
    until(cluster.is_well)
    return Event(fault.name, from_s, damage.at_s, time.time(), damage.promoted_s)


@contextmanager
def process(name: str, arguments: Sequence[object], log: Path, ready: str) -> Iterator[None]:
    """One of the loads, once its log has the line `ready`, until it is told to end."""
    command = [sys.executable, "-m", f"bench.cluster.{name}", *map(str, arguments)]
    child = children.spawn(command, output=sys.stderr.fileno())
    try:
        until(lambda: child.poll() is not None or (log.exists() and ready in log.read_text()), f"no {name}")
        if child.poll() is not None:
            raise SystemExit(f"the {name} has ended")
        yield
        if child.poll() is not None:
            raise SystemExit(f"the {name} has ended")
    finally:
        children.end(child, timeout_s=30)


def lost(url: str, people: People, feeding: Sequence[Sequence[str]]) -> dict[int, int]:
    """The sightings that are in a store filled in peace and not in this one: how many of each batch."""
    done = sorted(int(number) for _, word, number, *_ in feeding if word == "done")
    pseudonyms = names()
    everybody = [pseudonyms.of(msisdn(who)) for who in range(SUBSCRIBERS)]
    with engine("redis") as peaceful:
        store = Store.connect(peaceful.url, pseudonyms)
        ingester = ingester_of(store)
        for number in done:
            ingester.add(people.batch(number))
        ingester.flush()
        wanted = [set(read_back(record)) for record in store.read(everybody)]
    assert sum(map(len, wanted)) == len(done) * BATCH_ROWS, "each sighting counts"
    found = [set(read_back(record)) for record in Store.connect(url, pseudonyms).read(everybody)]
    counts: Counter[int] = Counter()
    for who, (there, here) in enumerate(zip(wanted, found, strict=True)):
        assert not here - there, "sightings that nobody sent"
        for minute, _ in there - here:
            rounds = (minute * 60 - people.start_s) // STEP_S
            counts[rounds * BATCHES_A_ROUND + who % BATCHES_A_ROUND] += 1
    return counts


def row(
    event: Event,
    replicas: int,
    feeding: Sequence[Sequence[str]],
    asking: Sequence[Sequence[str]],
    missing: dict[int, int],
) -> dict[str, Any]:
    """The figures of one fault."""
    queries = [(float(q[0]), float(q[1]), q[3]) for q in asking if event.at_s <= float(q[0]) < event.to_s]
    outcomes = Counter(outcome for _, _, outcome in queries)
    failed = [began for began, _, outcome in queries if outcome not in {"answer", "older"}]
    acknowledged = [
        (float(at), int(number))
        for at, word, number, *_ in feeding
        if word == "done" and event.from_s <= float(at) < event.to_s
    ]
    times = [at for at, _ in acknowledged]
    still_s = max((b - a for a, b in pairwise(times)), default=event.to_s - event.from_s)
    return {
        "fault": event.name,
        "wait_replicas": replicas,
        "promoted_s": rounded(event.promoted_s),
        "queries_recovered_s": rounded(max(failed) - event.at_s if failed else 0.0),
        "answers": outcomes.pop("answer", 0) + outcomes["older"],
        "older": outcomes.pop("older", 0),
        "temporary_errors": outcomes.pop("temporary", 0),
        "wrong": sum(outcomes.values()),
        "wrong_kinds": dict(outcomes),
        "longest_s": rounded(max(took for _, took, _ in queries)),
        "ingest_stood_still_s": rounded(still_s),
        "ingest_errors": sum(
            word == "failed" and event.at_s <= float(at) < event.to_s for at, word, *_ in feeding
        ),
        "acknowledged": len(acknowledged) * BATCH_ROWS,
        "lost": sum(missing.get(number, 0) for _, number in acknowledged),
    }


def moving_mb_per_s() -> float:
    """How fast a slot full of buckets moves, in a cluster that does nothing else."""
    with running() as cluster:
        slot = key_slot(BIG)
        source = cluster.primary_of(slot)
        target = next(node for node in cluster.nodes if node.is_primary and node is not source)
        bucket = [
            part for n in range(128) for part in (n.to_bytes(FIELD_BYTES, "big"), os.urandom(RECORD_BYTES))
        ]
        size = 0
        for number in range(BIG_BUCKETS):
            source.call("HSET", b"b:%s:%d" % (BIG, number), *bucket)
            size += 128 * (FIELD_BYTES + RECORD_BYTES)
        started_s = time.monotonic()
        cluster.move([slot], source, target)
        return round(size / 1e6 / (time.monotonic() - started_s), 1)


def rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


COLUMNS: Final = {
    "fault": "fault",
    "wait": "`wait_replicas`",
    "heir": "replica promoted after",
    "well": "all queries answered after",
    "answers": "answers",
    "errors": "temporary errors",
    "wrong": "wrong answers",
    "slowest": "slowest query",
    "still": "ingest stood still",
    "acked": "sightings acknowledged",
    "lost": "of them lost",
}
"""In the terminal, and on the page."""


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table."""
    promoted = "" if row["promoted_s"] is None else f"{row['promoted_s']} s"
    return [
        row["fault"],
        str(row["wait_replicas"]),
        promoted,
        f"{row['queries_recovered_s']} s" if row["queries_recovered_s"] else "at once",
        f"{row['answers']:,}",
        f"{row['temporary_errors']:,}",
        str(row["wrong"]),
        f"{row['longest_s']} s",
        f"{row['ingest_stood_still_s']} s",
        f"{row['acknowledged']:,}",
        f"{row['lost']:,}",
    ]


def write_page(found: dict[str, Any]) -> None:
    """The figures of docs/cluster.md."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition("<!-- chaos -->\n")
    _, end, after = rest.partition("<!-- /chaos -->")
    lines = [COLUMNS.values(), ["---", *["---:"] * (len(COLUMNS) - 1)], *map(cells, found["faults"])]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    moving = f"\nMIGRATE moved a slot full of buckets at {found['moving_mb_per_s']} MB a second.\n"
    PAGE.write_text(before + begin + table + moving + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
