"""The judge of `make chaos`: what it lets pass, and what it does not."""

import pytest

from bench.chaos.judging import Answer, Event, Ledger, Question
from bench.chaos.people import CITIES, Step, Subscriber
from location_store.places import Places

ASKS = Step("CXMYD", "answer")
WHO = Subscriber("8613800000000", "plain", (1,), (ASKS,))


def name(city: int) -> str:
    place = Places.load().by_code(CITIES[city])
    assert place is not None
    return place.name_zh


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def asked(ledger: Ledger, *answers: Answer) -> Question:
    """At 100 s, acknowledged at 101 s."""
    question = ledger.asked(WHO, ASKS, 100)
    question.acknowledged_s = 101
    for answer in answers:
        ledger.heard(WHO.msisdn, f"您到访过：{name(1)}。", answer)
    return question


def beyond(ledger: Ledger, *events: Event) -> int:
    count = ledger.verdict(events, dead=())["beyond_the_bound"]
    assert isinstance(count, int)
    return count


def test_a_message_without_an_answer_is_missing_unless_the_operator_sees_it_dead(ledger: Ledger) -> None:
    """An acknowledged one; one that the SMSC still has is not lost, and told apart."""
    question = asked(ledger)
    assert ledger.verdict([], dead=())["missing"] == 1
    assert ledger.verdict([], dead={WHO.msisdn})["dead"] == 1
    question.acknowledged_s = None
    assert ledger.verdict([], dead=())["kept_by_the_smsc"] == 1


def test_an_answer_with_another_city_is_wrong(ledger: Ledger) -> None:
    """And so is one too many cities, and any text that nobody expects."""
    asked(ledger)
    for text in (name(2), name(1) + name(2), "请稍后再试"):
        ledger.heard(WHO.msisdn, text, Answer(101, "1"))
    assert ledger.verdict([], dead=())["wrong_answers"] == 3


def test_a_second_answer_is_beyond_the_bound_where_nothing_explains_it(ledger: Ledger) -> None:
    """A fault at another time, of another gateway or of one that costs nobody's memory does not."""
    asked(ledger, Answer(101, "1"), Answer(105, "1"))
    assert beyond(ledger) == 1
    assert beyond(ledger, Event("killed", "2", 101, 102)) == 1
    assert beyond(ledger, Event("replica killed", "", 101, 102)) == 1
    assert beyond(ledger, Event("primary killed", "store", 50, 60)) == 1
    assert beyond(ledger, Event("killed", "1", 101, 102)) == 0
    assert beyond(ledger, Event("primary killed", "store", 101, 102)) == 0


def test_a_response_that_may_not_have_been_read_explains_one(ledger: Ledger) -> None:
    """One extra for each, and one for each fault: not more."""
    unknown = Answer(101, "1", unknown=True)
    asked(ledger, unknown, Answer(105, "1"), Answer(106, "1"), Answer(107, "1"))
    assert beyond(ledger) == 2
    assert beyond(ledger, Event("killed", "1", 104, 108)) == 1


def test_answers_that_overtake_one_another_are_out_of_order(ledger: Ledger) -> None:
    """Of one subscriber."""
    english = Step("CXMYD EN", "english")
    asked(ledger, Answer(103, "1"))
    second = ledger.asked(WHO, english, 100)
    second.answers.append(Answer(102, "1"))
    assert ledger.out_of_order() == 1
