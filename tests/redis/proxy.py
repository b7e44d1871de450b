"""A TCP proxy between the gateway and a real redis-server, which does to its answers what a test orders."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Proxy:
    """`answers` sees each piece of the server's answers: what it returns goes on, None ends it all."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: Callable[[bytes], bytes | None] = lambda piece: piece
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def reset(self) -> None:
        """All connections at once, both ways."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(
        self, server_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            upstream, to_server = await asyncio.open_connection("127.0.0.1", server_port)
            self._open |= {writer, to_server}
            asking = asyncio.ensure_future(self._pump(reader, to_server, lambda piece: piece))
            await self._pump(upstream, writer, lambda piece: self.answers(piece))  # noqa: PLW0108 - as it is then
            asking.cancel()
            self._open -= {writer, to_server}
            to_server.transport.abort()
        writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes | None],
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                changed = change(piece)
                if changed is None:
                    return
                writer.write(changed)


@asynccontextmanager
async def proxy(server_port: int) -> AsyncIterator[Proxy]:
    made = Proxy()
    server = await asyncio.start_server(lambda r, w: made.serve(server_port, r, w), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.reset()
