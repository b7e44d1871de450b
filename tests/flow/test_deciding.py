"""What is said to whom: the records of the very subscriber, under the rules of the carrier that was asked."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.dialog.carrier import Carrier
from gateway.flow.deciding import Decider, Saying
from gateway.flow.guessing import ALARM_SUBSCRIBERS, GuessAlarm
from gateway.flow.messages import Mo
from gateway.flow.ports import Turn
from location_store.errors import StoreError
from location_store.places import Places
from location_store.record import EMPTY, History, Record, rewritten
from location_store.stays import Segment
from location_store.subscribers import NOBODY, Subscriber
from tests.flow.harness import PLAIN, PROMPT, mo, pseudonyms

NOW_S = datetime.fromisoformat("2020-02-15T10:00:00+08:00").timestamp()
DAY_MIN = 24 * 60
BEIJING, SHANGHAI, TOKYO = 1100, 3100, "JP"


def history(*stays: tuple[int, int, int]) -> History:
    """Stays of (place, days ago, hours)."""
    now_min = int(NOW_S) // 60
    made = [
        Segment(place, now_min - days * DAY_MIN, now_min - days * DAY_MIN + 60 * hours)
        for place, days, hours in stays
    ]
    return History(tuple(made))


class Desk:
    def __init__(self, folder: Path) -> None:
        self.names = pseudonyms(folder)
        self.decider = Decider(Places.load(), self.names, ("10086",))

    def subscriber(self, **fields: Any) -> Subscriber:
        record = Subscriber(id_digest=self.names.id_digest("8613800000001", "123X"), imported=True)
        return record._replace(**fields)

    def ask(
        self,
        text: str,
        *,
        carrier: Carrier = PLAIN,
        history: History = EMPTY,
        subscriber: Subscriber = NOBODY,
        state: bytes = b"",
    ) -> Saying:
        message: Mo = mo(text, carrier=carrier)
        record = rewritten(None, Record(subscriber, history))
        return self.decider.decide(message, Turn(b"t", state, record, 0.0), NOW_S)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_cities_most_recent_first(desk: Desk) -> None:
    said = desk.ask(
        "CXMYD", history=history((BEIJING, 5, 20), (SHANGHAI, 3, 6)), subscriber=desk.subscriber()
    )
    assert said.text is not None
    assert said.text.index("上海市") < said.text.index("北京市")
    assert "2月1日至14日" in said.text


def test_in_english_where_asked_or_on_record(desk: Desk) -> None:
    past = history((BEIJING, 5, 20))
    assert "Beijing" in (desk.ask("CXMYD EN", history=past).text or "")
    english = desk.subscriber(language="en")
    assert "Beijing" in (desk.ask("CXMYD", history=past, subscriber=english).text or "")
    assert "北京" in (desk.ask("CXMYD", history=past, subscriber=desk.subscriber()).text or "")


def test_digits_are_compared_with_the_subscribers_own(desk: Desk) -> None:
    past, record = history((BEIJING, 5, 20)), desk.subscriber()
    right = desk.ask("CXMYD 123x", carrier=PROMPT, history=past, subscriber=record)
    assert "北京" in (right.text or "")
    wrong = desk.ask("CXMYD 1234", carrier=PROMPT, history=past, subscriber=record)
    assert "北京" not in (wrong.text or "")
    assert wrong.awaits_reply


def test_wrong_digits_and_an_unknown_number_read_the_same(desk: Desk) -> None:
    wrong = desk.ask("CXMYD 1234", carrier=PROMPT, subscriber=desk.subscriber())
    unknown = desk.ask("CXMYD 1234", carrier=PROMPT)
    nothing_to_compare = desk.ask("CXMYD 1234", carrier=PROMPT, subscriber=desk.subscriber(id_digest=b""))
    assert wrong.text == unknown.text == nothing_to_compare.text


@pytest.mark.parametrize("digits", ["123X", "1234"])
def test_a_forgotten_number_is_named_no_city(desk: Desk, digits: str) -> None:
    """Whatever a later sighting left, until it is imported again."""
    forgotten = Subscriber(forgotten=True)
    past = history((BEIJING, 5, 20))
    for text, carrier in (("CXMYD", PLAIN), (f"CXMYD{digits}", PROMPT)):
        assert "北京" not in (desk.ask(text, carrier=carrier, history=past, subscriber=forgotten).text or "")


def test_a_blocked_number_is_not_answered(desk: Desk) -> None:
    said = desk.ask("CXMYD", history=history((BEIJING, 5, 20)), subscriber=desk.subscriber(blocked=True))
    assert (said.text, said.reason) == (None, "blocked")


def test_nothing_before_since_is_named(desk: Desk) -> None:
    """A recycled number: the former owner's cities are not the new one's."""
    since = int(NOW_S) // 60 - 2 * DAY_MIN
    past = history((BEIJING, 5, 20), (SHANGHAI, 1, 6))
    said = desk.ask("CXMYD", history=past, subscriber=desk.subscriber(since_min=since))
    assert "上海" in (said.text or "")
    assert "北京" not in (said.text or "")


def test_a_damaged_record_is_an_error_never_an_empty_answer(desk: Desk) -> None:
    record = rewritten(None, Record(history=history((BEIJING, 5, 20))))
    assert record is not None
    with pytest.raises(StoreError):
        desk.decider.decide(mo("CXMYD"), Turn(b"t", b"", record[:-1], 0.0), NOW_S)


def test_the_alarm_is_for_wrong_digits_on_many_numbers() -> None:
    """Raised at the threshold and at each doubling; the same number again does not count."""
    alarm = GuessAlarm()
    raised = []
    for n in range(100):
        for _ in range(3):
            if alarm.wrong("1234", f"86138{n:08}", 0.0):
                raised.append(n + 1)
    assert raised[0] == ALARM_SUBSCRIBERS
    assert len(raised) < 5
