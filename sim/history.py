"""What happened in a run, for the checks and for people: questions, answers, what the store marked and
parked, what went wrong and when.
"""

from __future__ import annotations

from collections import Counter, defaultdict
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
    """A whole text that reached a phone; `kind` "? text" where nobody should have got it."""

    person: Person
    text: str
    kind: str
    at_s: float


class Trouble(NamedTuple):
    """A fault, from when to when it can be felt."""

    what: str
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
        self.mark_s: dict[bytes, float] = {}
        """and when it was marked as answered;"""
        self.marked_s: defaultdict[str, list[float]] = defaultdict(list)
        """all marks of a person's messages."""
        self.attempted_s: dict[int, float] = {}
        """When a message was last handed to a gateway, and first:"""
        self.first_attempt_s: dict[int, float] = {}
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

    def troubled(self, from_s: float, to_s: float) -> bool:
        return any(each.from_s <= to_s and from_s <= each.to_s for each in self.troubles)

    def text(self) -> str:
        return "\n".join(f"{at_s:10.4f}  {line}" for at_s, line in self.lines)
