"""`serve --workers N`: processes that share nothing but the store, kept running by a parent that does
nothing else.

Each child is forked before anything is opened. A child that dies is started again, with backoff; the
children of a parent that dies end too. Worker 0 has the configured HTTP port (worker i that port plus i)
and the listeners; what the others report about themselves once a second, through files in a private folder,
is part of its status.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger("cxmyd")

_PR_SET_PDEATHSIG = 1
FRESH_S = 5.0
LONGEST_PAUSE_S = 10.0


class Workers:
    """Who this process is among its like."""

    def __init__(self, index: int, total: int, folder: Path | None) -> None:
        self.index, self.total = index, total
        self._folder = folder

    @classmethod
    def alone(cls) -> "Workers":
        return cls(0, 1, None)

    def publish(self, status: dict[str, Any] | None) -> None:
        """Let worker 0 see our status; None: we are gone."""
        if self._folder is None or self.index == 0:
            return
        mine = self._folder / f"{self.index}.json"
        if status is None:
            mine.unlink(missing_ok=True)
            return
        new = mine.with_suffix(".new")
        new.write_text(json.dumps(status), encoding="utf-8")
        new.replace(mine)

    def others(self) -> dict[int, dict[str, Any] | None]:
        """The status of every other worker, None for one that has not reported lately. Worker 0 asks."""
        if self._folder is None or self.index != 0:
            return {}
        return {index: self._read(index) for index in range(1, self.total)}

    def _read(self, index: int) -> dict[str, Any] | None:
        assert self._folder is not None
        file = self._folder / f"{index}.json"
        try:
            if time.time() - file.stat().st_mtime > FRESH_S:
                return None
            status: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return status


def supervise(total: int, run: Callable[[Workers], None]) -> None:
    """Fork `total` workers and keep them running until SIGTERM or SIGINT, which is passed on; returns when
    all have ended.
    """
    folder = Path(tempfile.mkdtemp(prefix="cxmyd-workers-"))
    stopping = False
    children: dict[int, int] = {}  # pid -> index
    pauses_s = [0.0] * total
    started_s = [0.0] * total

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    def start(index: int) -> None:
        started_s[index] = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _be_child(run, Workers(index, total, folder))
        children[pid] = index

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for index in range(total):
            start(index)
        while children:
            pid, status = os.wait()
            index = children.pop(pid)
            if stopping:
                continue
            log.error("worker.died", worker=index, status=os.waitstatus_to_exitcode(status))
            good = time.monotonic() - started_s[index] > LONGEST_PAUSE_S
            pauses_s[index] = 0.1 if good else min(LONGEST_PAUSE_S, max(0.1, pauses_s[index] * 2))
            time.sleep(pauses_s[index])
            if not stopping:
                start(index)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        shutil.rmtree(folder, ignore_errors=True)


def _be_child(run: Callable[[Workers], None], me: Workers) -> None:
    """Never returns: the parent's stack is not ours."""
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        run(me)
        code = 0
    except Exception as error:  # noqa: BLE001 - the boundary of a process: the parent starts another
        log.error("worker.failed", worker=me.index, kind=type(error).__name__, error=str(error))
    finally:
        sys.stderr.flush()
        os._exit(code)
