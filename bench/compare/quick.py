"""Has an answer become dearer? CPU an answer of our gateway, as a multiple of the null gateway's in the same
run, beside the recorded multiple.

The null gateway (Twisted, struct only) and ours take turns. Of each the cheapest round counts: what other
processes do to caches and clocks makes answers dearer, never cheaper. In ten runs on two cores of which
others kept 1.1 to 1.8 busy, the ratio of the cheapest rounds was 21.7 to 24.3, that of medians 20.3 to 25.9;
with compilers and other benches beside it, it rose to 28: see how many cores were foreign. Exit status 1
where ours is more than 15 % dearer than recorded for this build of the interpreter; `--record` records. `make
bench-quick` calls it.
"""

import json
import platform
import sys
import sysconfig
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from bench.compare.contenders import CXMYD, NONE, Contender, Site, null_twisted, ours, program
from bench.compare.measure import Numbers, Run, load
from bench.compare.startup import startup
from bench.compare.store import fill, server
from bench.store import results

RECORD: Final = results.FOLDER / "quick.json"
ROUNDS: Final = 5
OURS, NULL = 15_000, 250_000
DEARER: Final = 0.15


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=ROUNDS)
@click.option("--cxmyd", default=CXMYD, help="Ours, as it is started.")
@click.option("--build", help="What is recorded and compared under, where it is not this interpreter's name.")
@click.option("--record", is_flag=True, help="Keep what is found as what it should be.")
def main(rounds: int, cxmyd: str, build: str | None, record: bool) -> None:
    """Compare CPU an answer with what was recorded; exit 1 beyond 15 %."""
    build = build or interpreter()
    command = program(cxmyd)
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as name, server(Path(name)) as (port, pid):
        site = Site.on(Path(name), port, rounds * OURS)
        fill(site, command, texts=False)
        numbers = Numbers(rounds * OURS)
        pair = (null_twisted(site), NULL), (ours(site, NONE, command), OURS)
        found: list[list[Run]] = [[], []]
        for _ in range(rounds):
            for (contender, messages), runs in zip(pair, found, strict=True):
                runs.append(_run(site, pid, contender, messages, numbers))
        starts = startup(site, command)
    null_us, ours_us = (min(each.cpu_us for each in runs) for runs in found)
    figures = {
        "ratio": round(ours_us / null_us, 2),
        "ours_us": round(ours_us, 1),
        "null_us": round(null_us, 2),
        "redis_us": round(min(1e6 * each.redis_cpu_s / each.found["answers"] for each in found[1]), 1),
        "answers_per_s": round(max(each.found["answers_per_s"] for each in found[1])),
        "foreign_cores": round(max(min(each.foreign_cores for each in runs) for runs in found), 1),
        **starts,
    }
    wrong = sum(each.wrong for runs in found for each in runs)
    results.console.print(", ".join(f"{name} {value}" for name, value in figures.items()))
    if wrong:
        results.console.print(f"WRONG: {wrong} answers lost, twice or not right")
    if record:
        _record(build, figures)
    sys.exit(judged(build, figures["ratio"]) or bool(wrong))


def _run(site: Site, redis_pid: int, contender: Contender, messages: int, numbers: Numbers) -> Run:
    return load(site, [redis_pid], contender, *numbers.take(contender, messages))


def interpreter() -> str:
    """What makes figures comparable: implementation, version and whether it was built with profiles."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    profiled = "pgo" if "--enable-optimizations" in flags or "-fprofile-use" in _flags() else "no-pgo"
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{platform.python_implementation().lower()}-{version} {profiled}"


def _flags() -> str:
    return " ".join(str(sysconfig.get_config_var(name) or "") for name in ("PY_CFLAGS", "PY_CORE_CFLAGS"))


def _known() -> dict[str, Any]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def _record(build: str, figures: dict[str, Any]) -> None:
    known = _known()
    known[build] = figures | {"at": datetime.now(UTC).isoformat(timespec="minutes")}
    RECORD.write_text(json.dumps(known, indent=1) + "\n")
    results.console.print(f"recorded for {build}")


def judged(build: str, ratio: float) -> int:
    """Exit status."""
    known = _known().get(build)
    if known is None:
        results.console.print(f"nothing recorded for this interpreter ({build}); --record does it")
        return 0
    away = ratio / known["ratio"] - 1
    verdict = f"DEARER by more than {DEARER:.0%}" if away > DEARER else "within bounds"
    results.console.print(f"{build}: {away:+.0%} to the recorded ratio {known['ratio']}: {verdict}")
    return int(away > DEARER)


if __name__ == "__main__":
    main()
