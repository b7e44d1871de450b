"""The checks of the simulation, where they have to be exact: what is wrong, and what only looks so."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.dialog.replies import Kind
from gateway.redis.keys import park_key, tag_of
from gateway.simulator.messages import Message, State
from sim import checks, plan
from sim.history import Answer, Asked
from sim.run import Run
from sim.setting import REDIS_PORT, SMSC_PORT

LATIN, CHINESE = "You were in", "您到过"
TTL_S = 6.0


class Story:
    """One person's questions and answers in a run in which nothing else happens."""

    def __init__(self) -> None:
        self.run = run = Run("4", [])  # a seed with people of the plain dialog
        run.config = replace(run.config, park=run.config.park.model_copy(update={"answer_ttl_s": TTL_S}))
        self._person = next(each for each in self.run.people if each.carrier == "plain")

    def asked(self, text: str, at_s: float, *, acknowledged_s: float | None, parts: int = 1) -> Message:
        history, person = self.run.history, self._person
        state: State = "queued" if acknowledged_s is None else "acknowledged"
        name = f"mo-{len(history.questions)}"
        message = Message(name, "mo", person.number, person.service, text, at_s, state, parts, attempts=parts)
        history.asked(Asked(person, message, at_s, text))
        history.attempts_s[id(message)] = [at_s]
        if acknowledged_s is not None:
            history.acknowledged_s[id(message)] = acknowledged_s
        return message

    def answered(self, text: str, at_s: float) -> None:
        self.run.history.answered(Answer(self._person, text, Kind.ANSWER, at_s, self.smsc))

    @property
    def smsc(self) -> int:
        """The one that he texts by."""
        return self.run.smsc_of[self._person.number]

    def fault(self, kind: str, at_s: float, **detail: Any) -> None:
        """It happens then, as in a run."""
        self.run.world.now_s = at_s
        plan.FAULTS[kind].do(self.run, detail)

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
    story.run.history.attempts_s[id(long)].append(1.9999)
    story.asked("CXMYD", 2.0, acknowledged_s=3.1)
    story.answered(CHINESE, 3.0)
    story.answered(LATIN, 4.0)
    assert not story.wrong("was answered before")


@pytest.mark.parametrize(("begun_s", "wrong"), [(0.9, 0), (1.1, 1), (30.9, 1), (31.0, 0)])
def test_a_message_is_answered_once_while_its_mark_lasts(story: Story, begun_s: float, wrong: int) -> None:
    """Whose turn began before the mark was made, or after it had ended, could not know of it."""
    run = story.run
    key = b"m:{%d}:digest" % run.people[0].who.partition
    for at_s in (1.0, 32.0):
        run.world.now_s = at_s
        run.server.store.run([b"SET", key, b"1", b"PX", b"30000"])
        run.history.begun_s[key] = begun_s
    assert len(run.world.faults) == wrong


@pytest.mark.parametrize(("stream", "wrong"), [(b"q", 0), (b"x", 0), (None, 1)])
def test_what_is_marked_and_not_answered_is_recorded(story: Story, stream: bytes | None, wrong: int) -> None:
    """Parked or dead, before it is marked."""
    run, who = story.run, story.run.people[0].who
    if stream is not None:
        key = park_key(stream, run.config.smsc[0].name, 0)
        run.server.store.run([b"XADD", key, b"*", b"s", tag_of(who).encode()])
    run.server.store.run([b"SET", b"m:{%d}:digest" % who.partition, b"0", b"PX", b"30000"])
    assert len(run.world.faults) == wrong


@pytest.mark.parametrize(("copies", "unasked"), [(1, 1), (2, 0)])
def test_a_message_is_malformed_if_no_copy_of_it_came_whole(story: Story, copies: int, unasked: int) -> None:
    """One copy is damaged and refused, and the SMSC gives the message up: the other may be answered."""
    message = story.asked("CXMYD", 1.0, acknowledged_s=None)
    message.state, message.attempts = "refused", copies
    story.run.history.refusals[id(message)] = 1
    story.answered(CHINESE, 2.0)
    assert len(story.wrong("had not asked")) == unasked


def test_what_is_sent_after_its_time_to_live_is_too_old(story: Story) -> None:
    """By more than the network takes both ways."""
    story.asked("CXMYD", 1.0, acknowledged_s=2.0)
    story.answered(CHINESE, 1.0 + TTL_S + 2 * story.run.network.shape.most_s)
    assert not story.wrong("after it came")
    story.asked("CXMYD EN", 1.0, acknowledged_s=2.0)
    story.answered(LATIN, 1.1 + TTL_S + 2 * story.run.network.shape.most_s)
    assert len(story.wrong("answered 6.1 s after it came")) == 1


#: From 1.5 to 3.5 s, while the question is with the gateway.
_MEANWHILE = [
    ("store.away", {"seconds": 2.0}),
    ("store.busy", {"seconds": 2.0}),
    ("gateway.pause", {"seconds": 2.0}),
    ("smsc.mute", {"seconds": 2.0}),
    ("smsc.stall_reading", {"seconds": 2.0}),
    ("smsc.stall_responses", {"seconds": 2.0}),
    ("smsc.refuse_submit", {"count": 2, "status": 8}),
    ("smsc.late_response", {"count": 2, "seconds": 2.0}),
    ("gateway.kill", {"after_steps": 1, "back_after_s": 2.0}),
]


