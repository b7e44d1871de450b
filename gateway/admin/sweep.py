"""`cxmyd sweep`: what is older than the longest window leaves memory."""

import time
from dataclasses import asdict

import click

from gateway.admin.context import open_config, open_pseudonyms, open_store, running_redis
from gateway.admin.ingest import settings
from gateway.admin.interrupt import interruptible
from gateway.admin.options import config_option, json_option
from gateway.admin.output import print_json, print_table
from gateway.admin.progress import progress_bar
from location_store.errors import StoreUnavailable
from location_store.lease import Lease
from location_store.sweep import Sweeper, last_swept_s, turn_name

_RENEW_S = 10.0


def _range(_ctx: click.Context, _param: click.Parameter, value: str | None) -> range | None:
    """ "7" or "0-511" as a range."""
    if value is None:
        return None
    first, _, last = value.partition("-")
    try:
        chosen = range(int(first), int(last or first) + 1)
    except ValueError:
        chosen = range(0)
    if not chosen:
        raise click.BadParameter(f"{value!r}: give a range of partitions, like 0-511")
    return chosen


@click.command()
@click.option("--partitions", callback=_range, metavar="A-B", help="These alone, so that several can share.")
@click.option(
    "--share",
    type=click.FloatRange(0.001, 1),
    default=1.0,
    show_default=True,
    help="Of the time, work so much and rest otherwise.",
)
@click.option(
    "--every",
    "every_h",
    type=click.FloatRange(0),
    default=0.0,
    metavar="HOURS",
    help="Leave out what was swept within so many hours; so a sweep that was interrupted goes on.",
)
@config_option
@json_option
@click.pass_context
def sweep(
    ctx: click.Context, *, partitions: range | None, share: float, every_h: float, as_json: bool
) -> None:
    """Drop what is older than the longest window of any carrier; a running gateway does it twice a day.

    Nothing that is dropped could be seen any more. Ends 1 where another sweep of these partitions is at work.
    """
    config = open_config(ctx)
    pseudonyms = open_pseudonyms(config)
    layout = config.layout
    chosen = partitions or range(layout.partitions)
    if chosen[-1] >= layout.partitions:
        raise click.UsageError(f"--partitions: there are {layout.partitions}, 0-{layout.partitions - 1}")
    with (
        running_redis(config) as running,
        open_store(running, pseudonyms) as store,
        Lease(store.nodes, turn_name(chosen), config.data.dir) as turn,
        interruptible("with --every 1 it goes on where it stopped"),
        progress_bar("sweep", counted=True) as bar,
    ):
        holder = turn.take()
        if holder is not None:
            raise StoreUnavailable(f"another sweep is at work {holder}: it does what this one would")
        swept_s = last_swept_s(store.nodes, layout)
        due_s = time.time() - 3600 * every_h
        due = [each for each in chosen if not every_h or swept_s[each] < due_s]
        now = settings(config, time.time())
        sweeper = Sweeper(
            store,
            layout,
            lambda: now.at(time.time()).cutoff_min,
            numbers=pseudonyms.numbers,
            share=share,
            keep_turn=_Renewal(turn),
        )
        totals = sweeper.sweep(due, bar)
    if as_json:
        print_json(asdict(totals))
    else:
        print_table("", ("sweep", "count"), list(asdict(totals).items()))


class _Renewal:
    """Extends the turn, but not for every batch."""

    def __init__(self, turn: Lease) -> None:
        self._turn = turn
        self._renewed_s = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._renewed_s > _RENEW_S:
            self._turn.hold()
            self._renewed_s = time.monotonic()
