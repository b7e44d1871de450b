"""The words: what they must say, and how many SMS parts they take."""

import random
from datetime import datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialog.carrier import Carrier
from gateway.dialog.replies import Kind, Reply, render
from gateway.dialog.state import UNTIL_UNLOCKED_S
from tests.dialog.phones import CARRIERS, NOON_S, PLACES, SHANGHAI, carrier, places

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The basic table of 3GPP 23.038, section 6.2.1, without the extension table: one septet each."""

NOTICES = [kind for kind in Kind if kind is not Kind.ANSWER]


def minute(year: int, month: int, day: int, hour: int = 0) -> int:
    """A unix minute by the clock of China."""
    return int(datetime(year, month, day, hour, tzinfo=SHANGHAI).timestamp()) // 60


WINDOW = (minute(2026, 2, 1), minute(2026, 2, 15))
OVER_NEW_YEAR = (minute(2025, 12, 25), minute(2026, 1, 8))
LONGEST_DATES = (minute(2026, 11, 18), minute(2026, 12, 12))


def parts(text: str) -> int:
    """SMS parts of a text: 160 and 153 septets in GSM 03.38, else 70 and 67 UTF-16 units (3GPP 23.040)."""
    if set(text) <= GSM:
        return 1 if len(text) <= 160 else -(-len(text) // 153)
    units = len(text.encode("utf-16-be")) // 2
    return 1 if units <= 70 else -(-units // 67)


def answer(rules: Carrier, *codes: str, english: bool = False, since_min: int | None = None) -> str:
    """The answer for the first half of February 2026."""
    return render(
        Reply(Kind.ANSWER), rules, english, window=WINDOW, visits=places(*codes), since_min=since_min
    )


@pytest.mark.parametrize("english", [False, True])
@pytest.mark.parametrize("kind", NOTICES)
@pytest.mark.parametrize("name", CARRIERS)
def test_a_notice_takes_one_part(name: str, kind: Kind, english: bool) -> None:
    """Prompts, refusals and help fit one part with the signature, on the longest date, too."""
    rules = carrier(name)
    for until_s in (minute(2026, 12, 24) * 60, UNTIL_UNLOCKED_S):
        text = render(Reply(kind, tries_left=2, until_s=until_s), rules, english)
        assert parts(text) == 1
        assert "{" not in text
        assert text.endswith(rules.signature_en if english else rules.signature)
        assert set(text) <= GSM if english else not text.isascii()


@pytest.mark.parametrize("name", CARRIERS)
def test_usual_answers_take_one_part(name: str) -> None:
    """No city, one, two with the longest dates: one part in Chinese; in English, too, for the usual names."""
    rules = carrier(name)
    for codes in ([], ["110000"], ["110000", "310000"], ["320500", "JP"]):
        for since_min in (None, LONGEST_DATES[0] + 1440):
            visits = places(*codes)
            text = render(
                Reply(Kind.ANSWER), rules, False, window=LONGEST_DATES, visits=visits, since_min=since_min
            )
            assert parts(text) == 1
        assert parts(answer(rules, *codes, english=True)) == 1


def test_an_answer_in_chinese() -> None:
    """The whole wording: dates, rule, places most recent first, disclaimer, signature."""
    assert answer(carrier("china-mobile"), "110000", "320500", "JP") == (
        "您2月1日至14日到访过（停留满4小时，最近的在前）：北京市、苏州市、日本。"
        "仅供参考，不排除边界漫游误列邻市。【中国移动】"
    )


def test_an_answer_in_english() -> None:
    """The same in English; of two cities that share a name in Latin letters the province is told."""
    assert answer(carrier("china-unicom"), "110000", "320500", english=True) == (
        "1-14 Feb: you stayed 4 h or more in Beijing, Suzhou (Jiangsu) (latest first). "
        "For reference only: border roaming may add a neighbouring city. (China Unicom)"
    )


@pytest.mark.parametrize("english", [False, True])
def test_no_city_is_no_failure(english: bool) -> None:
    """An empty answer says that the look-up was made, for which days, and nothing of trying again."""
    text = answer(carrier("china-mobile"), english=english)
    assert ("look-up done" if english else "查询成功") in text
    assert ("1-14 Feb" if english else "2月1日至14日") in text
    for word in ("失败", "错误", "繁忙", "稍后", "重新", "fail", "error", "busy", "again"):
        assert word not in text


def test_wrong_digits_cover_both_cases() -> None:
    """Digits differ or the number cannot be identified here; how many tries are left, and where to go."""
    for name, again in (
        ("china-mobile", "重新回复"),
        ("china-unicom", "CXMYD#"),
        ("china-telecom", "CXMYD#"),
    ):
        text = render(Reply(Kind.WRONG_DIGITS, tries_left=2), carrier(name), False)
        for word in ("不符", "无法核实身份", "2次", "营业厅", again):
            assert word in text


def test_a_lock_says_until_when() -> None:
    """The date of the midnight that opens it, by the carrier's clock; for good: only the shop."""
    rules = carrier("china-mobile")
    assert "锁定到2月16日0点" in render(Reply(Kind.LOCKED, until_s=minute(2026, 2, 16) * 60), rules, False)
    for_good = render(Reply(Kind.LOCKED, until_s=UNTIL_UNLOCKED_S), rules, False)
    assert "营业厅解锁" in for_good
    assert "2106" not in for_good


