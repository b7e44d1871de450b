"""The real service for the foreign judges: data brought in by `cxmyd`, `cxmyd serve` as a process.

Every subscriber stayed in Changsha and then in Ji'an; travellers were in a city each day.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway import children
from tests.conftest import free_port

CXMYD = Path(sys.executable).with_name("cxmyd")
CHANGSHA, JIAN = "长沙", "吉安"
READY_TIMEOUT_S = 60.0
_CHINA = ZoneInfo("Asia/Shanghai")


class Subscriber(NamedTuple):
    """Who texts to which service; `id_last4` as it stands on the ID card."""

    msisdn: str
    carrier: str
    service: str
    id_last4: str


class Trio(NamedTuple):
    """One subscriber of each carrier. Each test has its own: the same text again would be a redelivery."""

    mobile: Subscriber
    unicom: Subscriber
    telecom: Subscriber


TRIOS = tuple(
    Trio(
        Subscriber(f"861380013800{n}", "china-mobile", "10086", f"12{n}X"),
        Subscriber(f"861310013100{n}", "china-unicom", "10010", f"456{n}"),
        Subscriber(f"861890018900{n}", "china-telecom", "10001", f"890{n}"),
    )
    for n in range(7)
)
_PLAIN = tuple(Subscriber(f"8613900139{n:03}", "plain", "12345", f"1{n:03}") for n in range(100))
_TRAVELLERS = tuple(Subscriber(f"8613700137{n:03}", "plain", "12345", f"2{n:03}") for n in range(60))
_SUBSCRIBERS = (*(subscriber for trio in TRIOS for subscriber in trio), *_PLAIN)
_CITIES = (430100, 360800, 110100, 120100, 310100, 320100, 330100, 420100, 440300, 500100, 510100, 610100)


class Service:
    """A folder with key, data and configurations; the commands and the gateway run on it."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self._plain = iter(_PLAIN)
        self._travellers = iter(_TRAVELLERS)

    def subscriber(self) -> Subscriber:
        """One that no other test has. He texts CXMYD and is answered."""
        return next(self._plain)

    def traveller(self) -> Subscriber:
        """The same, and his answer needs several parts: he was in 12 cities."""
        return next(self._travellers)

    def fill(self) -> None:
        """Key, cells, subscribers and sightings through the commands a user has."""
        config = self._configure("data.toml", free_port(), "")
        files = {"cells.csv": _cells(), "subscribers.csv": _subscribers(), "sightings.csv": _sightings()}
        for name, lines in files.items():
            (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.cxmyd(config, "keys", "init")
        self.cxmyd(config, "cells", "import", "cells.csv")
        self.cxmyd(config, "subscribers", "import", "subscribers.csv")
        self.cxmyd(config, "ingest", "sightings.csv")

    def cxmyd(self, config: Path, *arguments: str) -> str:
        command: list[str | Path] = [CXMYD, "-c", config, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def gateway(
        self, sections: str, *, await_ready: bool = True, workers: int = 1
    ) -> Iterator[subprocess.Popen[bytes]]:
        """`cxmyd serve` with these sections of its configuration; drained at the end, which must succeed."""
        port = free_port()
        config = self._configure(f"gateway-{port}.toml", port, sections)
        log = self.folder / f"gateway-{port}.log"
        with log.open("wb") as output:
            more = ["--workers", str(workers)] if workers > 1 else []
            process = children.spawn([CXMYD, "-c", config, "serve", *more], output=output)
        try:
            if await_ready:
                _await_ready(process, f"http://127.0.0.1:{port}/readyz", log)
            yield process
        finally:
            status = children.end(process, timeout_s=60)
        assert status == 0, log.read_text()

    def _configure(self, name: str, http_port: int, sections: str) -> Path:
        path = self.folder / name
        path.write_text(
            f"[redis]\nurl = {json.dumps(self.redis_url)}\n"
            '[keys]\nfile = "keys.json"\n[data]\ndir = "data"\n'
            f'[http]\nlisten = "127.0.0.1:{http_port}"\n{sections}',
            encoding="utf-8",
        )
        return path


def smsc_sections(port: int, bind: str = "transceiver") -> str:
    """Three links to one SMSC, one a carrier; each binds as the carrier's name."""
    return "".join(
        f'[[smsc]]\nname = "{subscriber.carrier}"\nport = {port}\nsystem_id = "{subscriber.carrier}"\n'
        f'password = "secret"\nbind = "{bind}"\ncarrier = "{subscriber.carrier}"\n'
        for subscriber in TRIOS[0]
    )


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                assert response.status == 200
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)


def _cells() -> list[str]:
    return ["mcc,mnc,area,cell,city", *(f"460,0,{n},{n},{city}" for n, city in enumerate(_CITIES, 1))]


def _subscribers() -> list[str]:
    everybody = (*_SUBSCRIBERS, *_TRAVELLERS)
    rows = [f"{subscriber.msisdn},{subscriber.carrier},{subscriber.id_last4}" for subscriber in everybody]
    return ["msisdn,carrier,id_last4", *rows]


def _sightings() -> list[str]:
    """Every half hour, up to yesterday noon: four days in Changsha, then three in Ji'an; a traveller is in
    another city every day.
    """
    noon = datetime.now(_CHINA).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    lines = ["time,msisdn,mcc,mnc,area,cell"]
    for half_hour in range(len(_CITIES) * 48 - 1, -1, -1):  # in the order of time
        when = (noon - timedelta(minutes=30 * half_hour)).isoformat()
        place = 1 + half_hour // 48
        lines += [f"{when},{who.msisdn},460,0,{place},{place}" for who in _TRAVELLERS]
        if half_hour <= 7 * 48:
            place = 1 if half_hour > 3 * 48 else 2
            lines += [f"{when},{who.msisdn},460,0,{place},{place}" for who in _SUBSCRIBERS]
    return lines
