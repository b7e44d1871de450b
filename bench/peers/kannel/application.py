"""The HTTP application behind Kannel: looks the answer up in Redis.

usage: python application.py HTTP_PORT REDIS_PORT
"""

import sys

import redis.asyncio
import uvloop
from aiohttp import web

HTTP_PORT, REDIS_PORT = map(int, sys.argv[1:3])


async def serve():
    pool = redis.asyncio.BlockingConnectionPool(port=REDIS_PORT, max_connections=64, decode_responses=True)
    store = redis.asyncio.Redis(connection_pool=pool)

    async def answer(request):
        number = request.query["from"].strip().lstrip("+")
        return web.Response(text=await store.get(f"reply:{number}") or "unknown")

    app = web.Application()
    app.router.add_get("/q", answer)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(serve(), host="127.0.0.1", port=HTTP_PORT, access_log=None, print=None)
