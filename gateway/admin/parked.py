"""`cxmyd parked`: messages that were acknowledged and wait for their answer, and those that died."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import click

from gateway.admin.audited import audited
from gateway.admin.context import open_config, open_pseudonyms, open_store, running_redis
from gateway.admin.options import config_option, json_option, reason_option
from gateway.admin.output import json_line, print_table
from gateway.config import Config
from gateway.redis import operator
from location_store.nodes import Nodes

_COLUMNS = ("id", "state", "received", "expires", "tries", "subscriber", "reason")


@click.group()
def parked() -> None:
    """Queries that wait for their answer, and dead ones. No number or text is shown."""


@parked.command("list")
@click.option("--dead", is_flag=True, help="Only those that are dead.")
@config_option
@json_option
@click.pass_context
def list_(ctx: click.Context, *, dead: bool, as_json: bool) -> None:
    """What is parked, oldest first, on each route."""
    loaded = open_config(ctx)
    pseudonyms = open_pseudonyms(loaded)
    with running_redis(loaded) as config, open_store(config, pseudonyms) as store:
        entries = [e for e in operator.parked(store.nodes, config.routes) if e.dead or not dead]
    rows = [_row(entry) for entry in entries]
    if as_json:
        for row in rows:
            click.echo(json_line(row))
        return
    print_table("", _COLUMNS, [list(row.values()) for row in rows], empty="nothing is parked")


@parked.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "everything", is_flag=True, help="All that are dead.")
@reason_option
@config_option
@click.pass_context
def retry(ctx: click.Context, *, ids: tuple[str, ...], everything: bool, reason: str | None) -> None:
    """Put dead messages back to be answered, with a new time to live."""

    def put_back(nodes: Nodes, config: Config, entry: str) -> None:
        operator.retry(nodes, entry, time.time(), config.park.answer_ttl_s)

    count = _each(ctx, "parked retry", ids=ids, everything=everything, reason=reason, act=put_back)
    click.echo(f"put back: {count}")


@parked.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "everything", is_flag=True, help="All that are dead.")
@reason_option
@config_option
@click.pass_context
def drop(ctx: click.Context, *, ids: tuple[str, ...], everything: bool, reason: str | None) -> None:
    """Remove messages for good; they will never be answered."""

    def remove(nodes: Nodes, _config: Config, entry: str) -> None:
        operator.drop(nodes, entry)

    count = _each(ctx, "parked drop", ids=ids, everything=everything, reason=reason, act=remove)
    click.echo(f"dropped: {count}")


def _each(
    ctx: click.Context,
    command: str,
    *,
    ids: tuple[str, ...],
    everything: bool,
    reason: str | None,
    act: Callable[[Nodes, Config, str], None],
) -> int:
    """Do it to each entry, every one recorded before; how many there were."""
    if bool(ids) == everything:
        raise click.UsageError("name the ids that `cxmyd parked list` shows, or give --all")
    record = audited(ctx, command, reason or "none given", lambda _config, _log: ids or ["all that are dead"])
    with running_redis(record.config) as config, open_store(config, record.pseudonyms) as store:
        chosen = ids or tuple(e.id for e in operator.parked(store.nodes, config.routes) if e.dead)
        for entry in chosen:
            record.record([entry])
            act(store.nodes, config, entry)
    return len(chosen)


def _row(entry: operator.Parked) -> dict[str, object]:
    return {
        "id": entry.id,
        "state": "dead" if entry.dead else "waiting",
        "received": _time(entry.received_s),
        "expires": _time(entry.expires_s),
        "tries": entry.tries,
        "subscriber": entry.subscriber,
        "reason": entry.reason,
    }


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
