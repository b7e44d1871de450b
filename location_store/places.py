"""The places a history can name: the prefecture-level cities of China, and countries.

Invariant: a place's id (u16, never 0) follows from its code alone, so packed records stay readable when the
tables are replaced by newer ones. Called by the cell table, the ingester and whoever shows a history.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from location_store.errors import BadInput
from location_store.shipped import config_dir

DOMESTIC_MCCS = frozenset({460, 461})
"""Mobile country codes whose cells need the cell table: mainland China (ITU-T E.212)."""

_CITIES = "cn_prefectures.csv"
_CITY_COLUMNS = {"code", "name_zh", "name_en", "province_zh", "neighbours"}
_COUNTRY_COLUMNS = {"mcc", "iso2", "name_zh", "name_en"}
_UNITS_BY_MCC = {454: "810000", 455: "820000", 466: "710000"}
_COUNTY_IDS = 10_000
_COUNTRY_IDS = 20_000


class Place(NamedTuple):
    """A city or a country. `code`: six digits of GB/T 2260, or two letters of ISO 3166-1.

    `province_zh` is empty for a country.
    """

    id: int
    code: str
    name_zh: str
    name_en: str
    province_zh: str
    kind: Literal["city", "country"]


def place_id(code: str) -> int:
    """The u16 id of a code: 1000..8299 prefectures, 10000.. counties run by a province, 20000.. countries.

    `code` is six digits (GB/T 2260) or two capital letters (ISO 3166-1 alpha-2). Raises BadInput on others.
    """
    if len(code) == 6 and code.isascii() and code.isdigit() and code[0] != "0":
        number = int(code)
        if number % 100 == 0:
            return number // 100
        if number // 100 % 100 == 90:
            return _COUNTY_IDS + 100 * (number // 10_000) + number % 100
    elif len(code) == 2 and code.isascii() and code.isalpha() and code.isupper():
        return _COUNTRY_IDS + 26 * (ord(code[0]) - ord("A")) + ord(code[1]) - ord("A")
    raise BadInput(
        f"{code!r} is no place code: use six digits of GB/T 2260 down to the prefecture, "
        "or two letters of ISO 3166-1"
    )


class Places:
    """Names, neighbours and country codes, read once from the tables of `config/places`."""

    def __init__(
        self,
        places: dict[int, Place],
        neighbours: dict[int, frozenset[int]],
        place_of_mcc: npt.NDArray[np.uint16],
    ) -> None:
        self._places = places
        self._by_code = {place.code: place for place in places.values()}
        self._neighbours = neighbours
        self.place_of_mcc = place_of_mcc
        """Place id by mobile country code (index 0..999), 0 where the code alone names no place."""

    @classmethod
    def load(cls, directory: Path | None = None) -> "Places":
        """Read the tables of cities, countries and corrections in `directory` (default: the shipped ones).

        Raises BadInput when a table cannot be read.
        """
        directory = directory or config_dir() / "places"
        places: dict[int, Place] = {}
        neighbours: dict[int, frozenset[int]] = {}
        for row in _rows(directory / _CITIES):
            place = Place(
                place_id(row["code"]), row["code"], row["name_zh"], row["name_en"], row["province_zh"], "city"
            )
            if place.id in places:
                raise BadInput(f"{directory / 'cn_prefectures.csv'}: {place.code} stands there twice")
            places[place.id] = place
            neighbours[place.id] = frozenset(map(place_id, row["neighbours"].split()))
        place_of_mcc = np.zeros(1000, np.uint16)
        for mcc, country in _countries(directory).items():
            place_of_mcc[mcc] = country.id
            places.setdefault(country.id, country)
        for mcc, code in _UNITS_BY_MCC.items():
            place_of_mcc[mcc] = place_id(code)
        place_of_mcc[sorted(DOMESTIC_MCCS)] = 0
        place_of_mcc.setflags(write=False)
        return cls(places, neighbours, place_of_mcc)

    def by_id(self, place: int) -> Place:
        """The place of an id. An id of no table here (an older one wrote it) keeps its code as its name."""
        return self._places.get(place) or _unnamed(place)

    def by_code(self, code: str) -> Place | None:
        """The place of a six-digit code or of two letters, None where no table has it."""
        return self._by_code.get(code)

    def of_mcc(self, mcc: int) -> Place | None:
        """The place that a mobile country code names by itself: a country, or one of 810000, 820000, 710000.

        None for mainland China, whose cells need the cell table, and for codes of no country.
        """
        place = int(self.place_of_mcc[mcc]) if 0 <= mcc < 1000 else 0
        return self._places[place] if place else None

    def neighbours(self, a: int, b: int) -> bool:
        """Whether two cities share a border on land; never true of countries."""
        return b in self._neighbours.get(a, frozenset())

    def neighbours_of(self, place: int) -> frozenset[int]:
        """The ids of the cities that share a border with this one."""
        return self._neighbours.get(place, frozenset())

    def cities(self) -> list[Place]:
        """Every city, in the order of the table."""
        return [place for place in self._places.values() if place.kind == "city"]

    def countries(self) -> list[Place]:
        """Every country that a mobile country code can name, mainland China excepted."""
        return [place for place in self._places.values() if place.kind == "country"]


def _countries(directory: Path) -> dict[int, Place]:
    """The country to show for each mobile country code; rows of `corrections.csv` replace the source's."""
    rows = {int(row["mcc"]): row for row in _rows(directory / "mcc_countries.csv") if row["primary"] == "1"}
    corrections = directory / "corrections.csv"
    if corrections.is_file():
        rows |= {int(row["mcc"]): row for row in _rows(corrections)}
    units = {*_UNITS_BY_MCC, *DOMESTIC_MCCS}
    return {
        mcc: Place(place_id(row["iso2"]), row["iso2"], row["name_zh"], row["name_en"], "", "country")
        for mcc, row in rows.items()
        if row["iso2"] and mcc not in units  # 001, 901, 999 …: test networks and ships belong to no country
    }


def _unnamed(place: int) -> Place:
    if place >= _COUNTRY_IDS:
        first, second = divmod(place - _COUNTRY_IDS, 26)
        code = chr(ord("A") + first) + chr(ord("A") + second)
        return Place(place, code, code, code, "", "country")
    if place >= _COUNTY_IDS:
        province, county = divmod(place - _COUNTY_IDS, 100)
        code = f"{province:02d}90{county:02d}"
    else:
        code = f"{place:04d}00"
    return Place(place, code, code, code, "", "city")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    columns = _COUNTRY_COLUMNS if path.name != _CITIES else _CITY_COLUMNS
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if missing := columns - set(rows.fieldnames or ()):
                raise BadInput(f"{path}: the header lacks {', '.join(sorted(missing))}")
            yield from rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: the table of places cannot be read: {error}") from error
