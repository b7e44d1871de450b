"""An operator's work on one subscriber: shown and changed only with a reason, and only on record."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load
from gateway.dialog import state as dialog_state
from gateway.redis.keys import parts_key, state_key
from location_store.pseudonyms import KeyFile, Pseudonym, Pseudonyms
from tests.admin.conftest import CELLS, Desk
from tests.admin.test_data_commands import HEADER

KNOWN, ENGLISH, UNKNOWN = "8613800000001", "8613800000002", "8613800000003"


@pytest.fixture
def filled(desk: Desk) -> Desk:
    """KNOWN spent five hours each in Changsha, Ji'an and Japan; ENGLISH was never seen."""
    day = datetime.now(UTC) + timedelta(hours=8) - timedelta(days=2)
    rows = [f"{day:%Y-%m-%d}T{hour:02}:00:00+08:00,{KNOWN},460,0,1,1\n" for hour in range(6)]
    rows += [f"{day:%Y-%m-%d}T{hour:02}:00:00+08:00,{KNOWN},460,0,1,2\n" for hour in range(8, 14)]
    rows += [f"{day:%Y-%m-%d}T{hour:02}:00:00+08:00,{KNOWN},440,10,1,1\n" for hour in range(17, 23)]
    desk.good("cells", "import", desk.file("cells.csv", CELLS))
    people = f"msisdn,carrier,id_last4,language\n{KNOWN},china-mobile,1234,\n{ENGLISH},china-unicom,123X,en\n"
    desk.good("subscribers", "import", desk.file("people.csv", people))
    desk.good("ingest", desk.file("sightings.csv", HEADER + "".join(rows)))
    return desk


def show(desk: Desk, *numbers: str, **stdin: str) -> list[dict[str, Any]]:
    return desk.objects("subscriber", "show", *numbers, "--reason", "complaint 17", **stdin)


def pseudonym(desk: Desk, msisdn: str) -> Pseudonym:
    config = load(desk.folder / "gateway.toml")
    return Pseudonyms(KeyFile.load(config.keys.file), config.layout).of(msisdn)


def records(desk: Desk) -> list[dict[str, Any]]:
    return desk.objects("audit", "tail", "-n", "1000")


def test_show_as_json(filled: Desk) -> None:
    """The keys of the contract in their order; most recent visit first; a country by its ISO code."""
    (view,) = show(filled, KNOWN)
    assert list(view) == ["msisdn", "known", "language", "blocked", "locked_until", "visited", "stays"]
    assert (view["msisdn"], view["known"], view["language"]) == (KNOWN, True, "zh")
    assert (view["blocked"], view["locked_until"]) == (False, None)
    assert [visit["city"] for visit in view["visited"]] == ["JP", "360800", "430100"]
    visit = view["visited"][-1]
    assert list(visit) == ["city", "name_zh", "name_en", "first", "last", "longest_stay_h"]
    assert (visit["name_zh"], visit["longest_stay_h"]) == ("长沙市", 5.5)
    assert datetime.fromisoformat(visit["first"]).utcoffset() == timedelta(hours=8)
    assert [stay["city"] for stay in view["stays"]] == ["430100", "360800", "JP"]
    assert list(view["stays"][0]) == ["city", "name_zh", "name_en", "first", "last", "dwell_h"]


def test_show_many_in_the_order_asked(filled: Desk) -> None:
    """From arguments, a file and standard input; twice asked is twice shown; numbers in all shapes."""
    views = show(filled, UNKNOWN, "+86 138-0000-0002", "13800000001", UNKNOWN)
    assert [view["msisdn"] for view in views] == [UNKNOWN, ENGLISH, KNOWN, UNKNOWN]
    assert [view["known"] for view in views] == [False, True, True, False]
    assert views[1]["language"] == "en"
    path = filled.file("numbers.txt", f"\ufeff{ENGLISH}\r\n\n 0086{KNOWN[2:]} \n")
    assert [view["msisdn"] for view in show(filled, "--from", path)] == [ENGLISH, KNOWN]
    found = show(filled, UNKNOWN, "--from", "-", stdin=f"{KNOWN}\n")
    assert [view["msisdn"] for view in found] == [UNKNOWN, KNOWN]


def test_show_as_a_table(filled: Desk) -> None:
    """For people: names, and in plain words that there is nothing."""
    shown = filled.good("subscriber", "show", KNOWN, UNKNOWN, "--reason", "x")
    assert "长沙市" in shown
    assert f"+{UNKNOWN}  not known" in shown
    assert "nothing in the window" in shown
    assert "dwell" not in shown
    assert "dwell" in filled.good("subscriber", "show", KNOWN, "--reason", "x", "--stays")


@pytest.mark.parametrize("command", ["show", "block", "unblock", "unlock", "forget"])
def test_no_reason_no_work_but_a_record(filled: Desk, command: str) -> None:
    """Wrong usage (2), nothing shown or changed, and the attempt is on record."""
    for reason in ([], ["--reason", " "]):
        result = filled.run("subscriber", command, KNOWN, *reason)
        assert result.exit_code == 2
        assert "长沙" not in result.output
        assert "--reason" in result.stderr
    last = records(filled)[-1]
    assert (last["command"], last["outcome"]) == (f"subscriber {command}", "denied: no reason")
    (view,) = show(filled, KNOWN)
    assert (view["known"], view["blocked"]) == (True, False)


def test_no_reason_is_2_without_any_configuration(make_desk: Callable[[str], Desk]) -> None:
    """Wrong usage comes before everything else that may be wrong."""
    assert make_desk("nonsense").run("subscriber", "show", KNOWN).exit_code == 2


