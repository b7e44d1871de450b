"""What a subscriber's text means, whatever way it was typed.

Pure and total: every text, however long or odd, is exactly one intent; nothing raises. Bounded: a text
longer than MAX_TEXT is not looked at, so the cost has a ceiling. Look-alike letters of other scripts are
not taken for Latin ones (the help answers them). Called by the pipeline before the conversation.
"""

import re
import unicodedata
from typing import NamedTuple

MAX_TEXT = 80
"""Characters that are looked at; a keyword, four digits, EN and generous spaces and quotes make about 30."""


class Query(NamedTuple):
    """The keyword CXMYD. `digits`: the last four of the ID number where they came with it, the last
    upper-cased.

    A wrong count of digits (`CXMYD 123`) is a query without digits: the subscriber is told what to send,
    and no try is spent. `english`: EN was typed.
    """

    digits: str | None = None
    english: bool = False


class Digits(NamedTuple):
    """Four characters that can end an ID number: three digits, then a digit or X."""

    digits: str


class Consent(NamedTuple):
    """A yes (`Y`, `是`), or with `given` false a no."""

    given: bool = True


class Other(NamedTuple):
    """Anything else."""


Intent = Query | Digits | Consent | Other

_QUERY = re.compile(r"#?CXMYD#?(EN)?#?([0-9X]*)#?(EN)?#?")
_DIGITS = re.compile(r"#?([0-9]{3}[0-9X])#?")
_WORD = re.compile(r"#?([^#]*)#?")
_RUNS = re.compile(r"##+")
_YES = frozenset({"Y", "YES", "是", "是的", "同意", "授权"})
_NO = frozenset({"N", "NO", "否", "不", "不是", "不同意"})
_OTHER = Other()

_SEPARATORS = frozenset(
    "+=~|^`$"
)  # symbols that Unicode does not class as punctuation, but people type as such
_QUOTES_AND_BRACKETS = frozenset({"Pi", "Pf", "Ps", "Pe"})
_UNSEEN = frozenset(
    {"Cc", "Cf", "Zs", "Zl", "Zp"}
)  # controls, zero-width and bidi marks, every kind of space


def _fold_character(character: str) -> str:
    """Nothing, `#` for any other punctuation, or the character itself."""
    category = unicodedata.category(character)
    if category in _UNSEEN or category in _QUOTES_AND_BRACKETS or character in "\"'":
        return ""
    if "\ufe00" <= character <= "\ufe0f":  # variation selectors: unseen, though classed as marks
        return ""
    if category[0] == "P" or character in _SEPARATORS:
        return "#"
    return character


def _fold(text: str) -> str:
    """`text` in capitals, of compatible forms the plain one, without spaces and quotes, runs of punctuation
    as one #.

    NFKC (Unicode Standard Annex 15) turns full-width, circled and Roman-numeral forms into plain letters
    and digits.
    """
    folded = "".join(map(_fold_character, unicodedata.normalize("NFKC", text)))
    return _RUNS.sub("#", folded)


def parse(text: str) -> Intent:
    """What `text` means; Other when it is none of what the dialogs know."""
    if len(text) > MAX_TEXT:
        return _OTHER
    if not (text.isascii() and text.isalnum()):
        text = _fold(text)
    text = text.upper()
    if match := _QUERY.fullmatch(text):
        typed = match[2]
        digits = typed if _DIGITS.fullmatch(typed) else None
        return Query(digits, bool(match[1] or match[3]))
    if match := _DIGITS.fullmatch(text):
        return Digits(match[1])
    word = match[1] if (match := _WORD.fullmatch(text)) else ""
    if word in _YES:
        return Consent()
    if word in _NO:
        return Consent(given=False)
    return _OTHER
