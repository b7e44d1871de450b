"""`python -m fuzz.storm [--mutants N] [--seed S] [FOLDER]`: as many mutants as the processor has time for.

Where `run` looks for inputs that reach new code, at a thousand a second, this mutates what it found (the kept
corpus, and what lies in FOLDER/TARGET) blindly and without instrumentation, in all cores. The same seed makes
the same mutants. A mutant that fails is written to FOLDER and named, and the exit status is 1. Called by
`make fuzz-storm`.
"""

import argparse
import hashlib
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from fuzz.__main__ import FOUND
from fuzz.seeds import CORPUS
from fuzz.targets import TARGETS

BATCH = 20_000
#: Of ten mutants: a conversation costs as much as twenty PDUs.
SHARES = {"codec": 8, "session": 1, "texts": 1}
_ODD = (0x00, 0x01, 0x03, 0x0F, 0x10, 0x1B, 0x40, 0x7F, 0x80, 0xFE, 0xFF)
_MAX_LENGTH = 1024


class Task(NamedTuple):
    target: str
    seed: int


def mutant(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One to four changes to one of the seeds: an octet, a bit, a length, a cut, a repetition, a splice."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0:
                data[at : at + 1] = bytes((chance.choice(_ODD),))
            case 1 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 2:
                data[at : at + 2] = chance.randrange(300).to_bytes(2, "big")
            case 3:
                del data[at : at + chance.randint(1, 8)]
            case 4:
                data[at:at] = data[at : at + chance.randint(1, 16)]
            case 5:
                other = chance.choice(seeds)
                data[at:] = other[chance.randrange(len(other) + 1) :]
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 4))
    return bytes(data[:_MAX_LENGTH])


def batch(task: Task, folder: Path) -> list[str]:
    """Run `BATCH` mutants; the files of those that failed."""
    run, chance = TARGETS[task.target], random.Random(f"{task.target} {task.seed}")
    inputs = sorted((CORPUS / task.target).iterdir())
    if (folder / task.target).is_dir():
        inputs += sorted((folder / task.target).iterdir())
    seeds = [path.read_bytes() for path in inputs]
    failed = []
    for _ in range(BATCH):
        data = mutant(chance, seeds)
        try:
            run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            name = f"storm-{task.target}-{hashlib.sha1(data).hexdigest()}"
            (folder / name).write_bytes(data)
            failed.append(f"{name}: {type(error).__name__}")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.storm", description="Blind mutants at full speed.")
    parser.add_argument("--mutants", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("folder", type=Path, nargs="?", default=FOUND)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    batches = -(-arguments.mutants // BATCH)
    names = [name for name, share in SHARES.items() for _ in range(share)]
    tasks = [Task(names[i % len(names)], arguments.seed + i) for i in range(batches)]
    started_s = time.monotonic()
    console = Console()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(batch, tasks, repeat(arguments.folder))
        failed = [name for names in track(results, "mutants", len(tasks), console=console) for name in names]
    took_s = time.monotonic() - started_s
    count = batches * BATCH
    console.print(f"{count:,} mutants in {took_s:,.0f} s, {count / took_s:,.0f}/s; {len(failed)} failed")
    for name in failed:
        console.print(name, markup=False)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
