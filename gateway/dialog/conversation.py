"""One step of a dialog: from a message and where the subscriber stood, what he is told and where he stands.

Theory of operation. A carrier's dialog is one table for all of them, from the stage (what was last asked
for) and what was typed to an action; what differs between carriers is only what the bare keyword leads to
and what right digits lead to. Stages lapse by the clock: a prompt that is too old reads as EXPIRED, a
subscriber with too many wrong digits as LOCKED. Around the table stand the rules for everybody: who is
never answered, the loop guard, the limits.

Pure: no clock, no I/O. Invariants: every stage meets every kind of text; a message by rule not answered has
a reason; a number that is not known takes exactly the way of wrong digits. Called by the pipeline once for
each message that is no redelivery; the caller keeps `Decision.state`, unless it equals the one given.
"""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from enum import Enum, StrEnum
from typing import Literal, NamedTuple

from gateway.dialog.carrier import Carrier, Language
from gateway.dialog.grammar import Consent, Digits, Intent, Query
from gateway.dialog.localday import LocalDay, local_day
from gateway.dialog.replies import Kind, Reply
from gateway.dialog.state import UNTIL_UNLOCKED_S, Stage, State, on_day


class Silence(StrEnum):
    """Why a message is by rule not answered."""

    NOT_REPLYABLE = "not-replyable"  # alphanumeric, a short code, one of our own numbers
    BLOCKED = "blocked"
    LOOP = "loop"  # too many answers to this number in a short time: a machine answers us
    TOO_SOON = "too-soon"  # the same notice was sent within `help_interval_s`


class Asked(NamedTuple):
    """One message of a subscriber.

    `digits_right`: the digits of `intent` are those of the subscriber; false where none were typed, where
    they differ and where the number is not known. `language` is the subscriber's own. `replyable`: see
    `addresses.replyable`.
    """

    intent: Intent
    digits_right: bool = False
    language: Language = "zh"
    replyable: bool = True
    blocked: bool = False


class Decision(NamedTuple):
    """What follows from a message. `reply` None: by rule not answered.

    `reason`: the outcome, for records and metrics. `english`: the language to render the reply in.
    `wrong_try`: digits were compared and not right, also where that locked (what an alarm for guessing
    counts).
    """

    state: State
    reply: Reply | None
    reason: Kind | Silence
    english: bool
    wrong_try: bool = False


class Typed(Enum):
    """The kinds of text that the table tells apart."""

    KEYWORD = "CXMYD"
    KEYWORD_AND_DIGITS = "CXMYD#1234"
    DIGITS = "1234"
    YES = "Y"
    NO = "N"
    OTHER = "?"


class _Turn(NamedTuple):
    """What an action sees: the rules, the state at this second of this day, the message."""

    carrier: Carrier
    state: State
    stage: Stage
    asked: Asked
    english: bool
    now_s: int
    day: LocalDay


_Outcome = tuple[State, Reply | None]
_Action = Callable[[_Turn], _Outcome]


def step(carrier: Carrier, state: State, asked: Asked, now_s: float, tz: tzinfo) -> Decision:
    """What to tell the subscriber, and where he stands then.

    `now_s` is unix time, `tz` the zone of `carrier.timezone`. Never raises.
    """
    if not asked.replyable:
        return Decision(state, None, Silence.NOT_REPLYABLE, False)
    if asked.blocked:
        return Decision(state, None, Silence.BLOCKED, False)
    now = int(now_s)
    day = local_day(now, tz)
    typed = _typed(carrier, asked.intent)
    state = on_day(state, day.number)
    stage = _stage(carrier, state, now)
    english = _english(carrier, state, stage, typed, asked)
    if carrier.limited and _looping(carrier, state, now):
        return Decision(state, None, Silence.LOOP, english)
    after, reply = TABLE[stage][typed](_Turn(carrier, state, stage, asked, english, now, day))
    if reply is None:
        return Decision(after, None, Silence.TOO_SOON, english)
    wrong_try = after.wrong_tries_30_days > state.wrong_tries_30_days
    if carrier.limited:
        after = _counted_answer(carrier, after, now)
    return Decision(after, reply, reply.kind, english, wrong_try)


def _typed(carrier: Carrier, intent: Intent) -> Typed:
    match intent:
        case Query(digits=digits):
            return Typed.KEYWORD_AND_DIGITS if digits and carrier.dialog != "none" else Typed.KEYWORD
        case Digits():
            return Typed.DIGITS
        case Consent(given=given):
            return Typed.YES if given else Typed.NO
        case _:
            return Typed.OTHER


