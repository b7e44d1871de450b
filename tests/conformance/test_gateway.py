"""Our gateway, a real process on a real Redis, passes the whole conformance suite; tshark finds nothing wrong
in what it sent. The foreign ESMEs are played a few scenarios, so that comparing with them goes on working.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.simulator.conformance.scenario import GROUPS, load
from gateway.simulator.conformance.verdicts import Verdict
from tests.conformance.esmes import esme
from tests.conformance.judged import judge
from tests.conftest import free_port

#: Groups that are played to one gateway each; `always` looks at all of it, so it is played to every one.
SHARDS = (
    ("basics", "framing", "pdu"),
    ("session",),
    ("bind",),
    ("texts", "receipts", "redelivery"),
    ("submitting", "versions", "load"),
    ("throttling",),
)
# Warnings and errors of the dissector, malformed packets among them; TCP's own notes are not SMPP's.
_WRONG = "ip.src==10.0.0.1 && smpp && (_ws.malformed || _ws.expert.severity >= 0x600000)"


def test_every_group_is_in_one_shard() -> None:
    assert sorted(group for shard in SHARDS for group in shard) == sorted(set(GROUPS) - {"always"})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shard", SHARDS, ids="+".join)
def test_our_gateway_passes(shard: tuple[str, ...], tmp_path: Path) -> None:
    """All that is a MUST, and all that is a SHOULD; whatever was provoked, every PDU it sent is sound."""
    under_test = esme("gateway", free_port())
    capture = tmp_path / "run.pcap"
    results = judge(under_test, load((*shard, "always")), tmp_path, capture=capture)
    fine = (Verdict.PASSED, Verdict.NOT_APPLICABLE)
    wrong = [f"{result.scenario.name}: {result.reason}" for result in results if result.verdict not in fine]
    assert not wrong, "\n".join(wrong)
    assert len(results) > len(shard)
    assert _tshark(capture, under_test.options.port, "ip.src==10.0.0.1 && smpp", "frame.number")
    assert _tshark(capture, under_test.options.port, _WRONG, "_ws.expert.message") == ""


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
