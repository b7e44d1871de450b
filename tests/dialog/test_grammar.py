"""What people type, and what it means."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialog.grammar import MAX_TEXT, Consent, Digits, Intent, Other, Query, parse

QUERIES: list[tuple[str, Query]] = [
    ("CXMYD", Query()),
    ("cxmyd", Query()),
    ("cXmYd", Query()),
    ("ＣＸＭＹＤ", Query()),
    ("ｃｘｍｙｄ", Query()),
    ("  CXMYD \r\n", Query()),
    ("C X M Y D", Query()),
    ("Ｃ　Ｘ　Ｍ　Ｙ　Ｄ", Query()),
    ("CXMYD。", Query()),
    ("CXMYD！！！", Query()),
    ("CXMYD#", Query()),
    ('"CXMYD"', Query()),
    ("'CXMYD'", Query()),
    ("“CXMYD”", Query()),
    ("‘CXMYD’", Query()),
    ("「CXMYD」", Query()),
    ("『CXMYD』", Query()),
    ("《CXMYD》", Query()),
    ("【CXMYD】", Query()),
    ("（CXMYD）", Query()),
    ("\ufeffCX\u200bMY\u200dD", Query()),
    ("\u202aCXMYD\u202c", Query()),
    ("CXMYD\0", Query()),
    ("CXMYD1234", Query("1234")),
    ("CXMYD 1234", Query("1234")),
    ("CXMYD#1234", Query("1234")),
    ("cxmyd#1234", Query("1234")),
    ("CXMYD＃1234", Query("1234")),
    ("ＣＸＭＹＤ＃１２３４", Query("1234")),
    ("“CXMYD#1234”", Query("1234")),
    ("“CXMYD”#1234", Query("1234")),
    ("CXMYD # 1234", Query("1234")),
    ("CXMYD+1234", Query("1234")),
    ("CXMYD-1234", Query("1234")),
    ("CXMYD：1234", Query("1234")),
    ("CXMYD，1234。", Query("1234")),
    ("CXMYD##1234##", Query("1234")),
    ("CXMYD#123X", Query("123X")),
    ("CXMYD#123x", Query("123X")),
    ("cxmyd１２３ｘ", Query("123X")),
    ("CXMYD#123Ⅹ", Query("123X")),
    ("CXMYD EN", Query(english=True)),
    ("cxmyd en", Query(english=True)),
    ("CXMYDEN", Query(english=True)),
    ("CXMYD EN 1234", Query("1234", english=True)),
    ("CXMYD#1234 EN", Query("1234", english=True)),
    ("CXMYD1234EN", Query("1234", english=True)),
    ("ＣＸＭＹＤ＃１２３ｘ　ＥＮ", Query("123X", english=True)),
    # not four characters of an ID number: asked for again, and no try is spent
    ("CXMYD 123", Query()),
    ("CXMYD#12345", Query()),
    ("CXMYD#X123", Query()),
    ("CXMYD#110101199003071234", Query()),
]
OTHERS: list[tuple[str, Intent]] = [
    ("1234", Digits("1234")),
    (" １２３４ ", Digits("1234")),
    ("123x", Digits("123X")),
    ("“123X”。", Digits("123X")),
    ("#1234", Digits("1234")),
    ("0000", Digits("0000")),
    ("y", Consent()),
    ("Y", Consent()),
    ("Ｙ", Consent()),
    ("“Y”", Consent()),
    ("Y.", Consent()),
    ("yes", Consent()),
    ("Yes!", Consent()),
    ("是", Consent()),
    ("是。", Consent()),
    ("是的", Consent()),
    ("同意", Consent()),
    ("n", Consent(given=False)),
    ("No", Consent(given=False)),
    ("否", Consent(given=False)),
    ("不同意", Consent(given=False)),
    ("", Other()),
    ("   ", Other()),
    ("#", Other()),
    ("你好", Other()),
    ("CXMDY", Other()),
    ("XCXMYD", Other()),
    ("CXMYD谢谢", Other()),
    ("CXMYD CXMYD", Other()),
    ("我要查CXMYD", Other()),
    ("123", Other()),
    ("12345", Other()),
    ("X123", Other()),
    ("12X4", Other()),
    ("是不是", Other()),
    ("YY", Other()),
    # letters and digits of other scripts that look or count alike are refused, not guessed
    ("СХМУD", Other()),  # Cyrillic
    ("CΧMYD", Other()),  # a Greek chi
    ("CXMYD#123Х", Other()),  # a Cyrillic X
    ("١٢٣٤", Other()),
    ("१२३४", Other()),
    # what must do no harm anywhere
    ("=cmd()", Other()),
    ("\x1b[31m", Other()),
    ("\u202eDYMXC", Other()),
    ("'; DROP TABLE x", Other()),
    ("\ud800", Other()),
    ("CXMYD" + " " * MAX_TEXT, Other()),
]


@pytest.mark.parametrize(("text", "intent"), [*QUERIES, *OTHERS], ids=repr)
def test_what_people_type(text: str, intent: Intent) -> None:
    """Every form that people were seen to type means what they meant; anything else is Other."""
    assert parse(text) == intent


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=2 * MAX_TEXT))
def test_every_text_has_a_meaning(text: str) -> None:
    """No text raises, and digits are always three digits and a digit or a capital X, in ASCII."""
    intent = parse(text)
    digits = intent.digits if isinstance(intent, Query | Digits) else None
    if digits is not None:
        assert digits.isascii()
        assert len(digits) == 4
        assert digits[:3].isdigit()
        assert digits[3] in "0123456789X"


@given(
    digits=st.from_regex(r"\A[0-9]{3}[0-9Xx]\Z"),
    before=st.text(alphabet=" 　\u200b\ufeff“”\"'「」\r\n", max_size=8),
    between=st.text(alphabet=" #＃　\u200b+-：，", max_size=8),
    after=st.text(alphabet=" 。.!！\u200b”\n", max_size=8),
    wide=st.booleans(),
    lower=st.booleans(),
)
def test_dressing_makes_no_difference(
    *, digits: str, before: str, between: str, after: str, wide: bool, lower: bool
) -> None:
    """Case, width, spaces, quotes and punctuation around keyword and digits change nothing."""
    typed = "CXMYD" + between + digits
    typed = typed.lower() if lower else typed
    typed = "".join(chr(ord(c) + 0xFEE0) if wide and "!" <= c <= "~" else c for c in typed)
    assert parse(before + typed + after) == Query(digits.upper())


@pytest.mark.parametrize("text", ["#" * MAX_TEXT, "CXMYD#" * 13, "9" * MAX_TEXT, "ﷺ" * MAX_TEXT, "#C" * 40])
def test_no_text_is_slow(text: str) -> None:
    """The worst texts of the longest length (a ligature becomes 18 letters) take well under 50 ms."""
    begin = time.process_time()
    parse(text)
    assert time.process_time() - begin < 0.05
