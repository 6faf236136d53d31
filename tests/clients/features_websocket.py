"""What a library for WebSockets can have of a site, by what all of them have.

The site sends back what it is sent, but for three texts: it answers `fragments` by a message in three
parts, `ping` by a PING, and by a text when it has the PONG, and `close` by closing with a code. It
speaks the subprotocol `chat`.
"""

import asyncio
import os

SECONDS = 60
LARGE_BYTES = 1 << 20
PARTS = ["one", "two", "three"]


class WebSockets:
    """Needs `open(protocols, deflate)`: a socket with `protocol` and `deflates`, which are what the
    other side has agreed to, and `send`, `send_parts`, `receive` (parts of a message), `ping`, `close`
    and `closed` (code and reason of the other side)."""

    def __init__(self, site, _):
        self.site = site

    def run(self, work, protocols=(), deflate=False):
        async def opened():
            socket = await self.open(list(protocols), deflate)
            try:
                await work(socket)
            finally:
                await socket.leave()

        asyncio.run(asyncio.wait_for(opened(), SECONDS))

    def ws_text(self):
        async def work(socket):
            await socket.send("grüße")
            assert await socket.receive() == ["grüße"]

        self.run(work)

    def ws_binary(self):
        async def work(socket):
            await socket.send(bytes(range(256)))
            assert await socket.receive() == [bytes(range(256))]

        self.run(work)

    def ws_fragments(self):
        async def work(socket):
            await socket.send_parts(PARTS)
            assert "".join(await socket.receive()) == "".join(PARTS)
            await socket.send("fragments")
            # Some end with an empty one, for they do not know which is the last.
            received = [part for part in await socket.receive() if part]
            assert received == PARTS, received

        self.run(work)

    def ws_ping(self):
        async def work(socket):
            await socket.ping(b"are you there")
            await socket.send("ping")
            assert await socket.receive() == ["pong"]

        self.run(work)

    def ws_large(self):
        async def work(socket):
            content = os.urandom(LARGE_BYTES)
            await socket.send(content)
            assert b"".join(await socket.receive()) == content

        self.run(work)

    def ws_close(self):
        async def ours(socket):
            await socket.close(4001, "done")
            closed = await socket.closed()
            # Whoever is told so says it as well (RFC 6455 section 5.5.1).
            assert closed[0] == 4001, closed

        async def theirs(socket):
            await socket.send("close")
            closed = await socket.closed()
            assert closed == (4002, "enough"), closed

        self.run(ours)
        self.run(theirs)

    def ws_protocol(self):
        async def work(socket):
            assert socket.protocol == "chat", socket.protocol

        self.run(work, protocols=["other", "chat"])

    def ws_deflate(self):
        async def work(socket):
            assert socket.deflates
            text = "the same again and again, " * 10_000
            for _ in range(3):
                await socket.send(text)
                assert "".join(await socket.receive()) == text

        self.run(work, deflate=True)
