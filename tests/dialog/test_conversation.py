"""Whole conversations, their language, and what holds for every state and every text."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialog.carrier import Carrier
from gateway.dialog.conversation import TABLE, Asked, Decision, Silence, Typed, step
from gateway.dialog.grammar import Consent, Digits, Intent, Other, Query
from gateway.dialog.replies import Kind, Reply
from gateway.dialog.state import EMPTY, UNTIL_UNLOCKED_S, Stage, State, pack, unpack
from tests.dialog.phones import CARRIERS, DAY_S, NOON_S, SHANGHAI, WITH_ID, Phone, carrier

INTENTS: list[Intent] = [
    Query(),
    Query(english=True),
    Query("1234"),
    Digits("1234"),
    Consent(),
    Consent(given=False),
    Other(),
]


@pytest.mark.parametrize(
    ("name", "texts", "reasons"),
    [
        ("china-mobile", ["CXMYD", "123x"], ["asked-digits", "answered"]),
        ("china-mobile", ["CXMYD#123X"], ["answered"]),
        ("china-mobile", ["cxmyd 123x"], ["answered"]),
        ("china-mobile", ["CXMYD", "CXMYD#123X"], ["asked-digits", "answered"]),
        ("china-mobile", ["CXMYD", "CXMYD", "123X"], ["asked-digits", "asked-digits", "answered"]),
        ("china-mobile", ["CXMYD", "9999", "123X"], ["asked-digits", "wrong-digits", "answered"]),
        ("china-mobile", ["CXMYD", "12", "123X"], ["asked-digits", "asked-digits-again", "answered"]),
        ("china-mobile", ["CXMYD", "Y", "123X"], ["asked-digits", "asked-digits-again", "answered"]),
        ("china-mobile", ["CXMYD", "N", "123X"], ["asked-digits", "cancelled", "helped"]),
        ("china-mobile", ["123X"], ["helped"]),
        ("china-mobile", ["Y"], ["helped"]),
        ("china-mobile", ["CXMYD", "123X", "123X"], ["asked-digits", "answered", "helped"]),
        ("china-unicom", ["CXMYD#123X"], ["answered"]),
        ("china-unicom", ["CXMYD", "CXMYD#123X"], ["explained", "answered"]),
        ("china-unicom", ["CXMYD", "123X"], ["explained", "answered"]),
        ("china-unicom", ["CXMYD#9999", "CXMYD#123X"], ["wrong-digits", "answered"]),
        ("china-unicom", ["CXMYD#9999", "123X"], ["wrong-digits", "answered"]),
        ("china-unicom", ["123X"], ["helped"]),
        ("china-telecom", ["CXMYD#123X", "Y"], ["asked-consent", "answered"]),
        ("china-telecom", ["CXMYD#123X", "是"], ["asked-consent", "answered"]),
        ("china-telecom", ["CXMYD", "CXMYD#123X", "y"], ["explained", "asked-consent", "answered"]),
        ("china-telecom", ["CXMYD", "Y"], ["explained", "asked-digits-again"]),
        ("china-telecom", ["CXMYD#9999", "Y"], ["wrong-digits", "asked-digits-again"]),
        ("china-telecom", ["CXMYD#123X", "123X", "Y"], ["asked-consent", "asked-consent-again", "answered"]),
        ("china-telecom", ["CXMYD#123X", "9999", "Y"], ["asked-consent", "asked-consent-again", "answered"]),
        ("china-telecom", ["CXMYD#123X", "CXMYD", "Y"], ["asked-consent", "explained", "asked-digits-again"]),
        (
            "china-telecom",
            ["CXMYD#123X", "CXMYD#9999", "Y"],
            ["asked-consent", "wrong-digits", "asked-digits-again"],
        ),
        ("china-telecom", ["CXMYD#123X", "否", "Y"], ["asked-consent", "cancelled", "helped"]),
        ("china-telecom", ["CXMYD#123X", "Y", "Y"], ["asked-consent", "answered", "helped"]),
        ("plain", ["CXMYD"], ["answered"]),
        ("plain", ["CXMYD#9999"], ["answered"]),
        ("plain", ["1234"], ["helped"]),
        ("plain", ["Y"], ["helped"]),
        ("plain", ["你好"], ["helped"]),
    ],
)
def test_whole_conversations(name: str, texts: Sequence[str], reasons: Sequence[str]) -> None:
    """Every carrier's dialog, straight and with what people do in the middle of it."""
    assert Phone(carrier(name)).outcomes(*texts) == reasons


