"""What the library websockets can have of a site: WebSockets over HTTP/1.1."""

import ssl

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from features_websocket import WebSockets


class Socket:
    def __init__(self, connection):
        self.connection = connection
        self.protocol = connection.subprotocol
        self.deflates = bool(connection.protocol.extensions)
        self.send = self.send_parts = connection.send
        self.leave = connection.close

    async def receive(self):
        return [part async for part in self.connection.recv_streaming()]

    async def ping(self, content):
        await (await self.connection.ping(content))

    async def close(self, code, reason):
        await self.connection.close(code, reason)

    async def closed(self):
        try:
            await self.connection.recv()
        except ConnectionClosed as error:
            return error.rcvd.code, error.rcvd.reason
        raise AssertionError("it is open")


class Websockets(WebSockets):
    async def open(self, protocols, deflate):
        site = self.site
        tls = ssl.create_default_context(cafile=site.authority)
        tls.set_alpn_protocols(["http/1.1"])
        return Socket(
            await connect(
                f"wss://{site.name}:{site.port}/socket", host="127.0.0.1", port=site.port, ssl=tls,
                proxy=None, subprotocols=protocols or None, max_size=None,
                compression="deflate" if deflate else None,
                # Some servers that have said goodbye leave the rest to the client.
                close_timeout=1,
            )
        )
