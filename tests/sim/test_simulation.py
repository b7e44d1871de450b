"""The simulation itself: many seeds, each the same run wherever and whenever it is repeated."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sim import mutants
from sim.run import run

ROOT = Path(__file__).parents[2]
SEEDS = 1000
SAME = ("7", "23", "64")
_DIGEST = (
    "import hashlib, sys; from sim.run import run\n"
    "print(*(hashlib.sha256(run(seed).history.text().encode()).hexdigest() for seed in sys.argv[1:]))"
)


@pytest.mark.timeout(900)
def test_every_promise_holds_in_every_seed(tmp_path: Path) -> None:
    """All checks of `sim.checks`. A seed that fails is shown by `make sim SEED=…`."""
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "sim", "--seeds", str(SEEDS), "--record", str(record)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    found = json.loads(record.read_text())
    assert found["questions"] > 10 * SEEDS
    assert found["answered"] > 0.98 * found["questions"]
    assert len(found["faults_by_kind"]) > 35


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """To the last event, though hashes and addresses differ."""
    command = [sys.executable, "-c", _DIGEST, *SAME]
    digests = [hashlib.sha256(run(seed).history.text().encode()).hexdigest() for seed in SAME]
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": hash_seed},
        )
        assert done.stdout.split() == digests


def test_every_mutant_is_still_one(tmp_path: Path) -> None:
    """The lines that it changes are there, in the gateway as it is."""
    for number, edits in enumerate(mutants.MUTANTS.values()):
        folder = tmp_path / str(number)
        mutants.copied(folder)
        mutants.applied(edits, folder)


@pytest.mark.parametrize(
    "name",
    ["acknowledges before it answers", "does not know a redelivery", "tells one the answer of another"],
)
def test_it_finds_what_is_wrong(name: str) -> None:
    """`make sim-mutants` has them all."""
    assert mutants.hunt(mutants.MUTANTS[name], 60).seeds is not None
