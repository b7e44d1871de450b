"""location_store.msisdn: one number, one spelling."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location_store.errors import BadInput, BadMsisdn
from location_store.msisdn import normalise, normalise_series

MAINLAND = "8613800000000"
SHAPES = [
    "8613800000000",
    "0861380000000",
    "08613800000000",
    "13800000000",
    "+13800000000",
    "013800000000",
    "8612800000000",
    "12800000000",
    "-8613800000000",
    " 8613800000000",
    "861380000000",
    "0013800000000",
]


@pytest.mark.parametrize(
    "text",
    [
        "8613800000000",
        "+8613800000000",
        "008613800000000",
        "0086 138-0000-0000",
        "13800000000",
        "138 0000 0000",
        "138.0000.0000",
        "013800000000",
        "(+86) 138-0000-0000",
        "+86\u00a0138\u20110000\u20110000",
        "１３８００００００００",
        "＋８６　１３８００００００００",
        "\u202d+8613800000000\u202c",
        " 13800000000\n",
    ],
)
def test_every_shape_of_a_mainland_number_is_the_same_number(text: str) -> None:
    """Plus, 00, national, trunk 0, separators, full-width digits, invisible marks make no difference."""
    assert normalise(text) == MAINLAND


@pytest.mark.parametrize(
    ("text", "country", "digits"),
    [
        ("61234567", "HK", "85261234567"),
        ("+852 6123 4567", "CN", "85261234567"),
        ("85261234567", "CN", "85261234567"),
        ("00852-61234567", "CN", "85261234567"),
        ("(202) 555-0123", "US", "12025550123"),
        ("+1 202 555 0123", "CN", "12025550123"),
        ("12025550123", "CN", "12025550123"),
        ("8613800000000", "HK", MAINLAND),
        ("+44 (0)20 7946 0958", "CN", "442079460958"),
        ("010 6123 4567", "CN", "861061234567"),
    ],
)
def test_numbers_abroad_and_other_default_countries(text: str, country: str, digits: str) -> None:
    """A national number belongs to the default country; bare digits that are none there are E.164."""
    assert normalise(text, country) == digits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "12",
        "10086",
        "abc",
        "CMCC",
        "138000000000",
        "1380000000",
        "+861380000000",
        "86138000000000",
        "+8613800000000 ext 5",
        "tel:+8613800000000",
        "+86+13800000000",
        "13800000000,13900000000",
        "٠١٢٣٤٥٦٧٨٩",
        "9" * 40,
        "=cmd()",
        "138\x0000000000",
    ],
)
def test_what_cannot_be_a_number_is_refused(text: str) -> None:
    """Too short, too long, short codes, letters, two numbers: BadMsisdn, which is a BadInput."""
    with pytest.raises(BadInput, match="not a possible phone number"):
        normalise(text)


def test_a_refusal_does_not_show_the_number_in_full() -> None:
    """A number mistyped by one digit is still somebody's number to a reader of logs."""
    with pytest.raises(BadMsisdn) as refusal:
        normalise("+861380013800")
    assert "1380013800" not in str(refusal.value)
    assert "\n" not in str(BadMsisdn("1\n2"))


@given(st.text(max_size=30))
def test_any_text_is_normalised_or_refused(text: str) -> None:
    """Nothing but digits comes out, nothing but BadMsisdn is raised, and what came out comes out again."""
    try:
        digits = normalise(text)
    except BadMsisdn:
        return
    assert digits.isascii()
    assert digits.isdigit()
    assert normalise("+" + digits) == digits


def test_a_column_is_normalised_like_its_values() -> None:
    """Null where impossible or null; the name of the column stays."""
    column = pl.Series(
        "msisdn", ["13800000000", "+86 139 0000 0000", "12", None, "85261234567", "8613700000000"]
    )
    got = normalise_series(column)
    assert got.to_list() == [8613800000000, 8613900000000, None, None, 85261234567, 8613700000000]
    assert got.name == "msisdn"


def test_a_column_of_integers_is_accepted() -> None:
    """Parquet files keep numbers as int64."""
    assert normalise_series(pl.Series("n", [13800000000, 8613800000000, 5])).to_list() == [
        8613800000000,
        8613800000000,
        None,
    ]


def test_a_column_follows_the_default_country() -> None:
    """Mainland shapes have no priority elsewhere."""
    assert normalise_series(pl.Series("n", ["61234567", MAINLAND]), "HK").to_list() == [
        85261234567,
        8613800000000,
    ]


@given(st.lists(st.sampled_from(SHAPES) | st.text("0123456789+ -", max_size=15)))
def test_a_column_is_read_as_its_values_are(texts: list[str]) -> None:
    """The quick way over a column, and normalise for each."""
    assert normalise_series(pl.Series("n", texts, dtype=pl.String)).to_list() == [alone(t) for t in texts]


def alone(text: str) -> int | None:
    try:
        return int(normalise(text))
    except BadMsisdn:
        return None


def test_an_empty_column_stays_empty() -> None:
    """No rows, no nulls of a wrong type."""
    assert normalise_series(pl.Series("n", [], dtype=pl.String)).dtype == pl.Int64
    assert normalise_series(pl.Series("n", [None], dtype=pl.String)).to_list() == [None]