@pytest.mark.parametrize("name", WITH_ID)
@given(st.lists(st.sampled_from(["CXMYD", "CXMYD#0001", "0002", "Y", "?", "CXMYD EN"]), max_size=12))
def test_an_unknown_number_reads_what_wrong_digits_read(name: str, texts: list[str]) -> None:
    """Whatever is typed, a number that is not known gets the very words of a known one with other digits."""
    known, unknown = Phone(carrier(name), id_last4="123X"), Phone(carrier(name), id_last4=None)
    for text in texts:
        assert known.send(text) == unknown.send(text)
        assert known.state == unknown.state
        assert known.last == unknown.last


@pytest.mark.parametrize("name", WITH_ID)
def test_a_prompt_for_digits_lapses(name: str) -> None:
    """Digits count until the prompt's last second; after it the subscriber is told that it lapsed."""
    phone = Phone(carrier(name, prompt_valid_s=30))
    phone.send("CXMYD")
    phone.send("123X", after_s=29)
    assert phone.last is not None
    assert phone.last.reason in (Kind.ANSWER, Kind.ASK_CONSENT)
    phone = Phone(carrier(name, prompt_valid_s=30))
    phone.send("CXMYD")
    late = phone.send("123X", after_s=30)
    assert late is not None
    assert "CXMYD" in late
    assert "北京市" not in late
    assert phone.outcomes("123X") == ["helped"]


def test_a_question_for_consent_lapses() -> None:
    """A yes that comes too late answers nothing."""
    phone = Phone(carrier("china-telecom", prompt_valid_s=30))
    phone.outcomes("CXMYD#123X")
    phone.now_s += 29
    assert phone.outcomes("Y", "Y") == ["expired", "helped"]


def test_a_prompt_is_renewed_by_wrong_digits_and_holds_over_midnight() -> None:
    """A wrong try leaves the prompt open for its whole time again, whatever the date."""
    phone = Phone(carrier("china-mobile", prompt_valid_s=30))
    phone.now_s = NOON_S + DAY_S // 2 - 26
    assert phone.outcomes("CXMYD") == ["asked-digits"]
    phone.now_s += 20
    assert phone.outcomes("0001") == ["wrong-digits"]
    phone.now_s += 20
    assert phone.outcomes("123X") == ["answered"]


def test_who_is_never_answered() -> None:
    """The blocked, and whoever cannot be a subscriber: no answer, a reason, the state untouched."""
    state = EMPTY._replace(stage=Stage.DIGITS, stage_until_s=NOON_S + 60)
    rules = carrier("china-mobile")
    for asked, reason in [
        (Asked(Digits("1234"), digits_right=True, blocked=True), Silence.BLOCKED),
        (Asked(Query(), replyable=False), Silence.NOT_REPLYABLE),
    ]:
        assert step(rules, state, asked, NOON_S, SHANGHAI) == Decision(state, None, reason, english=False)


def test_english_by_en_lasts_for_that_conversation() -> None:
    """EN makes prompt, complaint and answer English; the next query without it is Chinese again."""
    phone = Phone(carrier("china-mobile"))
    texts = [phone.send(text) for text in ("CXMYD EN", "0001", "123X", "CXMYD")]
    assert [text is not None and text.isascii() for text in texts] == [True, True, True, False]
    assert texts[2] is not None
    assert "Beijing" in texts[2]


