"""Names, codes, ids and neighbours of the places a history can name."""

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from location_store.errors import BadInput
from location_store.places import Places, place_id
from location_store.shipped import config_dir


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.load()


def test_every_place_has_its_own_u16_id_and_is_found_by_it_and_by_its_code(places: Places) -> None:
    """372 cities and over 200 countries: no two share an id, and 0 stays free for "nowhere"."""
    everything = places.cities() + places.countries()
    assert len(places.cities()) == 372
    assert len(places.countries()) > 200
    assert len({place.id for place in everything}) == len(everything)
    for place in everything:
        assert 0 < place.id < 65536
        assert place_id(place.code) == place.id
        assert places.by_id(place.id) is place
        assert places.by_code(place.code) is place
        assert place.name_zh
        assert place.name_en


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("110000", 1100),
        ("320500", 3205),
        ("429004", 14204),
        ("469021", 14621),
        ("659012", 16512),
        ("JP", 20249),
    ],
)
def test_ids_follow_from_the_code_alone(code: str, expected: int) -> None:
    """Packed records hold ids: the rule may never change."""
    assert place_id(code) == expected


@given(st.one_of(st.text(max_size=7), st.from_regex(r"0\d{5}|\d{5}|[a-zA-Z]{1,3}", fullmatch=True)))
def test_other_texts_are_refused_as_codes(text: str) -> None:
    """A code is six digits down to the prefecture or two capital letters; everything else is BadInput."""
    assume(not re.fullmatch(r"[1-9][0-9]{3}00|[1-9][0-9]90[0-9]{2}|[A-Z]{2}", text))
    with pytest.raises(BadInput, match=re.escape(repr(text))):
        place_id(text)


def test_a_district_is_no_place() -> None:
    """110105 (a district of Beijing) is below the prefecture."""
    with pytest.raises(BadInput, match="110105"):
        place_id("110105")


def test_mobile_country_codes(places: Places) -> None:
    """Countries by MCC; 454, 455 and 466 are units of China; the rest names nothing."""

    def code(mcc: int) -> str | None:
        place = places.of_mcc(mcc)
        return place and place.code

    assert [code(mcc) for mcc in (440, 441, 310, 234, 505)] == ["JP", "JP", "US", "GB", "AU"]
    assert [code(mcc) for mcc in (454, 455, 466)] == ["810000", "820000", "710000"]
    assert [code(mcc) for mcc in (460, 461, 1, 901, 999, 1000, -1)] == [None] * 7
    assert places.place_of_mcc[440] == place_id("JP")


def test_neighbours_share_a_border_and_countries_have_none(places: Places) -> None:
    """The relation is symmetric, and drift between countries does not exist."""
    shenzhen, dongguan, beijing, japan = (place_id(code) for code in ("440300", "441900", "110000", "JP"))
    assert places.neighbours(shenzhen, dongguan)
    assert not places.neighbours(shenzhen, beijing)
    assert not places.neighbours(shenzhen, shenzhen)
    assert not places.neighbours(japan, place_id("KR"))
    for city in places.cities():
        assert all(places.neighbours(other, city.id) for other in places.neighbours_of(city.id))


def test_an_id_of_an_older_table_keeps_its_code_as_its_name(places: Places) -> None:
    """A city that has been dissolved (Laiwu, 371200) can still be told."""
    assert places.by_id(3712).name_zh == "371200"
    assert places.by_id(place_id("659099")).code == "659099"
    assert places.by_id(place_id("ZZ")).kind == "country"


def test_a_missing_or_wrong_table_is_named(tmp_path: Path) -> None:
    """The message carries the path and, for a wrong header, the column."""
    with pytest.raises(BadInput, match=r"cn_prefectures\.csv"):
        Places.load(tmp_path)
    (tmp_path / "cn_prefectures.csv").write_text("code,name_zh\n110000,北京市\n", encoding="utf-8")
    with pytest.raises(BadInput, match="lacks name_en, neighbours, province_zh"):
        Places.load(tmp_path)


def test_the_shipped_configuration_is_found() -> None:
    """Its place tables, their origin and their corrections lie together."""
    assert {path.name for path in (config_dir() / "places").iterdir()} >= {
        "SOURCES.md",
        "cn-atlas.topojson",
        "corrections.csv",
        "mcc_countries.csv",
    }
