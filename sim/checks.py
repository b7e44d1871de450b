"""The sentences of docs/promise.md, each judged by itself on what was seen from outside: at the phones, at
the SMSC, and in the store.

Which answer belongs to which question is told by the order of a person's texts and by what each may be
answered with.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice, pairwise
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from gateway.dialog.replies import Kind
from gateway.redis.keys import tag_of
from gateway.simulator.messages import Message
from sim.history import Answer, Asked

if TYPE_CHECKING:
    from sim.run import Run

#: Between an answer that the SMSC has accepted and its mark in the store, where nothing is wrong: two
#: latencies, and a response that the SMSC takes its time for.
MARKED_WITHIN_S = 2.0
#: How long an answer may be under way: its response timeout and what goes before.
UNDER_WAY_S = 8.0
#: Clocks are read, and times kept, a little beside the simulated time.
ROUNDING_S = 0.01
#: How many ways to read one person's answers are looked at, before their order counts as wrong.
READINGS = 5000
#: When each question was first answered, None: not at all.
Firsts = tuple[float | None, ...]


class Tally(NamedTuple):
    """What a run was worth."""

    questions: int
    answered: int
    extra: int
    dead: int
    refused: int
    faults: int
    simulated_s: float


class Case(NamedTuple):
    """A question, and its answers."""

    asked: Asked
    answers: list[Answer]


def kept(run: Run, message: Message) -> list[str]:
    """Asked at each ESME_ROK for a message: it is answered or parked, and a crash loses nothing."""
    person = run.phones[message.number].person
    acknowledged = sum(
        each.person is person and id(each.message) in run.history.acknowledged_s
        for each in run.history.questions
    )
    answered = sum(
        bool(case.answers) for case in _cases(run, person.number) if case.asked.message.state != "refused"
    )
    tag = tag_of(person.who).encode()
    parked = (run.parked(b"q") + run.parked(b"x")).count(tag)
    taken_for_another = sum(
        _taken_for_an_earlier(run, each) for each in run.history.questions if each.person is person
    )
    if acknowledged > answered + parked + taken_for_another:
        return [f"{message.id} of {message.number} was acknowledged, and neither answered nor parked"]
    return []


def judge(run: Run) -> list[str]:
    """Once it is over."""
    wrong = [*_never_another(run), *_quiet(run), *_dead_for_a_reason(run)]
    for number in run.phones:
        cases = list(_cases(run, number))
        wrong += _answered(run, number, cases)
        wrong += _not_twice(run, cases)
        wrong += _in_order(run, cases)
        wrong += _in_time(run, number, cases)
        wrong += _understood(run, cases)
    return wrong


def tally(run: Run) -> Tally:
    cases = [case for number in run.phones for case in _cases(run, number)]
    states = Counter(asked.message.state for asked in run.history.questions)
    return Tally(
        len(run.history.questions),
        sum(bool(case.answers) for case in cases),
        sum(max(0, len(case.answers) - 1) for case in cases),
        len(run.parked(b"x")),
        states["refused"],
        len(run.faults),
        run.world.now_s,
    )


def _never_another(run: Run) -> Iterator[str]:
    """Nobody ever receives what is another's, nor words that are no answer to him."""
    cases = [case for number in run.phones for case in _cases(run, number)]
    taken = Counter(id(answer) for case in cases for answer in case.answers)
    for answer in run.history.answers:
        if answer.kind.startswith("?"):
            yield f"{answer.person.number} was told at {answer.at_s:.3f} what is not his: {answer.kind[2:]}"
        elif not taken[id(answer)]:
            yield f"{answer.person.number} was told at {answer.at_s:.3f} what he had not asked: {answer.kind}"


