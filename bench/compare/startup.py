"""How long our commands take to be there: `--help`, and `serve` until it is ready. Called by `quick`."""

import http.client
import statistics
import subprocess
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from bench.compare import processes
from bench.compare.contenders import Site, config_of
from bench.compare.measure import LOAD, started

TRIES: Final = 10
POLL_S: Final = 0.002
TIMEOUT_S: Final = 30.0


def startup(site: Site, program: Sequence[str], tries: int = TRIES) -> dict[str, int]:
    """Medians in milliseconds. Ready: bound to an SMSC that takes every bind, and connected to the store."""
    help_ms = statistics.median(_help_ms(program) for _ in range(tries))
    ready_ms = statistics.median(_ready_ms(site, program) for _ in range(tries))
    return {"help_ms": round(help_ms), "ready_ms": round(ready_ms)}


def _help_ms(program: Sequence[str]) -> float:
    started_s = time.perf_counter()
    subprocess.run([*program, "--help"], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started_s) * 1000


def _ready_ms(site: Site, program: Sequence[str]) -> float:
    command = [*program, "-c", str(config_of(site)), "serve", "--log-level", "error"]
    log = site.folder / "startup.log"
    # an SMSC that takes the bind and sends nothing
    with started([*LOAD, str(site.smpp), "--settle", str(TIMEOUT_S)]) as smsc:
        assert smsc.stderr is not None
        smsc.stderr.readline()  # it listens
        started_s = time.perf_counter()
        with processes.running([command], log):
            while not _is_ready(site.http):
                if time.perf_counter() > started_s + TIMEOUT_S:
                    raise SystemExit(f"cxmyd serve is not ready; it says:\n{log.read_text()[-2000:]}")
                time.sleep(POLL_S)
            return (time.perf_counter() - started_s) * 1000


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
