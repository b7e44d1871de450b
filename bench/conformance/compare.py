"""`make conformance`: our gateway and ordinary applications on npm `smpp` and smpplib, judged by one suite.

Prints a table with a column for each and, after a run of all scenarios, writes bench/results/conformance.json
and the tables of docs/conformance.md.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.conformance import docs
from gateway.simulator.conformance import report
from gateway.simulator.conformance.runner import Result
from gateway.simulator.conformance.scenario import load
from gateway.simulator.conformance.verdicts import Verdict
from tests.conformance.esmes import NAMES, esme
from tests.conformance.judged import judge
from tests.conftest import free_port

console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)


@click.command()
@click.option(
    "--esme", "names", multiple=True, type=click.Choice(NAMES), help="Only this one; may be repeated."
)
@click.option("--only", multiple=True, metavar="GLOB", help="Scenarios or groups to play; may be repeated.")
@click.option(
    "--pcap", "capture", type=click.Path(path_type=Path), metavar="FILE", help="Write a capture of the last."
)
def main(names: tuple[str, ...], only: tuple[str, ...], capture: Path | None) -> None:
    """Judge ESMEs by the conformance suite, and show them side by side."""
    scenarios = load(only)
    found: dict[str, list[Result]] = {}
    versions: dict[str, str] = {}
    for name in names or NAMES:
        under_test = esme(name, free_port())
        versions[name] = under_test.version
        console.rule(f"{name} {under_test.version}")
        with tempfile.TemporaryDirectory(prefix="cxmyd-conformance-") as folder:
            found[name] = judge(under_test, scenarios, Path(folder), capture=capture, told=_tell)
        console.print(report.summary(found[name]))
    console.print(_table(found))
    if not only:
        _keep(found, versions)
    sys.exit(0 if all(report.passed(results) for name, results in found.items() if name == "gateway") else 1)


def _tell(result: Result) -> None:
    sign, style = report.STYLES[result.verdict]
    console.print(f"[{style}]{sign}[/] {result.scenario.name} [dim]{result.seconds:.1f} s[/]")
    if result.verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE):
        console.print(report.details(result))


def _table(found: dict[str, list[Result]]) -> Table:
    shown = Table(title="the same scenarios side by side", title_justify="left")
    for column in ("scenario", "level", *found):
        shown.add_column(column)
    for results in zip(*found.values(), strict=True):
        scenario = results[0].scenario
        signs = (Text(*report.STYLES[result.verdict]) for result in results)
        shown.add_row(scenario.name, scenario.level.value, *signs)
    return shown


def _keep(found: dict[str, list[Result]], versions: dict[str, str]) -> None:
    """Into the file and the docs; of an ESME that was not played this time, what was found before stays."""
    before = json.loads(docs.FOUND.read_text(encoding="utf-8")) if docs.FOUND.exists() else {"esmes": {}}
    esmes = before["esmes"] | {name: _values(found[name], versions[name]) for name in found}
    values = {
        "scenarios": [
            {
                "name": result.scenario.name,
                "group": result.scenario.group,
                "level": result.scenario.level.value,
                "reference": result.scenario.reference,
                "rule": result.scenario.rule,
            }
            for result in next(iter(found.values()))
        ],
        "esmes": {name: esmes[name] for name in NAMES if name in esmes},
    }
    docs.FOUND.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    docs.write(values)


def _values(results: list[Result], version: str) -> dict[str, Any]:
    """What one ESME did: its verdicts and their reasons by scenario."""
    return {
        "version": version,
        "results": {
            result.scenario.name: {
                "verdict": result.verdict.name.lower(),
                "reason": result.reason,
                "seconds": round(result.seconds, 1),
            }
            for result in results
        },
    }


if __name__ == "__main__":
    main()
