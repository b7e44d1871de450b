"""The audit log: whoever lacks the key changes nothing in it unseen."""

from __future__ import annotations

import json
import multiprocessing
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admin.audit import AuditError, AuditLog, Entry, operator_name

KEY = b"k" * 32
NOW_S = 1_771_056_000.0


def filled(folder: Path, count: int = 5) -> AuditLog:
    """A new log of so many records."""
    log = AuditLog(folder / "audit.jsonl", KEY)
    for path in (log.path, log.head_path):
        path.unlink(missing_ok=True)
    for number in range(1, count + 1):
        entry = Entry("subscriber show", log.subject("8613800000000"), f"case {number}")
        log.append([entry], "alice", NOW_S + number)
    return log


def lines(log: AuditLog) -> list[bytes]:
    return log.path.read_bytes().splitlines(keepends=True)


def rewrite(log: AuditLog, new: list[bytes]) -> list[str]:
    """What `verify` says once the log has these lines."""
    log.path.write_bytes(b"".join(new))
    return log.verify().problems


def test_untouched_log_is_clean(tmp_path: Path) -> None:
    """The records are there as they were written, and nothing is found."""
    log = filled(tmp_path)
    assert log.verify() == (5, [])
    assert [record["reason"] for record in log.records()] == [f"case {n}" for n in range(1, 6)]
    assert next(log.records())["time"] == "2026-02-14T08:00:01.000Z"
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_no_log_yet_is_clean(tmp_path: Path) -> None:
    """Before the first record there is nothing to find."""
    assert AuditLog(tmp_path / "audit.jsonl", KEY).verify() == (0, [])


def test_a_full_disk_refuses_and_damages_nothing(tmp_path: Path) -> None:
    """In the middle of a record: nothing may be done on its account, and with room the log goes on."""
    log = filled(tmp_path)
    entry = Entry("subscriber show", log.subject("8613800000000"), "case 6")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 50, before[1]))
        with pytest.raises(AuditError, match=r"audit.jsonl cannot be written"):
            log.append([entry], "alice", NOW_S)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.append([entry], "alice", NOW_S)
    assert log.verify() == (6, [])
    assert len(lines(log)) == 6


def test_edit_names_the_record(tmp_path: Path) -> None:
    """And only that one: the chain goes on behind it."""
    log = filled(tmp_path)
    new = [line.replace(b"case 3", b"case X") for line in lines(log)]
    assert rewrite(log, new) == ["line 3: record 3 was edited"]


def test_removal_names_the_records(tmp_path: Path) -> None:
    """Two in the middle."""
    log = filled(tmp_path)
    new = lines(log)
    assert rewrite(log, [new[0], *new[3:]]) == ["records 2 to 3 were removed"]


def test_reorder_names_the_record(tmp_path: Path) -> None:
    """A record that was moved is not called removed."""
    log = filled(tmp_path)
    one, two, three, four, five = lines(log)
    assert rewrite(log, [one, three, two, four, five]) == ["line 3: record 2 was moved here"]


def test_cut_off_names_the_records(tmp_path: Path) -> None:
    """The head knows how many there were."""
    log = filled(tmp_path)
    assert rewrite(log, lines(log)[:3]) == ["records 4 to 5 were cut off at the end"]
    assert rewrite(log, []) == ["records 1 to 5 were cut off at the end"]


def test_repetition_names_the_record(tmp_path: Path) -> None:
    """A genuine record, once too often."""
    log = filled(tmp_path)
    new = lines(log)
    assert rewrite(log, [*new, new[1]]) == ["line 6: record 2 stands here once more"]


def test_removed_log_is_noticed(tmp_path: Path) -> None:
    """The head remains, or the log remains: either is a finding."""
    log = filled(tmp_path)
    head = log.head_path.read_bytes()
    log.head_path.unlink()
    assert "is missing" in log.verify().problems[0]
    log.head_path.write_bytes(head.replace(b'"records": 5', b'"records": 3'))
    assert "was edited" in log.verify().problems[0]
    log.head_path.write_bytes(head)
    log.path.unlink()
    assert "the log was removed" in log.verify().problems[0]


def test_records_of_a_fork_are_noticed(tmp_path: Path) -> None:
    """Genuine records with the right numbers, but from another course of events."""
    log = filled(tmp_path)
    first = lines(log)
    second = lines(filled(tmp_path, 3))
    log = filled(tmp_path)
    log.append([Entry("x", "", "y")], "bob", NOW_S)
    later = lines(log)
    assert first[:3] == second  # same input, same bytes
    log.path.unlink()
    log.head_path.unlink()
    for reason in "abcdef":
        log.append([Entry("x", "", reason)], "bob", NOW_S)
    problems = rewrite(log, [*lines(log)[:3], *later[3:]])
    assert problems == ["line 4: record 4 does not follow 3", "record 6 is not the one that was sealed"]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_single_change_is_found(shared_folder: Path, data: st.DataObject) -> None:
    """Any byte changed, any bytes removed or put in, any two records swapped, any cut: all are found."""
    log = filled(shared_folder, 4)
    original = log.path.read_bytes()
    change = data.draw(st.sampled_from(["byte", "remove", "insert", "cut", "swap", "drop"]))
    position = data.draw(st.integers(0, len(original) - 1))
    records = original.splitlines(keepends=True)
    if change == "byte":
        other = data.draw(st.integers(0, 255).filter(lambda value: value != original[position]))
        changed = original[:position] + bytes([other]) + original[position + 1 :]
    elif change == "remove":
        changed = original[:position] + original[position + data.draw(st.integers(1, 400)) :]
    elif change == "insert":
        changed = original[:position] + data.draw(st.binary(min_size=1, max_size=40)) + original[position:]
    elif change == "cut":
        changed = original[:position]
    elif change == "swap":
        first, second = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=2, unique=True))
        records[first], records[second] = records[second], records[first]
        changed = b"".join(records)
    else:
        del records[data.draw(st.integers(0, 3))]
        changed = b"".join(records)
    log.path.write_bytes(changed)
    assert log.verify().problems or changed == original


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_change_of_the_head_is_found(shared_folder: Path, data: st.DataObject) -> None:
    """The seal covers every byte of it."""
    log = filled(shared_folder, 2)
    original = log.head_path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != original[position]))
    log.head_path.write_bytes(original[:position] + bytes([other]) + original[position + 1 :])
    assert log.verify().problems


