"""A page that opens a WebSocket, says and hears something, and closes it: usage PORT.

The page has an image that is there when the WebSocket has closed, so that a browser that ends with the
page does not end before. It says when it is ready, and of each WebSocket what was seen of it, a line each.
"""

import asyncio
import contextlib
import sys

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

PAGE = b"""<!doctype html><link rel="icon" href="data:,"><p id="said">nothing</p><script>
const socket = new WebSocket(`wss://${location.host}/socket`, ["other", "chat"]);
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => {
  document.getElementById("said").textContent = `${event.data} by ${socket.protocol}`;
  socket.close(4001, "done");
};
</script><img src="/held">"""
IMAGE = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
SECONDS = 50


class Page:
    def __init__(self):
        self.closed = asyncio.Event()

    async def answer(self, _, request):
        if request.path == "/socket":
            return None
        kind, body = "text/html", PAGE
        if request.path == "/held":
            await asyncio.wait_for(self.closed.wait(), SECONDS)
            kind, body = "image/svg+xml", IMAGE
        fields = Headers({"content-type": kind, "content-length": str(len(body)), "connection": "close"})
        return Response(200, "OK", fields, body)

    async def talk(self, connection):
        # Any code but 1000 and 1001 is an error to the library.
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message + " to you")
        deflates = "deflates" if connection.protocol.extensions else "plain"
        via, close = connection.request.headers["via"], connection.protocol.close_rcvd
        print(via, connection.subprotocol, deflates, close.code, close.reason, sep=", ", flush=True)
        self.closed.set()


def chosen(_, offered):
    return "chat" if "chat" in offered else None


async def main(port):
    page = Page()
    serving = serve(
        page.talk, "127.0.0.1", port, process_request=page.answer, select_subprotocol=chosen,
        open_timeout=SECONDS,
    )
    async with serving as server:
        print("ready", flush=True)
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
