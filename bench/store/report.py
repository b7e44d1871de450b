"""Writes what the store's benches found into the docs: `make bench-store-docs`.

Each table stands between `<!-- figures:name -->` and `<!-- /figures -->` and is replaced whole. Figures come
from bench/results/*.json, of a full run where there is one, and say so where it was a short one. What a
nation needs is worked out here from them, so that the text cannot differ from the figures.
"""

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from bench.store import results
from bench.store.curve import svg

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGES: Final = ("scale.md", "store-figures.md")
CURVE: Final = DOCS / "pictures" / "lookups.svg"
_MARKED = re.compile(r"(<!-- figures:([a-z-]+) -->\n).*?(<!-- /figures -->)", re.DOTALL)

LINES: Final = 1.6e9
SIGHTINGS_A_DAY: Final = 1e11
DAY_S: Final = 86_400
PEAK: Final = 2.0  # the busiest hour of the population's day, to its mean
QUERY_PEAK: Final = 5.0
COPIES: Final = 3  # a primary and two replicas, as docs/cluster.md asks for
NODE_GB: Final = 8.0  # of data on one primary: it is copied to a new replica, and forked, within a minute
HEADROOM: Final = 2.0  # fragmentation, and the pages that are written while a fork saves them
ANSWERS_PER_S: Final = 6_700  # of one gateway process: docs/performance.md
USD_PER_GB, USD_PER_CORE = 4.0, 25.0  # a month; a guess at what a large buyer pays
FLUSH_HOURS: Final = (1, 3, 6, 12)
FLUSHED_H: Final = 3  # as the plan has it
PENDING_BYTES: Final = 8  # a row that waits (`location_store.pending`)

Rows = Iterable[Iterable[object]]


def main() -> None:
    """Replace every table for which there are figures."""
    found = {name: results.load(name) for name in ("memory", "ingest", "query")}
    for page in PAGES:
        path = DOCS / page
        text = path.read_text(encoding="utf-8")
        path.write_text(_MARKED.sub(lambda match: _filled(match, found), text), encoding="utf-8")
    if query := found["query"]:
        CURVE.write_text(svg(query["curve"]), encoding="utf-8")


def _filled(match: re.Match[str], found: dict[str, Any]) -> str:
    begin, name, end = match.groups()
    needs, table = TABLES[name]
    if any(not found[need] for need in needs):
        return match.group()
    try:
        rows = table(*(found[need] for need in needs))
    except KeyError as missing:  # a part of a bench that has not been run yet
        results.console.print(f"{name}: no {missing} in {', '.join(needs)}")
        return match.group()
    short = [need for need in needs if found[need]["run"]["quick"]]
    note = (
        f"\nOf a short run (`--quick`) on a busy machine, which tells little: {', '.join(short)}.\n"
        if short
        else ""
    )
    run = found[needs[0]]["run"]
    source = f"\n{', '.join(needs)}: {run['machine']}, {run['at'][:10]}.\n"
    return f"{begin}{rows}{source if not short else note}{end}"


def _markdown(head: Iterable[str], rows: Rows) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# --- what was measured --------------------------------------------------------------------------------------


def _rest(memory: dict[str, Any]) -> str:
    rest = memory["rest"]
    return _markdown(
        (
            f"{rest['subscribers']:,} subscribers, bytes each",
            "used_memory",
            "used_memory_dataset",
            "resident",
        ),
        (
            (
                f"{version}, {filling}",
                *(f"{each[key]:.1f}" for key in ("used", "dataset", "rss")),
            )
            for version, fillings in rest["engines"].items()
            for filling, each in fillings.items()
        ),
    )


def _value(memory: dict[str, Any]) -> str:
    rest = memory["rest"]
    value = rest["value"]
    redis = next(iter(rest["engines"].values()))["and ID digest"]["used"]
    parts = {
        "write counter": value["counter"],
        "subscriber: flags, carrier, ID digest": value["subscriber"],
        "history: first minute, counts, places": value["header"],
        f"{value['segment_count']:.1f} segments": value["segments"],
        f"{value['point_count']:.1f} sightings of the last 2 h": value["tail"],
        "name of the field": 7.0,
    }
    parts["listpack entries, keys, slack of the allocator"] = redis - sum(parts.values())
    return _markdown(
        ("part", "bytes", "share"),
        [(part, f"{size:.1f}", f"{size / redis:.0%}") for part, size in parts.items()]
        + [("in all", f"{redis:.1f}", "")],
    )


