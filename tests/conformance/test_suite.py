"""The suite itself, tried on an ESME of a few lines: a right one passes, each wrong one is found out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from gateway.simulator.conformance import pcap, report
from gateway.simulator.conformance.command import conformance
from gateway.simulator.conformance.runner import Result, Runner
from gateway.simulator.conformance.scenario import load
from gateway.simulator.conformance.verdicts import Level, Verdict
from tests.conformance.scripted import Esme, Wrong
from tests.conftest import free_port

CXMYD = str(Path(sys.executable).with_name("cxmyd"))
GROUPS = ("basics", "framing", "pdu", "session", "bind", "always")


def judged(wrong: Wrong | None, *patterns: str) -> tuple[Runner, dict[str, Result]]:
    """The suite played against the ESME of a few lines; results by name."""

    async def play() -> Runner:
        async with Esme(free_port(), wrong) as esme:
            runner = Runner(esme.options, load(patterns))
            await runner.run()
            return runner

    runner = asyncio.run(play())
    return runner, {result.scenario.name: result for result in runner.results}


@pytest.mark.parametrize("group", GROUPS)
def test_a_right_esme_passes(group: str) -> None:
    """An ESME that does what the specification asks, and no more, passes all that it asks for."""
    runner, results = judged(None, group)
    assert results
    assert [result.reason for result in runner.results if not result.acceptable] == []
    assert report.passed(runner.results)


def test_recommendations_decide_when_strict() -> None:
    """What is only recommended leaves the run a success, unless --strict asks for it."""
    runner, results = judged(Wrong.NEVER_ASKS, "session.enquire-link-on-silence")
    assert [result.verdict for result in results.values()] == [Verdict.FAILED]
    assert report.passed(runner.results)
    assert not report.passed(runner.results, strict=True)


@pytest.mark.parametrize(
    ("wrong", "scenario"),
    [
        (Wrong.NUMBERS_OF_ITS_OWN, "session.enquire-link-answered"),
        (Wrong.IGNORES_UNKNOWN_COMMANDS, "pdu.unknown-command"),
        (Wrong.DIES_ON_UNKNOWN_COMMANDS, "pdu.unknown-command"),
        (Wrong.ACKNOWLEDGES_DAMAGED_TEXTS, "pdu.string-without-its-nul"),
        (Wrong.NACKS_RESPONSES, "session.unknown-response"),
        (Wrong.ONE_PDU_A_SEGMENT, "framing.several-pdus-in-one-segment"),
        (Wrong.WAITS_FOR_ANY_LENGTH, "framing.command-length-of-2-gigabytes"),
        (Wrong.NEVER_ASKS, "session.half-open"),
        (Wrong.NEVER_ASKS, "session.enquire-link-on-silence"),
        (Wrong.GIVES_UP_WHEN_REFUSED, "bind.refused-with-esme-rinvpaswd"),
        (Wrong.HOT_LOOP, "bind.refusals-make-no-hot-loop"),
        (Wrong.HOT_LOOP, "bind.closed-connections-make-no-hot-loop"),
        (Wrong.IGNORES_UNBIND, "session.unbind"),
        (Wrong.TAKES_TEXTS_UNBOUND, "bind.text-before-bind-resp"),
        (Wrong.ANSWERS_TWICE, "basics.ordinary-session"),
        (Wrong.ONE_NUMBER_FOR_ALL, "always.sequence-numbers-ascend"),
        (Wrong.SUBMITS_WITHOUT_NUL, "always.every-pdu-is-well-formed"),
        (Wrong.ANSWERS_ALERTS, "session.alert-notification"),
        (Wrong.ANSWERS_ALERTS, "always.one-response-to-each-request"),
    ],
)
def test_a_wrong_esme_is_found_out(wrong: Wrong, scenario: str) -> None:
    """Each deviation fails the scenario that is about it, with a reason and the PDUs that show it."""
    _, results = judged(wrong, scenario, "session.alert-notification")
    result = results[scenario]
    assert result.verdict is Verdict.FAILED, result.reason
    assert result.reason
    assert result.trace or result.scenario.last


def test_the_rest_is_inconclusive_once_the_esme_is_gone() -> None:
    """What could not be judged is not taken for passed: the run fails."""
    runner, results = judged(Wrong.DIES_ON_UNKNOWN_COMMANDS, "pdu.*-command", "session.enquire-link-answered")
    assert results["session.enquire-link-answered"].verdict is Verdict.INCONCLUSIVE
    assert "lost after pdu.unknown-command" in results["session.enquire-link-answered"].reason
    assert not report.passed(runner.results)


def test_no_esme_at_all() -> None:
    """Without an ESME everything is inconclusive, soon."""
    options = replace(Esme(free_port()).options, first_bind_s=0.0)
    runner = Runner(options, load(["framing"]))
    results = asyncio.run(runner.run())
    assert {result.verdict for result in results} == {Verdict.INCONCLUSIVE}
    assert "to be bound" in results[0].reason


def test_what_cannot_be_judged_is_not_applicable() -> None:
    """A scenario that needs what the options rule out says so, and does not fail the run."""
    runner, results = judged(None, "session.deliver-sm-to-a-transmitter", "always.window-kept")
    assert [result.verdict for result in results.values()] == [Verdict.NOT_APPLICABLE] * 2
    assert "--window" in results["always.window-kept"].reason
    assert report.passed(runner.results)


def test_every_scenario_says_what_it_judges() -> None:
    """Names are unique and speak, every rule is a sentence with a reference, most are required."""
    scenarios = load()
    assert len({scenario.name for scenario in scenarios}) == len(scenarios) >= 80
    for scenario in scenarios:
        assert scenario.name.startswith(f"{scenario.group}.")
        assert scenario.rule.endswith(".")
        assert scenario.reference
    assert sum(scenario.level is Level.MUST for scenario in scenarios) > len(scenarios) / 2


def test_reports(tmp_path: Path) -> None:
    """JUnit XML and JSON carry every verdict, with the reason and the PDUs of what failed."""
    runner, results = judged(Wrong.IGNORES_UNKNOWN_COMMANDS, "pdu.unknown-command", "session.enquire-link-*")
    report.write_junit(tmp_path / "junit.xml", runner.results)
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(results)), "1")
    (failure,) = suite.iter("failure")
    assert "a response to our request" in (failure.get("message") or "")
    assert "00000099" in (failure.text or "")
    report.write_json(tmp_path / "report.json", runner.results, "2026-01-01T00:00:00+00:00", {"bind": "x"})
    values = json.loads((tmp_path / "report.json").read_text())
    assert values["counts"]["failed"] == 1
    assert values["passed"] is False
    failed = next(one for one in values["scenarios"] if one["verdict"] == "failed")
    assert failed["name"] == "pdu.unknown-command"
    assert failed["trace"]


def test_the_capture_is_read_by_tshark(tmp_path: Path) -> None:
    """Both directions are in the capture, each reassembled by the dissector, whatever its segments were."""
    runner, _ = judged(None, "framing.byte-by-byte", "framing.header-split-anywhere")
    path = tmp_path / "run.pcap"
    pcap.write(runner.lab.record, runner.lab.port, path)
    command = ["tshark", "-r", str(path), "-d", f"tcp.port=={runner.lab.port},smpp", "-Y", "smpp"]
    done = subprocess.run(
        [*command, "-T", "fields", "-e", "ip.src", "-e", "smpp.command_id"],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = [
        (line.split("\t")[0], one)
        for line in done.stdout.splitlines()
        for one in line.split("\t")[1].split(",")
    ]
    sent = [f"0x{pdu.octets[4:8].hex()}" for pdu in runner.lab.record.timeline() if pdu.direction == "in"]
    assert [one for source, one in seen if source == "10.0.0.1"] == sent
    assert seen.count(("10.0.0.2", "0x00000005")) >= 2


def test_the_command(tmp_path: Path) -> None:
    """`cxmyd conformance` lists its scenarios, and ends with 0 for a right ESME and 1 for a wrong one."""
    listed = CliRunner().invoke(conformance, ["--list", "--only", "framing.byte*"])
    assert listed.exit_code == 0
    assert "framing.byte-by-byte (must; SMPP 3.4, 3.2)" in listed.output
    unknown = CliRunner().invoke(conformance, ["--only", "nothing"])
    assert unknown.exit_code == 2
    for wrong, status in ((None, 0), (Wrong.IGNORES_UNKNOWN_COMMANDS, 1)):
        assert asyncio.run(_commanded(wrong, tmp_path / "junit.xml")) == status
    assert "failure" in (tmp_path / "junit.xml").read_text()


async def _commanded(wrong: Wrong | None, junit: Path) -> int:
    """The exit status of the command as a process."""
    async with Esme(free_port(), wrong) as esme:
        command = [CXMYD, "conformance", "--only", "pdu.unknown-command"]
        times = ["--response", "1", "--reconnect", "1", "--mo", "861390#######", "10086", "hello"]
        process = await asyncio.create_subprocess_exec(
            *command, *times, "--smpp", f"127.0.0.1:{esme.options.port}", "--junit", str(junit)
        )
        return await process.wait()
