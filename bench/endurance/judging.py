"""Whether every accepted message was answered exactly once: the questions that were asked, and what SMSC and
clients saw of them.

A second answer is excused only where the gateway cannot know what became of the first: no submit_sm_resp was
written, or so late or so shortly before the connection's end that it may not have been read. Called by `load`
and `client`.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from gateway.simulator.events import Event
from gateway.simulator.messages import Message
from gateway.simulator.trace import Trace

_SUBMIT_SM, _SUBMIT_SM_RESP, _GENERIC_NACK = 0x0000_0004, 0x8000_0004, 0x8000_0000
LATE_S: Final = 4.0
"""Of a response: the gateway waits for 5 s (see `load`)."""
READING_S: Final = 1.0
"""What a stalled socket has gathered takes to read."""
UNREAD_S: Final = 2.0
"""A response written so shortly before the connection ended may never have been read."""


@dataclass(eq=False)
class Question:
    """`accepted` None: its sender was never told."""

    number: str
    accepted: bool | None = None
    answers: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Questions:
    """All that was asked; a number asks again only after its answer, or long after."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        """Numbers to whom an answer of unknown outcome was sent."""
        self._all: list[tuple[Question, Message | None]] = []
        self._latest: dict[str, Question] = {}

    def asked(self, number: str, message: Message | None = None) -> Question:
        """`message`: as the simulated SMSC keeps it, which tells what became of it."""
        question = self._latest[number] = Question(number)
        self._all.append((question, message))
        return question

    def answered(self, number: str) -> None:
        question = self._latest.get(number)
        if question is not None:
            question.answers += 1
            question.answered.set()

    def _settle(self) -> None:
        for question, message in self._all:
            if message is not None:
                question.accepted = message.state == "acknowledged"

    def open(self) -> int:
        """Accepted and without an answer."""
        self._settle()
        return sum(bool(question.accepted) and not question.answers for question, _ in self._all)

    def verdict(self) -> dict[str, int]:
        self._settle()
        counts: Counter[str] = Counter(asked=len(self._all))
        for question, _ in self._all:
            if not question.accepted:
                counts["refused" if question.accepted is False else "never_told"] += 1
                continue
            counts["accepted"] += 1
            if question.answers == 1:
                counts["once"] += 1
            elif not question.answers:
                counts["unanswered"] += 1
            else:
                counts["again_after_unknown" if question.number in self.unknown else "twice"] += 1
        names = ("asked", "refused", "never_told", "accepted", "once", "again_after_unknown", "twice")
        return {name: counts[name] for name in (*names, "unanswered")}


class Watch:
    """The events of one simulated SMSC: answers, and those of unknown outcome."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._open: dict[tuple[int, bytes], tuple[float, str]] = {}
        self._written: deque[tuple[float, int, str]] = deque()
        self._stalled_s = self._reads_again_s = -inf

    def __call__(self, event: Event) -> None:
        body: Any = event.body
        if event.kind == "mt_complete":
            self._questions.answered(body.number)
        elif event.kind == "pdu":
            self._pdu(body)
        elif event.kind == "link_down":
            self._ended(body.id, event.at_s)

    def stalled(self, now_s: float, seconds: float) -> None:
        """The SMSC reads nothing for so long: what it reads then may have been sent at any time before."""
        if now_s > self._reads_again_s:
            self._stalled_s = now_s
        self._reads_again_s = now_s + seconds + READING_S

    def close(self) -> None:
        """What is still open was never answered."""
        self._questions.unknown |= {number for _, number in self._open.values()}

    def _pdu(self, trace: Trace) -> None:
        command = int.from_bytes(trace.frame[4:8], "big")
        key = trace.link, trace.frame[12:16]
        if trace.direction == "in" and command == _SUBMIT_SM:
            sent_s = self._stalled_s if trace.at_s < self._reads_again_s else trace.at_s
            self._open[key] = sent_s, trace.parties.number or ""
        elif trace.direction == "out" and command in (_SUBMIT_SM_RESP, _GENERIC_NACK):
            asked_s, number = self._open.pop(key, (trace.at_s, ""))
            if trace.at_s - asked_s > LATE_S:
                self._questions.unknown.add(number)
            self._written.append((trace.at_s, trace.link, number))
            while self._written[0][0] < trace.at_s - UNREAD_S:
                self._written.popleft()

    def _ended(self, link: int, at_s: float) -> None:
        for key in [key for key in self._open if key[0] == link]:
            self._questions.unknown.add(self._open.pop(key)[1])
        for written_s, where, number in self._written:
            if where == link and written_s > at_s - UNREAD_S:
                self._questions.unknown.add(number)
