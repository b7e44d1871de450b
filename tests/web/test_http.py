"""The gateway's HTTP port, and the operators' page in headless Chromium."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from gateway.errors import GatewayError
from gateway.web.http import Http
from gateway.web.metrics import Metrics
from tests.chromium import chromium  # noqa: F401 - a fixture
from tests.conftest import free_port

STATUS: dict[str, Any] = {
    "ready": True,
    "draining": False,
    "store_up": True,
    "messages_in_flight": 3,
    "messages_per_s": 12.5,
    "links": [
        {
            "name": "mobile-1",
            "carrier": "china-mobile",
            "bound": 2,
            "wanted": 2,
            "ready": True,
            "rate_per_s": None,
            "throttled": 612,
            "lost": 3,
            "notes": ["4 unexpected", "1 padded"],
        },
        {
            "name": "<b>odd</b>",
            "carrier": "plain",
            "bound": 0,
            "wanted": 1,
            "ready": False,
            "rate_per_s": 12.25,
            "throttled": 0,
            "lost": 0,
            "notes": ["127.0.0.1:2775: refused"],
        },
    ],
    "listeners": [],
    "deliveries": [{"link": "mobile-1", "submitted": 77, "delivered": 70, "waiting": 7}],
    "undelivered": [{"link": "mobile-1", "state": "EXPIRED", "error": "3/27", "count": 5}],
    "ended": [{"carrier": "china-mobile", "result": "done", "reason": "answered", "count": 41}],
    "workers": [],
}


class Served:
    def __init__(self) -> None:
        self.status = json.loads(json.dumps(STATUS))
        self.metrics = Metrics()
        self.port = free_port()
        self._http = Http(self.metrics.registry, lambda: self.status)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._http.start("127.0.0.1", self.port))

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        self._run(self._http.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


def test_ready_follows_the_status(served: Served) -> None:
    assert served.get("/readyz")[0] == 200
    served.status["ready"] = False
    assert served.get("/readyz")[0] == 503
    assert served.get("/healthz")[0] == 200


def test_metrics_name_carriers_and_reasons(served: Served) -> None:
    served.metrics.ended("china-mobile", "done", "answered", 0.004)
    status, text = served.get("/metrics")
    assert status == 200
    assert 'cxmyd_messages_total{carrier="china-mobile",reason="answered",result="done"} 1.0' in text


def test_status_is_what_the_process_says(served: Served) -> None:
    assert json.loads(served.get("/status")[1]) == STATUS


def test_a_taken_port_is_named_with_its_key(served: Served) -> None:
    http = Http(Metrics().registry, lambda: STATUS)
    with pytest.raises(GatewayError, match=r"http\.listen"):
        asyncio.run(http.start("127.0.0.1", served.port))


def test_the_page_shows_links_and_figures(served: Served, chromium: Browser, tmp_path: Path) -> None:  # noqa: F811
    """Live, and with names as text, whatever they contain."""
    errors: list[object] = []
    page = chromium.new_page(viewport={"width": 900, "height": 800})
    page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - playwright marks what it is given
    page.goto(f"http://127.0.0.1:{served.port}/")
    expect(page.locator("#ready")).to_have_text("ready")
    expect(page.locator("#tables")).to_contain_text("<b>odd</b>")
    expect(page.locator(".figure").nth(2)).to_contain_text("41")
    expect(page.locator("#tables")).to_contain_text("–61234 unexpected; 1 padded")
    expect(page.locator("#tables")).to_contain_text("12.2500127.0.0.1:2775: refused")
    expect(page.locator("#tables")).to_contain_text("mobile-177707")
    expect(page.locator("#tables")).to_contain_text("mobile-1EXPIRED3/275")
    page.screenshot(path=str(tmp_path / "operators.png"))
    served.status["ready"] = False
    expect(page.locator("#ready")).to_have_text("not ready")
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
    assert errors == []
