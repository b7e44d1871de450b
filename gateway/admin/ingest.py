"""`cxmyd ingest`: sightings from files, standard input or a Redis stream into the location store."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import click

from gateway.admin.context import open_config, open_pseudonyms, open_store, running_redis
from gateway.admin.interrupt import interruptible
from gateway.admin.options import config_option, json_option
from gateway.admin.output import nothing_usable, print_json, print_table
from gateway.admin.progress import progress_bar
from gateway.config import Config
from gateway.errors import GatewayError
from location_store.cells import CellTable
from location_store.ingest import Ingester, Settings, Totals
from location_store.ingest import ingest as ingest_files
from location_store.places import Places
from location_store.stream import ingest_stream
from location_store.window import window

LATE_SHARE = 0.01
"""Of all rows: more late ones than networks have by themselves."""

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
    with running_redis(config) as running, open_store(running, pseudonyms) as store:
        ingester = Ingester(store, cells, places, pseudonyms, settings(config, time.time()))
        if stream:
            with _told_to_stop() as stop:
                totals = ingest_stream(
                    stream, ingester, data_dir=config.data.dir, stop=stop, idle_s=idle_s, notice=_notice
                )
        else:
            with interruptible("run the same command again to complete it"), progress_bar("ingest") as bar:
                totals = ingest_files(files, ingester, data_dir=config.data.dir, progress=bar, notice=_notice)
    if stream or len(totals.unusable) < len(files) or totals.rows:
        _print(totals, config, as_json=as_json)
    if totals.late > LATE_SHARE * totals.rows:
        _notice(
            f"warning: {totals.late} of {totals.rows} rows came over {config.store.lateness_h:g} h after "
            "newer ones of their subscribers and were left out: ingest files in the order of their times"
        )
    if totals.unusable:
        raise GatewayError("; ".join(totals.unusable))
    if files and not totals.usable and not totals.skipped_files:
        raise GatewayError(nothing_usable(files, totals.rows, config.data.dir))


def _notice(line: str) -> None:
    click.echo(f"cxmyd: {line}", err=True)


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
                "unusable_files": len(totals.unusable),
            }
        )
        return
    rows: list[tuple[str, int]] = [("rows", totals.rows), ("written", totals.written)]
    optional = {
        "late, left out": totals.late,
        "older than the window": totals.old,
        "files done before": totals.skipped_files,
        "files that cannot be used": len(totals.unusable),
    }
    rows += [(name, count) for name, count in optional.items() if count]
    rows += [(f"rejected: {reason}", count) for reason, count in totals.rejected.most_common()]
    print_table("", ("ingest", "count"), rows)
    if totals.rejected:
        click.echo(f"rejected rows: {config.data.dir / 'rejects'}")