def _kinds(memory: dict[str, Any]) -> str:
    names = {
        "idle": "34 a day: hourly updates, and 9 events",
        "poisson": "34 a day at random times, no updates",
        "busy": "300 a day",
    }
    return _markdown(
        ("how phones are heard", "bytes a subscriber", "bytes of the value", "segments"),
        (
            (
                names[kind],
                f"{each['used']:.1f}",
                f"{sum(each['value'][part] for part in _PARTS):.1f}",
                f"{each['value']['segment_count']:.1f}",
            )
            for kind, each in memory["kinds"].items()
        ),
    )


_PARTS = ("counter", "subscriber", "header", "segments", "tail")


def _churn(memory: dict[str, Any]) -> str:
    labels = {
        "first": "before",
        "last": "after 30 days",
        "without_gone": "the same, after `subscribers remove`",
    }
    return _markdown(
        ("", "subscribers", "records", "used_memory each", "used_memory_dataset", "resident"),
        (
            (
                f"{version}, {label}",
                f"{each[key]['live']:,}",
                f"{each[key]['records']:,}",
                f"{each[key]['used']:.1f}",
                f"{each[key]['dataset']:.1f}",
                f"{each[key]['rss']:.1f}",
            )
            for version, each in memory["churn"]["engines"].items()
            for key, label in labels.items()
        ),
    )


def _ingest(ingest: dict[str, Any]) -> str:
    rows = []
    for run in ingest["runs"]:
        if run["way"] == "stages":
            rows.append((run, "into memory", run["into_memory_per_s"]))
        what = "to the end, all met" if run["way"] == "stages" else "the command, from nothing"
        if run["way"] == "stages" or run["flush_rows"] == _DEFAULT_FLUSH:
            rows.append((run, what, run["per_s"]))
    return _markdown(
        ("subscribers", "from", "what", "sightings/s", "our CPU, s a million", "Redis' CPU, s a million"),
        (
            (
                f"{run['subscribers']:,}",
                run["kind"],
                what,
                f"{per_s:,.0f}",
                *(
                    ("", "")
                    if what == "into memory"
                    else (f"{1e6 * run[cpu] / run['rows']:.2f}" for cpu in ("our_cpu_s", "server_cpu_s"))
                ),
            )
            for run, what, per_s in rows
        ),
    )


_DEFAULT_FLUSH = 16_000_000


def _stages(ingest: dict[str, Any]) -> str:
    runs = [run for run in ingest["runs"] if run["way"] == "stages"]
    head = [f"{run['subscribers']:,}, {run['kind']}" for run in runs]
    return _markdown(
        ("ns a sighting", *head),
        (
            (stage, *(f"{1e9 * run['stages_s'][stage] / run['rows']:,.0f}" for run in runs))
            for stage in runs[0]["stages_s"]
        ),
    )


def _query(query: dict[str, Any]) -> str:
    return _lookups("subscribers", query["curve"])


def _lengths(query: dict[str, Any]) -> str:
    return _lookups("segments", query["lengths"])


def _lookups(first: str, rows: list[dict[str, Any]]) -> str:
    return _markdown(
        (
            first,
            "look-ups/s",
            "p50 at half",
            "p99 at half",
            "our CPU",
            "Redis' CPU",
            "redis-benchmark/s",
            "ratio",
            "bytes each",
        ),
        (
            (
                f"{each[first]:,}",
                f"{each['per_s']:,.0f}",
                f"{each['p50_ms']:.2f} ms",
                f"{each['p99_ms']:.2f} ms",
                f"{each['our_us']:.1f} µs",
                f"{each['server_us']:.1f} µs",
                f"{each['benchmark_per_s']:,.0f}",
                f"{each['ratio']:.2f}",
                f"{each['bytes']:.1f}",
            )
            for each in rows
        ),
    )


