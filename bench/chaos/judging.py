"""Whether every message was answered, once, in its order and with what is true of its sender: what the SMSC
saw, held against the faults that there were.

An answer too many is within the bound only where the gateway could not know that the one before it had been
accepted:

- the submit_sm_resp was not written, or late, or shortly before its connection ended (one extra for each
  such answer);
- the process that sent one of the two was killed or stopped at that time, or the store was in trouble, so
  that what was accepted could not be noted (one extra for each message and fault).

Invariant: nothing here asks the gateway. Called by `smsc` and `phones`, which note, and by `run`.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any, Final

from bench.chaos.people import Meaning, Step, Subscriber

BEFORE_S: Final = 3.0
"""What was accepted so shortly before a fault may not have been noted yet."""
AFTER_S: Final = 10.0
"""And so long after it: leases end, connections are made again."""


@dataclass(eq=False)
class Event:
    """One fault. `excuses`: whose loss of memory it is: the `store`'s, that of the gateway of this name, or
    nobody's.
    """

    name: str
    excuses: str
    from_s: float
    to_s: float = inf
    under_way: int = 0

    def lasts(self, at_s: float) -> bool:
        return self.from_s <= at_s <= self.to_s

    def covers(self, at_s: float) -> bool:
        return self.from_s - BEFORE_S <= at_s <= self.to_s + AFTER_S


@dataclass(eq=False)
class Answer:
    """All parts of one text, accepted. `unknown` once the gateway may not have heard of it."""

    at_s: float
    gateway: str
    unknown: bool = False


@dataclass(eq=False)
class Question:
    """One message of a subscriber. `acknowledged_s`: all its deliver_sm have their ESME_ROK."""

    who: Subscriber
    step: Step
    asked_s: float
    acknowledged_s: float | None = None
    refused: int = 0
    again: list[float] = field(default_factory=list)  # when a deliver_sm was sent once more
    answers: list[Answer] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def __str__(self) -> str:
        acknowledged = "" if self.acknowledged_s is None else f", acknowledged at {self.acknowledged_s:.1f} s"
        again = "".join(f", again at {at_s:.1f}" for at_s in self.again[:5])
        return (
            f"{self.who.msisdn}, {self.who.carrier}, {self.step.expects}, asked at {self.asked_s:.1f} s"
            f"{again}{acknowledged}, refused {self.refused} times"
        )

    @property
    def done_s(self) -> float:
        if self.acknowledged_s is None or not self.answers:
            return inf
        return max(self.acknowledged_s, self.answers[0].at_s)


class Ledger:
    """All that was asked, and what became of it. Times are monotonic."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.wrong: list[str] = []
        """Texts that nobody should have been sent: another's cities, an answer to nothing, a refusal."""
        self._of: defaultdict[str, list[Question]] = defaultdict(list)
        self._meaning = Meaning()

    def asked(self, who: Subscriber, step: Step, now_s: float) -> Question:
        question = Question(who, step, now_s)
        self.questions.append(question)
        self._of[who.msisdn].append(question)
        return question

    def heard(self, number: str, text: str, answer: Answer) -> None:
        """A phone was sent a whole text."""
        kind, cities = self._meaning.of(text)
        for question in self._of[number]:
            if question.step.expects == kind and cities == (() if kind == "prompt" else question.who.cities):
                question.answers.append(answer)
                question.answered.set()
                return
        self.wrong.append(f"{number}: {text!r} at {answer.at_s:.1f} s from gateway {answer.gateway}")

    def open(self) -> list[Question]:
        """Asked, and not acknowledged and answered yet."""
        return [question for question in self.questions if question.done_s == inf]

    def out_of_order(self) -> int:
        """Messages whose first answer came before that of an earlier message of the same subscriber."""
        count = 0
        for questions in self._of.values():
            firsts = [question.answers[0].at_s for question in questions if question.answers]
            count += sum(later < earlier for earlier, later in pairwise(firsts))
        return count

    def verdict(self, events: Sequence[Event], dead: Collection[str]) -> dict[str, Any]:
        """Totals, and a row for each kind of fault. `dead`: whose messages the operator sees as dead."""
        extras: Counter[str] = Counter()
        unexplained: list[str] = []
        counts: Counter[str] = Counter()
        open_: list[str] = []
        for question in self.questions:
            fate = _fate(question, question.who.msisdn in dead)
            counts[fate] += 1
            if not question.answers:
                open_.append(f"{fate}: {question}")
            causes, beyond = _causes(question, events)
            extras.update(causes)
            unexplained += beyond
        return {
            "subscribers": len(self._of),
            "messages": len(self.questions),
            **{fate: counts[fate] for fate in FATES},
            "answers_too_many": extras.total() + len(unexplained),
            "beyond_the_bound": len(unexplained),
            "beyond": unexplained[:20],
            "unanswered": open_[:20],
            "wrong_answers": len(self.wrong),
            "wrong": self.wrong[:20],
            "out_of_order": self.out_of_order(),
            "refused": sum(question.refused for question in self.questions),
            "sent_again": sum(len(question.again) for question in self.questions),
            "sent_again_answered": sum(map(_again_answered, self.questions)),
            "faults": self._rows(events, extras),
        }

    def _rows(self, events: Sequence[Event], extras: Mapping[str, int]) -> list[dict[str, Any]]:
        answered = sorted(answer.at_s for question in self.questions for answer in question.answers)

        def waited_s(question: Question) -> float:
            return question.answers[0].at_s - question.asked_s if question.answers else 0.0

        rows = []
        for name in dict.fromkeys(event.name for event in events):
            these = [event for event in events if event.name == name]
            met = [question for question in self.questions if any(_meets(question, each) for each in these)]
            rows.append(
                {
                    "fault": name,
                    "times": len(these),
                    "under_way": sum(event.under_way for event in these),
                    "met": len(met),
                    "answered": sum(bool(question.answers) for question in met),
                    "too_many": extras.get(name, 0),
                    "sent_again": sum(
                        any(each.from_s <= at_s <= each.to_s + AFTER_S for each in these)
                        for question in met
                        for at_s in question.again
                    ),
                    "longest_silence_s": round(max(_silence_s(answered, each) for each in these), 1),
                    "longest_wait_s": round(max(map(waited_s, met), default=0.0), 1),
                }
            )
        return rows