def _stage(carrier: Carrier, state: State, now: int) -> Stage:
    """The stage that holds at this second. One that the carrier's dialog does not have counts as none."""
    if carrier.dialog == "none":
        return Stage.IDLE
    if now < state.locked_until_s:
        return Stage.LOCKED
    if state.stage is Stage.CONSENT and carrier.dialog != "id-inline-then-confirm":
        return Stage.IDLE
    if state.stage is not Stage.IDLE and now >= state.stage_until_s:
        return Stage.EXPIRED
    return state.stage


def _continues(stage: Stage, typed: Typed) -> bool:
    """Whether a text belongs to the conversation under way.

    The keyword starts a new one, unless it brings the digits that are awaited: who was told what to send
    and sends it has asked once.
    """
    if typed is Typed.KEYWORD:
        return False
    return typed is not Typed.KEYWORD_AND_DIGITS or stage is Stage.DIGITS


def _english(carrier: Carrier, state: State, stage: Stage, typed: Typed, asked: Asked) -> bool:
    """English by the subscriber's record, or because EN was typed in this conversation."""
    said = isinstance(asked.intent, Query) and asked.intent.english
    under_way = stage in (Stage.DIGITS, Stage.CONSENT, Stage.EXPIRED) and _continues(stage, typed)
    wanted: Literal["zh", "en"] = "en" if said or (under_way and state.english) else asked.language
    return carrier.language(wanted) == "en"


def _ask(turn: _Turn, state: State, stage: Stage, reply: Reply) -> _Outcome:
    """Put a question: `stage` holds for as long as the carrier's prompts are valid."""
    until_s = turn.now_s + turn.carrier.prompt_valid_s
    return state._replace(stage=stage, stage_until_s=until_s, english=turn.english), reply


def _end(state: State, reply: Reply) -> _Outcome:
    """Close the conversation with `reply`."""
    if state.stage is Stage.IDLE:
        return state, reply
    return state._replace(stage=Stage.IDLE, stage_until_s=0, english=False), reply


def _begun(turn: _Turn) -> State | None:
    """The state with this conversation counted against the day's limit, None when the limit is reached."""
    if not turn.carrier.limited:
        return turn.state
    if turn.state.queries >= turn.carrier.queries_per_day:
        return None
    return turn.state._replace(day=max(turn.state.day, turn.day.number), queries=turn.state.queries + 1)


def _start(turn: _Turn) -> _Outcome:
    """The bare keyword: the carrier's first question, or the answer where it asks none."""
    state = _begun(turn)
    if state is None:
        return _refuse(turn, Reply(Kind.LIMIT_REACHED))
    match turn.carrier.dialog:
        case "none":
            return _end(state, Reply(Kind.ANSWER))
        case "prompt-for-id":
            return _ask(turn, state, Stage.DIGITS, Reply(Kind.ASK_DIGITS))
        case _:
            return _ask(turn, state, Stage.DIGITS, Reply(Kind.EXPLAIN_INLINE))


def _start_with_digits(turn: _Turn) -> _Outcome:
    """The keyword and digits in one text, as a new conversation."""
    state = _begun(turn)
    if state is None:
        return _refuse(turn, Reply(Kind.LIMIT_REACHED))
    return _check(turn._replace(state=state))


def _check(turn: _Turn) -> _Outcome:
    """Digits that count: right ones lead on, wrong ones cost a try, the last try locks."""
    if not turn.asked.digits_right:
        return _wrong(turn)
    state = turn.state
    if state.wrong_tries:
        state = state._replace(wrong_tries=0)
    if turn.carrier.dialog == "id-inline-then-confirm":
        return _ask(turn, state, Stage.CONSENT, Reply(Kind.ASK_CONSENT))
    return _end(state, Reply(Kind.ANSWER))


def _wrong(turn: _Turn) -> _Outcome:
    """One try less; the last of the day locks until midnight, the last of 30 days until staff unlock.

    Right digits give back the day's tries only: whoever guesses between the owner's own queries gets no more
    than those of 30 days.
    """
    carrier, state = turn.carrier, turn.state
    state = state._replace(
        day=max(state.day, turn.day.number),
        wrong_tries=state.wrong_tries + 1,
        wrong_tries_30_days=state.wrong_tries_30_days + 1,
        wrong_since_day=state.wrong_since_day or turn.day.number,
    )
    left = carrier.tries_per_day - state.wrong_tries
    until_s = turn.day.ends_s
    if carrier.tries_per_30_days:
        left_30_days = carrier.tries_per_30_days - state.wrong_tries_30_days
        left = min(left, left_30_days)
        until_s = until_s if left_30_days > 0 else UNTIL_UNLOCKED_S
    if left > 0:
        return _ask(turn, state, Stage.DIGITS, Reply(Kind.WRONG_DIGITS, tries_left=left))
    return _end(state._replace(locked_until_s=until_s), Reply(Kind.LOCKED, until_s=until_s))