# --- what follows for a nation ------------------------------------------------------------------------------


def _largest(ingest: dict[str, Any]) -> dict[str, Any]:
    """The run with most subscribers, from Parquet, stage by stage."""
    runs = [run for run in ingest["runs"] if run["way"] == "stages" and run["kind"] == "parquet"]
    return max(runs, key=lambda run: run["subscribers"])


def _record_us(ingest: dict[str, Any]) -> float:
    """Redis' time for a record that is read and written by a flush."""
    run = _largest(ingest)
    return 1e6 * run["server_cpu_s"] / run["subscribers"]


def _nation(memory: dict[str, Any], ingest: dict[str, Any], query: dict[str, Any]) -> str:
    rest = memory["rest"]
    each = next(iter(rest["engines"].values()))["and ID digest"]["used"]
    data_gb = LINES * each / 1e9
    primaries = math.ceil(data_gb / NODE_GB)
    machines_gb = primaries * COPIES * data_gb / primaries * HEADROOM
    run = _largest(ingest)
    per_s = SIGHTINGS_A_DAY / DAY_S
    sightings, core_per_s = _rate(ingest, FLUSHED_H)
    cores = PEAK * per_s / core_per_s
    met_gb = LINES * run["bytes_a_subscriber_met"] / 1e9
    waiting_gb = PENDING_BYTES * SIGHTINGS_A_DAY / 24 * FLUSHED_H / 1e9
    writes = LINES / 3600 / FLUSHED_H
    redis_cores = writes * _record_us(ingest) / 1e6
    lookups = query["curve"][-1]
    peak_queries = 1e9 / DAY_S * QUERY_PEAK
    processes = math.ceil(peak_queries / ANSWERS_PER_S)
    lookup_cores = peak_queries * lookups["server_us"] / 1e6
    all_cores = primaries * COPIES + math.ceil(cores) + processes
    usd = USD_PER_GB * (machines_gb + met_gb + waiting_gb) + USD_PER_CORE * all_cores
    rows = [
        ("records", f"{data_gb:.0f} GB", f"1.6 × 10⁹ × {each:.1f} bytes (memory, at rest)"),
        ("primaries", primaries, f"at most {NODE_GB:.0f} GB each, for quick copies and forks"),
        ("Redis processes", primaries * COPIES, f"{COPIES} copies of each slot"),
        (
            "memory of Redis",
            f"{machines_gb:,.0f} GB",
            f"all copies × {HEADROOM:.0f} for fragmentation and forks",
        ),
        (
            "sightings",
            f"{per_s / 1e6:.2f} million/s",
            f"10¹¹ a day; {PEAK * per_s / 1e6:.1f} in the busiest hour",
        ),
        (
            "ingest cores",
            math.ceil(cores),
            f"{core_per_s:,.0f} a second each at {sightings:.1f} sightings a record (ingest)",
        ),
        (
            "ingest memory, fixed",
            f"{met_gb:.0f} GB",
            f"{run['bytes_a_subscriber_met']:.0f} bytes a subscriber met",
        ),
        (
            "ingest memory, waiting",
            f"{waiting_gb:.0f} GB",
            f"{PENDING_BYTES} bytes a sighting, flushed every {FLUSHED_H} h",
        ),
        ("records written", f"{writes:,.0f}/s", f"each subscriber once in {FLUSHED_H} h"),
        (
            "Redis cores for that",
            f"{redis_cores:.1f}",
            f"{_record_us(ingest):.1f} µs a record (ingest, Redis' CPU)",
        ),
        (
            "queries, 10 million a day",
            f"{1e7 / DAY_S * QUERY_PEAK:,.0f}/s at peak",
            "one process of the gateway",
        ),
        (
            "queries, 10⁹ a day",
            f"{peak_queries:,.0f}/s at peak",
            f"{processes} gateway processes ({ANSWERS_PER_S:,} answers/s each); "
            f"as look-ups alone {peak_queries / lookups['per_s']:.1f} of a process",
        ),
        ("Redis cores for these", f"{lookup_cores:.1f}", f"{lookups['server_us']:.1f} µs a look-up (query)"),
        ("cores in all", all_cores, "one for each Redis process, though it is idle nine tenths of the time"),
        (
            "cost",
            f"{usd:,.0f} USD a month",
            f"at {USD_PER_GB:.0f} a GB and {USD_PER_CORE:.0f} a core: a guess",
        ),
    ]
    return _markdown(("what", "how much", "from"), rows)


