"""The suite played against one of the ESMEs of `esmes`. A process that died has failed the scenario; one that
answers no more is started anew, so that each scenario is judged for itself.

Called by the tests of this folder and by bench/conformance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from gateway.simulator.conformance import pcap
from gateway.simulator.conformance.runner import Result, Runner
from gateway.simulator.conformance.scenario import Scenario
from gateway.simulator.conformance.verdicts import Verdict
from tests.conformance.esmes import Esme, running


def judge(
    esme: Esme,
    scenarios: Iterable[Scenario],
    folder: Path,
    *,
    more: str = "",
    capture: Path | None = None,
    told: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Play the scenarios; `more` as in `esmes.running`, `capture`: where a pcap is to be written."""
    results: list[Result] = []
    with running(esme, folder, more) as process:
        deaths = 0

        def take(news: Scenario | Result) -> None:
            nonlocal deaths
            if isinstance(news, Result):
                results.append(_with_death(news) if process.deaths > deaths else news)
                deaths = process.deaths
                told(results[-1])

        runner = Runner(esme.options, scenarios, take, process.restart)
        asyncio.run(runner.run())
    if capture is not None:
        pcap.write(runner.lab.record, runner.lab.port, capture)
    return results


def _with_death(result: Result) -> Result:
    came = f"the process died; {result.came}" if result.came else "the process died"
    return replace(result, verdict=Verdict.FAILED, came=came)
