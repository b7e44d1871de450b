"""The fuzzing targets over the kept corpus, over hypothesis' inputs and, where there are wheels of it, for a
minute by atheris.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS
from gateway.smpp.session import Role, Session, SessionConfig

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    """Every input that was ever worth keeping."""
    inputs = sorted((ROOT / "fuzz" / "corpus" / name).iterdir())
    assert len(inputs) > 5
    for path in inputs:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as error:
            raise AssertionError(path.name) from error


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_octets(name: str, data: bytes) -> None:
    """Without a guide, on every platform."""
    TARGETS[name](data)


def test_a_closed_session_takes_nothing_more() -> None:
    """Found by fuzzing: after a broken stream what still came was gathered, for as long as it came."""
    session = Session(Role.SMSC, SessionConfig(), 0.0)
    session.receive(b"HTTP/1.1 200 OK\r\n", 0.0)
    held = session._framer.held
    assert session.receive(b"x" * 1_000_000, 0.0) == []
    assert session._framer.held == held < 100


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has wheels for Linux on x86-64 only")
def test_a_minute_of_coverage_guided_fuzzing(tmp_path: Path) -> None:
    """Twenty seconds for each of the three targets, beginning with the corpus: nothing is found."""
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--seconds", "20", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = dict(line.split()[:2] for line in done.stdout.splitlines()[1:])
    assert rows.keys() == {*TARGETS, "all"}
    assert int(rows["all"].replace(",", "")) > 1_000
