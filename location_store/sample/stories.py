"""The telling subscribers of the sample: one for each thing the service must get right.

Invariant: they are the same in every sample, whatever its seed and size, so that the demo, the phone page and
the documentation can name them. Called by `sample.write`.
"""

import random
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from location_store.places import place_id
from location_store.sample.diary import CAR_KMH, DAY_S, HOUR_S, Diary
from location_store.sample.people import Person
from location_store.sample.terrain import Terrain


class Story(NamedTuple):
    """A subscriber with a purpose. `tell` writes the diary of someone who lives in `home` (a code)."""

    carrier: Literal["china-mobile", "china-unicom", "china-telecom"]
    id_last4: str
    language: Literal["zh", "en"]
    story: str
    home: str
    tell: Callable[[Diary], None]
    since_day: int | None = None

    def person(self, terrain: Terrain, days: int) -> Person:
        """The story as a person of a sample of `days` days."""
        rng = random.Random(self.story)  # noqa: S311  a synthetic diary is no secret
        diary = Diary(terrain, rng, place_id(self.home), days * DAY_S)
        self.tell(diary)
        return Person("story", diary.legs, self.since_day)


def _at(day: int, hour: float) -> float:
    return day * DAY_S + hour * HOUR_S


def _train_journey(diary: Diary) -> None:
    diary.stay_until(_at(7, 8.5))
    diary.ride(place_id("360800"))
    diary.stay_until(_at(9, 17))
    diary.ride(diary.home)
    diary.stay_until(diary.end_s)


def _never_left(diary: Diary) -> None:
    diary.drift_until(diary.end_s, [place_id("320500"), place_id("330400")])


def _abroad(diary: Diary) -> None:
    diary.stay_until(_at(4, 9))
    diary.fly(place_id("JP"), 4)
    diary.stay_until(_at(9, 15))
    diary.fly(diary.home, 4)
    diary.stay_until(diary.end_s)


def _visitor(diary: Diary) -> None:
    diary.stay_until(_at(5, 10))
    diary.ride(place_id("610100"))
    diary.stay_until(_at(8, 11))
    diary.ride(place_id("510100"))
    diary.stay_until(diary.end_s)


def _commute(diary: Diary) -> None:
    for day in range(14):
        diary.stay_until(_at(day, 7.2))
        diary.ride(place_id("110000"), CAR_KMH)
        diary.stay_until(_at(day, 18.3))
        diary.ride(diary.home, CAR_KMH)
    diary.stay_until(diary.end_s)


def _passing_through(diary: Diary) -> None:
    diary.stay_until(_at(10, 9))
    diary.ride(place_id("440100"))
    diary.stay_until(diary.end_s)


def _switched_off(diary: Diary) -> None:
    diary.stay_until(_at(3, 20))
    diary.switch_off(5 * 24)
    diary.stay_until(diary.end_s)


def _never_seen(_diary: Diary) -> None:
    pass


def _grand_tour(diary: Diary) -> None:
    diary.stay_until(_at(1, 7))
    for code in ("420100", "610100", "620100", "630100", "510100", "500000", "520100", "530100", "450100"):
        diary.ride(place_id(code))
        diary.stay(26)
    diary.ride(diary.home)
    diary.stay_until(diary.end_s)


def _over_the_border(diary: Diary) -> None:
    diary.stay_until(_at(6, 9))
    diary.fly(place_id("810000"), 1)
    diary.stay_until(_at(8, 10))
    diary.fly(place_id("820000"), 1.5)
    diary.stay_until(_at(8, 20))
    diary.fly(diary.home, 2)
    diary.stay_until(diary.end_s)


def _former_owner(diary: Diary) -> None:
    diary.stay_until(_at(8, 0))
    diary.fly(place_id("330100"), 34)
    diary.stay_until(diary.end_s)


def _short_visits(diary: Diary) -> None:
    for day in (2, 5, 9, 12):
        diary.stay_until(_at(day, 11))
        diary.ride(place_id("441900"), CAR_KMH)
        diary.stay(1)
        diary.ride(diary.home, CAR_KMH)
    diary.stay_until(diary.end_s)


_MOBILE: Final = "china-mobile"
_UNICOM: Final = "china-unicom"
_TELECOM: Final = "china-telecom"

STORIES: list[Story] = [
    Story(_MOBILE, "1234", "zh", "lives in Changsha, took a train to Ji'an", "430100", _train_journey),
    Story(_MOBILE, "567X", "zh", "never left Shanghai, but borders on others", "310000", _never_left),
    Story(_MOBILE, "8848", "zh", "flew from Shanghai to Japan and back", "310000", _abroad),
    Story(_MOBILE, "2020", "en", "English: Beijing, then Xi'an, now Chengdu", "110000", _visitor),
    Story(_UNICOM, "1234", "zh", "lives in Yanjiao (Langfang), works in Beijing", "131000", _commute),
    Story(_UNICOM, "5678", "zh", "Beijing to Guangzhou through many cities", "110000", _passing_through),
    Story(_UNICOM, "999X", "zh", "in Wuhan; the phone was off for five days", "420100", _switched_off),
    Story(_UNICOM, "0000", "zh", "has a contract and was never seen", "370100", _never_seen),
    Story(_TELECOM, "1234", "zh", "ten cities in a fortnight: a long answer", "410100", _grand_tour),
    Story(_TELECOM, "4321", "zh", "lives in Shenzhen, saw Hong Kong and Macau", "440300", _over_the_border),
    Story(_TELECOM, "135X", "zh", "has the number of somebody else, lately", "210100", _former_owner, 9),
    Story(_TELECOM, "2468", "zh", "lives in Shenzhen, is in Dongguan for an hour", "440300", _short_visits),
]