def _network(memory: dict[str, Any], ingest: dict[str, Any]) -> str:
    value = sum(memory["rest"]["value"][part] for part in _PARTS)
    bytes_a_row = {run["kind"]: run["bytes_a_row"] for run in ingest["runs"]}
    per_s = PEAK * SIGHTINGS_A_DAY / DAY_S
    written = LINES / 3600 / FLUSHED_H
    command = 7 + 1 + value + 25  # field, counter, record, and what RESP adds
    kafka_tb = SIGHTINGS_A_DAY * bytes_a_row["csv"] / 1e12
    return _markdown(
        ("flow, in the busiest hour", "bytes/s", "from"),
        (
            (
                "sightings into ingest, as Parquet",
                f"{per_s * bytes_a_row['parquet'] / 1e6:,.0f} MB",
                f"{bytes_a_row['parquet']:.1f} bytes a row (ingest)",
            ),
            (
                "the same as CSV",
                f"{per_s * bytes_a_row['csv'] / 1e6:,.0f} MB",
                f"{bytes_a_row['csv']:.1f} a row",
            ),
            (
                "ingest to Redis and back",
                f"{written * (command + value + 20) / 1e6:,.0f} MB",
                f"each record read and written once in {FLUSHED_H} h",
            ),
            ("to the replicas", f"{written * command * (COPIES - 1) / 1e6:,.0f} MB", "each write to two"),
            (
                "Kafka, a day kept three times",
                f"{3 * kafka_tb:.0f} TB",
                "as CSV; compressed about a fifth of it",
            ),
        ),
    )


def _flush(ingest: dict[str, Any]) -> str:
    each_us = _record_us(ingest)
    rows = []
    for hours in FLUSH_HOURS:
        writes = LINES / 3600 / hours
        sightings, per_s = _rate(ingest, hours)
        rows.append(
            (
                f"{hours} h",
                f"{PENDING_BYTES * SIGHTINGS_A_DAY / 24 * hours / 1e9:,.0f} GB",
                f"{_a_record(hours):.1f}",
                f"{writes:,.0f}",
                f"{writes * each_us / 1e6:.2f}",
                f"{per_s:,.0f} at {sightings:.1f} a record",
            )
        )
    head = (
        "flushed every",
        "waiting",
        "sightings a record",
        "records/s",
        "Redis cores",
        "one ingest core, sightings/s",
    )
    return _markdown(head, rows)


def _a_record(hours: float) -> float:
    """Sightings that a flush finds of each line."""
    return SIGHTINGS_A_DAY / LINES / 24 * hours


def _rate(ingest: dict[str, Any], hours: float) -> tuple[float, float]:
    """Sightings a record and a second of the whole command, in the run that is most like such flushes."""
    runs = [run for run in ingest["runs"] if run["way"] == "whole" and run["kind"] == "parquet"]
    few = min(run["subscribers"] for run in runs)
    found = [
        (min(run["flush_rows"], run["rows"]) / few, run["per_s"]) for run in runs if run["subscribers"] == few
    ]
    return min(found, key=lambda each: abs(math.log(each[0] / _a_record(hours))))


Table = Callable[..., str]
TABLES: Final[dict[str, tuple[tuple[str, ...], Table]]] = {
    "memory-rest": (("memory",), _rest),
    "memory-value": (("memory",), _value),
    "memory-kinds": (("memory",), _kinds),
    "memory-churn": (("memory",), _churn),
    "ingest": (("ingest",), _ingest),
    "ingest-stages": (("ingest",), _stages),
    "query-curve": (("query",), _query),
    "query-lengths": (("query",), _lengths),
    "nation": (("memory", "ingest", "query"), _nation),
    "network": (("memory", "ingest"), _network),
    "flush": (("ingest",), _flush),
}


if __name__ == "__main__":
    main()
