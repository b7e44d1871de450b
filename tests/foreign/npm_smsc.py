"""npm `smpp` as the SMSC: the process `npm/smsc.js`, asked and watched by a test."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.service import Subscriber

TIMEOUT_S = 15.0
_FOLDER = Path(__file__).parent / "npm"


class NpmSmsc:
    """`port` is where it listens; everything it said is kept in `events`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.events: list[dict[str, Any]] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.port: int = self.await_event("listening")["port"]

    def deliver(self, subscriber: Subscriber, text: str) -> str:
        """A phone's text; the whole answer once the text was acknowledged with ESME_ROK."""
        order = {"from": subscriber.msisdn, "to": subscriber.service, "text": text}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order | {"system_id": subscriber.carrier}) + "\n")
        self._process.stdin.flush()
        parts = [self.await_event("submitted")]
        while len(parts) < _total(parts[0]):
            parts.append(self.await_event("submitted"))
        assert self.await_event("acknowledged") == {
            "event": "acknowledged",
            "from": subscriber.msisdn,
            "status": 0,
        }
        assert {(part["from"], part["to"], part["to_ton"], part["to_npi"]) for part in parts} == {
            (subscriber.service, subscriber.msisdn, 1, 1)
        }
        return "".join(part["text"] for part in sorted(parts, key=lambda part: str(part["udh"])))

    def await_event(self, kind: str) -> dict[str, Any]:
        """The next event of this kind; others before it are only kept."""
        while True:
            event = self._said.get(timeout=TIMEOUT_S)
            self.events.append(event)
            assert event["event"] != "error", event
            if event["event"] == kind:
                return event

    def octets(self) -> list[tuple[int, bool, bytes]]:
        """What went over the sockets: the gateway's port, whether the gateway sent it, the octets."""
        while not self._said.empty():
            self.events.append(self._said.get())
        said = [event for event in self.events if event["event"] == "octets"]
        return [(event["port"], event["ours"], bytes.fromhex(event["hex"])) for event in said]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))


def _total(part: dict[str, Any]) -> int:
    """Of how many parts this is one: the information element 00 03 reference total index (3GPP TS 23.040)."""
    for element in part["udh"]:
        if element.startswith("0003"):
            return int(element[6:8], 16)
    return 1


@contextmanager
def npm_smsc() -> Iterator[NpmSmsc]:
    """The process, until the test is over."""
    node = shutil.which("node")
    if node is None or not (_FOLDER / "node_modules").is_dir():
        pytest.fail("node or its packages are not installed: `make test` installs them", pytrace=False)
    command = [node, "smsc.js"]
    with subprocess.Popen(
        command, cwd=_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield NpmSmsc(process)
        assert process.stdin is not None
        process.stdin.close()
