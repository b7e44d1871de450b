"""`cxmyd sample`: writes a synthetic population in the formats of real data."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from gateway.admin.options import json_option
from gateway.admin.output import print_json
from gateway.admin.progress import spinner
from location_store import sample as population

_CHINA = ZoneInfo("Asia/Shanghai")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--subscribers", default=2000, show_default=True, help="So many people.")
@click.option("--days", default=14, show_default=True, help="So many days of history, 14 at least.")
@click.option(
    "--end-date",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The day after the last, China time.  [default: today]",
)
@json_option
def sample(
    *, folder: Path, seed: int, subscribers: int, days: int, end_date: datetime | None, as_json: bool
) -> None:
    """Write a synthetic population into FOLDER: cells, subscribers and sightings, as the imports take them.

    Nobody in it is real. The README.md that is written with it says what the files are.
    """
    last = end_date.date() if end_date else datetime.now(_CHINA).date()
    with spinner() as progress:
        written = population.write(
            folder, end_date=last, seed=seed, subscribers=subscribers, days=days, progress=progress
        )
    if as_json:
        print_json({"folder": str(folder), **written._asdict()})
        return
    counts = f"{written.cells:,} cells, {written.subscribers:,} subscribers, {written.sightings:,} sightings"
    click.echo(f"{folder}: {counts}, all synthetic")
