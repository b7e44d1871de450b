"""`cxmyd subscriber`: an operator looks at one subscriber, or changes what he may do.

Invariant: nothing is shown or changed before the audit log has it; without a reason nothing happens but the
record of the attempt.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click

from gateway.admin import erased
from gateway.admin.audited import audited
from gateway.admin.context import open_store, running_redis
from gateway.admin.desk import Desk
from gateway.admin.explain import explain_command
from gateway.admin.options import config_option, json_option, reason_option
from gateway.admin.output import json_line, print_table
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.redis import operator
from location_store.history import subscriber_view
from location_store.places import Places
from location_store.pseudonyms import Pseudonym
from location_store.store import Store

CHUNK = 500  # numbers that are recorded, read and shown together
_VISITS = ("city", "name_zh", "name_en", "first", "last", "longest_stay_h")
_STAYS = ("city", "name_zh", "name_en", "first", "last", "dwell_h")


@click.group()
def subscriber() -> None:
    """One subscriber: show, explain, block, unlock, forget. Each demands a reason and is recorded."""


subscriber.add_command(explain_command)


@subscriber.command()
@click.argument("numbers", nargs=-1, metavar="MSISDN...")
@click.option("--from", "source", metavar="FILE", help="Read numbers from FILE, one a line; - for stdin.")
@click.option("--stays", "with_stays", is_flag=True, help="Show the single stays too, as --json always does.")
@reason_option
@config_option
@json_option
@click.pass_context
def show(
    ctx: click.Context,
    *,
    numbers: tuple[str, ...],
    source: str | None,
    with_stays: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """The visits of one subscriber or of many, as an answer would name them."""
    asked = [*numbers, *(_lines(source) if source else ())]
    desk = Desk(ctx, "subscriber show", asked, reason)
    places = Places.load()
    with running_redis(desk.config) as config, open_store(config, desk.pseudonyms) as store:
        for chunk in _chunks(desk.msisdns):
            desk.record(chunk)
            now_s = time.time()
            locks = operator.locked_until_many(store.nodes, desk.pseudonyms, chunk, now_s)
            for view in subscriber_view(
                store, desk.pseudonyms, places, config.carriers, chunk, now_s=now_s, locked_until_s=locks
            ):
                if as_json:
                    click.echo(json_line(view))
                else:
                    _print(view, with_stays=with_stays)


@subscriber.command()
@click.argument("number", metavar="MSISDN")
@reason_option
@config_option
@click.pass_context
def block(ctx: click.Context, *, number: str, reason: str | None) -> None:
    """Take texts of this number without answering them."""
    _set_blocked(Desk(ctx, "subscriber block", [number], reason), blocked=True)
    click.echo("blocked: texts are acknowledged and not answered")


@subscriber.command()
@click.argument("number", metavar="MSISDN")
@reason_option
@config_option
@click.pass_context
def unblock(ctx: click.Context, *, number: str, reason: str | None) -> None:
    """Answer this number again."""
    _set_blocked(Desk(ctx, "subscriber unblock", [number], reason), blocked=False)
    click.echo("unblocked: texts are answered again")


@subscriber.command()
@click.argument("number", metavar="MSISDN")
@reason_option
@config_option
@click.pass_context
def unlock(ctx: click.Context, *, number: str, reason: str | None) -> None:
    """Give back the tries for the ID digits before the lock ends by itself."""
    desk = Desk(ctx, "subscriber unlock", [number], reason)
    with running_redis(desk.config) as config, open_store(config, desk.pseudonyms) as store:
        desk.record(desk.msisdns)
        places = desk.pseudonyms.all_of(desk.msisdns[0])
        unlocked = [operator.unlock(store.nodes, each) for each in places]
    click.echo(
        "unlocked: the ID digits can be tried again"
        if any(unlocked)
        else "was not locked: no tries were wrong"
    )


@subscriber.command()
@click.argument("number", metavar="MSISDN")
@reason_option
@config_option
@click.pass_context
def forget(ctx: click.Context, *, number: str, reason: str | None) -> None:
    """Erase the history, the record and the dialog. Until the number is imported again, no city is named."""
    desk = Desk(ctx, "subscriber forget", [number], reason)
    with running_redis(desk.config) as config, open_store(config, desk.pseudonyms) as store:
        desk.record(desk.msisdns)
        places = desk.pseudonyms.all_of(desk.msisdns[0])
        erased.note(config.data.dir, places, time.time())
        _forget(store, config, places)
    click.echo("forgotten: history, record, dialog and parked messages are erased")


@subscriber.command("forget-again")
@click.option(
    "--since", required=True, metavar="TIME", help="When the backup was made: RFC 3339 with offset."
)
@reason_option
@config_option
@click.pass_context
def forget_again(ctx: click.Context, *, since: str, reason: str | None) -> None:
    """Forget once more whoever was forgotten since a backup was made that has been restored.

    Before imports and ingests go on: who was imported again after that has to be imported again.
    """
    work = audited(ctx, "subscriber forget-again", reason, lambda _config, _log: [""])
    try:
        moment = datetime.fromisoformat(since)
        if moment.tzinfo is None:
            raise ValueError
    except ValueError:
        raise click.UsageError(f"--since {since!r}: RFC 3339 with offset, 2026-02-14T08:00:00Z") from None
    with running_redis(work.config) as config, open_store(config, work.pseudonyms) as store:
        work.record([""])
        places = list(erased.noted(config.data.dir, moment.timestamp()))
        _forget(store, config, places)
    click.echo(f"forgotten again: {len(places)}")


def _forget(store: Store, config: Config, places: Iterable[Pseudonym]) -> None:
    for place in places:
        store.forget(place, extra_keys=operator.dialog_keys(place))
        operator.forget_parked(store.nodes, config.routes, place)


def _set_blocked(desk: Desk, *, blocked: bool) -> None:
    with running_redis(desk.config) as config, open_store(config, desk.pseudonyms) as store:
        desk.record(desk.msisdns)
        newest, *older = desk.pseudonyms.all_of(desk.msisdns[0])
        for name in [newest] if blocked else [newest, *older]:
            store.set_blocked(name, blocked=blocked)


def _lines(source: str) -> list[str]:
    """The numbers in a file, empty lines left out."""
    data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise GatewayError(f"--from {source}: is not UTF-8 text") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _chunks(msisdns: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(msisdns)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def _short(column: str, value: Any) -> Any:
    """A time to the minute, as the carrier's clock shows it; a figure to two places."""
    if column in ("first", "last"):
        return value[:16].replace("T", " ")
    return round(value, 2) if isinstance(value, float) else value


def _print(view: dict[str, Any], *, with_stays: bool) -> None:
    facts = [
        "known" if view["known"] else "not known",
        f"language {view['language']}",
        *(["blocked"] if view["blocked"] else []),
        *([f"locked until {view['locked_until']}"] if view["locked_until"] else []),
    ]
    click.echo(f"{click.style('+' + view['msisdn'], bold=True)}  {', '.join(facts)}")
    tables = [("visited", _VISITS), *([("stays", _STAYS)] if with_stays else [])]
    for key, columns in tables:
        rows = [[_short(column, item[column]) for column in columns] for item in view[key]]
        titles = [column.replace("_", " ") for column in columns]
        print_table(key if with_stays else "", titles, rows, empty=f"{key}: nothing in the window")
