"""Phone numbers in all the shapes people and files write them -> E.164 digits.

Invariant: what comes out is digits only, country code first, and a possible number; equal numbers come out
equal. Called at every door: command line, ingest, imports, and the gateway for source addresses. Source:
ITU-T E.164; Google's libphonenumber (phonenumbers) for the national plans.
"""

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, ValidationResult

from location_store.errors import BadMsisdn

if TYPE_CHECKING:
    import polars as pl

MAINLAND_E164 = re.compile(r"861[3-9][0-9]{9}")
_CHINA = 86 * 10**11
_NATIONAL_MOBILES = (13_000_000_000, 19_999_999_999)
_MOBILES = (_CHINA + 13_000_000_000, _CHINA + 19_999_999_999)
_PLUS_MAINLAND_E164 = re.compile(r"\+861[3-9][0-9]{9}")
MAINLAND_NATIONAL = re.compile(r"1[3-9][0-9]{9}")
# libphonenumber holds any 7 to 12 digits possible in China (desk lines have such lengths); a mobile number
# has 11.
_MAINLAND_WRONG_LENGTH = re.compile(r"861[3-9](?![0-9]{9}$)")

_SEPARATORS = re.compile(r"[\s.()/\u2010-\u2015\u2212-]")
_DIALLED = re.compile(r"(\+|00)?([0-9]{1,20})")
_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}


def normalise(text: str, default_country: str = "CN") -> str:
    """E.164 digits without the plus.

    Accepts +, 00, spaces, dashes, dots, parentheses, full-width forms, invisible marks, and national numbers
    of default_country (ISO 3166-1 alpha-2). Bare digits are read as a national mobile number where they are
    a valid one, else as E.164. The number need be possible, not allocated. Raises BadMsisdn.
    """
    if _PLUS_MAINLAND_E164.fullmatch(text):  # nearly all
        return text[1:]
    return _normalise(text, default_country)


@lru_cache(maxsize=65_536)
def _normalise(text: str, default_country: str) -> str:
    dialled = _DIALLED.fullmatch(_plain(text))
    if dialled is None:
        raise BadMsisdn(text)
    prefix, digits = dialled.groups()
    if MAINLAND_E164.fullmatch(digits) and (prefix or default_country == "CN"):
        return digits
    if prefix is None:
        if default_country == "CN" and MAINLAND_NATIONAL.fullmatch(digits):
            return "86" + digits
        national = _parse(digits, default_country)
        # Without a trunk 0, eleven digits that begin 852 are Hong Kong rather than a desk in Zunyi.
        if national and _is_national(national, trunk=digits.startswith("0")):
            return _possible(national, text)
    return _possible(_parse("+" + digits, None), text)


def normalise_series(numbers: "pl.Series", default_country: str = "CN") -> "pl.Series":
    """normalise() over a column of strings or integers: E.164 digits as Int64, null where impossible.

    Mainland mobiles are recognised as a column; everything else goes through normalise() once for each
    distinct value.
    """
    import polars as pl  # noqa: PLC0415 -- 0.4 s that the gateway, which knows no columns, need not wait

    number = numbers.cast(pl.Int64, strict=False)
    is_e164, is_national = number.is_between(*_MOBILES), number.is_between(*_NATIONAL_MOBILES)
    if numbers.dtype == pl.String:  # leading zeros and signs mean something
        length = numbers.str.len_bytes()
        is_e164, is_national = is_e164 & (length == 13), is_national & (length == 11)
    if default_country != "CN":
        is_e164 = is_national = is_e164 & False
    plain = (is_e164 | is_national).fill_null(value=False)
    if is_national.any():
        number = number.zip_with(~is_national.fill_null(value=False), number + _CHINA)
    odd = ~plain & numbers.is_not_null()
    if odd.any():
        raw = numbers.cast(pl.String)
        shapes = raw.filter(odd).unique()
        digits = pl.Series([_or_none(shape, default_country) for shape in shapes], dtype=pl.Int64)
        mended = raw.replace_strict(shapes, digits, default=None, return_dtype=pl.Int64)
        number = number.zip_with(plain, mended)
    return number.alias(numbers.name)


def _or_none(text: str, default_country: str) -> int | None:
    try:
        return int(normalise(text, default_country))
    except BadMsisdn:
        return None


def _plain(text: str) -> str:
    """Width folded; separators and invisible marks (contact books copy them along) taken out."""
    if text.isascii():
        return _SEPARATORS.sub("", text)
    folded = unicodedata.normalize("NFKC", text)
    visible = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    return _SEPARATORS.sub("", visible)


def _parse(digits: str, country: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(digits, country)
    except phonenumbers.NumberParseException:
        return None


def _is_national(number: PhoneNumber, *, trunk: bool) -> bool:
    return phonenumbers.is_valid_number(number) and (trunk or phonenumbers.number_type(number) in _MOBILE)


def _possible(number: PhoneNumber | None, text: str) -> str:
    reason = None if number is None else phonenumbers.is_possible_number_with_reason(number)
    if number is None or reason != ValidationResult.IS_POSSIBLE:
        raise BadMsisdn(text)
    digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
    if _MAINLAND_WRONG_LENGTH.match(digits):
        raise BadMsisdn(text)
    return digits
