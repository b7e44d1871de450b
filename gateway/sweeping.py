"""The sweep that a gateway sees to by itself: `cxmyd sweep` as a child process, when a partition is due.

Several gateways of one store do it once: each looks at when partitions were swept last, and whoever finds one
due and nobody at it starts the command, which takes the turn. A child, so that its work is on another core
and its end is nobody else's. Invariant: the child ends with its gateway. Called by `gateway.app`.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gateway import children
from gateway.redis.calls import Calls
from location_store.lease import turn_key
from location_store.pseudonyms import Layout
from location_store.sweep import EVERY_S, SWEPT_KEY, turn_name

log = structlog.get_logger("cxmyd")

OVERDUE_S = 86_400.0
LOOK_S = 60.0
#: Not while a gateway starts, nor for one that is only tried out.
START_AFTER_S = 600.0
#: Of one core, and as much of one of the store's.
SHARE = 0.1


class Sweeping:
    """What is known of the last sweep; and the child, while there is one."""

    def __init__(
        self,
        calls: Calls,
        config: Path,
        layout: Layout,
        *,
        starts: bool,
        wall: Callable[[], float] = time.time,
        start_after_s: float = START_AFTER_S,
        look_s: float = LOOK_S,
    ) -> None:
        """`config`: the file for the command. `starts`: whether this process is the one to start it."""
        self._calls = calls
        self._config = config
        self._partitions = layout.partitions
        self._turn_key = turn_key(turn_name(range(layout.partitions)))
        self._starts = starts
        self._wall = wall
        self._began_s = wall()
        self._start_at_s = time.monotonic() + start_after_s
        self._look_s = look_s
        self._next_look_s = 0.0
        self._child: subprocess.Popen[bytes] | None = None
        self.oldest_s: float | None = None
        """Unix seconds at which the partition that waits longest was swept; None: not all were yet."""

    @property
    def overdue(self) -> bool:
        """Whether something may be in memory that should have left it a day ago."""
        return self._wall() - (self.oldest_s or self._began_s) > OVERDUE_S

    def status(self) -> dict[str, Any]:
        """For /status."""
        age_h = None if self.oldest_s is None else round((self._wall() - self.oldest_s) / 3600, 1)
        return {"hours_ago": age_h, "overdue": self.overdue, "running": self._child is not None}

    async def look(self) -> None:
        """Once a minute: how old the oldest sweep is; a new one when that is too long. Raises StoreError."""
        self._collect()
        if time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + self._look_s
        marks = await self._calls.call(SWEPT_KEY, "HVALS", SWEPT_KEY)
        self.oldest_s = min(map(float, marks)) if len(marks) >= self._partitions else None
        due = self._wall() - (self.oldest_s or 0.0) > EVERY_S
        may = self._starts and self._child is None and time.monotonic() >= self._start_at_s
        if due and may and not await self._calls.call(self._turn_key, "EXISTS", self._turn_key):
            self._start()

    def stop(self) -> None:
        """End the child; the next sweep goes on where it was."""
        if self._child is not None:
            self._child.terminate()

    def _start(self) -> None:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "gateway.admin.main",
            "-c",
            self._config,
            "sweep",
            "--json",
        ]
        command += ["--share", str(SHARE), "--every", f"{EVERY_S / 3600:g}"]
        self._child = children.spawn(command, output=subprocess.PIPE, death_signal=15)
        log.info("sweep.started")

    def _collect(self) -> None:
        """See whether the child has ended, and how."""
        if self._child is None or self._child.poll() is None:
            return
        assert self._child.stdout is not None, "it was started with one"
        with self._child.stdout as output:  # what it says is little, and all there
            said = " ".join(output.read().decode("utf-8", "replace").split())[-500:]
        if self._child.returncode == 0:
            log.info("sweep.done", totals=said)
        else:
            log.warning("sweep.failed", status=self._child.returncode, why=said)
        self._child = None