def _quiet(run: Run) -> Iterator[str]:
    """Everything is over, and soon after everything healed."""
    for asked in run.history.questions:
        if asked.message.state == "queued":
            yield f"{asked.message.id} is still with the SMSC ({asked.message.status})"
    waiting = run.parked(b"q")
    if waiting:
        yield f"{len(waiting)} messages are still parked"
    for gateway in run.gateways:
        if not gateway.settled:
            yield f"{gateway.name} is not at rest: {_unrest(gateway)}"


def _unrest(gateway: object) -> str:
    parts = getattr(gateway, "parts", None)
    if parts is None:
        return "it has not started"
    links = ", ".join(f"{link.name} ready {link.ready}" for link in parts.links)
    return f"in flight {parts.receiving.in_flight}, store up {parts.calls.up}, {links}"


def _answered(run: Run, number: str, cases: list[Case]) -> Iterator[str]:
    """Every accepted question is answered, or dead or expired and recorded as such."""
    tag = tag_of(run.phones[number].person.who).encode()
    recorded = run.parked(b"x").count(tag)
    for case in cases:
        if case.answers or case.asked.message.state != "acknowledged":
            continue
        if _taken_for_an_earlier(run, case.asked):
            continue
        if recorded:
            recorded -= 1
        else:
            yield f"{case.asked.message.id} of {number} was acknowledged and never answered"


#: What a message may die of: its time, tries that were its own fault, or a refusal for good that was ordered.
_MAY_DIE_OF = {"expired", "no_response", "ESME_RSYSERR", "ESME_RSUBMITFAIL", "ESME_RX_T_APPN"}
_PASSING = {"ESME_RTHROTTLED", "ESME_RMSGQFUL"}


def _dead_for_a_reason(run: Run) -> Iterator[str]:
    """A message dies of its time, of five tries, or of the SMSC's refusal for good; never of a busy SMSC, a
    store or a link that is away.
    """
    for_good = any(fault.kind == "smsc.refuse_for_good" for fault in run.faults)
    for fields in run.dead():
        reason = fields[b"r"].decode()
        refusal = reason.startswith(("ESME_", "0x")) and reason not in _PASSING
        if reason not in _MAY_DIE_OF and not (for_good and refusal):
            yield f"a message died of {reason}"


def _not_twice(run: Run, cases: list[Case]) -> Iterator[str]:
    """Once; but once more where it cannot be known whether an answer had left. Which of several questions
    that may be answered alike an answer is for nobody can tell, so they are judged together: each that was
    answered with nothing wrong is over, and no answer comes when all are.
    """
    history = run.history
    alike: defaultdict[tuple[frozenset[str], bool], list[Case]] = defaultdict(list)
    for case in cases:
        english = case.asked.person.carrier == "plain" and "EN" in case.asked.text
        alike[frozenset(_may_be(case.asked)), english].append(case)
    for group in alike.values():
        over: list[Answer] = []
        answered = ((answer, case) for case in group for answer in case.answers)
        for answer, case in sorted(answered, key=lambda each: each[0].at_s):
            if len(over) >= sum(each.asked.at_s <= answer.at_s for each in group):
                times = f"{over[-1].at_s:.3f} and again at {answer.at_s:.3f}"
                yield f"{_named(case)}: answered at {times}, with nothing wrong"
            if history.troubled(answer.at_s - 1, answer.at_s + UNDER_WAY_S):
                continue
            over.append(answer)
            marks = (at_s for at_s in history.marked_s[case.asked.person.number] if at_s >= answer.at_s)
            if next(marks, inf) > answer.at_s + MARKED_WITHIN_S:
                yield f"{_named(case)}: answered at {answer.at_s:.3f} and not marked, with nothing wrong"


