"""`cxmyd subscriber explain`: why an answer names a city, or does not.

Invariant: nothing is shown before the audit log has it; of a forgotten number nothing is told. Called by the
group `subscriber`.
"""

import time
from datetime import datetime
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.admin.context import open_store, running_redis
from gateway.admin.desk import Desk
from gateway.admin.options import config_option, json_option, reason_option
from gateway.admin.output import json_line, print_table
from gateway.config import Config
from location_store import rotation
from location_store.explain import Explanation, explain
from location_store.history import PLAIN, Profile, facts
from location_store.places import Place, Places
from location_store.record import EMPTY, Record
from location_store.stays import Stay, StayRules
from location_store.store import Store
from location_store.window import Window, window

_BECAUSE = {
    "visited": "{figure} h reach the {needed} h that make a visit",
    "too_short": "{figure} h at most, and a visit takes {needed} h",
    "drift": "all of it is border drift: the phone camped on this city's cells from a stay next door",
    "outside_window": "it was seen there only outside the window",
    "before_since": "it was seen there only before `since`, when the number was another's",
    "never_seen": "the phone was never seen there, as far as is kept",
    "unknown": "nothing is known of this number",
    "forgotten": "this number is forgotten: no city is named until it is imported again",
}


@click.command(name="explain")
@click.argument("number", metavar="MSISDN")
@click.argument("city")
@reason_option
@config_option
@json_option
@click.pass_context
def explain_command(ctx: click.Context, *, number: str, city: str, reason: str | None, as_json: bool) -> None:
    """Why an answer names CITY (a code, a Chinese or English name, or a country's two letters), or does not.

    Which sightings are kept, which stays they make, what border drift took, what the edges cut, and the
    figure that is compared with stay_hours.
    """
    desk = Desk(ctx, "subscriber explain", [number], reason)
    places = Places.load()
    place = _place(places, city)
    with running_redis(desk.config) as config, open_store(config, desk.pseudonyms) as store:
        desk.record(desk.msisdns)
        (kept,) = rotation.records(store, desk.pseudonyms, desk.msisdns)
        view = _view(desk.msisdns[0], kept, place, places, _profile(store, config, kept))
    if as_json:
        click.echo(json_line(view))
    else:
        _print(view)


