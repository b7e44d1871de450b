"""Child processes that never outlive this one.

Invariant: a child ends when the thread that started it ends, kill -9 included, wherever the kernel offers it
(Linux: PR_SET_PDEATHSIG). Called by the engine, the demo and the tests; start children from the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>

# A launcher in place of preexec_fn, which may deadlock where there are threads. The parent can be gone before
# prctl is called: hence the comparison. A process group of its own keeps the terminal's Ctrl-C from it, so
# that whoever started it ends it in order.
_LAUNCHER = """
import ctypes, os, sys
os.setpgid(0, 0)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(sys.argv[2]), 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def spawn(
    command: Sequence[str | Path],
    *,
    output: IO[bytes] | int,
    death_signal: int = 9,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` with nothing on its stdin and both its outputs going to `output`.

    `death_signal` is what it gets when we die; `environment` is added to ours. The pid is the command's own.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(death_signal)]
    return subprocess.Popen(  # noqa: S603 - an argument list, no shell
        [*launcher, *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )


def end(process: subprocess.Popen[bytes], *, timeout_s: float) -> int:
    """SIGTERM, after `timeout_s` SIGKILL; gives the exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def end_with_parent() -> None:
    """Get SIGTERM when the process that started us ends, where the kernel offers it (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
