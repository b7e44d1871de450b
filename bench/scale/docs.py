"""What `run` found, as rows and as a table of docs/performance.md.

`python -m bench.scale.docs` writes the last full run into the docs again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bench.compare.docs import PAGE, markdown, replace
from bench.store import results

COMPARISONS: Final = ("workers", "nodes", "subscribers", "binds")
COLUMNS: Final = (
    "CPU µs",
    "to the first",
    "each process",
    "Redis µs",
    "answers/s",
    "p99 ms",
    "RSS MB",
    "wrong",
)


def rows(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """`to the first`: CPU of an answer as a multiple of the first row's."""
    for each in found:
        # the supervisor of workers does next to nothing
        shares = [us for us in each["each_us"] if us > each["cpu_us"] / 20]
        yield [
            each["name"],
            f"{each['cpu_us']:.1f}",
            f"{each['cpu_us'] / found[0]['cpu_us']:.2f}",
            " + ".join(f"{us:.1f}" for us in shares),
            f"{each['redis_us']:.1f}",
            f"{each['answers_per_s']:,.0f}",
            f"{each['p99_ms']:.1f}",
            f"{each['rss_mb']:.0f}",
            f"{each['wrong']}",
        ]


def write(found: Mapping[str, Any] | None) -> None:
    """`found`: as `run` saves it."""
    if found is None:
        raise SystemExit("bench/results/scale.json: there is none; make bench-scale writes it")
    run = found["run"]
    lines = [row for name in COMPARISONS if name in found for row in rows(found[name])]
    source = (
        f"\nOf each the cheapest of {found['rounds']} rounds of {found['messages']:,} answers, all against "
        f"everything on the same cores: {run['machine']}, {run['at'][:10]}, CPython {run['python']}.\n"
    )
    replace(PAGE, "scale", f"{markdown(['', *COLUMNS], lines)}{source}")


if __name__ == "__main__":
    write(results.load("scale"))
