"""Logging: JSON lines on stderr, without a number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.logs import mask_numbers

CODE = """
import logging, structlog
from gateway import logs
logs.setup()
log = structlog.get_logger()
log.info("link.bound", link="mobile-1", port=2775, text="a\\x1b[31m\\u202e\\nb")
log.debug("too much")
log.warning("refused", source="+8613800001234", deep={"list": ["８６１３８０００１２３４"]})
logging.getLogger("aiohttp").error("call from 8613800001234")
logging.getLogger("aiohttp").info("too much")
try:
    raise ValueError("8613800001234 is odd")
except ValueError:
    log.exception("failed")
"""


def test_events_are_json_lines_without_numbers() -> None:
    """structlog's and the standard library's events alike, tracebacks included; the bytes are ASCII."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, timeout=60)
    assert done.stdout == b""
    assert done.stderr.isascii()
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["event"] for event in events] == ["link.bound", "refused", "call from 86…34", "failed"]
    assert events[0]["text"] == "a\x1b[31m\u202e\nb"
    assert (events[0]["level"], events[0]["port"]) == ("info", 2775)
    assert events[1]["source"] == "+86…34"
    assert "ValueError" in events[3]["exception"]
    assert b"1380000" not in done.stderr


@given(st.integers(10**6, 10**19), st.text(), st.text())
def test_no_long_number_passes(number: int, before: str, after: str) -> None:
    """Whatever stands around it."""
    event = {"event": f"{before}{number}{after}", "items": [{"a": f"{number}"}]}
    assert str(number) not in json.dumps(mask_numbers(None, "", event))


def test_a_full_log_disk_ends_nothing() -> None:
    """What has no room is lost; the process goes on, and ends as if nothing were."""
    code = CODE + "\nprint('still here')"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, check=False, timeout=60
        )
    assert (done.returncode, done.stdout) == (0, b"still here\n")
