"""`cxmyd serve` under a test's own hand: signals, configuration, log."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway import children
from gateway.simulator.messages import Message
from tests.conftest import free_port
from tests.foreign.service import CXMYD, Subscriber, smsc_sections
from tests.simulator.conftest import Running


class Gateway:
    """One `cxmyd serve`, with or without workers, bound to `smsc`. Its configuration is `config`, a file of
    its own folder, so that carriers/ may lie beside it.
    """

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        smsc: Running,
        *arguments: str,
        sections: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.http = free_port(in_a_row=2)  # of two workers
        self.folder = folder / f"own-{self.http}"
        self.folder.mkdir()
        self.config = self.folder / "gateway.toml"
        self._always = (
            f'[redis]\nurl = "{redis_url}"\n[keys]\nfile = "../keys.json"\n[data]\ndir = "../data"\n'
            f'[http]\nlisten = "127.0.0.1:{self.http}"\n'
        )
        self._smsc = smsc
        self.configure(sections)
        self._log_file = self.folder / "log"
        self._log = self._log_file.open("wb")
        command: list[str | Path] = [CXMYD, "-c", self.config, "serve", *arguments]
        self.process = children.spawn(command, output=self._log, environment=environment)

    def configure(self, sections: str) -> None:
        """Write the configuration: links to the three carriers and `sections`."""
        port = self._smsc.simulator.smpp_port
        self.config.write_text(f"{self._always}{smsc_sections(port)}{sections}", encoding="utf-8")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Those of this name that it has logged."""
        lines = self._log_file.read_text(encoding="utf-8").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in events if event["event"] == name]

    def ready(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=2) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metric(self, sample: str, worker: int = 0) -> float:
        """The value of a line of /metrics, 0 where there is none."""
        url = f"http://127.0.0.1:{self.http + worker}/metrics"
        with urllib.request.urlopen(url, timeout=5) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def workers(self) -> list[int]:
        """The process ids of its children."""
        file = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in file.read_text().split()]

    def end(self) -> int:
        status = children.end(self.process, timeout_s=30)
        self._log.close()
        return status


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(smsc: Running, who: Subscriber, text: str) -> str:
    return smsc.run(smsc.simulator.ask(who.msisdn, who.service, text, timeout_s=15)).text


class Load:
    """Texts of phones that have written nothing else, each asking once, at a steady rate on a thread of its
    own; what became of them is counted afterwards.
    """

    SERVICES = ("10086", "10010", "10001")

    def __init__(self, smsc: Running, *, per_s: float, first: int) -> None:
        """`first`: of the numbers; no two loads of a test session share any."""
        self._smsc = smsc
        self._pause_s = 1 / per_s
        self._next = first
        self._going = threading.Event()
        self._going.set()
        self.sent: list[Message] = []
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        due_s = time.monotonic()
        while self._going.is_set():
            service = self.SERVICES[self._next % 3]
            number = f"86139{self._next:08}"
            self._next += 1
            self.sent.append(self._smsc.call(self._smsc.simulator.smsc.send, number, service, "CXMYD"))
            due_s += self._pause_s
            time.sleep(max(0.0, due_s - time.monotonic()))

    def stop(self) -> None:
        self._going.clear()
        self._thread.join(10)

    def await_answers(self, timeout_s: float = 30.0) -> None:
        """Until every text is acknowledged and answered."""
        until(lambda: all(sent.acknowledged_ms is not None for sent in self.sent), timeout_s)
        until(lambda: all(self.answers().values()), timeout_s)

    def answers(self) -> dict[str, int]:
        """How many answers each phone has, by its number."""
        history = self._smsc.simulator.smsc.history

        def count() -> dict[str, int]:
            return {
                sent.number: sum(message.direction == "mt" for message in history.of(sent.number))
                for sent in self.sent
            }

        return self._smsc.call(count)