@pytest.mark.parametrize("number", ["12", "abc", "+0", "86138000000011111", "%s%n", "13800\x0000001"])
def test_impossible_number_is_2(desk: Desk, number: str) -> None:
    """Whatever the command, and nothing of the others is shown."""
    assert desk.run("subscriber", "show", KNOWN, number, "--reason", "x").exit_code == 2
    assert desk.run("subscriber", "forget", number, "--reason", "x").exit_code == 2
    assert records(desk) == []


def test_every_look_is_on_record_before_it_is_shown(filled: Desk) -> None:
    """One record a number, under the same name each time; reason as given; no number in the file."""
    show(filled, KNOWN, UNKNOWN, KNOWN)
    seen = records(filled)
    assert [record["command"] for record in seen] == ["subscriber show"] * 3
    assert seen[0]["subject"] == seen[2]["subject"] != seen[1]["subject"]
    assert {record["reason"] for record in seen} == {"complaint 17"}
    log = (filled.folder / "var/audit.jsonl").read_text()
    assert "138000" not in log
    assert filled.good("audit", "verify").endswith("3 records, all as they were written\n")


def test_nothing_is_shown_when_it_cannot_be_recorded(filled: Desk) -> None:
    """A log that was cut off refuses further work, and verify says what is missing."""
    show(filled, KNOWN, UNKNOWN)
    path = filled.folder / "var/audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0])
    result = filled.run("subscriber", "show", KNOWN, "--reason", "x", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    verdict = filled.run("audit", "verify")
    assert verdict.exit_code == 1
    assert verdict.stdout == "record 2 was cut off at the end\n"
    assert filled.run("subscriber", "forget", KNOWN, "--reason", "x").exit_code == 1
    path.write_bytes(b"".join(lines))
    assert show(filled, KNOWN)[0]["known"]


def test_block_and_unblock(filled: Desk) -> None:
    """Also a number that is not known, which does not become known by it."""
    for number in (KNOWN, UNKNOWN):
        filled.good("subscriber", "block", number, "--reason", "x")
    assert [(view["blocked"], view["known"]) for view in show(filled, KNOWN, UNKNOWN)] == [
        (True, True),
        (True, False),
    ]
    filled.good("subscriber", "unblock", KNOWN, "--reason", "x")
    assert not show(filled, KNOWN)[0]["blocked"]


def test_lock_is_shown_and_taken_away(filled: Desk, redis_server: Any) -> None:
    """`locked_until` while it lasts; `unlock` ends it, and says when there was none."""
    until_s = int(time.time()) + 3600
    locked = dialog_state.EMPTY._replace(wrong_tries=3, locked_until_s=until_s)
    with redis_server.client() as client:
        client.set(state_key(pseudonym(filled, KNOWN)), dialog_state.pack(locked), ex=3600)
    (view,) = show(filled, KNOWN)
    assert datetime.fromisoformat(view["locked_until"]).timestamp() == until_s
    assert view["locked_until"].endswith("+08:00")
    assert "locked until" in filled.good("subscriber", "show", KNOWN, "--reason", "x")
    assert "can be tried again" in filled.good("subscriber", "unlock", KNOWN, "--reason", "x")
    assert show(filled, KNOWN)[0]["locked_until"] is None
    assert "was not locked" in filled.good("subscriber", "unlock", KNOWN, "--reason", "x")


def test_forget_erases_everything_until_the_next_import(filled: Desk, redis_server: Any) -> None:
    """History, record, dialog and parts of long messages are gone; other subscribers are not touched."""
    with redis_server.client() as client:
        key = state_key(pseudonym(filled, KNOWN))
        client.set(key, dialog_state.pack(dialog_state.EMPTY._replace(queries=1)))
        parts = parts_key(pseudonym(filled, KNOWN))
        client.hset(parts, "part", "sealed")
        filled.good("subscriber", "forget", KNOWN, "--reason", "asked for it")
        assert not client.exists(key, parts)
    views = show(filled, KNOWN, ENGLISH)
    assert [view["known"] for view in views] == [False, True]
    assert (views[0]["visited"], views[0]["stays"]) == ([], [])
    filled.good("subscribers", "import", str(filled.folder / "people.csv"))
    (view,) = show(filled, KNOWN)
    assert (view["known"], view["visited"]) == (True, [])


def test_numbers_from_a_bad_file(desk: Desk, tmp_path: Path) -> None:
    """Missing or not text: refused; empty: wrong usage."""
    assert "none" in desk.refused("subscriber", "show", "--from", str(tmp_path / "none"), "--reason", "x")
    path = desk.file("latin", b"\xff\xfe138")
    assert "UTF-8" in desk.refused("subscriber", "show", "--from", path, "--reason", "x")
    assert desk.run("subscriber", "show", "--from", desk.file("empty", "\n"), "--reason", "x").exit_code == 2


def test_endless_reason_is_2(desk: Desk) -> None:
    """A record is a line, not a book."""
    assert desk.run("subscriber", "block", KNOWN, "--reason", "x" * 1001).exit_code == 2


def test_reason_cannot_move_the_cursor(filled: Desk) -> None:
    """What an operator types is shown to another one, escaped."""
    filled.good("subscriber", "block", KNOWN, "--reason", "a\x1b[2J\u202eb")
    shown = filled.good("audit", "tail")
    assert "a\\u001b[2J\\u202eb" in shown
    assert "\x1b[2J" not in shown