def _place(places: Places, text: str) -> Place:
    """The place that the operator means. Raises UsageError where none is, or several are."""
    wanted = text.strip()
    by_code = places.by_code(wanted.upper())
    if by_code is not None:
        return by_code
    everywhere = [*places.cities(), *places.countries()]
    folded = wanted.casefold()
    found = [each for each in everywhere if folded in (each.name_en.casefold(), each.name_zh)]
    found = found or [each for each in everywhere if len(wanted) > 1 and each.name_zh.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{each.code} {each.name_zh}" for each in found)
        raise click.UsageError(f"{text}: several places are called so, give the code: {several}")
    close = get_close_matches(wanted, [each.name_en for each in everywhere], n=3)
    raise click.UsageError(f"{text}: no such city or country" + (f"; {' or '.join(close)}?" if close else ""))


def _profile(store: Store, config: Config, kept: Record) -> Profile:
    """The rules under which an answer to this subscriber is made."""
    name = store.carriers().get(kept.subscriber.carrier_id, PLAIN) if kept.subscriber.imported else PLAIN
    return config.carriers.get(name) or config.carriers[PLAIN]


def _view(msisdn: str, kept: Record, place: Place, places: Places, profile: Profile) -> dict[str, Any]:
    """What --json prints: the facts, then the steps."""
    tz = ZoneInfo(profile.timezone)
    now_s = time.time()
    period = window(now_s, days=profile.window_days, through=profile.through, tz=tz)
    subscriber = kept.subscriber
    told = explain(
        EMPTY if subscriber.forgotten else kept.history,
        place.id,
        StayRules(profile.stay_hours, profile.stay_rule),
        places.neighbours,
        period,
        subscriber.since_min,
        tz,
    )
    known = facts(kept, profile, places.neighbours, now_s).known
    why = "forgotten" if subscriber.forgotten else told.why if known or told.seen else "unknown"
    figures = {"figure": f"{told.figure_min / 60:.2f}", "needed": f"{profile.stay_hours:g}"}
    return {
        "msisdn": msisdn,
        "known": known,
        **_named(place),
        "visited": why == "visited",
        "why": why,
        "because": _BECAUSE[why].format(**figures),
        "stay_rule": profile.stay_rule,
        "stay_hours": profile.stay_hours,
        "figure_h": _hours(told.figure_min),
        "silence_counts_h": _hours(told.step_min),
        "window": _window(period, tz),
        "since": None if subscriber.since_min is None else _rfc3339(subscriber.since_min, tz),
        **_steps(told, places, tz),
    }


def _steps(told: Explanation, places: Places, tz: ZoneInfo) -> dict[str, Any]:
    def stay(each: Stay) -> dict[str, Any]:
        return {**_span(each.first_min, each.last_min, tz), "dwell_h": _hours(each.dwell_min)}

    def elsewhere(each: Stay) -> dict[str, Any]:
        return {**_named(places.by_id(each.place)), **stay(each)}

    return {
        "seen": [
            {**_span(each.first_min, each.last_min, tz), "settled": each.settled, "cuts": list(each.cuts)}
            for each in told.seen
        ],
        "drift": [{**stay(each.stay), "taken_by": elsewhere(each.by)} for each in told.drift],
        "stays": [
            {
                **stay(each.stay),
                "half_gap_before_h": _hours(each.before_min),
                "half_gap_after_h": _hours(each.after_min),
                "figure_h": _hours(each.figure_min),
                "took_in": [elsewhere(other) for other in each.took_in],
            }
            for each in told.stays
        ],
        "days": [
            {
                "day": _rfc3339(each.day_min, tz)[:10],
                **_span(each.first_min, each.last_min, tz),
                "span_h": _hours(each.last_min - each.first_min),
            }
            for each in told.days
        ],
    }


def _print(view: dict[str, Any]) -> None:
    verdict = (
        click.style("visited", fg="green") if view["visited"] else click.style("not visited", fg="yellow")
    )
    place = f"{view['name_zh']} {view['name_en']} ({view['city']})"
    click.echo(f"{click.style('+' + view['msisdn'], bold=True)}  {place}: {verdict}, {view['because']}")
    if view["why"] in ("unknown", "forgotten"):
        return
    since = f", nothing before {_short(view['since'])}" if view["since"] else ""
    click.echo(f"window {_short(view['window']['first'])} to {_short(view['window']['last'])}{since}")
    click.echo(f"rule {view['stay_rule']}, of a silence {view['silence_counts_h']:g} h count at most")
    _table("seen", view["seen"], lambda row: ("settled" if row["settled"] else "newest", _words(row["cuts"])))
    _table("taken for border drift", view["drift"], lambda row: (row["dwell_h"], _at(row["taken_by"])))
    _table(
        "stays in the window",
        view["stays"],
        lambda row: (
            row["dwell_h"],
            row["half_gap_before_h"],
            row["half_gap_after_h"],
            row["figure_h"],
            "; ".join(map(_at, row["took_in"])),
        ),
    )
    _table("days", view["days"], lambda row: (row["span_h"],))


_COLUMNS = {
    "seen": ("kept", "cut"),
    "taken for border drift": ("dwell h", "part of"),
    "stays in the window": ("dwell h", "half gap before h", "after h", "figure h", "drift taken in"),
    "days": ("span h",),
}


def _table(title: str, rows: list[dict[str, Any]], cells: Any) -> None:
    if rows:
        columns = ["first", "last", *_COLUMNS[title]]
        print_table(
            title, columns, [[_short(row["first"]), _short(row["last"]), *cells(row)] for row in rows]
        )


def _at(stay: dict[str, Any]) -> str:
    return f"{stay['name_zh']} {_short(stay['first'])} to {_short(stay['last'])}"


def _words(cuts: list[str]) -> str:
    return ", ".join(cut.replace("_", " ") for cut in cuts)


def _short(time_text: str) -> str:
    return time_text[:16].replace("T", " ")


def _named(place: Place) -> dict[str, Any]:
    return {"city": place.code, "name_zh": place.name_zh, "name_en": place.name_en}


def _window(period: Window, tz: ZoneInfo) -> dict[str, str]:
    return _span(period.start_min, period.end_min, tz)


def _span(first_min: int, last_min: int, tz: ZoneInfo) -> dict[str, str]:
    return {"first": _rfc3339(first_min, tz), "last": _rfc3339(last_min, tz)}


def _rfc3339(minute: int, tz: ZoneInfo) -> str:
    return datetime.fromtimestamp(60 * minute, tz).isoformat()


def _hours(minutes: float) -> float:
    return round(minutes / 60, 4)
