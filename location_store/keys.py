"""The key file: the one secret outside Redis without which no pseudonym can be tied to a number.

    {"version": 1, "keys": [{"id": "1f0c…", "created": "2026-02-14T08:00:00Z", "secret": "<64 hex digits>"}]}

Newest first. The first key is written with; the others are read with until the window has passed over them,
and are then taken out of the list (rotation needs no rewrite, since a history lives for one window).
Invariant: a file that others may read is refused; a secret shows in no repr and no message. Called by the
commands and by the gateway as they start.
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
    """One root secret of 32 bytes, its public id, and when it was made (RFC 3339)."""

    id: str
    created: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The keys, newest first, at least one."""

    keys: tuple[Key, ...]

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
            return cls(_parse(json.loads(text)))
        except (ValueError, TypeError, KeyError, AttributeError):
            # not chained: a JSON error carries the text of the file
            raise StoreRefused(
                f"{path} is not a key file: restore it from its backup (a new key finds no stored history)"
            ) from None

    @classmethod
    def create(cls, path: Path) -> "KeyFile":
        """Make a file with one new key, mode 0600. Raises StoreRefused where there is something already."""
        key = Key(
            secrets.token_hex(8), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), secrets.token_bytes(32)
        )
        entry = {"id": key.id, "created": key.created, "secret": key.secret.hex()}
        text = json.dumps({"version": _VERSION, "keys": [entry]}, indent=2) + "\n"
        _write_new(path, text)
        return cls((key,))


def _write_new(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise StoreRefused(
                f"key file {path} exists already: it is kept, since without it no stored history can be found"
            )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreRefused(f"cannot write key file {path}: {error.strerror}") from error


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreRefused(f"key file {path} is not a regular file")
    if status.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise StoreRefused(f"key file {path} belongs to another user: chown it to the user that runs cxmyd")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise StoreRefused(f"key file {path} has mode {mode:04o}, others may read it: chmod 600 {path}")


def _parse(document: Any) -> tuple[Key, ...]:
    if document["version"] != _VERSION:
        raise ValueError("unknown version")
    keys = tuple(Key(str(k["id"]), str(k["created"]), bytes.fromhex(k["secret"])) for k in document["keys"])
    if not keys or any(len(key.secret) != SECRET_BYTES for key in keys):
        raise ValueError("no key, or a secret of a wrong length")
    return keys
