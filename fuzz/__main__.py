"""`python -m fuzz [--seconds S] [TARGET ...]`: targets side by side, then a table of what was run and found.

Inputs that reach new code gather in `var/fuzz/TARGET`, from where the next run goes on; so do crashes, each
named in the table, and then the exit status is 1. Called by `make fuzz`, `make fuzz-quick` and tests/fuzz.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from fuzz.targets import TARGETS

FOUND = Path(__file__).parent.parent / "var" / "fuzz"
_INTERRUPTED = (72, 130)  # exit status after SIGINT, of libFuzzer and of Python
_COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


class Result(NamedTuple):
    target: str
    executions: int
    seconds: float
    edges: int
    features: int
    inputs: int
    crashes: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Coverage-guided fuzzing.")
    parser.add_argument("--seconds", type=int, default=600, help="for each target, all at once (600)")
    parser.add_argument("--runs", type=int, default=-1, help="no more than so many of each target")
    parser.add_argument("--folder", type=Path, default=FOUND, help="where new inputs go (var/fuzz)")
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all when none is named")
    arguments = parser.parse_args()
    targets = arguments.targets or list(TARGETS)
    running = []
    for target in targets:
        folder = arguments.folder / target
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder.parent / f"{target}.log").open("wb")
        options = [f"-max_total_time={arguments.seconds}", f"-runs={arguments.runs}", "-print_final_stats=1"]
        command = [sys.executable, "-m", "fuzz.run", target, str(folder), *options]
        running.append((target, folder, time.time(), subprocess.Popen(command, stdout=log, stderr=log)))
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C ends the targets; what they did is shown all the same
    results = [_result(target, folder, since, process) for target, folder, since, process in running]
    print("target     executions per second  seconds  edges  inputs  crashes")
    for row in results:
        rate = row.executions / max(row.seconds, 0.001)
        crashes = ", ".join(row.crashes) or "none"
        print(
            f"{row.target:8} {row.executions:12,} {rate:10,.0f} {row.seconds:8,.0f} {row.edges:6} "
            f"{row.inputs:7}  {crashes}"
        )
    print(f"{'all':8} {sum(row.executions for row in results):12,}")
    return int(any(row.crashes for row in results))


def _result(target: str, folder: Path, since: float, process: subprocess.Popen[bytes]) -> Result:
    status = process.wait()
    text = (folder.parent / f"{target}.log").read_text(errors="replace")
    executions = re.findall(r"^(?:#|stat::number_of_executed_units: )(\d+)", text, re.MULTILINE)
    covered = _COVERED.findall(text)
    crashes = re.findall(r"Test unit written to (\S+)", text)
    if status not in (0, *_INTERRUPTED) and not crashes:
        crashes = [f"exit status {status}, see {os.path.relpath(folder.parent)}/{target}.log"]
    edges, features, inputs = map(int, covered[-1]) if covered else (0, 0, 0)
    count = int(executions[-1]) if executions else 0
    return Result(target, count, time.time() - since, edges, features, inputs, crashes)


if __name__ == "__main__":
    sys.exit(main())
