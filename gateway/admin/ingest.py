"""`cxmyd ingest`: sightings from files, standard input or feeds without an end into the location store."""

import time
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from gateway.admin.context import open_config, open_pseudonyms, open_store, running_redis
from gateway.admin.feed_table import feed_table
from gateway.admin.interrupt import interruptible, told_to_stop
from gateway.admin.options import config_option, json_option
from gateway.admin.output import nothing_usable, print_json, print_table
from gateway.admin.progress import progress_bar
from gateway.config import Config
from gateway.errors import GatewayError
from location_store.cells import CellTable
from location_store.feeds.feed import Feed
from location_store.feeds.folder import FolderFeed
from location_store.feeds.run import Pace
from location_store.feeds.run import run as run_feeds
from location_store.feeds.stream import StreamFeed
from location_store.ingest import Ingester, Settings, Totals
from location_store.ingest import ingest as ingest_files
from location_store.places import Places
from location_store.window import window

LATE_SHARE = 0.01
"""Of all rows: more late ones than networks have by themselves."""


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Read a Redis stream.")
@click.option(
    "--watch",
    "folders",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Read the files that appear in a folder, and move them to done/ in it.",
)
@click.option("--kafka", is_flag=True, help="Read the topic of [ingest.kafka].")
@click.option(
    "--idle",
    "idle_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End when nothing has come for so long.  [default: at Ctrl-C or SIGTERM]",
)
@config_option
@json_option
@click.pass_context
def ingest(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    streams: tuple[str, ...],
    folders: tuple[Path, ...],
    kafka: bool,
    idle_s: float | None,
    as_json: bool,
) -> None:
    """Write sightings into the histories. FILE: CSV (.gz, .zst too) or Parquet; - for standard input.

    The header is time,msisdn,mcc,mnc,area,cell. Bad rows are set aside in the data folder, under rejects/,
    with line and reason. The same command run again completes what was interrupted; nothing counts twice.

    --stream, --watch and --kafka go on until they are told to stop, may stand together, and the first two be
    given several times. Several processes with the same options share the work.
    """
    endless = bool(streams or folders or kafka)
    if bool(files) == endless:
        raise click.UsageError(
            "name files to read (- for standard input), or give --stream, --watch, --kafka"
        )
    if idle_s is not None and not endless:
        raise click.UsageError("--idle goes with --stream, --watch and --kafka")
    config = open_config(ctx)
    if kafka and config.ingest.kafka is None:
        raise GatewayError(
            f"{config.path} does not say which topic: add [ingest.kafka] with brokers and topic"
        )
    pseudonyms = open_pseudonyms(config)
    cells, places = CellTable.load(config.data.dir), Places.load()
    with running_redis(config) as running, open_store(running, pseudonyms) as store:
        ingester = Ingester(store, cells, places, pseudonyms, settings(config, time.time()))
        if endless:
            with told_to_stop() as stop, feed_table() as show:
                feeds = _feeds(config, ingester, streams, folders, kafka=kafka)
                totals = run_feeds(
                    feeds,
                    ingester,
                    data_dir=config.data.dir,
                    pace=Pace(config.ingest.flush_rows, config.ingest.flush_s, config.ingest.takeover_s),
                    stop=stop,
                    idle_s=idle_s,
                    progress=show,
                    notice=_notice,
                )
        else:
            with interruptible("run the same command again to complete it"), progress_bar("ingest") as bar:
                totals = ingest_files(files, ingester, data_dir=config.data.dir, progress=bar, notice=_notice)
    if endless or len(totals.unusable) < len(files) or totals.rows:
        _print(totals, config, as_json=as_json)
    _judge(totals, files, config)


def _judge(totals: Totals, files: Sequence[str], config: Config) -> None:
    """Warn of late rows. Raises GatewayError where files could not be used; a folder has its failed/."""
    if totals.late > LATE_SHARE * totals.rows:
        _notice(
            f"warning: {totals.late} of {totals.rows} rows came over {config.store.lateness_h:g} h after "
            "newer ones of their subscribers and were left out: ingest files in the order of their times"
        )
    if files and totals.unusable:
        raise GatewayError("; ".join(totals.unusable))
    if files and not totals.usable and not totals.skipped_files:
        raise GatewayError(nothing_usable(files, totals.rows, config.data.dir))


def _feeds(
    config: Config, ingester: Ingester, streams: Sequence[str], folders: Sequence[Path], *, kafka: bool
) -> list[Feed]:
    """One feed for each option. Raises BadInput, for a folder that cannot be used."""
    tries, trim = config.ingest.tries, config.ingest.trim_streams
    feeds: list[Feed] = [
        StreamFeed(name, ingester.store.nodes, tries=tries, trim=trim) for name in dict.fromkeys(streams)
    ]
    feeds += [
        FolderFeed(folder, ingester.first_time_s, settle_s=config.ingest.settle_s, tries=tries)
        for folder in dict.fromkeys(folder.resolve() for folder in folders)
    ]
    if kafka and (topic := config.ingest.kafka) is not None:
        from location_store.feeds.kafka import KafkaFeed, KafkaSettings  # noqa: PLC0415 -- a library of 15 MB

        asked = KafkaSettings(topic.brokers, topic.topic, topic.group, topic.all_properties)
        feeds.append(KafkaFeed(asked, _notice))
    return feeds


def _notice(line: str) -> None:
    click.echo(f"cxmyd: {line}", err=True)


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