@pytest.mark.parametrize(
    ("window", "since_min", "zh", "en"),
    [
        (WINDOW, None, "您2月1日至14日", "1-14 Feb:"),
        (WINDOW, minute(2026, 1, 20), "您2月1日至14日", "1-14 Feb:"),
        (WINDOW, minute(2026, 2, 1), "您2月1日至14日", "1-14 Feb:"),
        (WINDOW, minute(2026, 2, 10, 9), "您2月10日（记录起始）至14日", "10-14 Feb (record starts 10 Feb):"),
        (WINDOW, minute(2026, 2, 14), "您2月14日（记录起始）到访", "14 Feb (record starts 14 Feb):"),
        (OVER_NEW_YEAR, None, "您12月25日至1月7日", "25 Dec-7 Jan:"),
        ((minute(2026, 2, 2), minute(2026, 2, 15, 9)), None, "您2月2日至15日", "2-15 Feb:"),
        ((minute(2026, 2, 14), minute(2026, 2, 15)), None, "您2月14日到访", "14 Feb:"),
    ],
)
def test_the_days_an_answer_is_about(
    window: tuple[int, int], since_min: int | None, zh: str, en: str
) -> None:
    """First and last day that count, both included; a record that begins in the window is told as such."""
    for english, words in ((False, zh), (True, en)):
        text = render(
            Reply(Kind.ANSWER),
            carrier("plain"),
            english,
            window=window,
            visits=places("110000"),
            since_min=since_min,
        )
        assert text.startswith(words)


def test_a_record_younger_than_the_window() -> None:
    """A subscriber of today is told from when there is something to show, not that he was nowhere."""
    text = answer(carrier("china-mobile"), since_min=minute(2026, 2, 15, 10))
    assert "您的记录从2月15日算起" in text
    assert "没有停留" not in text
    text = answer(carrier("china-mobile"), since_min=minute(2026, 2, 15, 10), english=True)
    assert "counts from 15 Feb" in text


def test_an_answer_needs_its_window() -> None:
    """An answer without the days it is about is a mistake of the caller, told at once."""
    with pytest.raises(ValueError, match="window"):
        render(Reply(Kind.ANSWER), carrier("plain"), False)


def test_settings_reach_the_words() -> None:
    """Days, hours, minutes, queries and languages are those of the carrier's file."""
    rules = carrier("china-mobile", window_days=7, stay_hours=0.5, prompt_valid_s=90, queries_per_day=3)
    assert "近7天" in render(Reply(Kind.HELP), rules, False)
    assert "90秒" in render(Reply(Kind.ASK_DIGITS), rules, False)
    assert "90 s" in render(Reply(Kind.ASK_DIGITS), rules, True)
    assert "3次" in render(Reply(Kind.LIMIT_REACHED), rules, False)
    assert "满0.5小时" in answer(rules, "110000")
    assert "English" in render(Reply(Kind.HELP), rules, False)
    assert "English" not in render(Reply(Kind.HELP), carrier("china-mobile", languages=("zh",)), False)


def test_a_carrier_without_signatures() -> None:
    """No English signature: the Chinese one; none at all: nothing, and no space left over."""
    assert answer(carrier("plain", signature_en=""), "JP", english=True).endswith("city. 【行程查询】")
    assert answer(carrier("plain", signature="", signature_en=""), "JP", english=True).endswith("city.")
    assert answer(carrier("plain", signature=""), "JP").endswith("邻市。")


def test_forty_cities() -> None:
    """The longest list names every city once, in its order."""
    codes = [place.code for place in PLACES.cities()]
    random.Random(7).shuffle(codes)
    text = answer(carrier("china-mobile"), *codes[:40])
    positions = [text.index(place.name_zh) for place in places(*codes[:40])]
    assert positions == sorted(positions)
    assert parts(text) < 8


def test_every_place_can_be_named() -> None:
    """No two places of the tables read alike, in neither language, and nearly all English is GSM 03.38."""
    rules = carrier("plain")
    codes = [place.code for place in [*PLACES.cities(), *PLACES.countries()]]
    for english in (False, True):
        texts = [answer(rules, code, english=english) for code in codes]
        assert len(set(texts)) == len(codes)
        if english:
            assert sum(set(text) <= GSM for text in texts) > 0.99 * len(texts)


class Name(NamedTuple):
    """A place of any name."""

    name_zh: str
    name_en: str
    province_zh: str


@given(
    kind=st.sampled_from(Kind),
    name=st.sampled_from(CARRIERS),
    english=st.booleans(),
    tries=st.integers(0, 9),
    until_s=st.integers(0, UNTIL_UNLOCKED_S),
    visits=st.lists(st.builds(Name, st.text(), st.text(), st.text()), max_size=50),
    start_min=st.integers(0, NOON_S // 30),
    length_min=st.integers(1, 60 * 1440),
    since_min=st.none() | st.integers(0, NOON_S // 30),
)
def test_there_are_always_words(
    *,
    kind: Kind,
    name: str,
    english: bool,
    tries: int,
    until_s: int,
    visits: list[Name],
    start_min: int,
    length_min: int,
    since_min: int | None,
) -> None:
    """No reply is empty, whatever the places are called and whenever it is."""
    window = (start_min, start_min + length_min)
    text = render(
        Reply(kind, tries, until_s), carrier(name), english, window=window, visits=visits, since_min=since_min
    )
    assert len(text) > 20
