"""Redis for the contenders: a subscriber with one city for each number of the load. Called by the benches."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import redis

from bench.cluster.nodes import free_ports, until
from bench.compare import processes
from bench.compare.contenders import ID_LAST4, Site, config_of
from bench.compare.measure import BASE_MSISDN

HOURS: Final = 7
AT_ONCE: Final = 10_000
OPTIONS: Final = (
    *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
    *("--hash-max-listpack-value", "512", "--hash-max-listpack-entries", "256"),
)


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, int]]:
    """A redis-server without persistence; its port and pid."""
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--dir", str(folder), *OPTIONS]
    with processes.running([command], folder / "redis.log") as (pid,), redis.Redis(port=port) as client:
        until(lambda: _answers(client), "redis-server does not start")
        yield port, pid


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def fill(site: Site, cxmyd: Sequence[str], *, texts: bool = True) -> None:
    """Through the commands that operators use; and the `texts` that the peers look up."""
    start = int((datetime.now(UTC) - timedelta(days=3)).timestamp())
    numbers = range(BASE_MSISDN, BASE_MSISDN + site.subscribers)
    _write(site.folder / "cells.csv", "mcc,mnc,area,cell,city", ["460,0,1,1,110000"])
    _write(
        site.folder / "subscribers.csv",
        "msisdn,carrier,id_last4",
        (f"{number},china-unicom,{ID_LAST4}" for number in numbers),
    )
    _write(
        site.folder / "sightings.csv",
        "time,msisdn,mcc,mnc,area,cell",
        (f"{start + hour * 3600},{number},460,0,1,1" for number in numbers for hour in range(HOURS)),
    )
    config = str(config_of(site))
    for words in (
        ["keys", "init"],
        ["cells", "import", "cells.csv"],
        ["subscribers", "import", "subscribers.csv"],
        ["ingest", "sightings.csv"],
    ):
        done = subprocess.run(
            [*cxmyd, "-c", config, *words], cwd=site.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"cxmyd {' '.join(words)}: {done.stderr}{done.stdout}")
    if texts:
        with redis.Redis(port=site.redis_port) as client, client.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.set(
                    f"reply:{number}",
                    f"{number} has been to Beijing in the last 14 days. For reference only, {'x' * 40}",
                )
                if number % AT_ONCE == 0:
                    pipe.execute()
            pipe.execute()


def _write(path: Path, head: str, rows: Iterator[str] | Sequence[str]) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write(f"{head}\n")
        file.writelines(f"{row}\n" for row in rows)
