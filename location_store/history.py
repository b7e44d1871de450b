"""What is known of a subscriber, under his carrier's rules: the visits an answer names and an operator sees.

Invariant: no place before `since`, outside the window, or of a forgotten number is ever shown. Pure but for
`subscriber_view`, which reads the store for the operator's command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from location_store import rotation
from location_store.pseudonyms import Pseudonyms
from location_store.record import Record, timeline
from location_store.stays import Neighbours, StayRule, StayRules, Visits, visited
from location_store.subscribers import Subscriber
from location_store.window import Through, window

if TYPE_CHECKING:
    from location_store.places import Place, Places
    from location_store.store import Store

PLAIN = "plain"
"""The profile whose rules hold for numbers without a record, and for carriers no longer configured."""


class Profile(Protocol):
    """What is asked of a carrier's configuration."""

    @property
    def window_days(self) -> int: ...
    @property
    def through(self) -> Through: ...
    @property
    def timezone(self) -> str: ...
    @property
    def stay_hours(self) -> float: ...
    @property
    def stay_rule(self) -> StayRule: ...


class Facts(NamedTuple):
    """known: a record, or a sighting in the window. subscriber: an empty one where there is no record."""

    known: bool
    subscriber: Subscriber
    visits: Visits


def facts(kept: Record, profile: Profile, neighbours: Neighbours, now_s: float) -> Facts:
    """The facts of one subscriber. Of a forgotten number no more is told than that it was seen since."""
    subscriber = kept.subscriber
    tz = ZoneInfo(profile.timezone)
    period = window(now_s, days=profile.window_days, through=profile.through, tz=tz)
    known_timeline = timeline(kept.history)
    seen = any(
        each.last_min >= period.start_min and each.first_min < period.end_min for each in known_timeline
    )
    known = subscriber.imported or seen
    if subscriber.forgotten:
        return Facts(known, subscriber, Visits([], []))
    visits = visited(
        known_timeline,
        StayRules(profile.stay_hours, profile.stay_rule),
        neighbours,
        period,
        subscriber.since_min,
        tz,
    )
    return Facts(known, subscriber, visits)


def subscriber_view(
    store: Store,
    pseudonyms: Pseudonyms,
    places: Places,
    profiles: Mapping[str, Profile],
    msisdns: Sequence[str],
    *,
    now_s: float,
    locked_until_s: Sequence[float | None] | None = None,
) -> Iterator[dict[str, Any]]:
    """What `subscriber show` prints of each number (E.164 digits), in the order given, read in one go.

    `profiles`: by carrier's name, PLAIN among them. `locked_until_s`: until when wrong ID digits have locked
    each number, None for those that are not. Raises StoreUnavailable, StoreRefused, RecordError.
    """
    carriers = store.carriers()
    records = rotation.records(store, pseudonyms, msisdns)
    locks = locked_until_s or [None] * len(msisdns)
    for msisdn, kept, lock in zip(msisdns, records, locks, strict=True):
        subscriber = kept.subscriber
        name = carriers.get(subscriber.carrier_id, PLAIN) if subscriber.imported else PLAIN
        profile = profiles.get(name) or profiles[PLAIN]
        found = facts(kept, profile, places.neighbours, now_s)
        yield _view(msisdn, found, lock, places, ZoneInfo(profile.timezone))


def _view(
    msisdn: str, found: Facts, locked_until_s: float | None, places: Places, tz: ZoneInfo
) -> dict[str, Any]:
    return {
        "msisdn": msisdn,
        "known": found.known,
        "language": found.subscriber.language,
        "blocked": found.subscriber.blocked,
        "locked_until": None if locked_until_s is None else _rfc3339(int(locked_until_s), tz),
        "visited": [
            _named(places.by_id(visit.place))
            | _span(visit.first_min, visit.last_min, tz)
            | {"longest_stay_h": _hours(visit.longest_min)}
            for visit in found.visits.visits
        ],
        "stays": [
            _named(places.by_id(stay.place))
            | _span(stay.first_min, stay.last_min, tz)
            | {"dwell_h": _hours(stay.dwell_min)}
            for stay in found.visits.stays
        ],
    }


def _named(place: Place) -> dict[str, Any]:
    return {"city": place.code, "name_zh": place.name_zh, "name_en": place.name_en}


def _span(first_min: int, last_min: int, tz: ZoneInfo) -> dict[str, Any]:
    return {"first": _rfc3339(60 * first_min, tz), "last": _rfc3339(60 * last_min, tz)}


def _rfc3339(time_s: int, tz: ZoneInfo) -> str:
    return datetime.fromtimestamp(time_s, tz).isoformat()


def _hours(minutes: float) -> float:
    return round(minutes / 60, 4)
