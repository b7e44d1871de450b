"""Does an answer cost the same with more workers, nodes, subscribers and binds; and how much memory has a
worker at full load?

The `none` dialog in a closed loop. Each variant takes turns with the first of its kind, A B A B, and what
counts is how they compare in each turn: what the host does to the machine meanwhile does it to both. On a
machine with few cores rates say little about workers and nodes (they share the cores with the load), CPU an
answer does, of gateway and Redis together. `make bench-scale` calls it.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from bench.cluster import nodes
from bench.compare.contenders import CXMYD, NONE, Dialog, Site, ours, program
from bench.compare.measure import BASE_MSISDN, Run, load
from bench.compare.store import server
from bench.scale import docs
from bench.scale.people import asking, fill
from bench.store import results

SUBSCRIBERS: Final = 100_000
BINDS: Final = (1, 8, 50, 200)
TURNS: Final = 4
MESSAGES: Final = 25_000
UNDER_WAY: Final = 1000
# people have been anywhere; the signature ends every answer
ANYWHERE: Final = Dialog("none", NONE.carrier, NONE.texts, ["【行程查询】"], "【行程查询】")


class Variant(NamedTuple):
    """Where, Redis' pids, workers, binds of each worker, and deliver_sm without response on a bind."""

    site: Site
    redis_pids: Sequence[int]
    workers: int = 1
    binds: int = 1
    window: int = 100


class Bench:
    """Ours, and how it is asked."""

    def __init__(self, program: list[str], turns: int, messages: int) -> None:
        self._program, self._turns, self._messages = program, turns, messages
        self._runs = 0

    def compared(self, variants: Mapping[str, Variant]) -> list[dict[str, Any]]:
        """Figures of each, by their names; all but the first are held against the first."""
        (first, reference), *others = variants.items()
        found: dict[str, list[Run]] = {name: [] for name in variants}
        beside: dict[str, list[float]] = {name: [] for name in variants}
        for name, variant in others:
            for _ in range(self._turns):
                pair = self._run(reference), self._run(variant)
                for side, run in zip((first, name), pair, strict=True):
                    found[side].append(run)
                beside[name].append(_both_us(pair[1]) / _both_us(pair[0]))
        return [_figures(name, runs, beside[name] or [1.0]) for name, runs in found.items()]

    def _run(self, variant: Variant) -> Run:
        site, redis_pids, workers, binds, window = variant
        contender = ours(site, ANYWHERE, self._program, workers=workers, binds=binds)
        # other people each time; and each message is a new one, so that few subscribers do too
        people = asking(site.subscribers)
        several = min(people, self._messages)
        first = self._runs * several % (people - several + 1)
        self._runs += 1
        options = ["--ids", str(self._runs), "--subscribers", str(several), "--window", str(window)]
        return load(site, redis_pids, contender, BASE_MSISDN + first, self._messages, options=options)


def _both_us(run: Run) -> float:
    """Of gateway and Redis, for an answer."""
    return 1e6 * (run.cpu_s + run.redis_cpu_s) / max(1, run.found["answers"])


def _figures(name: str, runs: Sequence[Run], beside: Sequence[float]) -> dict[str, Any]:
    """`beside`: cost of an answer as a multiple of the first variant's, turn by turn."""
    median = statistics.median
    each_us = [[1e6 * cpu_s / max(1, run.found["answers"]) for cpu_s in run.each_cpu_s] for run in runs]
    return {
        "name": name,
        "answers_per_s": median(run.found["answers_per_s"] for run in runs),
        "cpu_us": median(run.cpu_us for run in runs),
        "redis_us": median(_both_us(run) - run.cpu_us for run in runs),
        "both_us": median(_both_us(run) for run in runs),
        "beside": median(beside),
        "beside_least": min(beside),
        "beside_most": max(beside),
        "each_us": [median(us) for us in zip(*each_us, strict=False)],
        "p99_ms": median(run.found["lat_ms"]["p99"] for run in runs),
        "rss_mb": max(max(run.each_rss_mb) for run in runs),
        "foreign_cores": max(run.foreign_cores for run in runs),
        "refused": sum(run.found["deliver_retried"] for run in runs),
        "wrong": sum(run.wrong for run in runs),
    }


