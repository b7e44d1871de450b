"""Tries and locks, queries a day, pauses between notices, the loop guard."""

import pytest

from gateway.dialog.state import EMPTY, UNTIL_UNLOCKED_S, unlocked
from tests.dialog.phones import CARRIERS, DAY_S, NOON_S, WITH_ID, Phone, carrier


@pytest.mark.parametrize("name", WITH_ID)
def test_wrong_digits_lock_until_the_next_day(name: str) -> None:
    """Three wrong tries lock; right digits do not open it, the next local day does."""
    phone = Phone(carrier(name))
    assert phone.outcomes("CXMYD#0001", "CXMYD#0002", "CXMYD#0003") == [
        "wrong-digits",
        "wrong-digits",
        "locked",
    ]
    assert phone.state.locked_until_s == NOON_S + DAY_S // 2  # midnight
    assert phone.outcomes("CXMYD#123X") == ["locked"]
    phone.now_s = NOON_S + DAY_S // 2 - 2
    assert phone.outcomes("CXMYD#123X") == ["locked"]
    assert phone.outcomes("CXMYD#123X")[0] in ("answered", "asked-consent")


def test_a_lock_holds_for_digits_alone_and_the_bare_keyword() -> None:
    """In a lock every way to the answer reads the same; other texts still get the help."""
    phone = Phone(carrier("china-mobile"))
    phone.outcomes("CXMYD", "0001", "0002", "0003")
    for text in ("123X", "CXMYD", "CXMYD#123X"):
        answer = phone.send(text, after_s=60)
        assert answer is not None
        assert "锁定" in answer
    assert phone.outcomes("Y") == ["helped"]


def test_the_lock_is_told_at_most_once_a_minute() -> None:
    """Whoever floods a locked number gets silence; the first refusal comes at once."""
    phone = Phone(carrier("china-mobile"))
    phone.outcomes("CXMYD", "0001", "0002", "0003")
    assert phone.outcomes("123X", "123X", "CXMYD") == ["locked", "too-soon", "too-soon"]
    phone.now_s += 58
    assert phone.outcomes("123X") == ["locked"]


def test_right_digits_give_the_tries_back() -> None:
    """Only wrong tries in a row lock."""
    phone = Phone(carrier("china-unicom"))
    for _ in range(2):
        assert phone.outcomes("CXMYD#0001", "CXMYD#0002", "CXMYD#123X") == [
            "wrong-digits",
            "wrong-digits",
            "answered",
        ]


def test_tries_do_not_add_up_over_midnight() -> None:
    """Two wrong tries before midnight and two after it do not lock."""
    phone = Phone(carrier("china-unicom"))
    phone.outcomes("CXMYD#0001", "CXMYD#0002")
    phone.now_s = NOON_S + DAY_S // 2
    assert phone.outcomes("CXMYD#0001", "CXMYD#0002") == ["wrong-digits", "wrong-digits"]


def test_ten_wrong_tries_in_30_days_lock_until_staff_unlock() -> None:
    """The tenth try locks for good, right digits in between or not; unlocking gives all tries back."""
    phone = Phone(carrier("china-unicom"))
    for day in range(5):
        phone.now_s = NOON_S + day * DAY_S
        reasons = phone.outcomes("CXMYD#0001", "CXMYD#0002", "CXMYD#123X")
        assert reasons == [
            "wrong-digits",
            "wrong-digits" if day < 4 else "locked",
            "answered" if day < 4 else "locked",
        ]
    assert phone.state.locked_until_s == UNTIL_UNLOCKED_S
    phone.now_s = NOON_S + 40 * DAY_S
    assert phone.outcomes("CXMYD#123X") == ["locked"]
    phone.state = unlocked(phone.state)
    assert phone.outcomes("CXMYD#0001", "CXMYD#123X") == ["wrong-digits", "answered"]


def test_wrong_tries_of_an_earlier_month_are_forgotten() -> None:
    """Thirty days after the first wrong try the long count begins anew."""
    phone = Phone(carrier("china-unicom"))
    for day in (0, 1, 2, 30):
        phone.now_s = NOON_S + day * DAY_S
        assert phone.outcomes("CXMYD#0001", "CXMYD#0002", "CXMYD#0003")[-1] == "locked"
        assert phone.state.locked_until_s < UNTIL_UNLOCKED_S