def _in_order(run: Run, cases: list[Case]) -> Iterator[str]:
    """What was acknowledged before the next was handed over is answered before it, and what was only handed
    over before it too, where nothing was wrong and both came at once. Where several questions may be answered
    alike nobody can tell which an answer is for, nor which was answered twice: then it is wrong only if it is
    so in every reading. Equal texts are left out, and everything once one of his questions has died.
    """
    if cases and tag_of(cases[0].asked.person.who).encode() in run.parked(b"x"):
        return
    wrong = list(_overtaken(run, cases, tuple(_first_s(case) for case in cases)))
    if not wrong:
        return
    answers = sorted((answer for case in cases for answer in case.answers), key=lambda answer: answer.at_s)
    for firsts in islice(_readings(run, cases, answers, (None,) * len(cases)), READINGS):
        if not any(_overtaken(run, cases, firsts)):
            return
    yield from wrong


def _first_s(case: Case) -> float | None:
    return case.answers[0].at_s if case.answers else None


def _readings(run: Run, cases: list[Case], answers: list[Answer], firsts: Firsts) -> Iterator[Firsts]:
    """Every way to tell which question an answer is for: each is the first of a question that was handed over
    before it, or a further one of a question that has its first. Who was acknowledged has one.
    """
    if not answers:
        have_one = zip(cases, firsts, strict=True)
        if all(first is not None or case.asked.message.state != "acknowledged" for case, first in have_one):
            yield firsts
        return
    answer, *others = answers
    attempts_s = run.history.attempts_s
    fitting = [
        index
        for index, case in enumerate(cases)
        if min(attempts_s[id(case.asked.message)], default=inf) <= answer.at_s and _fits(answer, case.asked)
    ]
    for index in fitting:
        if firsts[index] is None:
            told = (*firsts[:index], answer.at_s, *firsts[index + 1 :])
            yield from _readings(run, cases, others, told)
    if any(firsts[index] is not None for index in fitting):
        yield from _readings(run, cases, others, firsts)


def _overtaken(run: Run, cases: list[Case], firsts: Firsts) -> Iterator[str]:
    history = run.history
    times = Counter(case.asked.text for case in cases)
    told = [each for each in zip(cases, firsts, strict=True) if times[each[0].asked.text] == 1]
    for (one, one_s), (two, two_s) in pairwise(told):
        if one_s is None or two_s is None or one_s < two_s:
            continue
        earlier, later = one.asked.message, two.asked.message
        handed_over_s = history.attempts_s[id(later)][0]
        ahead_s = handed_over_s - history.attempts_s[id(earlier)][-1]  # since its last part
        at_once = all(message.attempts == message.parts for message in (earlier, later))
        calm = not history.troubled(history.attempts_s[id(earlier)][0], one_s)
        if history.acknowledged_s.get(id(earlier), inf) < handed_over_s:
            yield f"{_named(two)} was answered before {_named(one)}"
        elif at_once and calm and ahead_s > 4 * run.network.shape.most_s:
            yield f"{_named(two)} was answered before {_named(one)}, with nothing wrong"


def _understood(run: Run, cases: list[Case]) -> Iterator[str]:
    """Whoever replies to a prompt is understood: the dialog is the subscriber's, in any process."""
    for case in cases:
        for answer in case.answers:
            replied = not case.asked.text.startswith("CXMYD")
            if replied and answer.kind not in _TO_A_REPLY and not run.history.troubled(0.0, answer.at_s):
                yield f"{_named(case)} was answered by {answer.kind}, with nothing wrong"


def _in_time(run: Run, number: str, cases: list[Case]) -> Iterator[str]:
    """Nothing is sent after its time to live, which counts from when a gateway has the question to when the
    answer leaves one. What holds either up on its way, and clocks that differ, are allowed for by as much as
    they can have done. The question is the latest of those that the answer fits.
    """
    history, most_s = run.history, run.network.shape.most_s
    ttl_s = run.config.park.answer_ttl_s + ROUNDING_S
    for answer in (answer for case in cases for answer in case.answers):
        handed_over = (
            (at_s, case)
            for case in cases
            if _fits(answer, case.asked)
            for at_s in history.attempts_s[id(case.asked.message)]
            if at_s <= answer.at_s
        )
        at_s, case = max(handed_over, key=itemgetter(0), default=(inf, cases[-1]))
        if at_s == inf:
            yield f"{_named(case)}: answered at {answer.at_s:.3f}, before it was handed over"
            continue
        came_s = history.came_s(run.smsc_of[number], at_s, most_s)
        age_s = history.left_s(answer.smsc, answer.at_s, most_s) - came_s
        if age_s > ttl_s + history.clocks_differ_s(at_s, answer.at_s):
            yield f"{_named(case)}: answered {age_s:.1f} s after it came"


