"""What wsproto can have of a site, over streams of other libraries: h2 (RFC 8441), aioquic (RFC 9220)."""

import asyncio
import ssl
from collections import deque

import h2.config
import h2.connection
import h2.events
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

import aioquic_http3 as http3
import features_aioquic
from features_websocket import WebSockets


class Socket:
    """A WebSocket on a stream that has `write`, `read` (nothing at the end) and `leave`."""

    def __init__(self, stream, head, deflate):
        assert head[":status"] == "200", head
        self.stream, self.events = stream, deque()
        self.leave = stream.leave
        self.protocol = head.get("sec-websocket-protocol")
        agreed = head.get("sec-websocket-extensions")
        self.deflates = agreed is not None
        if agreed is not None:
            deflate.finalize(agreed)
        self.frames = Connection(ConnectionType.CLIENT, [deflate] if agreed is not None else [])

    async def say(self, event):
        await self.stream.write(self.frames.send(event))

    async def next(self):
        while not self.events:
            content = await self.stream.read()
            assert content is not None, "the stream ends"
            self.frames.receive_data(content)
            self.events.extend(self.frames.events())
        event = self.events.popleft()
        if isinstance(event, Ping):
            await self.say(event.response())
        return event

    async def send(self, content):
        await self.send_parts([content])

    async def send_parts(self, parts):
        kind = TextMessage if isinstance(parts[0], str) else BytesMessage
        for part in parts[:-1]:
            await self.say(kind(data=part, message_finished=False))
        await self.say(kind(data=parts[-1]))

    async def receive(self):
        parts, part = [], None
        while True:
            event = await self.next()
            if not isinstance(event, Message):
                continue
            part = event.data if part is None else part + event.data
            if event.frame_finished:
                parts.append(part)
                part = None
            if event.message_finished:
                return parts

    async def ping(self, content):
        await self.say(Ping(payload=content))
        event = await self.next()
        assert isinstance(event, Pong) and event.payload == content, event

    async def close(self, code, reason):
        await self.say(CloseConnection(code=code, reason=reason))

    async def closed(self):
        event = await self.next()
        assert isinstance(event, CloseConnection), event
        return event.code, event.reason


def fields(protocols, deflate):
    asked = [("sec-websocket-version", "13")]
    if protocols:
        asked.append(("sec-websocket-protocol", ", ".join(protocols)))
    if deflate is not None:
        offer = deflate.offer()
        asked.append(("sec-websocket-extensions", deflate.name if offer is True else f"{deflate.name}; {offer}"))
    return asked


class Http2Stream:
    """The one stream of a connection of h2."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.head, self.content, self.ended, self.takes_connect = None, deque(), False, False

    async def pump(self):
        self.writer.write(self.connection.data_to_send())
        await self.writer.drain()
        received = await self.reader.read(1 << 16)
        assert received, "the connection ends"
        for event in self.connection.receive_data(received):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.takes_connect = self.connection.remote_settings.enable_connect_protocol == 1
            elif isinstance(event, h2.events.ResponseReceived):
                self.head = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.content.append(event.data)
                self.connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended = True
        self.writer.write(self.connection.data_to_send())

    async def ask(self, head):
        # RFC 8441 section 3: not before the server has said so.
        while not self.takes_connect:
            await self.pump()
        self.connection.send_headers(1, head)
        while self.head is None:
            await self.pump()
        return self.head

    async def write(self, content):
        while content:
            room = min(
                self.connection.local_flow_control_window(1), self.connection.max_outbound_frame_size
            )
            if not room:
                await self.pump()
                continue
            self.connection.send_data(1, content[:room])
            content = content[room:]
        self.writer.write(self.connection.data_to_send())
        await self.writer.drain()

    async def read(self):
        while not self.content and not self.ended:
            await self.pump()
        return self.content.popleft() if self.content else None

    async def leave(self):
        self.writer.close()


class Http2(WebSockets):
    async def open(self, protocols, deflate):
        site, deflate = self.site, PerMessageDeflate() if deflate else None
        tls = ssl.create_default_context(cafile=site.authority)
        tls.set_alpn_protocols(["h2"])
        stream = Http2Stream(
            *await asyncio.open_connection("127.0.0.1", site.port, ssl=tls, server_hostname=site.name)
        )
        head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https")]
        head += [(":authority", site.name), (":path", "/socket"), *fields(protocols, deflate)]
        return Socket(stream, await stream.ask(head), deflate)


class Http3Stream:
    """A stream of aioquic's."""

    def __init__(self, client, exchange):
        self.client, self.exchange, self.taken = client, exchange, 0

    async def write(self, content):
        self.client.http.send_data(self.exchange.stream, content, end_stream=False)
        self.client.transmit()

    async def read(self):
        exchange = self.exchange
        while len(exchange.body) == self.taken:
            if exchange.done.done():
                return None
            exchange.waiter.clear()
            await exchange.waiter.wait()
        content = bytes(exchange.body[self.taken:])
        self.taken += len(content)
        return content

    async def leave(self):
        self.client.close()


class Http3(WebSockets):
    async def open(self, protocols, deflate):
        site, deflate = self.site, PerMessageDeflate() if deflate else None
        client = await features_aioquic.connect(site)
        asked = [(":protocol", "websocket"), *fields(protocols, deflate)]
        exchange = client.ask(site, "CONNECT", "/socket", asked, end=False)
        while not exchange.heads:
            await exchange.waiter.wait()
            exchange.waiter.clear()
        head = {name.decode(): value.decode() for name, value in exchange.heads[0].items()}
        return Socket(Http3Stream(client, exchange), head, deflate)
