"""`make chaos`, for three minutes: gateways, a Redis Cluster and an SMSC under load, and all that can go
wrong with their processes, connections and disks.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOUND = Path(__file__).parents[2] / "bench" / "results" / "chaos-gateway-quick.json"
MINUTES, SEED, RATE_PER_S = 3, 5, 4


@pytest.mark.timeout(900)
def test_nothing_is_lost_and_no_answer_is_one_too_many() -> None:
    """Every message is answered with what is true of its sender, in his order, and again only where the first
    outcome was unknown, whatever was killed, stopped, reset and filled. Speed is not judged.
    """
    words = ["--minutes", str(MINUTES), "--seed", str(SEED), "--rate", str(RATE_PER_S)]
    run = subprocess.run(
        [sys.executable, "-m", "bench.chaos.run", *words], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-4000:]
    found = json.loads(FOUND.read_text(encoding="utf-8"))
    for name in ("missing", "kept_by_the_smsc", "beyond_the_bound", "wrong_answers", "out_of_order"):
        assert found[name] == 0, name
    assert found["answered_once"] > found["messages"] / 2 > 0
    assert len(found["faults"]) >= 5