def test_english_holds_when_the_explained_text_is_sent() -> None:
    """Who asked in English and then sends what the explanation says stays in English, with EN or without."""
    phone = Phone(carrier("china-telecom"))
    texts = [phone.send(text) for text in ("CXMYD EN", "CXMYD#123X", "Y")]
    assert all(text is not None and text.isascii() for text in texts)


def test_english_by_the_subscribers_language() -> None:
    """A subscriber whose language is English needs no EN; a carrier without English answers in its own."""
    phone = Phone(carrier("china-unicom"), language="en")
    assert (phone.send("CXMYD#123X") or "").isascii()
    phone.override(languages=("zh",))
    assert "北京市" in (phone.send("CXMYD#123X EN") or "")


def test_the_table_is_complete() -> None:
    """Every stage has an action for every kind of text."""
    assert {stage: set(row) for stage, row in TABLE.items()} == {stage: set(Typed) for stage in Stage}


def rules_of_any_carrier() -> st.SearchStrategy[Carrier]:
    """The shipped carriers, with and without limits."""
    return st.builds(
        lambda name, queries: carrier(name, queries_per_day=queries),
        st.sampled_from(CARRIERS),
        st.sampled_from([0, 2, 10]),
    )


TIMES = st.one_of(st.just(0), st.integers(NOON_S - 2 * DAY_S, NOON_S + 2 * DAY_S), st.just(UNTIL_UNLOCKED_S))
DAYS = st.one_of(st.just(0), st.integers(NOON_S // DAY_S - 31, NOON_S // DAY_S + 2))
COUNTS = st.integers(0, 40)
STATES = st.builds(
    State,
    stage=st.sampled_from([Stage.IDLE, Stage.DIGITS, Stage.CONSENT]),
    english=st.booleans(),
    stage_until_s=TIMES,
    day=DAYS,
    queries=COUNTS,
    wrong_tries=COUNTS,
    wrong_tries_30_days=COUNTS,
    wrong_since_day=DAYS,
    locked_until_s=TIMES,
    help_at_s=TIMES,
    refused_at_s=TIMES,
    loop_since_s=TIMES,
    loop_count=COUNTS,
)


@given(
    rules=rules_of_any_carrier(),
    state=STATES,
    intent=st.sampled_from(INTENTS),
    right=st.booleans(),
    now_s=st.floats(NOON_S - DAY_S, NOON_S + DAY_S),
)
def test_every_state_meets_every_text(
    *, rules: Carrier, state: State, intent: Intent, right: bool, now_s: float
) -> None:
    """No state and text raise; what follows can be kept, and a silence has a reason that is no reply's."""
    decision = step(rules, state, Asked(intent, right), now_s, SHANGHAI)
    assert unpack(pack(decision.state)) == decision.state
    if decision.reply is None:
        assert isinstance(decision.reason, Silence)
    else:
        assert decision.reason is decision.reply.kind


@given(
    name=st.sampled_from(WITH_ID),
    state=STATES,
    intent=st.sampled_from(INTENTS),
    right=st.booleans(),
    now_s=st.integers(NOON_S - DAY_S, NOON_S + DAY_S),
)
def test_nobody_is_answered_without_proof(
    *, name: str, state: State, intent: Intent, right: bool, now_s: int
) -> None:
    """Where ID is asked for, an answer needs right digits now, or a consent awaited after right digits."""
    decision = step(carrier(name), state, Asked(intent, right), now_s, SHANGHAI)
    if decision.reply == Reply(Kind.ANSWER):
        proved = isinstance(intent, Query | Digits) and right
        awaited = state.stage is Stage.CONSENT and now_s < state.stage_until_s
        assert proved or (name == "china-telecom" and intent == Consent() and awaited)
        assert now_s >= state.locked_until_s
