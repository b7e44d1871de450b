"""What an answer is worth, measured by where somebody truly was.

A *true visit* is N and more in one place in one go, with the phone on, somewhere else than at home. A city is
*false* when it is named and he was not there for N less an hour (a quarter of N where that is less): so far
two half gaps may lift a stay, so between there and N neither naming nor silence is an error. Called by
`evaluate` and `traces`.
"""

from typing import Any, NamedTuple

from bench.stays.populations import DAYS, Trace, truth
from location_store.sample.diary import DAY_S
from location_store.stays import Segment


class Score(NamedTuple):
    """Of one kind under one rule."""

    people: int
    visits: int
    found: int
    wrongly_named: int
    """People with a false city."""

    def __add__(self, other: Any) -> "Score":
        return Score(*(mine + his for mine, his in zip(self, other, strict=True)))

    @property
    def found_share(self) -> str:
        return f"{100 * self.found / self.visits:.2f}" if self.visits else ""

    @property
    def false_share(self) -> str:
        return f"{100 * self.wrongly_named / self.people:.2f}"


class Known(NamedTuple):
    """What is kept of a person, where he was (hours, and hours with the phone on), and where at home."""

    timeline: list[Segment]
    stayed_h: dict[int, tuple[float, float]]
    home: int


def known(told: list[Trace], timeline: list[list[Segment]]) -> list[Known]:
    """Truth and history side by side."""
    return [
        Known(kept, truth(trace.legs, DAY_S, DAYS * DAY_S), trace.home)
        for trace, kept in zip(told, timeline, strict=True)
    ]


def judge(person: Known, named: set[int], hours: float) -> Score:
    """What an answer that names these places is worth."""
    true = {place for place, (_, on_h) in person.stayed_h.items() if on_h >= hours} - {person.home}
    least_h = hours - min(1, hours / 4)
    wrong = any(person.stayed_h.get(place, (0.0, 0.0))[0] < least_h for place in named)
    return Score(1, len(true), len(true & named), int(wrong))