def test_append_completes_what_a_crash_left(tmp_path: Path) -> None:
    """Killed between log and head, or in the middle of a line: the next append mends it, nothing is lost."""
    log = filled(tmp_path, 2)
    head = log.head_path.read_bytes()
    log.append([Entry("subscriber show", "", "third")], "alice", NOW_S)
    log.head_path.write_bytes(head)
    with log.path.open("ab") as file:
        file.write(b'{"seq":4,"time":"20')
    log.append([Entry("subscriber show", "", "fourth")], "alice", NOW_S)
    assert log.verify() == (4, [])
    assert [record["reason"] for record in log.records()] == ["case 1", "case 2", "third", "fourth"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda log: log.path.write_bytes(b"".join(lines(log)[:2])),
        lambda log: log.path.unlink(),
        lambda log: log.head_path.unlink(),
        lambda log: log.head_path.write_text("{}"),
        lambda log: log.path.open("ab").write(b"forged\n"),
    ],
    ids=["cut off", "log gone", "head gone", "head edited", "line added"],
)
def test_append_refuses_a_damaged_log(tmp_path: Path, damage: Callable[[AuditLog], object]) -> None:
    """So the command it is about does not run, and a cut is not papered over."""
    log = filled(tmp_path)
    damage(log)
    with pytest.raises(AuditError, match="audit verify"):
        log.append([Entry("subscriber show", "", "x")], "alice", NOW_S)


def test_another_key_neither_reads_nor_writes(tmp_path: Path) -> None:
    """A log belongs to its key file."""
    filled(tmp_path)
    other = AuditLog(tmp_path / "audit.jsonl", b"o" * 32)
    assert list(other.records()) == []
    assert len(other.verify().problems) == 6
    with pytest.raises(AuditError, match="another key file"):
        other.append([Entry("subscriber show", "", "x")], "alice", NOW_S)


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Here because a file stands where its folder should be."""
    (tmp_path / "file").touch()
    log = AuditLog(tmp_path / "file" / "audit.jsonl", KEY)
    with pytest.raises(AuditError, match="cannot be written"):
        log.append([Entry("subscriber show", "", "x")], "alice", NOW_S)


@given(st.text(), st.text())
def test_any_reason_stays_on_its_line(shared_folder: Path, reason: str, operator: str) -> None:
    """Control characters, quotes and marks of direction are escaped; the file is ASCII."""
    log = filled(shared_folder, 0)
    log.append([Entry("subscriber show", "", reason)], operator, NOW_S)
    assert len(lines(log)) == 1
    assert log.path.read_bytes().isascii()
    assert json.loads(lines(log)[0])["reason"].isprintable()
    assert log.verify() == (1, [])


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("called from +8613912345678 on 2026-11-20", "called from +86…78 on 2026-11-20"),
        ("1234567, 123456", "12…67, 123456"),
        ("139 1234 5678 / (+86) 139-1234-5678", "13…78 / (+86…78"),
        ("ticket 4711 of 2026-11-20 10:30", "ticket 4711 of 2026-11-20 10:30"),
    ],
)
def test_a_number_in_a_reason_is_masked(tmp_path: Path, reason: str, kept: str) -> None:
    """The log names nobody, whatever an operator types; dates and short numbers stay."""
    log = AuditLog(tmp_path / "audit.jsonl", KEY)
    log.append([Entry("subscriber show", "", reason)], "alice", NOW_S)
    assert [record["reason"] for record in log.records()] == [kept]


def test_subject_names_nobody_without_the_key(tmp_path: Path) -> None:
    """The same subscriber has the same name in all records, another one under another key."""
    log = AuditLog(tmp_path / "audit.jsonl", KEY)
    name = log.subject("8613800000000")
    assert name == log.subject("8613800000000") != log.subject("8613800000001")
    assert name != AuditLog(tmp_path / "audit.jsonl", b"o" * 32).subject("8613800000000")
    assert "138" not in filled(tmp_path).path.read_text().replace(name, "")


def _append_many(folder: Path, writer: int) -> None:
    log = AuditLog(folder / "audit.jsonl", KEY)
    for number in range(20):
        log.append([Entry("subscriber show", "", f"{writer}/{number}")], "alice", NOW_S)


def test_processes_append_in_turn(tmp_path: Path) -> None:
    """Three writers at once leave one unbroken chain."""
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_many, args=(tmp_path, writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert AuditLog(tmp_path / "audit.jsonl", KEY).verify() == (60, [])


def test_operator_is_the_systems_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what LOGNAME or USER claim; with sudo, who called it is named too."""
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    monkeypatch.delenv("SUDO_USER", raising=False)
    name = operator_name()
    assert "mallory" not in name
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    assert operator_name() == "root (sudo by alice)"
