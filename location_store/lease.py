"""The turn of an ingest: of several at the same time one writes, the others wait for it.

Sightings count as late once later ones of the same subscriber are in, so two inputs written side by side
would lose rows that they keep one after the other. Two locks make up the turn. A lease in Redis holds between
machines; it runs out by itself when its holder dies. A lock on a file in the data folder holds between the
processes of one folder; the system opens it when its holder dies, so that a command run again after `kill -9`
need not wait for the lease of its predecessor, which bears the folder's name.

Invariant: from `hold` or `take` until the lease runs out nobody else holds it. Called by `ingest` and, for
each shard of a feed, by `feeds.share`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Self

from location_store.errors import StoreError
from location_store.nodes import Nodes

TTL_S = 60.0
POLL_S = 0.2

Notice = Callable[[str], None]
"""Takes a line for the operator."""


def silent(_line: str) -> None:
    """Takes a notice nowhere."""


def _never() -> bool:
    return False


def turn_key(name: str) -> bytes:
    """Where in Redis it is said who has a turn."""
    return b"cxmyd:turn:" + name.encode()


class Lease:
    """One turn, by its name; given back at the end of a `with`."""

    def __init__(
        self,
        nodes: Nodes,
        name: str,
        data_dir: Path,
        *,
        notice: Notice = silent,
        stop: Callable[[], bool] = _never,
        ttl_s: float = TTL_S,
    ) -> None:
        """`stop`: ends any waiting. `ttl_s`: how long others wait for a holder that died elsewhere."""
        self._nodes = nodes
        self._key = turn_key(name)
        self._path = data_dir / f"{name.replace('/', '_')}.lock"
        self._notice = notice
        self._stop = stop
        self._ttl_ms = round(1000 * ttl_s)
        self._file = -1
        self._owner = ""

    def hold(self) -> bool:
        """Take the lease or extend it, after whoever holds it now; False when told to stop meanwhile.

        One that was lost in a pause longer than `ttl_s` is waited for like any other. Raises
        StoreUnavailable, StoreRefused.
        """
        return self._until_nobody(self.take)

    def wait(self) -> bool:
        """Wait until nobody holds the lease, without taking it; False when told to stop meanwhile."""
        return self._until_nobody(self._holder)

    def take(self) -> str | None:
        """Take the lease or extend it, if nobody else has it: None then, else who has it."""
        if self._file < 0 and not self._lock():
            return "in the same data folder"
        return _shown(
            self._nodes.call(self._key, "FCALL", "cxmyd_hold", 1, self._key, self._owner, self._ttl_ms)
        )

    def release(self) -> None:
        """Give it back; nothing where it is not ours."""
        if self._file < 0:
            return
        try:
            with suppress(StoreError):  # then it runs out by itself
                self._nodes.call(self._key, "FCALL", "cxmyd_release", 1, self._key, self._owner)
        finally:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _until_nobody(self, holder_now: Callable[[], str | None]) -> bool:
        waited = False
        while (holder := holder_now()) is not None:
            if not waited:
                self._notice(f"another ingest is at work ({holder}): waiting until it has ended")
                waited = True
            if self._stop():
                return False
            time.sleep(POLL_S)
        if waited:
            self._notice("the other ingest has ended: going on")
        return True

    def _holder(self) -> str | None:
        return _shown(self._nodes.call(self._key, "GET", self._key))

    def _lock(self) -> bool:
        """Whether the folder's lock is ours; with it comes the folder's name, made up by its first holder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        folder = os.read(file, 64).decode("ascii", "replace")
        if not folder:
            folder = secrets.token_hex(8)
            os.write(file, folder.encode())
        self._file, self._owner = file, f"{gethostname()} {folder}"
        return True


def _shown(holder: bytes | None) -> str | None:
    return None if holder is None else f"on {holder.decode('utf-8', 'replace').partition(' ')[0]}"
