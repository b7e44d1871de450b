"""Plays scenarios one after the other against one ESME, and looks after each whether it is still well.

Invariant: every scenario gets exactly one result, whatever the ESME does. Called by `command` and tests.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.scenario import Scenario
from gateway.simulator.conformance.verdicts import (
    Failed,
    Inconclusive,
    Level,
    NotApplicable,
    Options,
    Verdict,
)

# The ESME may be started when we listen, and takes its time.
_START_S = 30.0
# A scenario waits by deadlines of its own; this one is against an error in a scenario.
_LONGEST_S = 600.0


@dataclass(frozen=True)
class Result:
    """What one scenario found. `trace`: the last PDUs, where it did not pass."""

    scenario: Scenario
    verdict: Verdict
    seconds: float
    expected: str = ""
    came: str = ""
    trace: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """In one line; empty when passed."""
        return f"expected {self.expected}; {self.came}" if self.expected else self.came

    @property
    def acceptable(self) -> bool:
        """Whether this result leaves the run a success."""
        fine = self.verdict in (Verdict.PASSED, Verdict.NOT_APPLICABLE)
        return fine or self.scenario.level is not Level.MUST


class Runner:
    """`await run()` once; `told` is called with each scenario that begins and each result, `revive` when the
    ESME is lost: it may start it again, so that the rest can be judged.
    """

    def __init__(
        self,
        options: Options,
        scenarios: Iterable[Scenario],
        told: Callable[[Scenario | Result], None] = lambda news: None,
        revive: Callable[[], None] | None = None,
    ) -> None:
        self.options = options
        self.scenarios = list(scenarios)
        self.results: list[Result] = []
        self.lab = Lab(options)
        self._told = told
        self._revive = revive
        self._ailing = False  # from the beginning: no scenario's doing
        self._gone = ""  # why nothing can be judged any more

    async def run(self) -> list[Result]:
        """Results in the order of the scenarios. Raises ListenError."""
        await self.lab.start()
        try:
            await self._await_esme()
            for scenario in self.scenarios:
                self._told(scenario)
                result = await self._judge(scenario)
                self.results.append(result)
                self._told(result)
        finally:
            await self.lab.stop()
        return self.results

    async def _await_esme(self) -> None:
        self.lab.record.scenario = "(begin)"
        try:
            await self.lab.all_bound(extra_s=self.options.first_bind_s)
        except Failed as reason:
            self._gone = f"before the first scenario: {reason}"
            return
        try:
            await self.lab.check_health()
        except (Failed, Inconclusive):  # basics.ordinary-session tells it
            self._ailing = True

    async def _judge(self, scenario: Scenario) -> Result:
        lab = self.lab
        lab.record.scenario = scenario.name
        since_s = lab.record.now_s()
        missing = scenario.missing(self.options)
        if missing:
            return Result(scenario, Verdict.NOT_APPLICABLE, 0.0, came=missing)
        if self._gone and not scenario.last:
            return Result(scenario, Verdict.INCONCLUSIVE, 0.0, came=self._gone)
        verdict, expected, came = await self._play(scenario)
        trace = (
            () if verdict is Verdict.PASSED else tuple(lab.record.tail(since_s) or lab.record.tail(0.0, 4))
        )
        await lab.tidy()
        ill = "" if scenario.last else await self._health()
        if ill and verdict is not Verdict.FAILED:
            verdict, expected, came = Verdict.FAILED, "an ESME that is well afterwards", ill
            trace = tuple(lab.record.tail(since_s))
        return Result(scenario, verdict, lab.record.now_s() - since_s, expected, came, trace)

    async def _play(self, scenario: Scenario) -> tuple[Verdict, str, str]:
        try:
            await asyncio.wait_for(scenario.play(self.lab), _LONGEST_S)
        except Failed as failed:
            return Verdict.FAILED, failed.expected, failed.came
        except Inconclusive as reason:
            return Verdict.INCONCLUSIVE, "", str(reason)
        except NotApplicable as reason:
            return Verdict.NOT_APPLICABLE, "", str(reason)
        except TimeoutError:
            return Verdict.INCONCLUSIVE, "", f"not finished after {_LONGEST_S:g} s"
        return Verdict.PASSED, "", ""

    async def _health(self) -> str:
        """What is wrong with the ESME; a second look, after new connections, tells whether it is gone."""
        try:
            await self._look()
        except (Failed, Inconclusive) as reason:
            lost = await self._second_look()
            if lost and self._revive is not None:
                self._revive()
                lost = await self._second_look()
            if lost:
                self._gone = f"the ESME was lost after {self.lab.record.scenario}: {lost}"
            return str(reason)
        return ""

    async def _second_look(self) -> str:
        """What is wrong with the ESME on a new connection."""
        for peer in self.lab.open_peers:
            peer.close()
        try:
            await self._look()
        except (Failed, Inconclusive) as reason:
            return str(reason)
        return ""

    async def _look(self) -> None:
        """Whether the ESME is as well as it was in the beginning."""
        await (self.lab.all_bound() if self._ailing else self.lab.check_health())
