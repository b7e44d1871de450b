"""Keys, imports and ingest from the command line: what works, and what each bad input is told."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.admin.conftest import CELLS, Desk

HEADER = "time,msisdn,mcc,mnc,area,cell\n"


def at(days_ago: int, hour: int) -> str:
    """A time of the window, in China."""
    noon = datetime.now(UTC) + timedelta(hours=8) - timedelta(days=days_ago)
    return f"{noon:%Y-%m-%d}T{hour:02}:00:00+08:00"


def rejects(desk: Desk, name: str) -> list[tuple[int, str]]:
    """Line and reason of each row that was set aside."""
    with (desk.folder / "var" / "rejects" / name).open(encoding="utf-8", newline="") as file:
        return [(int(row["line"]), row["reason"]) for row in csv.DictReader(file)]


def totals(desk: Desk, *arguments: str, stdin: str | bytes | None = None) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(desk.good("ingest", *arguments, "--json", stdin=stdin))
    return result


def test_keys_init_creates_a_private_file_once(make_desk: Callable[[str], Desk]) -> None:
    """0600; a second time it is refused and the file stays."""
    desk = make_desk("")
    desk.good("keys", "init")
    path = desk.folder / "var/keys.json"
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "exists already" in desk.refused("keys", "init")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (lambda path: path.unlink(), "cxmyd keys init"),
        (lambda path: path.chmod(0o644), "chmod 600"),
        (lambda path: path.write_text("{}"), "not a key file"),
    ],
    ids=["missing", "readable by others", "damaged"],
)
def test_unusable_key_file(desk: Desk, spoil: Callable[[Path], object], mend: str) -> None:
    """Refused by every command that needs it, with the mend."""
    spoil(desk.folder / "var/keys.json")
    desk.file("s.csv", "msisdn,carrier,id_last4\n")
    for command in (["subscribers", "import", str(desk.folder / "s.csv")], ["audit", "verify"]):
        assert mend in desk.refused(*command)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_key_file(desk: Desk) -> None:
    """Named with the system's reason."""
    (desk.folder / "var/keys.json").chmod(0o000)
    assert "Permission denied" in desk.refused("audit", "verify")


def test_redis_away_and_wrong_password(
    make_desk: Callable[[str], Desk], own_redis: Callable[..., Any]
) -> None:
    """Each is one line with the address and without the password."""
    server = own_redis("--requirepass", "right")
    url = server.url.replace("redis://", "redis://:wr0ng@")
    desk = make_desk(f'[redis]\nurl = "{url}"\n')
    desk.good("keys", "init")
    line = desk.refused("parked", "list")
    assert f":{server.port}" in line
    assert "wr0ng" not in line
    server.stop()
    line = desk.refused("subscriber", "show", "13800000000", "--reason", "x")
    assert f":{server.port}" in line
    assert "wr0ng" not in line


def test_redis_password_from_a_file(make_desk: Callable[[str], Desk], own_redis: Callable[..., Any]) -> None:
    """With characters that a URL would have to escape."""
    server = own_redis("--requirepass", "p@ss:/w")
    desk = make_desk(f'[redis]\nurl = "{server.url}"\npassword_file = "pw"\n')
    desk.file("pw", "p@ss:/w\n")
    desk.good("keys", "init")
    assert desk.good("parked", "list") == "nothing is parked\n"


def test_cells_import_says_what_it_did(desk: Desk) -> None:
    """Totals as a table and as JSON; an unknown city is a reject, only such rows a refusal."""
    path = desk.file("cells.csv", CELLS + "460,0,1,3,999999\n")
    found = json.loads(desk.good("cells", "import", path, "--json"))
    assert found == {
        "rows": 3,
        "imported": 2,
        "by_mcc": 0,
        "cells_in_table": 2,
        "rejected": {"unknown_city": 1},
    }
    assert "unknown_city" in desk.good("cells", "import", path)
    assert rejects(desk, "cells.csv") == [(4, "unknown_city")]
    bad = desk.file("bad.csv", "mcc,mnc,area,cell,city\n460,0,1,3,999999\n")
    assert "could be used" in desk.refused("cells", "import", bad)
    assert "nothing but a header" in desk.refused(
        "cells", "import", desk.file("h.csv", CELLS[: CELLS.index("\n")])
    )
    line = desk.refused("cells", "import", desk.file("wrong.csv", "a,b\n"))
    assert "samples,changeable,created,updated,averageSignal or mcc,mnc,area,cell,city" in line


def test_subscribers_import_says_what_it_did(desk: Desk) -> None:
    """New, unchanged and rejected rows are told apart."""
    text = "msisdn,carrier,id_last4,since,language\n"
    text += "+86 138 0000 0000,china-mobile,123x,2026-01-01,en\n12,china-mobile,1234,,\n"
    path = desk.file("subscribers.csv", text)
    found = json.loads(desk.good("subscribers", "import", path, "--json"))
    assert found == {"rows": 2, "written": 1, "unchanged": 0, "rejected": {"msisdn": 1}}
    assert json.loads(desk.good("subscribers", "import", path, "--json"))["unchanged"] == 1
    bad = desk.file("bad.csv", "msisdn,carrier,id_last4\n13800000000,nobody,1234\n")
    assert "no row of 1 could be used" in desk.refused("subscribers", "import", bad)
    empty = desk.file("empty.csv", "msisdn,carrier,id_last4\n")
    assert "nothing but a header" in desk.refused("subscribers", "import", empty)