@contextmanager
def single(subscribers: int) -> Iterator[tuple[Site, list[int]]]:
    """A filled store in one redis-server."""
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as name, server(Path(name)) as (port, pid):
        site = Site.on(Path(name), port, subscribers)
        fill(site)
        yield site, [pid]


@contextmanager
def cluster(subscribers: int) -> Iterator[tuple[Site, list[int]]]:
    """A filled store in three primaries, without replicas, as the single one is without."""
    with (
        tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as name,
        nodes.running(replicas=False, appendonly=False) as found,
    ):
        site = Site.on(Path(name), 0, subscribers, found.url)
        fill(site)
        yield site, [node.pid for node in found.nodes]


def by_workers(bench: Bench) -> list[dict[str, Any]]:
    with single(SUBSCRIBERS) as store:
        return bench.compared({f"workers: {workers}": Variant(*store, workers) for workers in (1, 2)})


def by_nodes(bench: Bench) -> list[dict[str, Any]]:
    with single(SUBSCRIBERS) as one, cluster(SUBSCRIBERS) as three:
        return bench.compared({"one Redis": Variant(*one), "three primaries": Variant(*three)})


def by_binds(bench: Bench) -> list[dict[str, Any]]:
    """As many messages under way with few binds as with many."""
    with single(SUBSCRIBERS) as store:
        return bench.compared(
            {f"binds: {binds}": Variant(*store, 1, binds, UNDER_WAY // binds) for binds in BINDS}
        )


def by_subscribers(bench: Bench, most: int) -> list[dict[str, Any]]:
    """All stores are there all the time; those that nobody asks do nothing."""
    with ExitStack() as stack:
        stores = {power: stack.enter_context(single(10**power)) for power in range(4, most + 1)}
        return bench.compared(
            {f"subscribers: 10^{power}": Variant(*store) for power, store in stores.items()}
        )


@click.command(context_settings={"show_default": True})
@click.option("--cxmyd", default=CXMYD, help="Ours, as it is started.")
@click.option("--turns", default=TURNS, help="Of a variant and the first of its kind.")
@click.option("--messages", default=MESSAGES, help="Of a run.")
@click.option("--most", default=7, help="Up to 10 to this many subscribers (7: 1 GB of memory).")
@click.option("--only", multiple=True, help="Comparisons whose name contains this.")
@click.option("--quick", is_flag=True, help="One short turn, up to 10^5 subscribers.")
@click.option("--docs", "into_docs", is_flag=True, help="Into docs/performance.md.")
def main(
    *, cxmyd: str, turns: int, messages: int, most: int, only: tuple[str, ...], quick: bool, into_docs: bool
) -> None:
    """Compare workers, nodes, subscribers and binds; write bench/results/scale.json."""
    if quick:
        turns, messages, most = 1, messages // 3, 5
    bench = Bench(program(cxmyd), turns, messages)
    comparisons: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "workers": lambda: by_workers(bench),
        "nodes": lambda: by_nodes(bench),
        "subscribers": lambda: by_subscribers(bench, most),
        "binds": lambda: by_binds(bench),
    }
    found = {}
    for name, compare in comparisons.items():
        if not only or any(each in name for each in only):
            found[name] = compare()
            results.table(name, ["", *docs.COLUMNS], docs.rows(found[name]))
            results.console.print(docs.flat(name, found[name]))
    results.save("scale", found | {"turns": turns, "messages": messages}, quick=quick)
    if into_docs:
        docs.write(results.load("scale"))


if __name__ == "__main__":
    main()
