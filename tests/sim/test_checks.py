"""The checks of the simulation, where they have to be exact: what is wrong, and what only looks so."""

from collections.abc import Iterator

import pytest

from gateway.dialog.replies import Kind
from gateway.simulator.messages import Message, State
from sim import checks
from sim.history import Answer, Asked
from sim.run import Run

LATIN, CHINESE = "You were in", "您到过"


class Story:
    """One person's questions and answers in a run in which nothing else happens."""

    def __init__(self) -> None:
        self.run = Run("4", [])  # a seed with people of the plain dialog
        self._person = next(each for each in self.run.people if each.carrier == "plain")

    def asked(self, text: str, at_s: float, *, acknowledged_s: float | None, parts: int = 1) -> Message:
        history, person = self.run.history, self._person
        state: State = "queued" if acknowledged_s is None else "acknowledged"
        name = f"mo-{len(history.questions)}"
        message = Message(name, "mo", person.number, person.service, text, at_s, state, parts, attempts=parts)
        history.asked(Asked(person, message, at_s, text))
        history.first_attempt_s[id(message)] = history.attempted_s[id(message)] = at_s
        if acknowledged_s is not None:
            history.acknowledged_s[id(message)] = acknowledged_s
        return message

    def answered(self, text: str, at_s: float) -> None:
        self.run.history.answered(Answer(self._person, text, Kind.ANSWER, at_s))

    def wrong(self, what: str) -> list[str]:
        return [line for line in checks.judge(self.run) if what in line]


@pytest.fixture
def story() -> Iterator[Story]:
    story = Story()
    yield story
    for gateway in story.run.gateways:
        gateway.process.kill()


def test_of_two_questions_that_are_answered_alike_any_may_have_been_answered_first(story: Story) -> None:
    """The first was refused for a while, and the second answered meanwhile: no order is broken."""
    story.asked("CXMYD EN", 1.0, acknowledged_s=9.1).attempts = 2
    story.asked("CXMYD EN   ", 2.0, acknowledged_s=3.1)
    story.asked("CXMYD", 4.0, acknowledged_s=5.1)
    for text, at_s in ((LATIN, 3.0), (CHINESE, 5.0), (LATIN, 9.0)):
        story.answered(text, at_s)
    assert not story.wrong("was answered before")


def test_what_is_wrong_in_every_reading_is_wrong(story: Story) -> None:
    """Both were acknowledged before the third was handed over, and answered after it."""
    story.asked("CXMYD EN", 1.0, acknowledged_s=1.1)
    story.asked("CXMYD EN   ", 2.0, acknowledged_s=3.1)
    story.asked("CXMYD", 4.0, acknowledged_s=5.1)
    for text, at_s in ((CHINESE, 5.0), (LATIN, 8.0), (LATIN, 9.0)):
        story.answered(text, at_s)
    assert len(story.wrong("was answered before")) == 1


def test_a_second_answer_to_one_is_not_the_first_to_another(story: Story) -> None:
    """The first question was answered again, and the others in their order."""
    story.asked("CXMYD EN", 1.0, acknowledged_s=2.1)
    story.asked("CXMYD", 1.2, acknowledged_s=2.2)
    story.asked("CXMYD EN   ", 4.0, acknowledged_s=4.1)
    for text, at_s in ((LATIN, 1.1), (LATIN, 6.0), (CHINESE, 7.0), (LATIN, 8.0)):
        story.answered(text, at_s)
    assert not story.wrong("was answered before")


def test_a_long_message_has_come_with_its_last_part(story: Story) -> None:
    """What comes within the network's pace of the last part has not come after it."""
    long = story.asked("CXMYD EN   ", 1.0, acknowledged_s=4.1, parts=2)
    story.run.history.attempted_s[id(long)] = 1.9999
    story.asked("CXMYD", 2.0, acknowledged_s=3.1)
    story.answered(CHINESE, 3.0)
    story.answered(LATIN, 4.0)
    assert not story.wrong("was answered before")


@pytest.mark.parametrize(("copies", "unasked"), [(1, 1), (2, 0)])
def test_a_message_is_malformed_if_no_copy_of_it_came_whole(story: Story, copies: int, unasked: int) -> None:
    """One copy is damaged and refused, and the SMSC gives the message up: the other may be answered."""
    message = story.asked("CXMYD", 1.0, acknowledged_s=None)
    message.state, message.attempts = "refused", copies
    story.run.history.refusals[id(message)] = 1
    story.answered(CHINESE, 2.0)
    assert len(story.wrong("had not asked")) == unasked
