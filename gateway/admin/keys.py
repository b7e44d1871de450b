"""`cxmyd keys`: makes the key file, and changes the key without touching what is stored."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from gateway.admin.context import open_config, open_pseudonyms, open_store, running_redis
from gateway.admin.options import config_option, json_option
from gateway.admin.output import print_json, print_table
from gateway.admin.progress import progress_bar
from gateway.config import Config
from gateway.errors import GatewayError
from location_store.keys import Key, KeyFile
from location_store.pseudonyms import Pseudonyms
from location_store.retirement import count_subscribers, erase

#: After the window: what was still in memory, or on its way, when the key was rotated.
MARGIN_DAYS = 2


@click.group()
def keys() -> None:
    """The secret behind all pseudonyms."""


@keys.command()
@config_option
@click.pass_context
def init(ctx: click.Context) -> None:
    """Create the key file, readable by its owner only; one that is there already is never replaced."""
    path = open_config(ctx).keys.file
    KeyFile.create(path)
    click.echo(f"{path}: created. Keep a copy in a safe place: without it no history can be found again.")


@keys.command("list")
@config_option
@json_option
@click.pass_context
def show(ctx: click.Context, as_json: bool) -> None:
    """The keys of the file, newest first: what is written with, and what is still read with."""
    config = open_config(ctx)
    file = KeyFile.load(config.keys.file)
    rows = [
        {
            "id": key.id,
            "created": key.created,
            "use": "write and read" if number == 0 else "read",
            "retire_from": None if number == 0 else _stamp(_retirable(file, key, config)),
        }
        for number, key in enumerate(file.keys)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table("", ("id", "created", "use", "retire from"), [tuple(row.values()) for row in rows])


@keys.command()
@config_option
@click.pass_context
def rotate(ctx: click.Context) -> None:
    """Put a new key before the one there is, which is read with until it is retired.

    Nothing is rewritten. Start every process again afterwards, one by one, and import the carrier's full list
    before the older key is retired: the digests of ID digits are bound to their key.
    """
    config = open_config(ctx)
    path = config.keys.file
    file = KeyFile.load(path)
    if len(file.keys) > 1:
        older = file.keys[1]
        raise GatewayError(
            f"{path} holds an older key still, {older.id}: retire it first, "
            f"from {_stamp(_retirable(file, older, config))} on"
        )
    rotated = file.rotated(Pseudonyms(file, config.layout).audit_key, _now())
    rotated.replace(path)
    _say_rotated(path, rotated, config)


def _say_rotated(path: Path, file: KeyFile, config: Config) -> None:
    newest, older = file.keys
    click.echo(f"{path}: {newest.id} is written with from now on, {older.id} is read with. Next:")
    click.echo("  1. copy the file to where its backup is, and to every machine of this store")
    click.echo("  2. start every gateway and every ingest again, one after another")
    click.echo("  3. import the carriers' full lists (cxmyd subscribers import)")
    click.echo(f"  4. from {_stamp(_retirable(file, older, config))} on: cxmyd keys retire {older.id}")


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option("--force", is_flag=True, help="Though something lies under it still: that is lost.")
@config_option
@click.pass_context
def retire(ctx: click.Context, *, key_id: str, force: bool) -> None:
    """Delete what lies under an older key, and the key.

    Refused before the longest window and two days have passed since its successor was made, and while there
    are subscriber records under it that no import has brought under the new key.
    """
    config = open_config(ctx)
    path = config.keys.file
    file = KeyFile.load(path)
    key = next((each for each in file.keys[1:] if each.id == key_id), None)
    if key is None:
        newest = file.keys[0].id == key_id
        what = "is the key that is written with: rotate first" if newest else "is none of its older keys"
        raise GatewayError(f"{path}: {key_id!r} {what} (cxmyd keys list)")
    due = _retirable(file, key, config)
    if not force and _now() < due:
        raise GatewayError(
            f"{key_id}: histories lie under it until {_stamp(due)}, when the longest window "
            f"({config.keep_days} days) and {MARGIN_DAYS} more have passed; --force loses them"
        )
    with running_redis(config) as running, open_store(running, open_pseudonyms(config)) as store:
        if not force:
            with progress_bar("count", counted=True) as bar:
                left = count_subscribers(store, config.layout, key.number, bar)
            if left:
                raise GatewayError(
                    f"{key_id}: {left} subscribers lie under it still (imported, blocked or forgotten): "
                    "import the carriers' full lists, or lose the rest with --force"
                )
        with progress_bar("delete", counted=True) as bar:
            erase(store, config.layout, key.number, bar)
    file.without(key_id).replace(path)
    click.echo(
        f"{path}: {key_id} is retired, and what lay under it deleted. Destroy its copies too, and start"
    )
    click.echo("every gateway and every ingest again: until then they look under it in vain.")


def _retirable(file: KeyFile, key: Key, config: Config) -> datetime:
    """When the window has passed over all that was seen under the key."""
    successor = file.keys[file.keys.index(key) - 1]
    return successor.created_at + timedelta(days=config.keep_days + MARGIN_DAYS)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