def test_ingest_totals_and_rejects(ready: Desk) -> None:
    """Good rows of all shapes are written, each bad one is set aside with line and reason, status 0."""
    text = HEADER + "".join(
        f"{row}\n"
        for row in (
            f"{at(2, 1)},+8613800000000,460,00,1,1",
            f"{at(2, 2)},0086 138-0000-0000,460,0,1,1",
            f"{at(2, 3)},138 0000 0000,460,0,1,1",
            f"{at(2, 3)[:-6]},13800000000,460,0,1,1",
            f"{at(-2, 3)},13800000000,460,0,1,1",
            f"{at(40, 3)},13800000000,460,0,1,1",
            f"{at(2, 4)},12,460,0,1,1",
            f"{at(2, 4)},13800000000,460,0,1,99",
        )
    )
    path = ready.file("sightings.csv", (text + at(2, 5) + ",138").encode() + b"\n\xff\xfe,1,2,3,4,5\n")
    found = totals(ready, path)
    assert found["rejected"] == {
        "time_without_offset": 1,
        "future": 1,
        "msisdn": 1,
        "unknown_cell": 1,
        "fields": 1,
        "encoding": 1,
    }
    assert (found["rows"], found["written"], found["old"], found["late"]) == (10, 3, 1, 0)
    assert rejects(ready, "sightings.csv") == [
        (5, "time_without_offset"),
        (6, "future"),
        (8, "msisdn"),
        (9, "unknown_cell"),
        (10, "fields"),
        (11, "encoding"),
    ]


def test_ingest_again_counts_nothing_twice(ready: Desk) -> None:
    """And ends 0, as a file that is done; the table says so."""
    path = ready.file("s.csv", f"{HEADER}{at(2, 1)},13800000000,460,0,1,1\n")
    assert totals(ready, path)["written"] == 1
    found = totals(ready, path)
    assert (found["written"], found["skipped_files"]) == (0, 1)
    assert "files done before" in ready.good("ingest", path)


def test_ingest_from_standard_input_and_gzip(ready: Desk) -> None:
    """`-` and .gz."""
    row = f"{at(2, 1)},13800000000,460,0,1,1\n"
    assert totals(ready, "-", stdin=HEADER + row)["written"] == 1
    path = ready.file("s.csv.gz", gzip.compress((HEADER + row.replace("T01", "T02")).encode()))
    assert totals(ready, path)["written"] == 1


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is empty"),
        ("2026-01-01T00:00:00Z,138,460,0,1,1\n", "has no header"),
        ("time,msisdn,mcc,mnc,lac,cell\n1,2,3,4,5,6\n", "lacks area"),
        (HEADER + "yesterday,13800000000,460,0,1,1\n", "no row of 1 could be used"),
        (HEADER, "s.csv: nothing but a header"),
    ],
    ids=["empty", "no header", "wrong header", "only bad rows", "only a header"],
)
def test_ingest_of_nothing_usable_is_1(ready: Desk, content: str, line: str) -> None:
    """With what is wrong in one line."""
    assert line in ready.refused("ingest", ready.file("s.csv", content))


def test_ingest_of_several_files_names_the_unusable_one(ready: Desk) -> None:
    """The others are written, the oldest first; the status is 1 and the line names the file and the fault."""
    newer = ready.file("f10.csv", f"{HEADER}{at(2, 9)},13800000000,460,0,1,1\n")
    older = ready.file("f2.csv", f"{HEADER}{at(3, 1)},13800000000,460,0,1,1\n")
    bad = ready.file("f3.csv", "time,number\n")
    result = ready.run("ingest", newer, bad, older, "--json")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"cxmyd: {bad}: the header lacks" in result.stderr
    found = json.loads(result.stdout)
    assert (found["written"], found["late"], found["unusable_files"]) == (2, 0, 1)


