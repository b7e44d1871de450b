"""What all runs share: configuration, key, places, and the people with their histories.

Made once in a process; a run varies it by `dataclasses.replace`.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gateway.config import Config, load
from gateway.config.models import Park, Smsc
from gateway.dialog.carrier import Carrier
from location_store.keys import SECRET_BYTES, Key, KeyFile
from location_store.places import Place, Places
from location_store.pseudonyms import Pseudonym, Pseudonyms, bucket_key
from location_store.record import History, Record, pack
from location_store.stays import Segment
from location_store.subscribers import Subscriber
from sim.world import EPOCH_S

REDIS_PORT, SMSC_PORT = 6379, 2775
DIGITS, WRONG_DIGITS = "1234", "9999"
#: Of people in one run; each has cities that no other has.
MOST_PEOPLE, MOST_CITIES = 16, 9
SERVICES = {"plain": "12345", "china-mobile": "10086", "china-unicom": "10010", "china-telecom": "10001"}

_TOML = """
[redis]
url = "redis://127.0.0.1:6379/0"
[keys]
file = "keys.json"
[data]
dir = "."
[store]
expected_subscribers = 100_000
[carrier.plain]
numbers = ["12345"]
"""
_LINK = """
[[smsc]]
name = "{name}"
port = 2775
system_id = "{name}"
password = "secret"
carrier = "{name}"
enquire_link_s = 5.0
enquire_timeout_s = 2.0
response_timeout_s = 5.0
session_init_s = 3.0
reconnect_max_s = 5.0
[carrier.{name}]
queries_per_day = {queries}
loop_answers = 100_000
help_interval_s = 0
tries_per_day = 100
tries_per_30_days = 0
"""


class Person(NamedTuple):
    """A subscriber, the cities that an answer has to name in this order, and the service that he texts."""

    number: str
    carrier: str
    cities: tuple[Place, ...]
    who: Pseudonym

    @property
    def service(self) -> str:
        return SERVICES[self.carrier]


class Setting(NamedTuple):
    config: Config
    names: Pseudonyms
    places: Places
    links: dict[str, Smsc]
    """By the carrier."""


@cache
def setting() -> Setting:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "gateway.toml")
        # Without limits on queries for one, with them for the others: their states are kept differently.
        tables = _TOML.replace('[carrier.plain]\nnumbers = ["12345"]\n', "")
        for name in SERVICES:
            link = _LINK.format(name=name, queries=0 if name == "plain" else 1000)
            tables += link.replace("[carrier.plain]", '[carrier.plain]\nnumbers = ["12345"]')
        path.write_text(tables, encoding="utf-8")
        config = load(path)
    keys = KeyFile((Key("simulated", "2026-01-01T00:00:00Z", bytes(SECRET_BYTES)),))  # the same in every run
    return Setting(
        config, Pseudonyms(keys, config.layout), Places.load(), {link.name: link for link in config.smsc}
    )


def people(chance: random.Random, carriers: list[str]) -> list[Person]:
    """So many people of these carriers, each in a partition and in cities of his own."""
    shared = setting()
    cities = shared.places.cities()
    names = Counter(city.name_en for city in cities)
    cities = [city for city in cities if names[city.name_en] == 1]  # those an English answer tells apart
    chance.shuffle(cities)
    total = chance.randint(4, MOST_PEOPLE)
    found: list[Person] = []
    taken: set[int] = set()
    for number in range(13_800_000_001, 13_800_009_999):
        msisdn = f"86{number}"
        who = shared.names.of(msisdn)
        if who.partition in taken:
            continue
        taken.add(who.partition)
        own = tuple(cities.pop() for _ in range(chance.choice((1, 1, 1, 2, 4, MOST_CITIES))))
        found.append(Person(msisdn, carriers[len(found) % len(carriers)], own, who))
        if len(found) == total:
            break
    return found


def record_of(person: Person) -> tuple[bytes, bytes, bytes]:
    """Key, field and value of his record: ten hours in each city, one a day, the latest yesterday."""
    day_min = 24 * 60
    noon_min = int(EPOCH_S) // 60
    segments = [
        Segment(city.id, noon_min - (ago + 1) * day_min, noon_min - (ago + 1) * day_min + 600)
        for ago, city in enumerate(person.cities)
    ]
    names = setting().names
    subscriber = Subscriber(1, names.id_digest(person.number, DIGITS), "zh", None, False, False, True)
    record = Record(subscriber, History(tuple(reversed(segments))))
    return bucket_key(person.who), person.who.field, pack(record, 1)


def carrier_of(name: str) -> Carrier:
    return setting().config.carriers[name]


def configured(carriers: list[str], links: tuple[Smsc, ...], park: Park) -> Config:
    """The configuration with these carriers in use, over these links."""
    config = setting().config
    numbers = {number: config.carriers[name] for name in carriers for number in config.carriers[name].numbers}
    return replace(
        config, smsc=links, carriers_in_use=frozenset(carriers), number_to_carrier=numbers, park=park
    )
