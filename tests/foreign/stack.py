"""A foreign SMPP stack as a process of its own, which ends with its stdin.

Orders come as JSON lines on its stdin, events go as JSON lines to its stdout. Every driver (`drivers/`,
`npm/`) speaks the same words, so that one test holds for all stacks.

An SMSC has orders by the `system_id` of the ESME: deliver {from, to, and text, or hex with esm_class
and data_coding}, enquire, unbind, drop; and answer {status, count}: refuse the next submit_sm. Its events:
listening {port}; bound {system_id, bind}; acknowledged {from, status}; submitted {system_id, from, to, text,
reference, total, index, ...}; refused; receipt {status}; enquired {status}; enquiry; unbound {by}; closed.

An ESME's orders name a `session` of the test's choice: bind {port, system_id, password, bind}; submit {from,
to, and text, or hex with esm_class and data_coding}; enquire; unbind. Its events: bound {status};
acknowledged {status, message_id}; delivered {from, to, text, reference, total, index}; enquired {status};
unbound {status}; closed.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.service import Subscriber

TIMEOUT_S = 60.0
FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
Event = dict[str, Any]


class Stack:
    """Everything it said is kept in `events`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._waiting: list[Event] = []
        self.events: list[Event] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def next(self, kind: str, **fields: Any) -> Event:
        """The next event of this kind with these fields, wherever it stands among the others."""
        deadline = time.monotonic() + TIMEOUT_S
        wanted = {"event": kind, **fields}
        while True:
            for index, event in enumerate(self._waiting):
                if wanted.items() <= event.items():
                    return self._waiting.pop(index)
            try:
                event = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {wanted} within {TIMEOUT_S:.0f} s; there is {self._waiting}")
            assert event["event"] != "error", event
            self.events.append(event)
            self._waiting.append(event)

    def whole(self, kind: str, **fields: Any) -> str:
        """The text of the next message, from all of its parts."""
        first = self.next(kind, **fields)
        parts = {first["index"]: first["text"]}
        while len(parts) < first["total"]:
            part = self.next(kind, reference=first["reference"], **fields)
            parts[part["index"]] = part["text"]
        return "".join(parts[index] for index in sorted(parts))

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))


class Smsc(Stack):
    """`port` is where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(process)
        self.port: int = self.next("listening")["port"]

    def ask(self, system_id: str, who: Subscriber, text: str) -> str:
        """A phone's text; the whole answer once the text was acknowledged with ESME_ROK."""
        self.order(do="deliver", system_id=system_id, **{"from": who.msisdn}, to=who.service, text=text)
        return self.answer(system_id, who)

    def answer(self, system_id: str, who: Subscriber, acknowledgements: int = 1) -> str:
        """Addressed as the question was."""
        text = self.whole(
            "submitted", system_id=system_id, **{"from": who.service}, to=who.msisdn, to_ton=1, to_npi=1
        )
        for _ in range(acknowledgements):
            assert self.next("acknowledged", **{"from": who.msisdn})["status"] == 0
        return text


class Esme(Stack):
    """One or more sessions to the gateway's listener."""

    def bind(
        self,
        port: int,
        system_id: str,
        *,
        bind: str = "transceiver",
        password: str = "secret",
        session: str = "",
        **more: Any,
    ) -> int:
        """The command_status of the response."""
        session = session or system_id
        self.order(
            do="bind",
            session=session,
            port=port,
            system_id=system_id,
            password=password,
            bind=bind,
            **more,
        )
        status: int = self.next("bound", session=session)["status"]
        return status

    def submit(self, session: str, who: Subscriber, **message: Any) -> Event:
        """The response."""
        self.order(do="submit", session=session, **{"from": who.msisdn}, to=who.service, **message)
        return self.next("acknowledged", session=session)

    def ask(self, session: str, who: Subscriber, **message: Any) -> str:
        """A phone's text; the whole answer."""
        assert self.submit(session, who, **message)["status"] == 0
        return self.answer(session, who)

    def answer(self, session: str, who: Subscriber) -> str:
        return self.whole("delivered", session=session, **{"from": who.service}, to=who.msisdn)

    def unbind(self, session: str) -> None:
        """Said, answered, and the connection over."""
        self.order(do="unbind", session=session)
        assert self.next("unbound", session=session)["status"] == 0
        self.next("closed", session=session)


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def node(script: str) -> list[str]:
    program = shutil.which("node")
    if program is None or not (FOLDER / "npm" / "node_modules").is_dir():
        pytest.fail("node or its packages are not installed: `make test` installs them", pytrace=False)
    return [program, f"npm/{script}"]


def foreign_python(script: str) -> list[str]:
    """A stack that cannot live beside our own dependencies."""
    program = ROOT / ".venv-foreign" / "bin" / "python"
    if not program.exists():
        pytest.fail(".venv-foreign is missing: `make test` makes it", pytrace=False)
    return [str(program), f"drivers/{script}"]


def our_python(script: str) -> list[str]:
    return [sys.executable, f"drivers/{script}"]


SMSCS: dict[str, Callable[[], list[str]]] = {
    "npm-smpp": lambda: node("smsc.js"),
    "smpp.twisted3": lambda: foreign_python("twisted_smsc.py"),
}
ESMES: dict[str, Callable[[], list[str]]] = {
    "npm-smpp": lambda: node("esme.js"),
    "smpp.twisted3": lambda: foreign_python("twisted_esme.py"),
    "smpplib": lambda: our_python("smpplib_esme.py"),
    "aiosmpplib": lambda: foreign_python("aiosmpplib_esme.py"),
}


@contextmanager
def smsc(stack: str, *arguments: str) -> Iterator[Smsc]:
    with _running([*SMSCS[stack](), *arguments], FOLDER) as process:
        yield Smsc(process)


@contextmanager
def esme(stack: str) -> Iterator[Esme]:
    with _running(ESMES[stack](), FOLDER) as process:
        yield Esme(process)