_TO_A_REPLY = {Kind.ANSWER, Kind.WRONG_DIGITS}


def _may_be(asked: Asked) -> set[str]:
    """What this question may be answered with."""
    text, carrier = asked.text, asked.person.carrier
    if not text.startswith("CXMYD"):  # the answer to a prompt, which may have lapsed or died meanwhile
        return {
            Kind.ANSWER,
            Kind.WRONG_DIGITS,
            Kind.EXPIRED,
            Kind.ASK_DIGITS_AGAIN,
            Kind.ASK_CONSENT_AGAIN,
            Kind.HELP,
        }
    if carrier == "plain":
        return {Kind.ANSWER}
    if carrier == "china-mobile":
        return {Kind.ASK_DIGITS}
    wanted = Kind.ANSWER if carrier == "china-unicom" else Kind.ASK_CONSENT
    return {Kind.WRONG_DIGITS} if "#9999" in text else {wanted}


def _fits(answer: Answer, asked: Asked) -> bool:
    if asked.person.carrier == "plain" and ("EN" in asked.text) != ("您" not in answer.text):
        return False  # the other dialogs go on in the language in which they were begun
    return answer.kind in _may_be(asked)


def _cases(run: Run, number: str) -> list[Case]:
    """A person's questions with their answers: each goes to the oldest unanswered question that it fits (to
    one that needs none only if no other is left), or else is a further one of the latest that it fits.
    """
    person = run.phones[number].person
    questions = [asked for asked in run.history.questions if asked.person is person]
    cases = [Case(asked, []) for asked in questions if _may_have_come_whole(run, asked.message)]
    for answer in run.history.answers:
        if answer.person is not person:
            continue
        fitting = [case for case in cases if case.asked.at_s <= answer.at_s and _fits(answer, case.asked)]
        unanswered = [case for case in fitting if not case.answers]
        if unanswered:
            min(unanswered, key=lambda case: _needs_none(run, case.asked)).answers.append(answer)
        elif fitting:
            fitting[-1].answers.append(answer)
    return cases


def _needs_none(run: Run, asked: Asked) -> tuple[bool, bool]:
    """A copy of it was refused; or it may count as a redelivery."""
    return asked.message.state == "refused", _taken_for_an_earlier(run, asked)


def _taken_for_an_earlier(run: Run, asked: Asked) -> bool:
    """Whether it may count as a redelivery: equal to one shortly before, and damaged in the way that takes
    the SMSC's own id away, by which they would be told apart.
    """
    earlier = any(
        each.person is asked.person
        and each.text == asked.text
        and 0 < asked.at_s - each.at_s <= run.config.dedup.window_s
        for each in run.history.questions
    )
    last_s = max(run.history.attempts_s[id(asked.message)], default=asked.at_s)
    return earlier and any(
        fault.kind == "smsc.damage_deliver" and fault.detail["form"] == "padding" and fault.at_s <= last_s
        for fault in run.faults
    )


def _may_have_come_whole(run: Run, message: Message) -> bool:
    """Not if it was malformed. But an SMSC that is told so of one copy gives the message up, and a copy that
    came before, or beside it, may have been whole.
    """
    refusals = run.history.refusals[id(message)]
    return message.state != "refused" or message.attempts - refusals >= message.parts


def _named(case: Case) -> str:
    return f"{case.asked.message.id} of {case.asked.person.number} ({case.asked.text.strip()!r})"
