"""The simulated SMSC on real sockets: SMPP listener, outbind, HTTP. Used by `cxmyd smsc`, the demo and the
tests.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.errors import GatewayError
from gateway.simulator import phones as sample
from gateway.simulator.api import Api, Feed
from gateway.simulator.clock import LoopClock
from gateway.simulator.events import Event
from gateway.simulator.messages import Message
from gateway.simulator.session import Session
from gateway.simulator.smsc import Rules, Smsc

_OUTBIND_RETRY_S = 1.0
_UNBIND_GRACE_S = 1.0


class ListenError(GatewayError):
    """An address that cannot be listened on."""


class AddressError(GatewayError):
    """Not HOST:PORT."""


def address(text: str, option: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` (`[::1]:8080` for IPv6). Raises AddressError naming the option."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise AddressError(f"{option} {text}: must be HOST:PORT, such as 127.0.0.1:2775")
    return host, int(port)


class _Connection(asyncio.Protocol):
    """One socket of an ESME; a peer that does not read is not read from either."""

    def __init__(self, smsc: Smsc, opened: Callable[[Session], None] = lambda session: None) -> None:
        self._smsc = smsc
        self._opened = opened
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._session = self._smsc.accept(transport)
        self._opened(self._session)

    def data_received(self, data: bytes) -> None:
        self._session.data_received(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.connection_lost()
        if not self.ended.done():
            self.ended.set_result(None)


class Simulator:
    """A simulated SMSC with its phone page.

    `smpp`, `http`: HOST:PORT, port 0 for a free one; `http` None for none. `phones`: the file of the
    sample, or its content. `outbind`: (host, port, system_id, password) of ESMEs that listen for an
    outbind. `start` raises ListenError, naming the option that changes the address.
    """

    def __init__(
        self,
        smpp: str = "127.0.0.1:2775",
        http: str | None = "127.0.0.1:8080",
        *,
        phones: Path | list[dict[str, Any]] | None = None,
        outbind: Iterable[tuple[str, int, str, str]] = (),
        rules: Rules | None = None,
    ) -> None:
        self._smpp = address(smpp, "--smpp")
        self._http = address(http, "--http") if http else None
        self._phones = sample.load(phones) if isinstance(phones, Path) else phones or []
        self._outbind = list(outbind)
        self._rules = rules
        self._feed = Feed()
        self._observers: list[Callable[[Event], None]] = [self._feed.publish]
        self._runner: web.AppRunner | None = None
        self._outbinding: list[asyncio.Task[None]] = []
        self.smpp_port = self.http_port = 0

    @property
    def url(self) -> str:
        """Where the phone page is."""
        host = self._http[0] if self._http else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.http_port}/"

    async def start(self) -> None:
        """Listen; `smsc`, `smpp_port` and `http_port` are there from now on."""
        self.smsc = Smsc(LoopClock(), self._rules, self._publish)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self.smsc), *self._smpp)
        except OSError as error:
            raise _listen_error("--smpp", self._smpp, error) from None
        self.smpp_port = self._server.sockets[0].getsockname()[1]
        if self._http:
            try:
                await self._start_http(*self._http)
            except OSError as error:
                await self.stop()
                raise _listen_error("--http", self._http, error) from None
        self._outbinding = [loop.create_task(self._keep_outbinding(*peer)) for peer in self._outbind]

    async def _start_http(self, host: str, port: int) -> None:
        api = Api(self.smsc, self._phones, self._feed, host)
        self._runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.http_port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Unbind, close everything and listen no more."""
        for task in self._outbinding:
            task.cancel()
        self._server.close()
        self._feed.close()
        self.smsc.stop()
        deadline_s = asyncio.get_running_loop().time() + _UNBIND_GRACE_S
        while self.smsc.sessions and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(0.01)
        for session in list(self.smsc.sessions.values()):
            session.abort()
        if self._runner:
            await self._runner.cleanup()

    async def ask(self, number: str, service: str, text: str, timeout_s: float = 10.0) -> Message:
        """Send a text and wait for the next whole text to that phone from that service. Raises
        TimeoutError.
        """
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        def observe(event: Event) -> None:
            body = event.body
            if event.kind != "mt_complete" or not isinstance(body, Message) or answer.done():
                return
            if (body.number, body.service) == (number.lstrip("+"), service):
                answer.set_result(body)

        self.observe(observe)
        try:
            self.smsc.send(number, service, text)
            return await asyncio.wait_for(answer, timeout_s)
        finally:
            self._observers.remove(observe)

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Tell `observer` of every event from now on."""
        self._observers.append(observer)

    def _publish(self, event: Event) -> None:
        for observe in self._observers:
            observe(event)

    async def _keep_outbinding(self, host: str, port: int, system_id: str, password: str) -> None:
        """Keep one connection to an ESME that waits for an outbind."""
        loop = asyncio.get_running_loop()

        def opened(session: Session) -> None:
            session.outbind(system_id, password)

        while True:
            with suppress(OSError):  # it does not listen yet, or no longer
                _, connection = await loop.create_connection(
                    lambda: _Connection(self.smsc, opened), host, port
                )
                await connection.ended
            await asyncio.sleep(_OUTBIND_RETRY_S)


def _listen_error(option: str, where: tuple[str, int], error: OSError) -> ListenError:
    reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return ListenError(
        f"cannot listen on {where[0]}:{where[1]}: {reason}; choose another with {option} HOST:PORT"
    )
