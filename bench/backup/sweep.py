"""What a sweep of the store takes: where nothing is old, where a share of the people is gone, where all trim.

`make bench-sweep` calls it; `--quick` is a tenth as large and writes figures of its own.
"""

import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click

from bench.backup.measure import KEYS, fill, population, server
from bench.store import results
from bench.store.engines import NAMES, cpu_s, layout
from bench.store.histories import START_S, WINDOW_DAYS
from bench.store.people import DAY_S
from location_store.pseudonyms import Pseudonyms
from location_store.store import Store
from location_store.sweep import Sweeper

DAYS_ON: Final = {"nothing is old": 0, "half of the window is old": WINDOW_DAYS // 2, "all is old": 40}
"""How many days after the last sighting's window each sweep looks from."""


def measure(name: str, records: int) -> dict[str, Any]:
    """The sweeps of one engine, one after another on the same store."""
    at = layout(records)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as text, server(name, Path(text)) as (client, _):
        fill(client, population(records))
        said: dict[str, Any] = client.info("server")
        store = Store.connect(f"unix://{text}/socket", Pseudonyms(KEYS, at))
        for what, days in DAYS_ON.items():
            cutoff_min = (START_S + days * DAY_S) // 60 - 720
            ours_s, began_s = _cpu_s(), time.monotonic()
            server_s = cpu_s(said["process_id"])
            totals = Sweeper(store, at, lambda cutoff=cutoff_min: cutoff).sweep(range(at.partitions))  # type: ignore[misc]
            found[what] = {
                "records": totals.records,
                "trimmed": totals.trimmed,
                "removed": totals.removed,
                "buckets_per_s": totals.buckets / (time.monotonic() - began_s),
                "sweeper_us_a_record": 1e6 * (_cpu_s() - ours_s) / totals.records,
                "server_us_a_bucket": 1e6 * (cpu_s(said["process_id"]) - server_s) / totals.buckets,
            }
    return found


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@click.command()
@click.option("--quick", is_flag=True, help="A tenth as many records.")
@click.option("--records", default=1_000_000)
def main(quick: bool, records: int) -> None:
    """Speed of the sweeper."""
    records = records // 10 if quick else records
    found = {name: measure(name, records) for name in NAMES}
    results.table(
        f"Sweep of {records:,} records",
        ("engine", "trimmed", "removed", "buckets/s", "sweeper us a record", "server us a bucket"),
        (
            (
                f"{name}, {what}",
                f"{each['trimmed']:,}",
                f"{each['removed']:,}",
                f"{each['buckets_per_s']:,.0f}",
                f"{each['sweeper_us_a_record']:.2f}",
                f"{each['server_us_a_bucket']:.0f}",
            )
            for name, sweeps in found.items()
            for what, each in sweeps.items()
        ),
    )
    results.save("sweep", found, quick=quick)


if __name__ == "__main__":
    main()
