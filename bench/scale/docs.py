"""What `run` found, as rows and as a table of docs/performance.md.

`python -m bench.scale.docs` writes the last full run into the docs again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bench.compare.docs import PAGE, markdown, replace
from bench.store import results

MOST: Final = {"workers": 1.11, "nodes": 1.25, "subscribers": 1.10, "binds": 1.10}
"""What an answer may cost beside the first row of each comparison: two workers do 1.8 times as much as one,
three primaries 80 % of what one node would; flat is within a tenth."""
COLUMNS: Final = (
    *("CPU µs", "Redis µs", "both", "to the first", "each process", "answers/s", "p99 ms", "RSS MB"),
    *("foreign", "refused", "wrong"),
)


def rows(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """`to the first`: CPU of an answer, Redis' too, as a multiple of the first row's in the same turn."""
    for number, each in enumerate(found):
        # the supervisor of workers does next to nothing
        shares = [us for us in each["each_us"] if us > each["cpu_us"] / 20]
        spread = f" ({each['beside_least']:.2f} to {each['beside_most']:.2f})" if number else ""
        yield [
            each["name"],
            f"{each['cpu_us']:.1f}",
            f"{each['redis_us']:.1f}",
            f"{each['both_us']:.1f}",
            f"{each['beside']:.2f}{spread}",
            " + ".join(f"{us:.1f}" for us in shares),
            f"{each['answers_per_s']:,.0f}",
            f"{each['p99_ms']:.1f}",
            f"{each['rss_mb']:.0f}",
            f"{each['foreign_cores']:.1f}",
            f"{each['refused']}",
            f"{each['wrong']}",
        ]


def flat(comparison: str, found: Sequence[Mapping[str, Any]]) -> str:
    """Whether an answer costs the same in all rows, or as little more as it may."""
    first, *others = found
    most = MOST[comparison]
    said = ", ".join(f"{each['name']} x {each['beside']:.2f}" for each in others)
    dearer = [each["name"] for each in others if each["beside"] > most]
    verdict = f"NOT within {most} at {', '.join(dearer)}" if dearer else f"within {most}"
    return f"beside {first['name']}: {said}: {verdict}."


def write(found: Mapping[str, Any] | None) -> None:
    """`found`: as `run` saves it."""
    if found is None:
        raise SystemExit("bench/results/scale.json: there is none; make bench-scale writes it")
    run = found["run"]
    measured = [(name, found[name]) for name in MOST if name in found]
    lines = [row for _, each in measured for row in rows(each)]
    source = (
        f"\nMedians of {found['turns']} turns of {found['messages']:,} answers, all on the same cores: "
        f"{run['machine']}, {run['at'][:10]}, CPython {run['python']}.\n\n"
    )
    said = "".join(f"- {flat(name, each)}\n" for name, each in measured)
    replace(PAGE, "scale", f"{markdown(['', *COLUMNS], lines)}{source}{said}")


if __name__ == "__main__":
    write(results.load("scale"))
