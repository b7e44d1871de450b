"""The results as a table, as JUnit XML and as JSON. Called by `command`; pure but for the files."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from rich import box
from rich.table import Table
from rich.text import Text

from gateway.simulator.conformance.runner import Result
from gateway.simulator.conformance.verdicts import Level, Verdict

STYLES = {
    Verdict.PASSED: ("✔", "green"),
    Verdict.FAILED: ("✘", "red"),
    Verdict.INCONCLUSIVE: ("?", "yellow"),
    Verdict.NOT_APPLICABLE: ("–", "dim"),
}


def by_group(results: Iterable[Result]) -> Table:
    """How many of each verdict, group by group."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.scenario.group, []).append(result)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("group")
    for verdict in Verdict:
        shown.add_column(verdict.value, justify="right", style=STYLES[verdict][1])
    shown.add_column("s", justify="right")
    for group, found in groups.items():
        counts = Counter(result.verdict for result in found)
        seconds = sum(result.seconds for result in found)
        shown.add_row(group, *(str(counts[verdict] or "") for verdict in Verdict), f"{seconds:.1f}")
    return shown


def details(result: Result) -> Text:
    """One failure to learn from: the rule, where it stands, what came, and the last PDUs."""
    scenario = result.scenario
    text = Text.assemble((scenario.name, "bold"), f"  ({scenario.reference}, {scenario.level.value})\n")
    text.append(f"  rule      {scenario.rule}\n")
    if result.expected:
        text.append(f"  expected  {result.expected}\n")
    text.append(f"  came      {result.came}\n")
    for line in result.trace:
        text.append(f"    {line}\n", "dim")
    return text


def summary(results: Iterable[Result]) -> str:
    """How many of each verdict, and of the failures how many decide."""
    found = list(results)
    counts = Counter(result.verdict for result in found)
    parts = [f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]]
    required = sum(not result.acceptable for result in found)
    return f"{len(found)} scenarios: {', '.join(parts)}; {required} required not passed"


def passed(results: Iterable[Result], *, strict: bool = False) -> bool:
    """Whether all that the specification requires was passed, as far as it applies; `strict`: all that it
    recommends, too.
    """
    fine = (Verdict.PASSED, Verdict.NOT_APPLICABLE)
    return all(result.verdict in fine if strict else result.acceptable for result in results)


def as_json(results: Iterable[Result], began_at: str, options: dict[str, Any]) -> dict[str, Any]:
    """The run as JSON values."""
    found = list(results)
    counts = Counter(result.verdict for result in found)
    return {
        "suite": "cxmyd conformance of ESMEs",
        "began_at": began_at,
        "options": options,
        "passed": passed(found),
        "counts": {verdict.name.lower(): counts[verdict] for verdict in Verdict},
        "scenarios": [
            {
                "name": result.scenario.name,
                "group": result.scenario.group,
                "level": result.scenario.level.value,
                "reference": result.scenario.reference,
                "rule": result.scenario.rule,
                "verdict": result.verdict.name.lower(),
                "seconds": round(result.seconds, 3),
                "expected": result.expected,
                "came": result.came,
                "trace": list(result.trace),
            }
            for result in found
        ],
    }


def write_json(path: Path, results: Iterable[Result], began_at: str, options: dict[str, Any]) -> None:
    values = as_json(results, began_at, options)
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_junit(path: Path, results: Iterable[Result]) -> None:
    """One testcase a scenario. Not applicable, and not passed without being required, count as skipped."""
    found = list(results)
    suite = ET.Element("testsuite", name="conformance", tests=str(len(found)))
    suite.set("failures", str(sum(_kind(result) == "failure" for result in found)))
    suite.set("errors", str(sum(_kind(result) == "error" for result in found)))
    suite.set("skipped", str(sum(_kind(result) == "skipped" for result in found)))
    suite.set("time", f"{sum(result.seconds for result in found):.3f}")
    for result in found:
        scenario = result.scenario
        case = ET.SubElement(suite, "testcase", classname=f"conformance.{scenario.group}", name=scenario.name)
        case.set("time", f"{result.seconds:.3f}")
        kind = _kind(result)
        if kind:
            told = ET.SubElement(case, kind, message=f"{result.verdict.value}: {result.reason}")
            told.text = "\n".join((f"{scenario.rule} ({scenario.reference})", *result.trace))
    document = ET.Element("testsuites")
    document.append(suite)
    ET.indent(document)
    ET.ElementTree(document).write(path, encoding="utf-8", xml_declaration=True)


def _kind(result: Result) -> str:
    """The element of JUnit that tells this result; empty when passed."""
    if result.verdict is Verdict.PASSED:
        return ""
    if result.verdict is Verdict.NOT_APPLICABLE or result.scenario.level is not Level.MUST:
        return "skipped"
    return "failure" if result.verdict is Verdict.FAILED else "error"