@pytest.mark.parametrize(("kind", "detail"), _MEANWHILE, ids=[kind for kind, _ in _MEANWHILE])
def test_what_goes_wrong_meanwhile_makes_nothing_older(
    story: Story, kind: str, detail: dict[str, Any]
) -> None:
    """Whatever it takes of the time to live: the gateway knows how much is left."""
    story.asked("CXMYD", 1.0, acknowledged_s=2.0)
    story.fault(kind, 1.5, which=story.smsc, **detail)
    story.answered(CHINESE, 1.5 + TTL_S)
    assert len(story.wrong("after it came")) == 1


@pytest.mark.parametrize(
    ("kind", "at_s", "excused"),
    [
        ("smsc.mute", 0.5, True),  # the SMSC has not written the question before 2.5
        ("smsc.mute", 7.0, True),  # nor read the answer before 9.0
        ("smsc.stall_reading", 0.5, False),
        ("smsc.stall_reading", 7.0, True),
        ("smsc.stall_responses", 7.0, False),
        ("gateway.pause", 0.5, True),
        ("gateway.pause", 7.0, False),
    ],
)
def test_what_is_held_up_on_its_way_is_not_too_old(
    story: Story, kind: str, at_s: float, excused: bool
) -> None:
    """Two seconds more, on the way to the gateway or from it; and what holds up neither is no excuse."""
    until_s = at_s + 2.0
    story.asked("CXMYD", 1.0, acknowledged_s=2.0)
    story.fault(kind, at_s, which=story.smsc, seconds=2.0)
    story.answered(CHINESE, max(until_s, 2.0 + TTL_S))
    assert bool(story.wrong("after it came")) is not excused


def test_another_smsc_holds_nothing_up(story: Story) -> None:
    """Only what passes it."""
    story.asked("CXMYD", 1.0, acknowledged_s=2.0)
    story.fault("smsc.mute", 7.0, which=story.smsc + 1, seconds=2.0)
    story.answered(CHINESE, 9.0)
    assert len(story.wrong("after it came")) == 1


def test_a_connection_that_is_held_up_holds_what_passes_it(story: Story) -> None:
    """That of the SMSC, and not that of the store."""
    run = story.run
    run.world.run(5.0)  # the gateways have bound
    story.asked("CXMYD", 6.0, acknowledged_s=7.0)
    connections = list(run.network.open)
    of_smsc = [each for each in connections if each.port == SMSC_PORT + story.smsc]
    which = [each for each in connections if each.port != REDIS_PORT].index(of_smsc[0])
    story.fault("net.hold", 12.0, of="store", which=0, seconds=2.0)
    story.answered(CHINESE, 14.0)
    assert len(story.wrong("after it came")) == 1
    story.fault("net.hold", 12.0, of="smsc", which=which, seconds=2.0)
    assert not story.wrong("after it came")


@pytest.mark.parametrize(("offset_s", "wrong"), [(1.0, 1), (-3600.0, 0)])
def test_clocks_that_differ_excuse_what_they_differ_by(story: Story, offset_s: float, wrong: int) -> None:
    """From the time on when one was set."""
    story.asked("CXMYD", 1.0, acknowledged_s=2.0)
    story.fault("gateway.clock", 3.0, which=0, offset_s=offset_s)
    story.answered(CHINESE, 3.0 + TTL_S)
    assert len(story.wrong("after it came")) == wrong


def test_an_answer_is_to_the_latest_question_that_it_fits(story: Story) -> None:
    """Of two that may be answered alike, as far as the second had been handed over."""
    story.asked("CXMYD", 1.0, acknowledged_s=2.0)
    second = story.asked("CXMYD   ", 5.0, acknowledged_s=None)
    story.answered(CHINESE, 9.0)
    assert not story.wrong("after it came")
    story.run.history.attempts_s[id(second)] = [9.5]
    assert len(story.wrong("after it came")) == 1


def test_without_the_smscs_ids_an_equal_text_is_the_one_before(story: Story) -> None:
    """The form of damage that takes the id away; without it, a message is missing."""
    story.asked("CXMYD", 2.0, acknowledged_s=2.1)
    story.answered(CHINESE, 2.05)
    story.asked("CXMYD", 3.0, acknowledged_s=3.1)
    assert story.wrong("never answered")
    story.run.faults.append(
        plan.Fault(1.0, "smsc.damage_deliver", {"which": 0, "count": 3, "form": "padding"})
    )
    assert not story.wrong("never answered")
    story.asked("CXMYD EN", 4.0, acknowledged_s=4.1)
    assert story.wrong("never answered")


def test_the_id_may_be_lost_to_a_later_copy(story: Story) -> None:
    """Of two equal texts that were refused at first, and damaged when they came again."""
    story.asked("CXMYD", 2.0, acknowledged_s=9.1)
    second = story.asked("CXMYD", 3.0, acknowledged_s=9.2)
    story.answered(CHINESE, 9.0)
    story.run.faults.append(
        plan.Fault(5.0, "smsc.damage_deliver", {"which": 0, "count": 3, "form": "padding"})
    )
    assert story.wrong("never answered")
    story.run.history.attempts_s[id(second)].append(9.0)
    assert not story.wrong("never answered")


def test_an_answer_is_for_whoever_needs_one(story: Story) -> None:
    """Not for an equal text that counts as a redelivery, if another that may be answered alike has none."""
    story.run.faults.append(
        plan.Fault(0.5, "smsc.damage_deliver", {"which": 0, "count": 3, "form": "padding"})
    )
    for text, at_s in (("CXMYD", 1.0), ("CXMYD", 2.0), ("CXMYD   ", 3.0)):
        story.asked(text, at_s, acknowledged_s=at_s + 2)
    story.answered(CHINESE, 1.5)
    story.answered(CHINESE, 3.5)
    assert not story.wrong("never answered")
    story.asked("CXMYD    ", 4.0, acknowledged_s=6.0)
    assert story.wrong("never answered")
