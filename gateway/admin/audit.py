"""The audit log: who looked at or changed which subscriber, when and why.

One JSON line a record. A record carries its number, the digest of the record before it and a keyed digest of
itself; a sealed head beside the log carries the count and the last digest. So whoever lacks the key cannot
edit, add, remove or reorder a record, nor cut the log off, without `verify` naming it. What the seal cannot
show: log and head put back together from one earlier copy; keep a copy of the head elsewhere against that.

Invariants: a subscriber is in it only as a keyed digest, never as a number (one that stands in a reason is
masked); a record is on the disk before `append` returns, so that nothing is shown that is not recorded.
Several processes may append (they lock the file). Called by the commands that work on subscribers and by
`audit tail` and `audit verify`.
"""

import fcntl
import json
import os
import pwd
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from gateway.errors import GatewayError, printable
from gateway.logs import mask_written_numbers

DIGEST_LENGTH = 16
_LINE = re.compile(rb'(?P<body>\{[^\n]*),"digest":"(?P<digest>[0-9a-f]{32})"\}\n')


class AuditError(GatewayError):
    """The audit log cannot be written, so the command it is about must not run."""


class Entry(NamedTuple):
    """What one record says, apart from time and operator."""

    command: str  # "subscriber show"
    subject: str  # the subscriber, as `AuditLog.subject` gives it; "" where it is about none
    reason: str
    outcome: str = "allowed"  # or "denied"


class Head(NamedTuple):
    """The end of the log as it was after the last append."""

    records: int
    size: int  # bytes
    digest: str  # of the last record


class Findings(NamedTuple):
    """What `verify` saw: how many records, and every sign of tampering."""

    records: int
    problems: list[str]


