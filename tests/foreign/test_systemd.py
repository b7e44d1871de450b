"""The unit that is shipped, and what systemd hears from a gateway without workers (tests/test_supervisor.py:
with them).
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.models import Drain
from gateway.draining import CLOSING_S
from gateway.supervisor import GRACE_S, HUNG_S
from gateway.workers import FRESH_S
from location_store.shipped import config_dir
from tests.foreign.processes import Gateway, until
from tests.foreign.service import CXMYD

UNIT = config_dir() / "systemd" / "cxmyd.service"


def test_the_unit_is_one(tmp_path: Path) -> None:
    """systemd finds nothing to complain of, once the command is where the unit says."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd here")
    unit = tmp_path / "cxmyd.service"
    text = UNIT.read_text("utf-8").replace("/opt/cxmyd/.venv/bin/cxmyd", str(CXMYD))
    unit.write_text(text, "utf-8")
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "cxmyd.service" in line] == []
    assert done.returncode == 0, done.stderr


def test_the_units_times_leave_room_for_ours() -> None:
    """For a drain, the workers that are killed after it, and one that hangs."""
    times_s = dict(re.findall(r"^(\w+Sec)=(\d+)$", UNIT.read_text("utf-8"), re.MULTILINE))
    assert int(times_s["TimeoutStopSec"]) > Drain().timeout_s + CLOSING_S + GRACE_S
    assert int(times_s["WatchdogSec"]) > HUNG_S + FRESH_S


def test_systemd_hears_of_the_start_the_reload_and_the_end(gateways: Callable[..., Gateway]) -> None:
    """Over a socket of Linux's abstract namespace; the file system's is tried with workers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")  # the kernel names it
        systemd.settimeout(20)
        name = systemd.getsockname().decode().replace("\0", "@", 1)
        gateway = gateways(environment={"NOTIFY_SOCKET": name})
        assert systemd.recv(4096) == b"READY=1"
        until(lambda: b"china-mobile: 1 bound" in systemd.recv(4096))
        until(lambda: systemd.recv(4096).startswith(b"WATCHDOG=1\nSTATUS=ready"))
        gateway.signal(signal.SIGHUP)
        until(lambda: re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", systemd.recv(4096)))
        until(lambda: systemd.recv(4096) == b"READY=1")
        gateway.signal(signal.SIGTERM)
        until(lambda: systemd.recv(4096) == b"STOPPING=1")
        assert gateway.process.wait(20) == 0
