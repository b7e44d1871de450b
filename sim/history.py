"""What happened in a run, for the checks and for people: questions, answers, what the store marked and
parked, what went wrong and when.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from math import inf
from typing import NamedTuple

from gateway.simulator.messages import Message
from sim.setting import Person
from sim.world import World


class Asked(NamedTuple):
    person: Person
    message: Message
    at_s: float
    text: str


class Answer(NamedTuple):
    """A whole text that reached a phone, by an SMSC; `kind` "? text" where nobody should have got it."""

    person: Person
    text: str
    kind: str
    at_s: float
    smsc: int


class Trouble(NamedTuple):
    """A fault, from when to when it can be felt."""

    what: str
    from_s: float
    to_s: float


class Held(NamedTuple):
    """From when to when nothing passes between an SMSC (None: any) and the gateways."""

    smsc: int | None
    from_s: float
    to_s: float


class History:
    def __init__(self, world: World) -> None:
        self._world = world
        self.lines: list[tuple[float, str]] = []
        self.questions: list[Asked] = []
        self.answers: list[Answer] = []
        self.troubles: list[Trouble] = []
        self.begun_s: dict[bytes, float] = {}
        """When the latest turn for a message began, by the key of its mark,"""
        self.turns: dict[bytes, tuple[bytes, int]] = {}
        """Which process has a subscriber's turn, and until when (ms of the store's clock),"""
        self.mark_s: dict[bytes, tuple[float, float]] = {}
        """and from when until when it is marked as answered;"""
        self.marked_s: defaultdict[str, list[float]] = defaultdict(list)
        """all marks of a person's messages."""
        self.attempts_s: defaultdict[int, list[float]] = defaultdict(list)
        """When a message, or a part of it, was handed to a gateway."""
        self.texts_held: list[Held] = []
        """On their way to a gateway, and"""
        self.answers_held: list[Held] = []
        """from it: by the time at which it began."""
        self.clocks: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        """By the gateway: from when on its clock was wrong, and by how much."""
        self.acknowledged_s: dict[int, float] = {}
        self.refusals: Counter[int] = Counter()
        """How many copies of a message's parts were refused for good."""

    def note(self, line: str) -> None:
        self.lines.append((self._world.now_s, line))

    def asked(self, asked: Asked) -> None:
        self.questions.append(asked)
        words = f"{asked.text.strip()!r} ({asked.message.id})"
        self.note(f"phone {asked.person.number} -> {asked.person.service}: {words}")

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.note(f"phone {answer.person.number} <- {answer.person.service}: {answer.kind}")

    def trouble(self, what: str, lasts_s: float) -> None:
        """What goes wrong is felt a while longer: by timers, and by who was told of it."""
        now_s = self._world.now_s
        self.troubles.append(Trouble(what, now_s, now_s + lasts_s))
        self.note(f"FAULT {what}")

    def hold(self, smsc: int | None, seconds: float, *, texts: bool = True, answers: bool = True) -> None:
        now_s = self._world.now_s
        for held, which in ((self.texts_held, texts), (self.answers_held, answers)):
            if which:
                held.append(Held(smsc, now_s, now_s + seconds))

    def came_s(self, smsc: int, at_s: float, most_s: float) -> float:
        """When what an SMSC sent then had come to a gateway, at the latest, over a network that takes up to
        `most_s`.
        """
        for held in self.texts_held:
            if held.smsc in (None, smsc) and held.from_s <= at_s + most_s and at_s < held.to_s:
                at_s = held.to_s
        return at_s + most_s

    def left_s(self, smsc: int, at_s: float, most_s: float) -> float:
        """When what came to an SMSC then had left a gateway, at the earliest."""
        for held in sorted(self.answers_held, key=lambda held: held.to_s, reverse=True):
            if held.smsc in (None, smsc) and held.from_s < at_s and at_s - most_s <= held.to_s:
                at_s = held.from_s
        return at_s - most_s

    def clock_set(self, gateway: str, offset_s: float) -> None:
        self.clocks[gateway].append((self._world.now_s, offset_s))

    def clocks_differ_s(self, from_s: float, to_s: float) -> float:
        """By how much any clock within that time differs from any other within it, or itself."""
        offsets = {0.0}  # of those that were never set
        for sets in self.clocks.values():
            for (at_s, offset_s), (next_s, _) in pairwise([*sets, (inf, 0.0)]):
                if at_s <= to_s and from_s <= next_s:
                    offsets.add(offset_s)
        return max(offsets) - min(offsets)

    def troubled(self, from_s: float, to_s: float) -> bool:
        return any(each.from_s <= to_s and from_s <= each.to_s for each in self.troubles)

    def text(self) -> str:
        return "\n".join(f"{at_s:10.4f}  {line}" for at_s, line in self.lines)
