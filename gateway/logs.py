"""Logging: one line of JSON for each event, on stderr.

    {"event": "bound", "level": "info", "timestamp": "2026-02-14T08:00:00.000000Z", "link": "mobile-1"}

Invariant: no full number leaves in a line: what looks like one in any text is masked, tracebacks included
(events name links, carriers, counts and reasons; this is the net below). Cities are never put into an event.
Called once in each process, by the commands that log (`serve`, `demo`).
"""

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

_DIGITS = re.compile(r"[0-9０-９]{7,}")
_WRITTEN_NUMBER = re.compile(r"[0-9０-９](?:[ .()-]{0,2}[0-9０-９]){10,}")
_KEPT = frozenset({"timestamp", "level"})


def setup(level: str = "info") -> None:
    """Send every event of structlog and of the standard library's logging to stderr as JSON."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # the plain traceback, without local variables
            mask_numbers,
            structlog.processors.JSONRenderer(),  # ASCII only: control and bidi characters are escaped
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Lossy(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(number, logging.WARNING))  # libraries say too much below


def mask_numbers(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask runs of seven digits and more in every text of the event: 8613800001234 as 86…34."""
    return {key: value if key in _KEPT else _masked(value) for key, value in event.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if isinstance(value, dict):
        return {_masked(str(key)): _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return _DIGITS.sub(_ends, str(value))


def mask_written_numbers(text: str) -> str:
    """Mask the numbers in what a person wrote: runs of seven digits and more, and those of eleven and more
    with spaces, dashes, dots or parentheses among them (dates have fewer).
    """
    return _DIGITS.sub(_ends, _WRITTEN_NUMBER.sub(_ends, text))


def _ends(match: re.Match[str]) -> str:
    return f"{match[0][:2]}…{match[0][-2:]}"


class _Lossy(io.TextIOBase):
    """Where lines go for which there may be no room: a full disk must not end what they tell of.

    Each line leaves at once and by itself, so that nothing waits in a buffer for room, at the end neither.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        octets = text.encode(errors="backslashreplace")
        with contextlib.suppress(OSError):
            while octets:
                octets = octets[os.write(self._stream.fileno(), octets) :]
        return len(text)


class _ToStructlog(logging.Handler):
    """Hands the records of libraries on as events."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