def test_ingest_says_that_rows_came_late(ready: Desk) -> None:
    """Who feeds the older file afterwards learns that it was not written."""
    totals(ready, ready.file("new.csv", f"{HEADER}{at(2, 9)},13800000000,460,0,1,1\n"))
    result = ready.run("ingest", ready.file("old.csv", f"{HEADER}{at(3, 1)},13800000000,460,0,1,1\n"))
    assert result.exit_code == 0
    assert "1 of 1 rows came over 2 h after newer ones" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "mend"),
    [
        (["ingest"], "run the same command again to complete it"),
        (["subscribers", "import"], "run the same command again to complete it"),
        (["cells", "import"], "nothing was changed"),
    ],
)
def test_an_interrupted_import(ready: Desk, number: signal.Signals, command: list[str], mend: str) -> None:
    """While it waits for input; one line says how to go on, and the turn is given back."""
    program = [sys.executable, "-m", "gateway.admin.main", "-c", str(ready.folder / "gateway.toml"), *command]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = ready.folder / "pipe"
    os.mkfifo(pipe)
    with (
        subprocess.Popen([*program, str(pipe)], stderr=subprocess.PIPE, text=True, env=environment) as run,
        pipe.open("w"),  # opens when the other end is: from here on the import waits for rows
    ):
        errors = ""
        while run.poll() is None:  # Python overlooks a signal in the moment before it begins to read
            run.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                _, errors = run.communicate(timeout=5)
    assert (run.returncode, errors) == (130, f"cxmyd: interrupted; {mend}\n")
    assert totals(ready, ready.file("s.csv", f"{HEADER}{at(2, 1)},13800000000,460,0,1,1\n"))["written"] == 1


def test_a_new_key_on_a_filled_store_is_refused(ready: Desk) -> None:
    """By everything that reads or writes it: nothing would be found under another key."""
    path = ready.file("s.csv", f"{HEADER}{at(2, 1)},13800000000,460,0,1,1\n")
    assert totals(ready, path)["written"] == 1
    keys = ready.folder / "var/keys.json"
    keys.rename(ready.folder / "keys.old")
    (ready.folder / "var/audit.jsonl").unlink(missing_ok=True)
    ready.good("keys", "init")
    people = ready.file("p.csv", "msisdn,carrier,id_last4\n13800000000,plain,1234\n")
    for command in (
        ["ingest", path],
        ["ingest", "--stream", "x"],
        ["subscribers", "import", people],
        ["subscriber", "show", "13800000000", "--reason", "x"],
        ["subscriber", "forget", "13800000000", "--reason", "x"],
        ["parked", "list"],
    ):
        line = ready.refused(*command)
        assert "was filled under the key" in line
        assert "keys.file does not hold" in line
    (ready.folder / "keys.old").replace(keys)
    assert totals(ready, path)["skipped_files"] == 1


def test_ingest_of_old_rows_only_is_0(ready: Desk) -> None:
    """They were read to the end and counted."""
    found = totals(ready, ready.file("s.csv", f"{HEADER}{at(40, 1)},13800000000,460,0,1,1\n"))
    assert (found["old"], found["written"]) == (1, 0)


def test_missing_files_are_refused(ready: Desk) -> None:
    """By name."""
    for command in (["ingest"], ["cells", "import"], ["subscribers", "import"]):
        assert "none.csv" in ready.refused(*command, str(ready.folder / "none.csv"))


def test_ingest_without_a_cell_table(desk: Desk) -> None:
    """Says what to do first."""
    path = desk.file("s.csv", f"{HEADER}{at(2, 1)},13800000000,460,0,1,1\n")
    assert "cxmyd cells import" in desk.refused("ingest", path)


def test_ingest_of_a_stream(ready: Desk, redis_server: Any) -> None:
    """Its entries are written; without new ones it ends when it was told to."""
    fields = dict(zip(HEADER.strip().split(","), (at(2, 1), "13800000000", 460, 0, 1, 1), strict=True))
    with redis_server.client() as client:
        client.xadd("sightings", fields)
    assert totals(ready, "--stream", "sightings", "--idle", "0.6")["written"] == 1


def test_sample_is_written_in_the_formats_of_the_imports(ready: Desk) -> None:
    """The same seed and day give the same subscribers."""
    folder = ready.folder / "sample"
    arguments = ("sample", str(folder), "--subscribers", "30", "--end-date", "2026-03-01", "--json")
    found = json.loads(ready.good(*arguments))
    first = (folder / "subscribers.csv").read_bytes()
    assert (found["folder"], len(first.splitlines()) - 1) == (str(folder), found["subscribers"])
    ready.good(*arguments)
    assert (folder / "subscribers.csv").read_bytes() == first
    assert "at least" in ready.refused("sample", str(folder), "--subscribers", "1")


def test_days_are_those_of_the_carriers_that_reckon_by_them(ready: Desk) -> None:
    """Seen at 19, 21, 23, 1 and 3 o'clock: the longest day is 4 h, midnight is no sighting."""
    with (ready.folder / "gateway.toml").open("a") as file:
        file.write('\n[carrier.plain]\nstay_rule = "daily-span"\nstay_hours = 1\n')
    times = [at(5, 19), at(5, 21), at(5, 23), at(4, 1), at(4, 3)]
    rows = "".join(f"{time},8613800000001,460,0,1,1\n" for time in times)
    totals(ready, ready.file("in.csv", f"{HEADER}{rows}{at(4, 18)},8613800000001,460,0,1,2\n"))
    (shown,) = ready.objects("subscriber", "show", "8613800000001", "--reason", "test")
    assert [visit["longest_stay_h"] for visit in shown["visited"]] == [4.0]
