"""Our gateway beside what a user would pick instead: answers a second, latency at half that rate, CPU per
answer.

Everything runs on this machine, one contender after the other, several rounds; the load comes from
`loadsmsc` (C, one thread, independent of our code), which checks every answer's recipient and text. Compare
rows of one run only: absolute figures are this machine's, this minute's. `make bench` calls it.
"""

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import redis
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

HERE = Path(__file__).parent
LOADSMSC = HERE / "loadsmsc" / "loadsmsc"
CXMYD = Path(sys.executable).with_name("cxmyd")
BASE_MSISDN = 8613800000000
SMPP_PORT, REDIS_PORT, HTTP_PORT = 23775, 23776, 23777
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CONFIG = """
[redis]
url = "redis://127.0.0.1:{redis}/0"
[http]
listen = "127.0.0.1:{http}"
[[smsc]]
name = "load"
port = {smpp}
system_id = "cxmyd"
password = "secret"
carrier = "{carrier}"
[carrier.{carrier}]
numbers = ["10086"]
queries_per_day = 0
"""


@dataclass(frozen=True)
class Contender:
    """`command`: how it is started; `messages`: of one closed-loop run; `load`: what loadsmsc sends and
    expects.
    """

    name: str
    command: list[str]
    messages: int
    load: list[str]
    cwd: Path | None = None


@dataclass
class Figures:
    answers_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_s_per_1000: float
    refused: int  # for the time being; loadsmsc, as called here, does not send them again
    wrong: int  # lost, twice, of wrong text or malformed


def contenders(folder: Path) -> list[Contender]:
    """The two null bounds, the Node peer, and ours in two dialogs."""

    def ours(name: str, carrier: str, load: list[str]) -> Contender:
        config = folder / f"{carrier}.toml"
        config.write_text(CONFIG.format(redis=REDIS_PORT, http=HTTP_PORT, smpp=SMPP_PORT, carrier=carrier))
        return Contender(name, [str(CXMYD), "-c", str(config), "serve", "--log-level", "error"], 60_000, load)

    address = ["127.0.0.1", str(SMPP_PORT)]
    return [
        Contender("null, C", [str(HERE / "loadsmsc" / "nullgw"), *address], 400_000, []),
        Contender(
            "null, Twisted",
            [sys.executable, str(HERE / "loadsmsc" / "nullgw_twisted.py"), *address],
            200_000,
            [],
        ),
        Contender(
            "npm smpp + redis",
            ["node", "gateway.js", str(SMPP_PORT), str(REDIS_PORT)],
            40_000,
            ["--expect", "%m"],
            HERE / "peers" / "node",
        ),
        ours("cxmyd, none", "plain", ["--expect", "北京市"]),
        ours("cxmyd, id-inline", "china-unicom", ["--text", "CXMYD#1234", "--expect", "北京市"]),
    ]


