"""HTTP of the simulated SMSC: the phone page, an API to send texts and order faults, and live server-sent
events.

It controls a simulator and shows what phones wrote, so other pages in the same browser must not reach it:
the Host must be an address, localhost or the name it was started with (no DNS rebinding), an Origin must be
our own, and a POST must be JSON (no form can send that). Started by `server`.
"""

import asyncio
import ipaddress
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.simulator import faults
from gateway.simulator.events import Event
from gateway.simulator.faults import OrderError
from gateway.simulator.phones import CARRIERS
from gateway.simulator.smsc import Smsc

_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_UNREAD_EVENTS = 5_000
_HEARTBEAT_S = 15.0
_MAX_BODY = 64 * 1024
_MAX_LISTED = 1_000


class Feed:
    """Events to whoever listens; one who does not keep up is cut off, and a browser then connects anew."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[str | None], bool] = {}

    def publish(self, event: Event) -> None:
        if not self._listeners:
            return
        data = json.dumps(
            {"kind": event.kind, "at_s": event.at_s, **event.body.as_json()}, ensure_ascii=False
        )
        for queue, with_pdus in list(self._listeners.items()):
            if event.kind != "pdu" or with_pdus:
                try:
                    queue.put_nowait(f"event: {event.kind}\ndata: {data}\n\n")
                except asyncio.QueueFull:
                    self._cut(queue)

    def listen(self, *, with_pdus: bool) -> asyncio.Queue[str | None]:
        """Texts to send as they are; None: the end."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(_UNREAD_EVENTS)
        self._listeners[queue] = with_pdus
        return queue

    def leave(self, queue: asyncio.Queue[str | None]) -> None:
        self._listeners.pop(queue, None)

    def close(self) -> None:
        for queue in list(self._listeners):
            self._cut(queue)

    def _cut(self, queue: asyncio.Queue[str | None]) -> None:
        self.leave(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


class Api:
    """The handlers; `host_name` is the name the server was told to listen on."""

    def __init__(self, smsc: Smsc, phones: list[dict[str, Any]], feed: Feed, host_name: str) -> None:
        self._smsc, self._phones, self._feed = smsc, phones, feed
        self._host_name = host_name.lower()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=_MAX_BODY)
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/page/{name}", self._file),
                web.get("/healthz", self._health),
                web.get("/api/phones", self._get_phones),
                web.get("/api/conversations", self._conversations),
                web.get("/api/messages", self._messages),
                web.get("/api/pdus", self._pdus),
                web.get("/api/links", self._links),
                web.get("/api/faults", self._get_faults),
                web.get("/api/faults/known", self._get_known_faults),
                web.get("/api/events", self._events),
                web.post("/api/mo", self._send),
                web.post("/api/faults", self._order),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self._refusal(request)
        try:
            response = (
                web.json_response({"error": refusal}, status=403) if refusal else await handler(request)
            )
        except web.HTTPException as error:
            response = web.json_response({"error": error.reason}, status=error.status)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refusal(self, request: web.Request) -> str | None:
        host = request.headers.get("Host", "")
        name = _name_of(host)
        if name not in ("localhost", self._host_name) and not _is_address(name):
            return f"this simulator is not {name}: use its address, or start it with --http {name}:PORT"
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://").removeprefix("https://") != host:
            return "requests from other origins are refused"
        if request.method == "POST" and request.content_type != "application/json":
            return "the content type must be application/json"
        return None

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return _page_file("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return _page_file(request.match_info["name"])

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"links": len(self._smsc.links()), "pending": self._smsc.pending()})

    async def _get_phones(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"carriers": CARRIERS, "phones": self._phones})

    async def _conversations(self, request: web.Request) -> web.StreamResponse:
        return _listing(self._smsc.history.latest())

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        number = request.query.get("number")
        if not number:
            raise web.HTTPBadRequest(reason="number is missing")
        return _listing(self._smsc.history.of(number.strip().lstrip("+"), request.query.get("service")))

    async def _pdus(self, request: web.Request) -> web.StreamResponse:
        limit = request.query.get("limit", "200")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= _MAX_LISTED):
            raise web.HTTPBadRequest(reason=f"limit must be a number from 1 to {_MAX_LISTED}")
        query = request.query
        return _listing(self._smsc.traces.of(query.get("number"), query.get("service"), int(limit)))

    async def _links(self, request: web.Request) -> web.StreamResponse:
        return _listing(self._smsc.links())

    async def _get_faults(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._smsc.faults.as_json())

    async def _get_known_faults(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(faults.known())

    async def _send(self, request: web.Request) -> web.StreamResponse:
        """POST {"from", "to", "text"[, "data_coding"][, "source_ton"][, "source_npi"]}: a phone sends a
        text.
        """
        body = await _object(request)
        try:
            number, service, text = (_string(body, key) for key in ("from", "to", "text"))
            options = {key: _octet(body[key], key) for key in _SEND_OPTIONS & body.keys()}
            message = self._smsc.send(number, service, text, **options)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"id": message.id}, status=201)

    async def _order(self, request: web.Request) -> web.StreamResponse:
        """POST {"NAME": {settings} or null, ...}: see `Smsc.order`; answers with the orders in force."""
        try:
            return web.json_response(self._smsc.order(await _object(request)))
        except OrderError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, `pdus=0` without the PDUs."""
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        queue = self._feed.listen(with_pdus=request.query.get("pdus") != "0")
        try:
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), _HEARTBEAT_S)
                except TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return response
                await response.write(text.encode())
        except ConnectionResetError:
            return response
        finally:
            self._feed.leave(queue)


_SEND_OPTIONS = {"data_coding", "source_ton", "source_npi"}
_DATA_CODINGS = (0, 1, 3, 8)


async def _object(request: web.Request) -> Mapping[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(reason="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(reason="the body must be a JSON object")
    return body


def _string(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string")
    return value


def _octet(value: Any, key: str) -> int:
    allowed: Iterable[int] = _DATA_CODINGS if key == "data_coding" else range(256)
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise ValueError(f"{key} must be {'0, 1, 3 or 8' if key == 'data_coding' else '0 to 255'}")
    return value


def _listing(bodies: Iterable[Any]) -> web.Response:
    return web.json_response([body.as_json() for body in bodies])


def _page_file(name: str) -> web.Response:
    """One file of the page; only those that are there can be named."""
    known = {path.name: path for path in _PAGE.iterdir() if path.suffix in _TYPES}
    if name not in known:
        raise web.HTTPNotFound(reason="no such page")
    return web.Response(
        body=known[name].read_bytes(), content_type=_TYPES[known[name].suffix], charset="utf-8"
    )


def _name_of(host: str) -> str:
    """The name or address in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
