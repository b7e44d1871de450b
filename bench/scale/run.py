"""Does an answer cost the same with more workers, nodes, subscribers and binds; and how much memory has a
worker at full load?

The `none` dialog in a closed loop; the variants of each comparison take turns, several short rounds, and the
cheapest round of each counts, since other processes can only make answers dearer. On a machine with few
cores rates say little about workers and nodes (they share the cores with the load), CPU an answer does.
`make bench-scale` calls it.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import click

from bench.cluster import nodes
from bench.compare.contenders import CXMYD, NONE, Dialog, Site, ours, program
from bench.compare.measure import BASE_MSISDN, Run, load
from bench.compare.store import server
from bench.scale import docs
from bench.scale.people import fill
from bench.store import results

SUBSCRIBERS: Final = 100_000
BINDS: Final = (1, 8, 50, 200)
ROUNDS: Final = 3
MESSAGES: Final = 30_000
# people have been anywhere; the signature ends every answer
ANYWHERE: Final = Dialog("none", NONE.carrier, NONE.texts, ["【行程查询】"], "【行程查询】")


class Bench:
    """Ours, and how it is asked."""

    def __init__(self, program: list[str], rounds: int, messages: int) -> None:
        self._program, self._rounds, self._messages = program, rounds, messages
        self._ids = count(1)

    def variants(self, sites: Mapping[str, tuple[Site, Sequence[int], int, int]]) -> list[dict[str, Any]]:
        """Figures of each; by its name: where, Redis' pids, workers, binds of each worker."""
        found: dict[str, list[Run]] = {name: [] for name in sites}
        for _ in range(self._rounds):
            for name, (site, redis_pids, workers, binds) in sites.items():
                found[name].append(self._run(site, redis_pids, workers, binds))
        return [_figures(name, runs) for name, runs in found.items()]

    def _run(self, site: Site, redis_pids: Sequence[int], workers: int, binds: int) -> Run:
        contender = ours(site, ANYWHERE, self._program, workers=workers, binds=binds)
        # each message is a new one, so that few subscribers do too
        options = ["--ids", str(next(self._ids)), "--subscribers", str(min(site.subscribers, self._messages))]
        return load(site, redis_pids, contender, BASE_MSISDN, self._messages, options=options)


def _figures(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    best = min(runs, key=lambda each: each.cpu_us)
    answers = max(1, best.found["answers"])
    return {
        "name": name,
        "answers_per_s": max(each.found["answers_per_s"] for each in runs),
        "cpu_us": best.cpu_us,
        "dearest_us": max(each.cpu_us for each in runs),
        "each_us": [1e6 * cpu_s / answers for cpu_s in best.each_cpu_s],
        "redis_us": min(1e6 * each.redis_cpu_s / max(1, each.found["answers"]) for each in runs),
        "p99_ms": min(each.found["lat_ms"]["p99"] for each in runs),
        "rss_mb": max(max(each.each_rss_mb) for each in runs),
        "foreign_cores": max(each.foreign_cores for each in runs),
        "refused": sum(each.found["nacked"] for each in runs),
        "wrong": sum(each.wrong for each in runs),
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
    with single(SUBSCRIBERS) as (site, pids):
        return bench.variants({f"workers: {workers}": (site, pids, workers, 1) for workers in (1, 2)})


def by_nodes(bench: Bench) -> list[dict[str, Any]]:
    with single(SUBSCRIBERS) as one, cluster(SUBSCRIBERS) as three:
        return bench.variants({"one Redis": (*one, 1, 1), "three primaries": (*three, 1, 1)})


def by_binds(bench: Bench) -> list[dict[str, Any]]:
    with single(SUBSCRIBERS) as (site, pids):
        return bench.variants({f"binds: {binds}": (site, pids, 1, binds) for binds in BINDS})


def by_subscribers(bench: Bench, most: int) -> list[dict[str, Any]]:
    found = []
    for power in range(4, most + 1):
        with single(10**power) as (site, pids):
            found += bench.variants({f"subscribers: 10^{power}": (site, pids, 1, 1)})
    return found


@click.command(context_settings={"show_default": True})
@click.option("--cxmyd", default=CXMYD, help="Ours, as it is started.")
@click.option("--rounds", default=ROUNDS)
@click.option("--messages", default=MESSAGES, help="Of a round.")
@click.option("--most", default=6, help="Up to 10 to this many subscribers (7: 2 GB of memory).")
@click.option("--only", multiple=True, help="Comparisons whose name contains this.")
@click.option("--quick", is_flag=True, help="One short round, up to 10^5 subscribers.")
@click.option("--docs", "into_docs", is_flag=True, help="Into docs/performance.md.")
def main(
    *, cxmyd: str, rounds: int, messages: int, most: int, only: tuple[str, ...], quick: bool, into_docs: bool
) -> None:
    """Compare workers, nodes, subscribers and binds; write bench/results/scale.json."""
    if quick:
        rounds, messages, most = 1, messages // 3, 5
    bench = Bench(program(cxmyd), rounds, messages)
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
    results.save("scale", found | {"rounds": rounds, "messages": messages}, quick=quick)
    if into_docs:
        docs.write(results.load("scale"))


if __name__ == "__main__":
    main()
