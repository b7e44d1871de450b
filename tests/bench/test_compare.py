"""What the benches make of their figures: who used what, which numbers text next, what the docs say."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.compare import docs, processes, quick
from bench.compare.contenders import NPM, NULL_TWISTED, Contender
from bench.compare.measure import BASE_MSISDN, Figures, Numbers
from bench.scale import docs as scale_docs

OURS = Contender("cxmyd, none", [["cxmyd"]], 10)
SOME = Figures(1000.0, 1.0, 5.0, 0.1, 0.02, 0.01, 100.0, 0.0, 0, 0, 1000.0, 4.0, 0)
SPIN = "import time\nend = time.process_time() + {0}\nwhile time.process_time() < end: pass\n"


def found(**rates: float) -> dict[str, dict[str, Any]]:
    return {name: docs.summary([asdict(replace(SOME, answers_per_s=rate))]) for name, rate in rates.items()}


def test_what_a_child_uses_is_its_parents() -> None:
    """Whether the child still runs or has ended."""
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '''{SPIN.format(0.2)}'''])\n"
    still = f"subprocess.run([sys.executable, '-c', '''{SPIN.format(0.2)}import time; time.sleep(60)'''])"
    with subprocess.Popen([sys.executable, "-c", child + still]) as process:
        deadline_s = time.monotonic() + 30
        while processes.cpu_s([process.pid]) < 0.4:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        each = processes.used(process.pid)
        assert len(each) == 2
        assert all(one.rss_mb > 1 for one in each.values())
        for pid in each.keys() - {process.pid}:
            subprocess.run(["kill", str(pid)], check=True)
        process.kill()
        while (Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]) != "Z":
            time.sleep(0.001)
        assert processes.cpu_s([process.pid]) >= 0.2  # it has ended, and nobody has waited for it yet


def test_no_number_texts_the_same_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all have had their turn, the bench waits; peers take everything for new."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    numbers = Numbers(100)
    assert [numbers.take(OURS, 40), numbers.take(OURS, 60)] == [(BASE_MSISDN, 40), (BASE_MSISDN + 40, 60)]
    assert not slept
    assert numbers.take(OURS, 300) == (BASE_MSISDN, 100)
    assert len(slept) == 2
    assert max(slept) > 30
    assert numbers.take(replace(OURS, name=NPM), 50) == (BASE_MSISDN, 50)


def test_rounds_become_medians() -> None:
    """What went wrong adds up."""
    rounds = [asdict(replace(SOME, answers_per_s=rate, wrong=1)) for rate in (900.0, 2000.0, 1000.0)]
    summary = docs.summary(rounds)
    assert (summary["answers_per_s"], summary["least"], summary["most"]) == (1000, 900, 2000)
    assert (summary["wrong"], summary["refused"], summary["loadsmsc_most"]) == (3, 0, 1000)


def test_ratios_are_to_the_best_of_npm_and_to_the_null_gateway() -> None:
    """Where they were measured."""
    rates = {NPM: 300.0, f"{NPM}, 10 binds": 500.0, NULL_TWISTED: 4000.0, "cxmyd, none": 2000.0}
    all_rows = dict(docs.rows(found(**rates)))
    assert all_rows["cxmyd, none"][4:6] == ["4.00", "0.50"]
    assert dict(docs.rows(found(ours=1.0)))["ours"][4:6] == ["", ""]


def test_the_two_loads_are_held_against_each_other() -> None:
    """Of ours only: of the null gateways the slower load is the bound."""
    said = docs.agreement(found(**{"cxmyd, a": 950.0, "cxmyd, b": 700.0, NULL_TWISTED: 100.0}))
    assert list(said) == ["cxmyd, a", "cxmyd, b"]
    assert "agree within 10 %" in said["cxmyd, a"]
    assert "DIFFER by -30%" in said["cxmyd, b"]


def test_two_sittings_stand_side_by_side() -> None:
    """With how far they are apart, and which rows the machine's other work has touched."""
    run = {"at": "2026-11-28T22:00+00:00", "python": "3.11.2"}
    busy = replace(SOME, answers_per_s=800.0, foreign_cores=0.3)
    before = {"run": run, "contenders": {"cxmyd, a": [asdict(SOME)], "cxmyd, b": [asdict(busy)]}}
    record = {"run": run, "contenders": {"cxmyd, a": [asdict(SOME)], "cxmyd, b": [asdict(SOME)]}}
    assert "No sitting before" in docs.remarks(record)[1]
    record |= {"before": before}
    this, last, rates, *_ = docs.remarks(record)
    assert this == "This sitting, 2026-11-28 22:00 UTC, CPython 3.11.2: the machine was quiet."
    assert last.endswith("in these rows: cxmyd, b (0.3).")
    assert "at most +25% (cxmyd, b)" in rates
    assert dict(docs.rows(docs.medians(record), docs.medians(before)))["cxmyd, b"][:2] == ["1,000", "800"]


def test_figures_stand_between_their_marks(tmp_path: Path) -> None:
    """And nothing else on the page changes; a page without the marks is an error."""
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- figures:x -->\nold\n<!-- /figures -->\nb\n<!-- figures:y -->\n<!-- /figures -->\n"
    )
    docs.replace(page, "x", "new\n")
    assert page.read_text().startswith("a\n<!-- figures:x -->\nnew\n<!-- /figures -->\nb\n<!-- figures:y -->")
    with pytest.raises(SystemExit, match="figures:z"):
        docs.replace(page, "z", "new\n")


def test_the_picture_is_well_formed() -> None:
    """With a bar and its figures for each contender."""
    picture = ET.fromstring(docs.svg(found(a=7.0, b=500_000.0)))
    assert len(picture.findall("{*}rect")) == 3
    assert "500,000 · 0.1000 s" in [text.text for text in picture.findall("{*}text")]


def test_dearer_than_recorded_is_an_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By this build of the interpreter; of another nothing is known, and nothing fails."""
    record = tmp_path / "quick.json"
    monkeypatch.setattr(quick, "RECORD", record)
    assert quick.judged("a", 99.0) == 0
    record.write_text(json.dumps({"a": {"ratio": 10.0}}))
    assert [quick.judged("a", ratio) for ratio in (5.0, 11.4, 11.6)] == [0, 0, 1]
    assert quick.judged("b", 99.0) == 0
    assert quick.interpreter().startswith(sys.implementation.name)


def test_what_scales_is_beside_the_first_of_its_kind() -> None:
    """With the share of each worker; who supervises them is none."""
    one = {"name": "workers: 1", "cpu_us": 50.0, "each_us": [50.0], "redis_us": 9.0, "both_us": 59.0}
    one |= {
        "answers_per_s": 9.0,
        "p99_ms": 1.0,
        "rss_mb": 90.0,
        "foreign_cores": 0.0,
        "refused": 0,
        "wrong": 0,
    }
    one |= dict.fromkeys(("beside", "beside_least", "beside_most"), 1.0)
    two = one | {"name": "workers: 2", "cpu_us": 55.0, "each_us": [0.1, 27.4, 27.5]}
    two |= {"beside": 1.08, "beside_least": 1.04, "beside_most": 1.11}
    first, second = scale_docs.rows([one, two])
    assert first[:6] == ["workers: 1", "50.0", "9.0", "59.0", "1.00", "50.0"]
    assert second[4:6] == ["1.08 (1.04 to 1.11)", "27.4 + 27.5"]
    assert scale_docs.flat("workers", [one, two]) == "beside workers: 1: workers: 2 x 1.08: within 1.11."
    assert "NOT within 1.11 at workers: 2" in scale_docs.flat("workers", [one, two | {"beside": 1.2}])
