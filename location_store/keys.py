"""The key file: the one secret outside Redis without which no pseudonym can be tied to a number.

    {"version": 1, "audit": "<64 hex digits>", "keys": [
      {"id": "1f0c…", "number": 1, "created": "2026-02-14T08:00:00Z", "secret": "<64 hex digits>"}, …]}

Newest first. The first key is written with; during a rotation an older one follows, which is read with until
the window has passed over what lies under it (no rewrite, since a history lives for one window). "number"
counts the keys of a store; 0 may be left out. "audit", there once a key was rotated, is what the audit log
was begun with and stays with.

Invariant: a file that others may read is refused; a file is replaced whole or not at all; a secret shows in
no repr and no message. Called by the commands and by the gateway as they start.
"""

import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from location_store.errors import StoreRefused

SECRET_BYTES = 32
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Key:
    """One root secret of 32 bytes, its public id, and when it was made (RFC 3339). number: from 0, in the
    order in which the keys of a store were made.
    """

    id: str
    created: str
    secret: bytes = field(repr=False)
    number: int = 0

    @classmethod
    def new(cls, number: int, now: datetime) -> "Key":
        created = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(secrets.token_hex(8), created, secrets.token_bytes(SECRET_BYTES), number)

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.created)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The keys, newest first, at least one. audit: the key of the audit log, b"" for that of the only key."""

    keys: tuple[Key, ...]
    audit: bytes = field(default=b"", repr=False)

    @classmethod
    def load(cls, path: Path) -> "KeyFile":
        """Read the file. Raises StoreRefused naming the path and the mend."""
        try:
            with path.open("rb") as file:
                _check_private(path, os.fstat(file.fileno()))
                text = file.read()
        except FileNotFoundError:
            raise StoreRefused(f"no key file {path}: make one with `cxmyd keys init`") from None
        except OSError as error:
            raise StoreRefused(f"cannot read key file {path}: {error.strerror}") from error
        try:
            return cls(*_parse(json.loads(text)))
        except (ValueError, TypeError, KeyError, AttributeError):
            # not chained: a JSON error carries the text of the file
            raise StoreRefused(
                f"{path} is not a key file: restore it from its backup (a new key finds no stored history)"
            ) from None

    @classmethod
    def create(cls, path: Path) -> "KeyFile":
        """Make a file with one new key, mode 0600. Raises StoreRefused where there is something already."""
        created = cls((Key.new(0, datetime.now(UTC)),))
        _write_new(path, created._text())
        return created

    def replace(self, path: Path) -> None:
        """Put these keys into the file in place of what is there. Raises StoreRefused."""
        new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            owner = path.stat()
            _write(new, self._text(), owner)
            new.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise StoreRefused(f"cannot write key file {path}: {error.strerror}") from error

    def rotated(self, audit: bytes, now: datetime) -> "KeyFile":
        """With a new newest key; `audit`: the key that the audit log has now."""
        return KeyFile((Key.new(self.keys[0].number + 1, now), *self.keys), audit)

    def without(self, key_id: str) -> "KeyFile":
        """Without one of its older keys."""
        return KeyFile(tuple(key for key in self.keys if key.id != key_id), self.audit)

    def _text(self) -> str:
        keys = [
            {"id": key.id, "number": key.number, "created": key.created, "secret": key.secret.hex()}
            for key in self.keys
        ]
        audit = {"audit": self.audit.hex()} if self.audit else {}
        return json.dumps({"version": _VERSION, **audit, "keys": keys}, indent=2) + "\n"


def _write_new(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise StoreRefused(
                f"key file {path} exists already: it is kept, since without it no stored history can be found"
            )
        _write(path, text, None)
    except OSError as error:
        raise StoreRefused(f"cannot write key file {path}: {error.strerror}") from error


def _write(path: Path, text: str, owner: os.stat_result | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)  # root rotates, the service reads
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreRefused(f"key file {path} is not a regular file")
    if status.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise StoreRefused(f"key file {path} belongs to another user: chown it to the user that runs cxmyd")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise StoreRefused(f"key file {path} has mode {mode:04o}, others may read it: chmod 600 {path}")


def _parse(document: Any) -> tuple[tuple[Key, ...], bytes]:
    if document["version"] != _VERSION:
        raise ValueError("unknown version")
    keys = tuple(
        Key(str(k["id"]), str(k["created"]), bytes.fromhex(k["secret"]), int(k.get("number", 0)))
        for k in document["keys"]
    )
    if not keys or any(len(key.secret) != SECRET_BYTES or key.number < 0 for key in keys):
        raise ValueError("no key, or a secret of a wrong length")
    return keys, bytes.fromhex(document.get("audit", ""))
