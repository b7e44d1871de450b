"""The processes of the demo: started, watched, ended together.

Invariant: `Parts` as a context leaves none of its processes running, in whatever way it is left; should this
process itself be killed, the kernel ends them (see `gateway.children`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from gateway import children
from gateway.engine import Engine
from gateway.errors import GatewayError

_CXMYD = (sys.executable, "-c", "from gateway.admin.main import main; main()")
_END_TIMEOUT_S = 15.0  # the gateway drains for up to 10 s
_COMMAND_TIMEOUT_S = 300.0
_LAST_LINES = 8
_POLL_S = 0.02
T = TypeVar("T")


class PartError(GatewayError):
    """A part of the demo has ended or does not do its work; `last_lines` are from its log."""

    def __init__(self, what: str, last_lines: list[str]) -> None:
        super().__init__(what)
        self.last_lines = last_lines


def last_lines(log: Path | None) -> list[str]:
    """What a part wrote last."""
    if log is None or not log.exists():
        return []
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-_LAST_LINES:]


class Parts:
    """The running processes, in the order they were started; their logs are `NAME.log` in `folder`."""

    def __init__(self, folder: Path, engine: Engine, config: Path) -> None:
        self._folder = folder
        self._engine = engine
        self._environment = {"CXMYD_CONFIG": str(config), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes.values()):
            children.end(process, timeout_s=_END_TIMEOUT_S)

    def start(self, name: str, *arguments: str) -> None:
        """Start `cxmyd ARGUMENTS...` to run until the end of the demo."""
        self._processes[name] = self._spawn(name, arguments)

    def run(self, commands: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Run commands of `cxmyd`, each with its arguments, side by side; gives what each wrote.

        PartError when one refuses.
        """
        running = {
            name: self._spawn(name, (*name.split(), *arguments)) for name, arguments in commands.items()
        }
        try:
            for name, process in running.items():
                self.until(process.poll, f"{name} has not ended", timeout_s=_COMMAND_TIMEOUT_S)
                if process.returncode:
                    what = f"{name} failed with status {process.returncode}"
                    raise PartError(what, last_lines(self._log(name)))
        finally:
            for process in running.values():
                children.end(process, timeout_s=1)
        return {name: self._log(name).read_text(encoding="utf-8", errors="replace") for name in running}

    def until(self, condition: Callable[[], T | None], complaint: str, *, timeout_s: float) -> T:
        """Wait until `condition` gives something, all parts running meanwhile."""
        deadline = time.monotonic() + timeout_s
        while (result := condition()) is None:
            self.check()
            if time.monotonic() > deadline:
                raise PartError(f"{complaint} within {timeout_s:g} s", self._all_last_lines())
            time.sleep(_POLL_S)
        return result

    def watch(self) -> None:
        """Until a part ends by itself, which raises PartError; or a signal's exception."""
        while True:
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """PartError when a part that should run does not."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                status = process.returncode
                how = f"status {status}" if status >= 0 else f"signal {-status}"
                raise PartError(f"{name} has ended by itself ({how})", last_lines(self._log(name)))
        if not self._engine.running:
            raise PartError("the engine has ended by itself", last_lines(self._engine.log))

    def _spawn(self, name: str, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        with self._log(name).open("wb") as log:
            return children.spawn([*_CXMYD, *arguments], output=log, environment=self._environment)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    def _all_last_lines(self) -> list[str]:
        return [f"{name}: {line}" for name in self._processes for line in last_lines(self._log(name))]
