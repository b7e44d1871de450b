"""The gateway's HTTP port: /metrics, /healthz, /readyz, /status (JSON) and the operators' live page.

Read-only, and nothing in it is about a subscriber. On the loopback interface by default.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.errors import GatewayError

_PAGE = Path(__file__).parent / "page.html"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'unsafe-inline'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

Status = Callable[[], dict[str, Any]]


class Http:
    """`status` gives what /status shows; its `ready` decides /readyz."""

    def __init__(self, registry: CollectorRegistry, status: Status) -> None:
        self._registry = registry
        self._status = status
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises GatewayError when the port is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/status", self._status_json),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise GatewayError(
                f"http.listen = {host}:{port}: the port cannot be had ({error.strerror}); change http.listen"
            ) from error

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(
            text=_PAGE.read_text(encoding="utf-8"), content_type="text/html", headers=_HEADERS
        )

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._status()["ready"]:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready\n")

    async def _status_json(self, _request: web.Request) -> web.Response:
        return web.json_response(self._status(), headers=_HEADERS)
