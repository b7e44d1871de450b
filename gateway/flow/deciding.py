"""From a message and a turn to what is said: grammar, identity, conversation, history, rules, words.

Invariants: no place is looked at before the conversation has decided to name it; an answer is computed from
the records of the very subscriber it is addressed to; a record that cannot be read is an error, never an
empty answer.
"""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

from gateway.dialog import state as dialog_state
from gateway.dialog.addresses import replyable
from gateway.dialog.carrier import Carrier
from gateway.dialog.conversation import Asked, Decision, step
from gateway.dialog.grammar import Digits, Query, parse
from gateway.dialog.replies import Kind, Reply, render
from gateway.flow.guessing import GuessAlarm
from gateway.flow.messages import Mo
from gateway.flow.ports import Turn
from location_store.lookup import named
from location_store.places import Places
from location_store.pseudonyms import Pseudonyms
from location_store.record import History, history_offset, timeline, unpack
from location_store.rotation import is_older, joined
from location_store.stays import StayRules, visited
from location_store.subscribers import NOBODY, Subscriber
from location_store.subscribers import unpack as unpack_subscriber
from location_store.window import Window, window

#: Asked of the subscriber, so that the next text means nothing without the stored state.
_QUESTIONS = frozenset({Kind.ASK_DIGITS, Kind.ASK_CONSENT, Kind.EXPLAIN_INLINE, Kind.WRONG_DIGITS})

#: Of these the ones that spend no try: a crash after the state was stored and before the text left costs
# nothing.
_AHEAD = _QUESTIONS - {Kind.WRONG_DIGITS}
ANSWERS_KEPT = 4096
_tuple = tuple.__new__  # half the cost of calling a NamedTuple

# Pure functions, and most messages are alike. A text is kept without its sender.
_intent_of = lru_cache(1024)(parse)

_Default = TypeVar("_Default", Carrier, None)


#: A history, packed; or of two records, while a key is being rotated.
Known = bytes | History


@dataclass(slots=True, init=False)
class Saying:
    """What to do with one message: `text` None is by rule no answer, `state` None leaves the dialog as is."""

    text: str | None
    state: bytes | None
    state_ttl_s: int
    reason: str
    awaits_reply: bool
    ahead: bool  # store the state before the text leaves, so that the reply is understood whatever happens
    before_ttl_s: int  # of the state as it was, should the text not leave after all
    guessed: int  # subscribers on whom these wrong digits were tried, when that is an alarm; else 0

    def __init__(  # noqa: PLR0917 -- see above
        self,
        text: str | None,
        state: bytes | None,
        state_ttl_s: int,
        reason: str,
        awaits_reply: bool,
        ahead: bool,
        before_ttl_s: int,
        guessed: int,
    ) -> None:
        self.text = text
        self.state = state
        self.state_ttl_s = state_ttl_s
        self.reason = reason
        self.awaits_reply = awaits_reply
        self.ahead = ahead
        self.before_ttl_s = before_ttl_s
        self.guessed = guessed


#: With the state to store (None: it did not change), its time limit in seconds, and that of the state as it
#: was (0: nothing is stored before the text leaves).
_Decided = tuple[Decision, bytes | None, int, int]


class _Rules:
    """What follows from a carrier's rules, kept from message to message: his zone; the window of this minute
    and the words that fit it; the decisions of this second.
    """

    __slots__ = ("_minute", "_second", "carrier", "decisions", "period", "stay", "words", "zone")
    period: Window

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.zone = ZoneInfo(carrier.timezone)
        self.stay = StayRules(carrier.stay_hours, carrier.stay_rule)
        # Most people have been in one city and most messages are alike: a day's answers are few.
        self.words: dict[tuple[Reply, bool, tuple[int, ...], int | None], str] = {}
        self.decisions: dict[tuple[dialog_state.State, Asked], _Decided] = {}
        self._minute = self._second = -1

    def at(self, second: int) -> None:
        """All as of now."""
        if second == self._second:
            return
        self._second = second
        self.decisions.clear()
        if second // 60 == self._minute:
            return
        self._minute = second // 60
        carrier = self.carrier
        period = window(second, days=carrier.window_days, through=carrier.through, tz=self.zone)
        if not self.words or period != self.period:
            self.period = period
            self.words.clear()


