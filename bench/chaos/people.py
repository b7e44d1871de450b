"""Whom the chaos run is about: subscribers whose history is known, and what each of them will send.

Each has one conversation, so that whatever he is sent belongs to it. Invariant: all of it follows from the
seed. Called by `system`, which fills the store, by `phones`, which plays the conversations, and by `run`.
"""

import csv
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from location_store.places import Places

SERVICES: Final = {"plain": "12345", "china-unicom": "10010", "china-mobile": "10086"}
ID_LAST4: Final = "1234"
CITIES: Final = (
    "110000", "310000", "440100", "510100", "420100", "610100",
    "230100", "530100", "650100", "320100", "370100", "430100",
)  # fmt: skip
HOURS_A_CITY: Final = 6
MANY: Final = 6
"""Cities of one whose answer has several parts; one in `MANY_OF` has so many."""
MANY_OF: Final = 6
_FIRST_NUMBER: Final = 8_613_800_000_000
_LONG: Final = "ＣＸＭＹＤ＃１２３４" + "\u3000" * 65
"""Two parts in UCS2, and a query all the same."""


class Step(NamedTuple):
    """One text. `expects`: what it is answered with, `answer`, `english` or `prompt`. `waits`: the next step
    comes when this one was answered, else at once.
    """

    text: str
    expects: str
    waits: bool = True


class Subscriber(NamedTuple):
    """`cities`: indexes into `CITIES`, the latest first."""

    msisdn: str
    carrier: str
    cities: tuple[int, ...]
    steps: tuple[Step, ...]


_SCRIPTS: Final = (  # and how often each
    (35, "plain", (Step("CXMYD", "answer"),)),
    (15, "plain", (Step("CXMYD", "answer", waits=False), Step("CXMYD EN", "english"))),
    (20, "china-unicom", (Step(f"CXMYD#{ID_LAST4}", "answer"),)),
    (10, "china-unicom", (Step(_LONG, "answer"),)),
    (20, "china-mobile", (Step("CXMYD", "prompt"), Step(ID_LAST4, "answer"))),
)


def population(count: int, seed: int) -> list[Subscriber]:
    """So many, in the order in which they will ask."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        (script,) = chance.choices(_SCRIPTS, [each[0] for each in _SCRIPTS])
        places = MANY if chance.randrange(MANY_OF) == 0 else 1
        cities = tuple(chance.sample(range(len(CITIES)), places))
        found.append(Subscriber(str(_FIRST_NUMBER + number), script[1], cities, script[2]))
    return found


def write(folder: Path, people: Sequence[Subscriber]) -> None:
    """The three files that a gateway is filled from: cells, subscribers, sightings."""
    start_s = int((datetime.now(UTC) - timedelta(days=5)).timestamp())
    files: dict[str, list[Sequence[object]]] = {
        "cells.csv": [("mcc", "mnc", "area", "cell", "city")],
        "subscribers.csv": [("msisdn", "carrier", "id_last4")],
        "sightings.csv": [("time", "msisdn", "mcc", "mnc", "area", "cell")],
    }
    files["cells.csv"] += [(460, 0, 1, cell, city) for cell, city in enumerate(CITIES)]
    for who in people:
        if who.carrier != "plain":  # whose rules hold for a number without a record
            files["subscribers.csv"].append((who.msisdn, who.carrier, ID_LAST4))
        for place, city in enumerate(reversed(who.cities)):
            hours = range(HOURS_A_CITY * place, HOURS_A_CITY * (place + 1))
            files["sightings.csv"] += [(start_s + 3600 * hour, who.msisdn, 460, 0, 1, city) for hour in hours]
    for name, rows in files.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)


class Meaning:
    """What a text that a phone received is: an answer that names cities, a prompt, or something else."""

    def __init__(self) -> None:
        places = Places.load()
        found = [place for code in CITIES if (place := places.by_code(code)) is not None]
        self._zh = [place.name_zh for place in found]
        self._en = [place.name_en for place in found]

    def of(self, text: str) -> tuple[str, tuple[int, ...]]:
        """Its kind (as a `Step` expects it; else the text itself), and the cities in their order."""
        for kind, names in (("answer", self._zh), ("english", self._en)):
            at = sorted((text.index(name), city) for city, name in enumerate(names) if name in text)
            if at:
                return kind, tuple(city for _, city in at)
        return ("prompt" if "请在" in text and "后四位" in text else text), ()