@contextmanager
def running(command: list[str], cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cpu_s(pid: int) -> float:
    """User and system seconds of one process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def load(contender: Contender, arguments: list[str]) -> tuple[dict[str, Any], float]:
    """One run of the load against the contender; loadsmsc's report, and the contender's CPU seconds in it."""
    command = [str(LOADSMSC), str(SMPP_PORT), *contender.load, *arguments]
    generator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    with running(contender.command, contender.cwd) as process:
        before_s = after_s = cpu_s(process.pid)
        # The start-up is not the answers': what it cost until the bind is taken off.
        started_s = time.monotonic()
        while generator.poll() is None:
            if time.monotonic() - started_s < 1.0:
                before_s = min(cpu_s(process.pid), before_s or 1e9)
            after_s = cpu_s(process.pid) or after_s
            time.sleep(0.02)
    assert generator.stdout is not None
    return json.loads(generator.stdout.read()), after_s - before_s


def measure(contender: Contender) -> Figures:
    closed, used_s = load(contender, ["--messages", str(contender.messages), "--timeout", "60"])
    rate = max(1, int(closed["answers_per_s"] / 2))
    # Other numbers than before: the same text of the same number within half a minute is a redelivery.
    others = ["--base", str(BASE_MSISDN + contender.messages)]
    half, _ = load(contender, [*others, "--messages", str(rate * 4), "--rate", str(rate), "--timeout", "30"])
    return Figures(
        closed["answers_per_s"],
        half["lat_ms"]["p50"],
        half["lat_ms"]["p99"],
        1000 * used_s / max(1, closed["answers"]),
        sum(r["nacked"] for r in (closed, half)),
        sum(
            r["missing"] - r["nacked"] + r["duplicates"] + r.get("wrong_text", 0) + r["bad_pdus"]
            for r in (closed, half)
        ),
    )


def fill(folder: Path, subscribers: int) -> None:
    """A subscriber with one city for each number of the load, through the commands that operators use."""
    now = datetime.now(UTC)
    files: dict[str, list[list[object]]] = {
        "cells.csv": [["mcc", "mnc", "area", "cell", "city"], [460, 0, 1, 1, 110000]]
    }
    people = files["subscribers.csv"] = [["msisdn", "carrier", "id_last4"]]
    seen = files["sightings.csv"] = [["time", "msisdn", "mcc", "mnc", "area", "cell"]]
    start = int((now - timedelta(days=3)).timestamp())
    for number in range(BASE_MSISDN, BASE_MSISDN + subscribers):
        people.append([number, "china-unicom", "1234"])
        seen.extend([start + hour * 3600, number, 460, 0, 1, 1] for hour in range(7))
    for name, rows in files.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    config = str(folder / "plain.toml")
    for command in (
        ["keys", "init"],
        ["cells", "import", str(folder / "cells.csv")],
        ["subscribers", "import", str(folder / "subscribers.csv")],
        ["ingest", str(folder / "sightings.csv")],
    ):
        subprocess.run([str(CXMYD), "-c", config, *command], check=True, stdout=subprocess.DEVNULL)
    with redis.Redis(port=REDIS_PORT) as client, client.pipeline(transaction=False) as pipe:
        for number in range(BASE_MSISDN, BASE_MSISDN + subscribers):
            pipe.set(
                f"reply:{number}",
                f"{number} has been to Beijing in the last 14 days. For reference only, {'x' * 40}",
            )
            if number % 10_000 == 0:
                pipe.execute()
        pipe.execute()


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--subscribers", default=100_000, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures here too.")
@click.option("--only", multiple=True, help="Contenders whose name contains this.")
def main(rounds: int, subscribers: int, json_file: Path | None, only: tuple[str, ...]) -> None:
    """Measure all contenders in turn, ROUNDS times; print medians."""
    subprocess.run(["make", "-s", "-C", str(HERE / "loadsmsc")], check=True)
    subprocess.run(
        ["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE / "peers" / "node", check=True
    )
    results: dict[str, list[Figures]] = {}
    console = Console()
    with tempfile.TemporaryDirectory(prefix="cxmyd-bench-") as name:
        folder = Path(name)
        server = [
            "redis-server",
            "--port",
            str(REDIS_PORT),
            "--save",
            "",
            "--dir",
            name,
            "--loglevel",
            "warning",
        ]
        with running(server), Progress(console=console, transient=True) as progress:
            time.sleep(0.5)
            everybody = [c for c in contenders(folder) if not only or any(o in c.name for o in only)]
            task = progress.add_task("filling the store", total=rounds * len(everybody))
            fill(folder, subscribers)
            for _ in range(rounds):
                for contender in everybody:
                    progress.update(task, description=contender.name)
                    results.setdefault(contender.name, []).append(measure(contender))
                    progress.advance(task)
    show(console, results)
    if json_file is not None:
        json_file.write_text(
            json.dumps({n: [asdict(f) for f in r] for n, r in results.items()}, indent=1) + "\n"
        )


def show(console: Console, results: dict[str, list[Figures]]) -> None:
    table = Table(title="medians; ratio: answers a second against npm smpp")
    for column in (
        "",
        "answers/s",
        "(min to max)",
        "ratio",
        "p50 ms",
        "p99 ms",
        "CPU s per 1,000",
        "refused",
        "wrong",
    ):
        table.add_column(column, justify="left" if not column else "right")

    def median(name: str, what: str) -> float:
        return statistics.median([float(getattr(f, what)) for f in results[name]])

    node = next((n for n in results if n.startswith("npm")), None)
    for name, figures in results.items():
        rates = [f.answers_per_s for f in figures]
        rate = median(name, "answers_per_s")
        table.add_row(
            name,
            f"{rate:,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{rate / median(node, 'answers_per_s'):.2f}" if node else "",
            f"{median(name, 'p50_ms'):.2f}",
            f"{median(name, 'p99_ms'):.1f}",
            f"{median(name, 'cpu_s_per_1000'):.4f}",
            str(sum(f.refused for f in figures)),
            str(sum(f.wrong for f in figures)),
        )
    console.print(table)


if __name__ == "__main__":
    main()