FATES: Final = ("answered_once", "answered_again", "dead", "missing", "kept_by_the_smsc")


def _fate(question: Question, dead: bool) -> str:
    if question.answers:
        return "answered_once" if len(question.answers) == 1 else "answered_again"
    if question.acknowledged_s is None:
        return "kept_by_the_smsc"
    return "dead" if dead else "missing"


def _causes(question: Question, events: Sequence[Event]) -> tuple[list[str], list[str]]:
    """What each answer too many of a message is put down to; and those that nothing explains."""
    causes, beyond, used = [], [], set[Event]()
    for earlier, extra in pairwise(question.answers):
        at_that_time = [event for event in events if event.covers(earlier.at_s)]
        if earlier.unknown:
            likeliest = sorted(at_that_time, key=lambda event: (not event.lasts(earlier.at_s), event.excuses))
            causes.append(likeliest[0].name if likeliest else UNKNOWN)
            continue
        excuse = next(
            (
                event
                for event in at_that_time
                if event.excuses in {"store", earlier.gateway, extra.gateway} and event not in used
            ),
            None,
        )
        if excuse is not None:
            used.add(excuse)
            causes.append(excuse.name)
        else:
            beyond.append(
                f"{question}: "
                f"answered at {earlier.at_s:.1f} s by gateway {earlier.gateway}, "
                f"again at {extra.at_s:.1f} s by gateway {extra.gateway}"
            )
    return causes, beyond


UNKNOWN: Final = "a response that may not have been read"


def _meets(question: Question, event: Event) -> bool:
    """Whether it was under way while the fault lasted."""
    return question.asked_s <= event.to_s and question.done_s >= event.from_s


def _again_answered(question: Question) -> int:
    """How often it was delivered once more after its answer had been accepted: to be recognised."""
    return sum(at_s > question.answers[0].at_s for at_s in question.again if question.answers)


def _silence_s(answered: Sequence[float], event: Event) -> float:
    """The longest time without an answer to anybody, while the fault lasted."""
    within = [at_s for at_s in answered if event.from_s <= at_s <= event.to_s + AFTER_S]
    return max((b - a for a, b in pairwise([event.from_s, *within])), default=0.0)
