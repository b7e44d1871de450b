"""The ESMEs under test, each a process that a supervisor starts again when it ends: our gateway, and ordinary
applications on npm `smpp` and smpplib.

All bind as transceiver to one port of 127.0.0.1 and answer the text `CXMYD`. Called by the tests of this
folder and by bench/conformance.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from gateway import children
from gateway.simulator.conformance.verdicts import Answering, Options, Timing
from tests.conftest import RedisServer, free_port
from tests.foreign.service import CXMYD

KEYWORD = "CXMYD"
SYSTEM_ID, PASSWORD = "esme", "secret"
NAMES = ("gateway", "npm smpp", "smpplib")
_HERE = Path(__file__).parent
_NPM = _HERE.parent / "foreign" / "npm"
_RESTART_S = 0.2
# Short, so that a run takes minutes; what they are set to is what they are judged by.
_TIMING = Timing(
    response_s=2.0,
    response_timeout_s=1.0,
    enquire_link_s=1.0,
    enquire_timeout_s=0.5,
    session_init_s=1.0,
    reconnect_s=0.3,
    quiet_s=0.3,
)
_WINDOW = 10
_GATEWAY = f"""
[redis]
url = "{{redis_url}}"
[keys]
file = "keys.json"
[data]
dir = "data"
[http]
listen = "127.0.0.1:{{http}}"
[drain]
timeout_s = 2.0
[[smsc]]
name = "conformance"
port = {{port}}
system_id = "{SYSTEM_ID}"
password = "{PASSWORD}"
carrier = "china-mobile"
enquire_link_s = {_TIMING.enquire_link_s}
enquire_timeout_s = {_TIMING.enquire_timeout_s}
response_timeout_s = {_TIMING.response_timeout_s}
session_init_s = {_TIMING.session_init_s}
reconnect_max_s = {_TIMING.reconnect_s}
window = {_WINDOW}
{{more}}
"""


class Esme(NamedTuple):
    """What the suite has to know of one: what it is called, how it is judged."""

    name: str
    version: str
    options: Options


def esme(name: str, port: int) -> Esme:
    """One of `NAMES`, that will bind to `port`."""
    options = Options(
        port=port,
        system_id=SYSTEM_ID,
        password=PASSWORD,
        window=_WINDOW if name == "gateway" else 0,  # the others have none
        timing=_TIMING,
        mo=Answering("861390#######", "10086", KEYWORD, answers=True),
    )
    return Esme(name, _version(name), options)


def _version(name: str) -> str:
    if name == "npm smpp":
        package = json.loads((_NPM / "node_modules" / "smpp" / "package.json").read_text())
        return str(package["version"])
    return metadata.version("cxmyd" if name == "gateway" else "smpplib")


class Supervised:
    """A process that is started again whenever it ends; `deaths` counts the times it did by itself."""

    def __init__(self, command: list[str | Path], folder: Path) -> None:
        self.deaths = 0
        self.log = folder / "esme.log"
        self._command, self._folder = command, folder
        self._ending = threading.Event()
        self._restarting = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ending.set()
        self._thread.join()

    def restart(self) -> None:
        """kill -9, and a new process: it lives, and is of no use any more."""
        self._restarting.set()

    def _keep(self) -> None:
        with self.log.open("ab") as output:
            while True:
                self._restarting.clear()
                process = children.spawn(self._command, output=output)
                while process.poll() is None and not self._restarting.is_set():
                    if self._ending.wait(0.02):
                        children.end(process, timeout_s=60)
                        return
                if process.poll() is None:
                    process.kill()
                    process.wait()
                else:
                    self.deaths += 1
                self._ending.wait(_RESTART_S)


@contextmanager
def running(esme: Esme, folder: Path, more: str = "") -> Iterator[Supervised]:
    """The ESME's process, its files in `folder`; `more` goes to the gateway's `[[smsc]]`."""
    with _command(esme, folder, more) as command:
        supervised = Supervised(command, folder)
        try:
            yield supervised
        finally:
            supervised.end()


@contextmanager
def _command(esme: Esme, folder: Path, more: str) -> Iterator[list[str | Path]]:
    timing = esme.options.timing
    arguments = (esme.options.port, SYSTEM_ID, PASSWORD, KEYWORD, timing.enquire_link_s, timing.reconnect_s)
    words = list(map(str, arguments))
    if esme.name == "npm smpp":
        node = shutil.which("node")
        if node is None or not (_NPM / "node_modules").is_dir():
            raise FileNotFoundError("node or its packages are not installed: `make test` installs them")
        yield [node, _HERE / "npm_esme.js", *words]
    elif esme.name == "smpplib":
        yield [sys.executable, _HERE / "smpplib_esme.py", *words]
    else:
        server = RedisServer(folder)
        server.start()
        try:
            yield [CXMYD, "-c", _gateway(folder, server.url, esme.options.port, more), "serve"]
        finally:
            server.stop()


def _gateway(folder: Path, redis_url: str, port: int, more: str) -> Path:
    """The configuration of a gateway with keys of its own; strangers are answered like subscribers."""
    config = folder / "gateway.toml"
    config.write_text(_GATEWAY.format(redis_url=redis_url, http=free_port(), port=port, more=more))
    subprocess.run([CXMYD, "-c", config, "keys", "init"], cwd=folder, check=True, capture_output=True)
    return config