class AuditLog:
    """The log in `path`, its records sealed with `key` (any length; `Pseudonyms.audit_key`)."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self.head_path = path.with_name(path.name + ".head")
        self._record_key = _derive(key, b"record")
        self._head_key = _derive(key, b"head")
        self._subject_key = _derive(key, b"subject")
        self._genesis = _digest(self._record_key, b"")

    def subject(self, msisdn: str) -> str:
        """The name of a subscriber in the log: a keyed digest, 20 hexadecimal digits."""
        return blake2b(msisdn.encode(), key=self._subject_key, digest_size=10).hexdigest()

    def append(self, entries: Sequence[Entry], operator: str, now_s: float) -> None:
        """Write the records durably. Raises AuditError when the log is damaged or cannot be written."""
        try:
            with self._locked(fcntl.LOCK_EX, create=True) as log:
                head = self._caught_up(log)
                lines, head = self._lines(entries, operator, now_s, head)
                log.write(lines)
                log.flush()
                os.fsync(log.fileno())
                self._write_head(head)
        except OSError as error:
            raise AuditError(f"the audit log {self.path} cannot be written: {error.strerror}") from error

    def records(self) -> Iterator[dict[str, Any]]:
        """The genuine records, oldest first, as they were written; none where there is no log yet."""
        if not self.path.exists():
            return
        with self._locked(fcntl.LOCK_SH) as log:
            for line in log:
                if (record := self._genuine(line)) is not None:
                    yield record

    def verify(self) -> Findings:
        """Read all of it and name every record that was edited, removed, moved, repeated or cut off."""
        if not self.path.exists() and not self.head_path.exists():
            return Findings(0, [])
        if not self.path.exists():
            return Findings(0, [f"{self.path} is missing, its head is there: the log was removed"])
        with self._locked(fcntl.LOCK_SH) as log:
            walk = _Walk(self._genesis)
            for number, line in enumerate(log, 1):
                walk.step(number, line, self._genuine(line))
            return Findings(walk.count, [*walk.problems(), *self._head_problems(walk)])

    @contextmanager
    def _locked(self, mode: int, *, create: bool = False) -> Iterator[BinaryIO]:
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        else:
            descriptor = os.open(self.path, os.O_RDONLY)
        with os.fdopen(descriptor, "r+b" if create else "rb") as log:
            fcntl.flock(log, mode)
            yield log

    def _lines(self, entries: Sequence[Entry], operator: str, now_s: float, head: Head) -> tuple[bytes, Head]:
        time = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = []
        count, digest = head.records, head.digest
        for entry in entries:
            count += 1
            fields = {"seq": count, "time": time, "operator": printable(operator), **entry._asdict()}
            fields["reason"] = printable(mask_written_numbers(entry.reason))
            body = json.dumps(fields | {"prev": digest}, separators=(",", ":")).encode()[:-1]
            digest = _digest(self._record_key, body)
            lines.append(body + b',"digest":"' + digest.encode() + b'"}\n')
        data = b"".join(lines)
        return data, Head(count, head.size + len(data), digest)

    def _genuine(self, line: bytes) -> dict[str, Any] | None:
        """The record in `line`, None when it is not exactly one that was written with our key."""
        match = _LINE.fullmatch(line)
        if match is None or not compare_digest(
            _digest(self._record_key, match["body"]).encode(), match["digest"]
        ):
            return None
        record: dict[str, Any] = json.loads(line)
        return record

    def _caught_up(self, log: BinaryIO) -> Head:
        """The head to append to. An append that was interrupted between log and head is completed; the
        beginning of a record that was never finished is dropped, since nothing was done on its account."""
        size = log.seek(0, os.SEEK_END)
        head = self._read_head()
        if head is None:
            if size or self.head_path.exists():
                raise self._damaged()
            head = Head(0, 0, self._genesis)
            self._write_head(head)
        if size < head.size:
            raise self._damaged()
        log.seek(head.size)
        for line in log:
            record = self._genuine(line)
            if record is not None and record["seq"] == head.records + 1 and record["prev"] == head.digest:
                head = Head(head.records + 1, head.size + len(line), record["digest"])
            elif line.endswith(b"\n"):
                raise self._damaged()
        log.truncate(head.size)
        log.seek(head.size)
        return head

    def _damaged(self) -> AuditError:
        return AuditError(
            f"the audit log {self.path} was tampered with, or is of another key file: see `cxmyd audit "
            "verify`, then move log and head away as evidence; a new log begins by itself"
        )

    def _seal(self, head: Head) -> str:
        return _digest(self._head_key, json.dumps(head).encode())

    def _write_head(self, head: Head) -> None:
        """Replace the head in one step, so that a crash leaves the old one or the new one."""
        new = self.head_path.with_name(self.head_path.name + ".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(head._asdict() | {"seal": self._seal(head)}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.head_path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read_head(self) -> Head | None:
        """The head, None when it is absent or not as it was written."""
        try:
            raw = self.head_path.read_bytes()
            fields = json.loads(raw)
            head = Head(fields["records"], fields["size"], fields["digest"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        expected = json.dumps(head._asdict() | {"seal": self._seal(head)}) + "\n"
        return head if compare_digest(expected.encode(), raw) else None

    def _head_problems(self, walk: "_Walk") -> Iterator[str]:
        head = self._read_head()
        if head is None:
            what = "was edited" if self.head_path.exists() else "is missing"
            yield f"the head {self.head_path.name} {what}: whether the log was cut off cannot be told"
        elif head.records > walk.count:
            yield f"{_records(walk.count + 1, head.records)} cut off at the end"
        elif head.records and head.digest != walk.digests.get(head.records, head.digest):
            yield f"record {head.records} is not the one that was sealed"


class _Walk:
    """The state of `verify` on its way through the log."""

    def __init__(self, genesis: str) -> None:
        self.count = 0  # the highest number up to which records, or what is left of them, were seen
        self.digests: dict[int, str] = {0: genesis}
        self._missing: set[int] = set()
        self._problems: list[tuple[int, str]] = []

    def step(self, number: int, line: bytes, record: dict[str, Any] | None) -> None:
        if record is None:  # whatever stands here, it holds the place of the next record
            self.count += 1
            what = (
                "was edited" if line.endswith(b"\n") else "is incomplete: a write that broke off, or an edit"
            )
            self._problems.append((number, f"line {number}: record {self.count} {what}"))
            return
        seq: int = record["seq"]
        if seq in self._missing:
            self._missing.remove(seq)
            self._problems.append((number, f"line {number}: record {seq} was moved here"))
        elif seq <= self.count:
            self._problems.append((number, f"line {number}: record {seq} stands here once more"))
        else:
            self._missing.update(range(self.count + 1, seq))
            self.count = seq
            before = self.digests.get(seq - 1, record["prev"])
            if record["prev"] != before:
                self._problems.append((number, f"line {number}: record {seq} does not follow {seq - 1}"))
        self.digests[seq] = record["digest"]

    def problems(self) -> Iterator[str]:
        for first, last in _runs(sorted(self._missing)):
            yield f"{_records(first, last)} removed"
        for _, text in self._problems:
            yield text


def operator_name() -> str:
    """The account of this process, by the system and not by the environment; with sudo, who called it."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    caller = os.environ.get("SUDO_USER") if uid == 0 else None
    return f"{name} (sudo by {caller})" if caller else name


def _derive(key: bytes, label: bytes) -> bytes:
    return blake2b(key, person=label, digest_size=32).digest()


def _digest(key: bytes, data: bytes) -> str:
    return blake2b(data, key=key, digest_size=DIGEST_LENGTH).hexdigest()


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for number in numbers:
        if first is None or last is None or number != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


def _records(first: int, last: int) -> str:
    return f"record {first} was" if first == last else f"records {first} to {last} were"
