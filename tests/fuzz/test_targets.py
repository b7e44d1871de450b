"""The fuzzing targets over the kept corpus, over hypothesis' inputs and, where there are wheels of it, for a
minute by atheris.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS
from gateway.smpp.session import Role, Session, SessionConfig

ROOT = Path(__file__).parent.parent.parent
WITHOUT_ATHERIS = find_spec("atheris") is None


@pytest.fixture(scope="session")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """Fuzzing, with what the tests leave of the processors."""
    command = ["nice", "-n", "19", sys.executable, "-m", "fuzz", "--seconds", "20"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path_factory.mktemp("fuzz"))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        if process.poll() is None:  # the last test was not come to
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module", autouse=True)
def _begin_the_minute(request: pytest.FixtureRequest) -> None:
    if not WITHOUT_ATHERIS:
        request.getfixturevalue("minute")


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


@pytest.mark.skipif(WITHOUT_ATHERIS, reason="atheris has wheels for Linux on x86-64 only")
def test_a_minute_of_coverage_guided_fuzzing(minute: subprocess.Popen[str]) -> None:
    """Twenty seconds for each of the three targets, beginning with the corpus: nothing is found. The last of
    all tests (conftest.py): they have run meanwhile.
    """
    said, _ = minute.communicate(timeout=100)
    assert minute.returncode == 0, said
    rows = dict(line.split()[:2] for line in said.splitlines()[1:])
    assert rows.keys() == {*TARGETS, "all"}
    assert int(rows["all"].replace(",", "")) > 1_000