def _agree(turn: _Turn) -> _Outcome:
    """The yes that was asked for."""
    return _end(turn.state, Reply(Kind.ANSWER))


def _cancel(turn: _Turn) -> _Outcome:
    """A no to whatever was asked."""
    return _end(turn.state, Reply(Kind.CANCELLED))


def _expire(turn: _Turn) -> _Outcome:
    """Digits or a yes that came too late."""
    return _end(turn.state, Reply(Kind.EXPIRED))


def _tell_locked(turn: _Turn) -> _Outcome:
    """Right digits too: whoever guesses learns nothing from a lock."""
    return _refuse(turn, Reply(Kind.LOCKED, until_s=turn.state.locked_until_s))


def _refuse(turn: _Turn, reply: Reply) -> _Outcome:
    """A refusal, at most one in `help_interval_s`."""
    if _too_soon(turn, turn.state.refused_at_s):
        return turn.state, None
    return (turn.state._replace(refused_at_s=turn.now_s) if turn.carrier.limited else turn.state), reply


def _advise(turn: _Turn, kind: Kind) -> _Outcome:
    """Advice on what to send, at most one in `help_interval_s`; a question that is open stays open."""
    if _too_soon(turn, turn.state.help_at_s):
        return turn.state, None
    return (turn.state._replace(help_at_s=turn.now_s) if turn.carrier.limited else turn.state), Reply(kind)


def _help(turn: _Turn) -> _Outcome:
    return _advise(turn, Kind.HELP)


def _want_digits(turn: _Turn) -> _Outcome:
    return _advise(turn, Kind.ASK_DIGITS_AGAIN)


def _want_consent(turn: _Turn) -> _Outcome:
    return _advise(turn, Kind.ASK_CONSENT_AGAIN)


def _too_soon(turn: _Turn, last_s: int) -> bool:
    """Whether a notice went out less than the interval ago. One from the future is of a clock set back."""
    return turn.carrier.limited and last_s > 0 and 0 <= turn.now_s - last_s < turn.carrier.help_interval_s


def _looping(carrier: Carrier, state: State, now: int) -> bool:
    """Whether this number has had as many answers in the current window as only a machine asks for."""
    return 0 <= now - state.loop_since_s < carrier.loop_window_s and state.loop_count >= carrier.loop_answers


def _counted_answer(carrier: Carrier, state: State, now: int) -> State:
    """`state` with one more answer in the loop guard's window, which begins with the first of them."""
    if 0 <= now - state.loop_since_s < carrier.loop_window_s:
        return state._replace(loop_count=state.loop_count + 1)
    return state._replace(loop_since_s=now, loop_count=1)


_NEW: Mapping[Typed, _Action] = {
    Typed.KEYWORD: _start,
    Typed.KEYWORD_AND_DIGITS: _start_with_digits,
    Typed.DIGITS: _help,
    Typed.YES: _help,
    Typed.NO: _help,
    Typed.OTHER: _help,
}
TABLE: Mapping[Stage, Mapping[Typed, _Action]] = {  # every stage, every kind of text
    Stage.IDLE: _NEW,
    Stage.EXPIRED: {**_NEW, Typed.DIGITS: _expire, Typed.YES: _expire},
    Stage.DIGITS: {
        Typed.KEYWORD: _start,
        Typed.KEYWORD_AND_DIGITS: _check,
        Typed.DIGITS: _check,
        Typed.YES: _want_digits,
        Typed.NO: _cancel,
        Typed.OTHER: _want_digits,
    },
    Stage.CONSENT: {
        Typed.KEYWORD: _start,
        Typed.KEYWORD_AND_DIGITS: _start_with_digits,
        Typed.DIGITS: _want_consent,
        Typed.YES: _agree,
        Typed.NO: _cancel,
        Typed.OTHER: _want_consent,
    },
    Stage.LOCKED: {
        **_NEW,
        Typed.KEYWORD: _tell_locked,
        Typed.KEYWORD_AND_DIGITS: _tell_locked,
        Typed.DIGITS: _tell_locked,
    },
}
