"""`cxmyd ingest`: sightings from files, standard input or a Redis stream into the location store."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import click

from gateway.admin.context import open_config, open_pseudonyms, open_store, running_redis
from gateway.admin.options import config_option, json_option
from gateway.admin.output import print_json, print_table
from gateway.admin.progress import progress_bar
from gateway.config import Config
from gateway.errors import GatewayError
from location_store.cells import CellTable
from location_store.ingest import Ingester, Settings, Totals
from location_store.ingest import ingest as ingest_files
from location_store.places import Places
from location_store.stream import ingest_stream
from location_store.window import window

_STOP = (signal.SIGINT, signal.SIGTERM)


@click.command()
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--stream", metavar="NAME", help="Read the Redis stream NAME until Ctrl-C or SIGTERM.")
@click.option(
    "--idle",
    "idle_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --stream: end when nothing has come for so long.",
)
@config_option
@json_option
@click.pass_context
def ingest(
    ctx: click.Context, *, files: tuple[str, ...], stream: str | None, idle_s: float | None, as_json: bool
) -> None:
    """Write sightings into the histories. FILE: CSV (.gz, .zst too) or Parquet; - for standard input.

    The header is time,msisdn,mcc,mnc,area,cell. Bad rows are set aside in the data folder, under rejects/,
    with line and reason. The same command run again completes what was interrupted; nothing counts twice.
    """
    if bool(files) == bool(stream):
        raise click.UsageError("name files to read (- for standard input), or give --stream NAME")
    config = open_config(ctx)
    pseudonyms = open_pseudonyms(config)
    cells, places = CellTable.load(config.data.dir), Places.load()
    with running_redis(config) as running, open_store(running) as store:
        ingester = Ingester(store, cells, places, pseudonyms, settings(config, time.time()))
        if stream:
            with _told_to_stop() as stop:
                totals = ingest_stream(stream, ingester, data_dir=config.data.dir, stop=stop, idle_s=idle_s)
        else:
            with progress_bar("ingest") as progress:
                totals = ingest_files(files, ingester, data_dir=config.data.dir, progress=progress)
    _print(totals, config, as_json=as_json)
    if files and not totals.usable and not totals.skipped_files:
        raise GatewayError(f"no row of {totals.rows} could be used: see {config.data.dir / 'rejects'}")


@contextmanager
def _told_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has come: the batch under way is finished, then the totals are shown."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in _STOP}
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def settings(config: Config, now_s: float) -> Settings:
    """What ingest has to know of the configuration: it keeps what any carrier may still show."""
    starts = [
        window(now_s, days=each.window_days, through=each.through, tz=ZoneInfo(each.timezone)).start_min
        for each in config.carriers.values()
    ]
    zones = {each.timezone for each in config.carriers.values() if each.stay_rule == "daily-span"}
    return Settings(
        now_s=now_s,
        keep_from_min=min(starts),
        lateness_min=round(config.store.lateness_h * 60),
        default_country=config.default_country,
        day_zones=tuple(ZoneInfo(zone) for zone in sorted(zones)),
    )


def _print(totals: Totals, config: Config, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "rows": totals.rows,
                "written": totals.written,
                "late": totals.late,
                "old": totals.old,
                "rejected": dict(totals.rejected),
                "skipped_files": totals.skipped_files,
            }
        )
        return
    rows: list[tuple[str, int]] = [("rows", totals.rows), ("written", totals.written)]
    optional = {
        "late, left out": totals.late,
        "older than the window": totals.old,
        "files done before": totals.skipped_files,
    }
    rows += [(name, count) for name, count in optional.items() if count]
    rows += [(f"rejected: {reason}", count) for reason, count in totals.rejected.most_common()]
    print_table("", ("ingest", "count"), rows)
    if totals.rejected:
        click.echo(f"rejected rows: {config.data.dir / 'rejects'}")
