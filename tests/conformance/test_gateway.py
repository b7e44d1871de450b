"""Our gateway, a real process on a real Redis, passes the whole conformance suite; tshark finds nothing wrong
in what it sent. The foreign ESMEs are played a few scenarios, so that comparing with them goes on working.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.simulator.conformance.runner import Result
from gateway.simulator.conformance.scenario import GROUPS, load
from gateway.simulator.conformance.verdicts import Verdict
from tests.conformance.esmes import esme
from tests.conformance.judged import judge
from tests.conftest import free_port

#: Groups that are played to one gateway each; `always` looks at all of it, so it is played to every one.
SHARDS: tuple[tuple[str, ...], ...] = (
    ("basics", "framing", "pdu"),
    ("throttling",),
    ("session",),
    ("bind",),
    ("texts", "receipts", "redelivery"),
    ("submitting", "versions", "load"),
)
# Warnings and errors of the dissector, malformed packets among them; TCP's own notes are not SMPP's.
_WRONG = "ip.src==10.0.0.1 && smpp && (_ws.malformed || _ws.expert.severity >= 0x600000)"


def test_every_group_is_in_one_shard() -> None:
    assert sorted(group for shard in SHARDS for group in shard) == sorted(set(GROUPS) - {"always"})


class Judged(NamedTuple):
    """One shard played: its results, and what went over the wire."""

    results: list[Result]
    capture: Path
    port: int


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, ...], Future[Judged]]]:
    """All shards, two at a time: most of a run is waiting. Whichever test is run alone waits for its own."""

    def play(shard: tuple[str, ...]) -> Judged:
        folder = tmp_path_factory.mktemp(shard[0])
        under_test, capture = esme("gateway", free_port()), folder / "run.pcap"
        results = judge(under_test, load((*shard, "always")), folder, capture=capture)
        return Judged(results, capture, under_test.options.port)

    with ThreadPoolExecutor(max_workers=2) as lanes:
        futures = {shard: lanes.submit(play, shard) for shard in SHARDS}
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", SHARDS, ids="+".join)
def test_our_gateway_passes(shard: tuple[str, ...], judged: dict[tuple[str, ...], Future[Judged]]) -> None:
    """All that is a MUST, and all that is a SHOULD; whatever was provoked, every PDU it sent is sound."""
    results, capture, port = judged[shard].result()
    fine = (Verdict.PASSED, Verdict.NOT_APPLICABLE)
    wrong = [f"{result.scenario.name}: {result.reason}" for result in results if result.verdict not in fine]
    assert not wrong, "\n".join(wrong)
    assert len(results) > len(shard)
    assert _tshark(capture, port, "ip.src==10.0.0.1 && smpp", "frame.number")
    assert _tshark(capture, port, _WRONG, "_ws.expert.message") == ""


@pytest.mark.parametrize("name", ["npm smpp", "smpplib"])
def test_a_foreign_esme_can_be_judged(name: str, tmp_path: Path) -> None:
    """An ordinary application on each library binds, answers the text, and passes what is gentle."""
    results = judge(esme(name, free_port()), load(["framing.byte-by-byte", "texts.in-latin-1"]), tmp_path)
    assert [result.verdict for result in results] == [Verdict.PASSED, Verdict.PASSED]


def _tshark(capture: Path, port: int, display_filter: str, field: str) -> str:
    if shutil.which("tshark") is None:
        pytest.fail("tshark is not installed: `make test` installs it", pytrace=False)
    command = ["tshark", "-r", str(capture), "-d", f"tcp.port=={port},smpp", "-Y", display_filter]
    done = subprocess.run(
        [*command, "-T", "fields", "-e", field], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
