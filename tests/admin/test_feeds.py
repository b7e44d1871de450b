"""`cxmyd ingest` of what has no end: its options, its configuration, and how it stops."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.feed_table import feed_table
from gateway.config import load
from location_store.feeds.run import State
from location_store.ingest import Totals
from tests.admin.conftest import Desk
from tests.admin.test_data_commands import HEADER, at, totals

KAFKA = '[ingest.kafka]\nbrokers = "127.0.0.1:1"\ntopic = "sightings"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "probes"
    made.mkdir()
    return made


def configured(desk: Desk, text: str) -> Desk:
    with (desk.folder / "gateway.toml").open("a") as file:
        file.write(text)
    return desk


def test_a_folder_and_a_stream_together(ready: Desk, folder: Path, redis_server: Any) -> None:
    """One process reads both; what is told at the end is of both."""
    configured(ready, "[ingest]\nsettle_s = 0\n")
    fields = dict(zip(HEADER.strip().split(","), (at(2, 1), "13800000000", 460, 0, 1, 1), strict=True))
    with redis_server.client() as client:
        client.xadd("sightings", fields)
    (folder / "f.csv").write_text(f"{HEADER}{at(2, 2)},13800000000,460,0,1,1\n{at(2, 3)},1,460,0,1,1\n")
    (folder / "bad.csv").write_text("1,2,3\n")
    result = ready.run("ingest", "--watch", str(folder), "--stream", "sightings", "--idle", "0.3", "--json")
    assert result.exit_code == 0
    assert "cxmyd: " in result.stderr
    assert "has no header" in result.stderr
    found = json.loads(result.stdout)
    assert (found["rows"], found["written"], found["rejected"]) == (3, 2, {"msisdn": 1})
    assert found["unusable_files"] == 1
    assert sorted(path.name for path in folder.glob("*/*")) == ["bad.csv", "bad.csv.reason", "f.csv"]


def test_a_file_that_is_not_finished_is_waited_for(ready: Desk, folder: Path) -> None:
    """However short `--idle` is."""
    configured(ready, "[ingest]\nsettle_s = 0.5\n")
    (folder / "f.csv").write_text(f"{HEADER}{at(2, 2)},13800000000,460,0,1,1\n")
    assert totals(ready, "--watch", str(folder), "--idle", "0")["written"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(ready: Desk, folder: Path, number: signal.Signals) -> None:
    """What was read is written, the totals are shown, the status is 0; a file not read to its end is read
    again."""
    configured(ready, "[ingest]\nsettle_s = 0\nflush_s = 600\n")
    (folder / "f.csv").write_text(f"{HEADER}{at(2, 2)},13800000000,460,0,1,1\n")
    command = [sys.executable, "-m", "gateway.admin.main", "-c", str(ready.folder / "gateway.toml")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [*command, "ingest", "--watch", str(folder), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as run:
        deadline = time.monotonic() + 60
        while not list(folder.glob(".f.csv.tries")):  # it is being read
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.send_signal(number)
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    assert json.loads(output)["rows"] == json.loads(output)["written"]
    assert not list(folder.glob(".*.tries"))
    totals(ready, "--watch", str(folder), "--idle", "0")
    assert list(folder.glob("done/f.csv"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.csv", "--watch", "."],
        ["a.csv", "--kafka"],
        ["a.csv", "--idle", "1"],
        ["--idle", "1"],
        [],
    ],
)
def test_files_and_feeds_do_not_mix(ready: Desk, arguments: list[str]) -> None:
    """Wrong usage is 2."""
    assert ready.run("ingest", *arguments).exit_code == 2


def test_what_cannot_be_read_is_refused(ready: Desk, tmp_path: Path) -> None:
    """A folder that is not there, a topic that nobody named."""
    assert "is no folder" in ready.refused("ingest", "--watch", str(tmp_path / "none"))
    assert "add [ingest.kafka] with brokers and topic" in ready.refused("ingest", "--kafka")


def test_kafka_is_loaded_only_where_it_is_asked_for(ready: Desk) -> None:
    """Its library takes time and memory."""
    script = "import sys, gateway.admin.ingest; sys.exit('confluent_kafka' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0


def test_brokers_that_are_away_are_told(ready: Desk) -> None:
    """And waited for, until nothing has come for `--idle`."""
    configured(ready, KAFKA)
    result = ready.run("ingest", "--kafka", "--idle", "1", "--json")
    assert (result.exit_code, json.loads(result.stdout)["rows"]) == (0, 0)
    assert "kafka sightings: " in result.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[ingest.kafka]\ntopic = "s"', "ingest.kafka.brokers"),
        (KAFKA + 'properties = { "enable.auto.commit" = true }', "enable.auto.commit is not set here"),
        (KAFKA + 'properties = { "sasl.password" = "open sesame" }', "use password or password_file"),
        (KAFKA + 'password_file = "none"', "cannot be read"),
        (KAFKA + "key_password = 7", "must be a string"),
        ("[ingest]\ntries = 1", "ingest.tries"),
        ("[ingest]\nflush = 1", "did you mean flush_s?"),
    ],
)
def test_mistakes_in_the_configuration(make_desk: Callable[[str], Desk], text: str, line: str) -> None:
    """Are named with key and mend, and no secret is shown."""
    result = make_desk(text + "\n").run("config", "check")
    assert result.exit_code == 1
    assert line in result.output
    assert "sesame" not in result.output


def test_secrets_of_kafka_come_from_files(make_desk: Callable[[str], Desk]) -> None:
    """And go to librdkafka under its names."""

    desk = make_desk(
        KAFKA + 'username = "me"\npassword_file = "pw"\nkey_password_file = "kp"\n'
        'properties = { "security.protocol" = "SASL_SSL", "fetch.wait.max.ms" = 100 }\n'
    )
    desk.file("pw", "open sesame\n")
    desk.file("kp", "shazam\n")
    config = load(desk.folder / "gateway.toml")
    assert config.ingest.kafka is not None
    assert config.ingest.kafka.all_properties == {
        "security.protocol": "SASL_SSL",
        "fetch.wait.max.ms": 100,
        "sasl.username": "me",
        "sasl.password": "open sesame",
        "ssl.key.password": "shazam",
    }
    assert "sesame" not in repr(config)
    assert "shazam" not in repr(config)


class Terminal(io.StringIO):
    """A stream that is watched."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_how_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, rejects, what waits; once a second at most."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    asked: list[str] = []

    def lag() -> dict[str, int | None]:
        asked.append("lag")
        return {"stream \x1b[31msightings": 4321, "kafka s": None}

    totals = Totals(rows=7654, written=7000, late=54, rejected=Counter(time=600))
    with feed_table() as show:
        for _ in range(100):
            show(State(totals, 321, ("stream sightings",), lag))
    shown = terminal.getvalue()
    assert all(each in shown for each in ("7,654", "321", "600", "54", "4,321", "–"))
    assert "\x1b[31msightings" not in shown
    assert len(asked) < 5
