"""`cxmyd cells import`, `cxmyd subscribers import` and `cxmyd subscribers remove`."""

from collections import Counter
from pathlib import Path

import click

from gateway.admin.context import open_config, open_pseudonyms, open_store, running_redis
from gateway.admin.interrupt import interruptible
from gateway.admin.options import config_option, json_option
from gateway.admin.output import nothing_usable, print_json, print_table
from gateway.admin.progress import progress_bar
from gateway.errors import GatewayError
from location_store import cells as cell_table
from location_store.enrol import enrol
from location_store.given_back import remove
from location_store.places import Places

_files = click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))


@click.group()
def cells() -> None:
    """The cell table: which cell is in which city."""


@cells.command("import")
@_files
@config_option
@json_option
@click.pass_context
def import_cells(ctx: click.Context, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Add cells to the table; where a cell is known already, the new row counts.

    FILE: OpenCelliD rows (with or without header), the city found by boundary; or rows with the header
    mcc,mnc,area,cell,city, the city a six-digit GB/T 2260 code. CSV (.gz, .zst too) or Parquet.
    """
    data_dir = open_config(ctx).data.dir
    with interruptible("nothing was changed"), progress_bar("cells") as progress:
        totals = cell_table.import_files(
            files,
            data_dir,
            Places.load(),
            progress=lambda block: progress(block.bytes_done, block.bytes_total),
        )
    counts = {
        "rows": totals.rows,
        "imported": totals.imported,
        "by_mcc": totals.by_mcc,
        "cells_in_table": totals.table,
    }
    _print("cells", counts, totals.rejected, data_dir, as_json=as_json)


@click.group()
def subscribers() -> None:
    """Subscriber records: carrier, ID digits, language."""


@subscribers.command("import")
@_files
@config_option
@json_option
@click.pass_context
def import_subscribers(ctx: click.Context, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Add or replace subscriber records; importing the same rows again changes nothing.

    FILE: header msisdn,carrier,id_last4[,since][,language]; CSV (.gz, .zst too) or Parquet. The ID digits
    are kept as a keyed digest only.
    """
    config = open_config(ctx)
    pseudonyms = open_pseudonyms(config)
    with (
        running_redis(config) as running,
        open_store(running, pseudonyms) as store,
        interruptible("run the same command again to complete it"),
        progress_bar("subscribers") as progress,
    ):
        totals = enrol(
            files,
            store,
            pseudonyms,
            config.carriers,
            data_dir=config.data.dir,
            default_country=config.default_country,
            progress=progress,
        )
    counts = {"rows": totals.rows, "written": totals.written, "unchanged": totals.unchanged}
    _print("subscribers", counts, totals.rejected, config.data.dir, as_json=as_json)
    if not totals.usable:
        raise GatewayError(nothing_usable(files, totals.rows, config.data.dir))


@subscribers.command("remove")
@_files
@config_option
@json_option
@click.pass_context
def remove_subscribers(ctx: click.Context, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Take out numbers that were given back: record and history, without a mark.

    FILE: header msisdn; CSV (.gz, .zst too) or Parquet. A person who keeps his number and wants to be
    forgotten is the matter of `subscriber forget`.
    """
    config = open_config(ctx)
    pseudonyms = open_pseudonyms(config)
    with (
        running_redis(config) as running,
        open_store(running, pseudonyms) as store,
        interruptible("run the same command again to complete it"),
        progress_bar("numbers given back") as progress,
    ):
        totals = remove(
            files,
            store,
            pseudonyms,
            data_dir=config.data.dir,
            default_country=config.default_country,
            progress=progress,
        )
    counts = {"rows": totals.rows, "removed": totals.removed, "unknown": totals.unknown}
    _print("numbers given back", counts, totals.rejected, config.data.dir, as_json=as_json)
    if not totals.usable:
        raise GatewayError(nothing_usable(files, totals.rows, config.data.dir))


def _print(
    title: str, counts: dict[str, int], rejected: Counter[str], data_dir: Path, *, as_json: bool
) -> None:
    if as_json:
        print_json({**counts, "rejected": dict(rejected)})
        return
    rows = [(name.replace("_", " "), count) for name, count in counts.items()]
    rows += [(f"rejected: {reason}", count) for reason, count in rejected.most_common()]
    print_table("", (title, "count"), rows)
    if rejected:
        click.echo(f"rejected rows: {data_dir / 'rejects'}")
