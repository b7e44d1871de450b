"""How scenarios are declared and found.

A scenario is an async function of a `Lab`; its docstring states the rule it judges. It returns when the
ESME did right, and raises `Failed`, `Inconclusive` or `NotApplicable` otherwise. The order of declaration
is the order of the run.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from gateway.simulator.conformance import scenarios
from gateway.simulator.conformance.verdicts import Level, Options

Play = Callable[..., Coroutine[Any, Any, None]]  # of a Lab, and of the case where there are several


@dataclass(frozen=True)
class Scenario:
    """`needs`: "receiver" or "transmitter", a bind that can; "answer", a text that is answered (--mo);
    "window", its size known.
    """

    name: str  # group.what-happens
    group: str
    rule: str
    reference: str
    level: Level
    needs: frozenset[str]
    play: Play
    last: bool = False

    def missing(self, options: Options) -> str:
        """Why it cannot be judged with these options; empty when it can."""
        if "receiver" in self.needs and options.bind == "transmitter":
            return "the ESME binds as transmitter only: nothing can be delivered to it"
        if "transmitter" in self.needs and options.bind == "receiver":
            return "the ESME binds as receiver only: it submits nothing"
        if "answer" in self.needs and not options.mo.answers:
            return "needs --mo: a text that the ESME answers with a submit_sm"
        if "window" in self.needs and not options.window:
            return "needs --window: the window of the ESME"
        return ""


_SCENARIOS: dict[str, Scenario] = {}


def scenario(
    group: str,
    reference: str,
    *,
    level: Level = Level.MUST,
    needs: Iterable[str] = (),
    name: str = "",
    cases: Mapping[str, object] | None = None,
    last: bool = False,
) -> Callable[[Play], Play]:
    """Declare a scenario `GROUP.NAME`, by default named after the function, its rule being the docstring.
    `cases`: one scenario for each name, whose value the function gets after the lab. `last`: it judges what
    the whole run has shown, and is played when all others were.
    """

    def declare(play: Play) -> Play:
        rule = " ".join((inspect.getdoc(play) or "").split())
        plain = name or getattr(play, "__name__", "").replace("_", "-")
        plays = {plain: play} if cases is None else {key: partial(play, case=cases[key]) for key in cases}
        for key, one in plays.items():
            full = f"{group}.{key}"
            if not rule or full in _SCENARIOS:
                raise ValueError(f"scenario {full}: needs a docstring, and a name of its own")
            _SCENARIOS[full] = Scenario(full, group, rule, reference, level, frozenset(needs), one, last)
        return play

    return declare


#: The order in which the groups are played: what is gentle first.
GROUPS = (
    "basics",
    "framing",
    "pdu",
    "session",
    "bind",
    "texts",
    "receipts",
    "redelivery",
    "throttling",
    "submitting",
    "versions",
    "load",
    "always",
)


def load(patterns: Iterable[str] = ()) -> list[Scenario]:
    """All scenarios in the order of the run; only those whose name or group matches one of the globs."""
    for module in pkgutil.iter_modules(scenarios.__path__):
        importlib.import_module(f"{scenarios.__name__}.{module.name}")
    wanted = tuple(patterns)
    order = {group: number for number, group in enumerate(GROUPS)}
    found = [
        one
        for one in _SCENARIOS.values()
        if not wanted or any(fnmatchcase(one.name, glob) or one.group == glob for glob in wanted)
    ]
    return sorted(found, key=lambda one: (one.last, order.get(one.group, len(order))))