class Decider:
    """Stateless but for the alarm's counts and what is kept for speed: any process decides the same."""

    def __init__(self, places: Places, pseudonyms: Pseudonyms, own_numbers: Collection[str]) -> None:
        self._places = places
        self._pseudonyms = pseudonyms
        self._own_numbers = frozenset(own_numbers)
        self._alarm = GuessAlarm()
        self._rules: dict[str, _Rules] = {}

    def reconfigure(self, own_numbers: Collection[str]) -> None:
        """What is ours from now on; the rules come with each message, as its carrier."""
        self._own_numbers = frozenset(own_numbers)

    def decide(self, mo: Mo, turn: Turn, now_s: float) -> Saying:
        """Raises StoreError when a stored record cannot be read."""
        rules, second = self._rules_of(mo.carrier), int(now_s)
        rules.at(second)
        subscriber, history, names = self._known(turn)
        before = dialog_state.unpack(turn.state) if turn.state else dialog_state.EMPTY
        intent = _intent_of(mo.text)
        digits = intent.digits if isinstance(intent, Query | Digits) else None
        ton, _, source = mo.source
        asked = _tuple(
            Asked,
            (
                intent,
                digits is not None and _identified(names, mo, digits, subscriber),
                subscriber.language,
                replyable(ton, source, self._own_numbers),
                subscriber.blocked,
            ),
        )
        known = rules.decisions.get((before, asked))
        if known is None:
            known = rules.decisions[before, asked] = _decided(rules, before, asked, second)
        decision, state, ttl_s, before_ttl_s = known
        reason = decision.reason
        guessed = 0
        if digits is not None and not asked.digits_right and reason in (Kind.WRONG_DIGITS, Kind.LOCKED):
            guessed = self._alarm.wrong(digits, mo.msisdn or "", now_s)
        text = None
        if decision.reply is not None:
            if subscriber.forgotten:
                history = b""
            text = self._words(decision.reply, rules, decision.english, history, subscriber.since_min)
        return Saying(
            text, state, ttl_s, reason, reason in _QUESTIONS, before_ttl_s > 0, before_ttl_s, guessed
        )

    def _rules_of(self, carrier: Carrier) -> _Rules:
        rules = self._rules.get(carrier.name)
        if rules is None or rules.carrier is not carrier:
            rules = self._rules[carrier.name] = _Rules(carrier)
        return rules

    def _known(self, turn: Turn) -> tuple[Subscriber, Known, Pseudonyms]:
        """Who it is and where he was, and the pseudonyms under whose key the ID digits were digested."""
        record, names = turn.record, self._pseudonyms
        if turn.older is None or names.older is None:
            if record is None:
                return NOBODY, b"", names
            offset = history_offset(record)
            return unpack_subscriber(record[1:offset]), record[offset:], names
        new = unpack(record)
        whole = joined(new, unpack(turn.older))
        return whole.subscriber, whole.history, names.older if is_older(new.subscriber) else names

    def _words(
        self, reply: Reply, rules: _Rules, english: bool, history: Known, since_min: int | None
    ) -> str:
        answers = reply.kind is Kind.ANSWER
        places = self._named(history, rules, since_min) if answers and history else ()
        key = reply, english, places, since_min
        text = rules.words.get(key)
        if text is None:
            visits = [self._places.by_id(place) for place in places]
            text = render(
                reply, rules.carrier, english, window=rules.period, visits=visits, since_min=since_min
            )
            if len(rules.words) >= ANSWERS_KEPT:
                rules.words.clear()
            rules.words[key] = text
        return text

    def _named(self, history: Known, rules: _Rules, since_min: int | None) -> tuple[int, ...]:
        """The visited places, most recent first."""
        neighbours, zone, period = self._places.neighbours, rules.zone, rules.period
        if isinstance(history, bytes):
            return named(history, rules.stay, neighbours, period, since_min, zone)
        found = visited(timeline(history), rules.stay, neighbours, period, since_min, zone)
        return tuple(visit.place for visit in found.visits)


def _identified(names: Pseudonyms, mo: Mo, digits: str, subscriber: Subscriber) -> bool:
    """Whether the digits are the subscriber's; the same work for an unknown number (case 34)."""
    right = names.id_digest(mo.msisdn or "", digits)
    known = subscriber.imported and not subscriber.forgotten
    stored = subscriber.id_digest if known else bytes(len(right))
    return hmac.compare_digest(right, stored) and known


def _decided(rules: _Rules, before: dialog_state.State, asked: Asked, second: int) -> _Decided:
    decision = step(rules.carrier, before, asked, second, rules.zone)
    after, ahead = decision.state, decision.reason in _AHEAD
    before_ttl_s = max(1, dialog_state.expires_s(before, second, rules.zone) - second) if ahead else 0
    if after == before:
        return decision, None, 0, before_ttl_s
    return (
        decision,
        dialog_state.pack(after),
        dialog_state.expires_s(after, second, rules.zone) - second,
        before_ttl_s,
    )


def carrier_of(number: str, numbers: Mapping[str, Carrier], default: _Default) -> Carrier | _Default:
    """The carrier whose number was texted, or an extension of it (10086123); else the link's own."""
    exact = numbers.get(number)
    if exact is not None:
        return exact
    digits = number.lstrip("+")
    for length in range(len(digits), 2, -1):
        carrier = numbers.get(digits[:length])
        if carrier is not None:
            return carrier
    return default