def test_wrong_tries_are_marked_for_the_alarm() -> None:
    """Exactly the digits that were compared and not right are marked, also the ones that lock."""
    phone = Phone(carrier("china-mobile"))
    marks = []
    for text in ("CXMYD", "0001", "?", "0002", "0003", "0004"):
        phone.send(text)
        assert phone.last is not None
        marks.append(phone.last.wrong_try)
    assert marks == [False, True, False, True, True, False]


def test_the_queries_of_a_day_are_limited() -> None:
    """The last query of the day is answered, the next refused in words once a minute, tomorrow's answered."""
    phone = Phone(carrier("china-mobile", queries_per_day=2))
    assert phone.outcomes(*["CXMYD", "123X"] * 2) == ["asked-digits", "answered"] * 2
    answer = phone.send("CXMYD#123X")
    assert answer is not None
    assert "2次" in answer
    assert phone.outcomes("CXMYD", "CXMYD") == ["too-soon", "too-soon"]
    phone.now_s += 60
    assert phone.outcomes("CXMYD") == ["limit-reached"]
    phone.now_s = NOON_S + DAY_S // 2
    assert phone.outcomes("CXMYD#123X") == ["answered"]


def test_what_was_asked_for_is_no_second_query() -> None:
    """Who is told what to send and sends it has used one query of his day."""
    phone = Phone(carrier("china-unicom", queries_per_day=1))
    assert phone.outcomes("CXMYD", "CXMYD#0001", "CXMYD#123X") == ["explained", "wrong-digits", "answered"]
    assert phone.outcomes("CXMYD#123X") == ["limit-reached"]


def test_a_refused_query_leaves_the_open_one_open() -> None:
    """At the limit the conversation under way can still be finished."""
    phone = Phone(carrier("china-mobile", queries_per_day=1))
    assert phone.outcomes("CXMYD", "CXMYD", "123X") == ["asked-digits", "limit-reached", "answered"]


def test_the_shipped_limit_is_reached_before_the_loop_guard() -> None:
    """A person who uses up his ten queries within minutes is answered each time, and told so at the end."""
    phone = Phone(carrier("china-mobile"))
    assert phone.outcomes(*["CXMYD", "0001", "123X"] * 9) == ["asked-digits", "wrong-digits", "answered"] * 9
    assert phone.outcomes("CXMYD#123X", "CXMYD") == ["answered", "limit-reached"]


def test_help_comes_once_a_minute() -> None:
    """One help to an unknown text, none within the next 60 seconds, then another."""
    phone = Phone(carrier("china-mobile"))
    answer = phone.send("你好")
    assert answer is not None
    assert "CXMYD" in answer
    assert phone.outcomes("你好", "hello", "1234") == ["too-soon"] * 3
    phone.now_s += 57
    assert phone.outcomes("你好") == ["helped"]


def test_the_pause_between_helps_delays_no_query() -> None:
    """A query right after a help is served."""
    phone = Phone(carrier("china-unicom"))
    assert phone.outcomes("?", "CXMYD#123X") == ["helped", "answered"]


def test_a_machine_that_answers_is_left_alone() -> None:
    """After the window's answers there is silence, with its reason, until the window is over."""
    phone = Phone(carrier("plain", queries_per_day=1000))
    reasons = phone.outcomes(*["CXMYD"] * 40)
    assert reasons == ["answered"] * 30 + ["loop"] * 10
    phone.now_s = NOON_S + 601
    assert phone.outcomes("CXMYD") == ["answered"]


@pytest.mark.parametrize("name", CARRIERS)
def test_two_gateways_fall_silent(name: str) -> None:
    """Two services that take each other for subscribers exchange a few texts, not an endless stream."""
    ours, theirs = Phone(carrier(name)), Phone(carrier("china-mobile"))
    text: str | None = "CXMYD"
    exchanged = 0
    while text is not None:
        text = (ours if exchanged % 2 == 0 else theirs).send(text)
        exchanged += 1
        assert exchanged < 10


def test_no_limits_for_load_tests() -> None:
    """`queries_per_day = 0`: no limit, no pause, no loop guard, and a state that need not be written."""
    phone = Phone(carrier("plain", queries_per_day=0))
    assert phone.outcomes(*["CXMYD", "?"] * 200) == ["answered", "helped"] * 200
    assert phone.state == EMPTY


def test_the_lock_stays_when_limits_are_off() -> None:
    """Protection of the subscriber is no limit: three wrong tries lock even then."""
    phone = Phone(carrier("china-unicom", queries_per_day=0))
    assert phone.outcomes(*["CXMYD#0001"] * 3, "CXMYD#123X") == [
        "wrong-digits",
        "wrong-digits",
        "locked",
        "locked",
    ]
