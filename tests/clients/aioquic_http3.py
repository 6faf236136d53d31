"""HTTP/3 over aioquic, with what its own client leaves out: going on from another socket."""

import asyncio
import hashlib
import socket
import ssl

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, StreamReset


class RequestFailed(Exception):
    """A request ended without its whole answer."""


class Exchange:
    """A request, and as much of its answer as there is."""

    def __init__(self):
        self.status = 0
        self.body = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def sha256(self):
        return hashlib.sha256(self.body).hexdigest()


class Http3(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.exchanges = {}
        self.terminated = None  # why, where it is

    async def rebind(self, local):
        """Goes on from a new socket; the old one is closed, so nothing more arrives there."""
        old = self._transport
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, sock=bound_socket(local)
        )
        old.abort()

    def connection_lost(self, exc):
        """A socket that was left."""

    def begin(self, name, path):
        """Sends a GET."""
        stream = self._quic.get_next_available_stream_id()
        headers = [(":method", "GET"), (":scheme", "https"), (":authority", name), (":path", path)]
        encoded = [(key.encode(), value.encode()) for key, value in headers]
        exchange = self.exchanges[stream] = Exchange()
        if self.terminated is not None:
            exchange.done.set_exception(RequestFailed(self.terminated))
            return exchange
        self.http.send_headers(stream, encoded, end_stream=True)
        self.transmit()
        return exchange

    async def get(self, name, path, seconds):
        """The answer, whole."""
        exchange = self.begin(name, path)
        return await self.finish(exchange, seconds)

    @staticmethod
    async def finish(exchange, seconds):
        """Waits for the rest of the answer."""
        try:
            await asyncio.wait_for(asyncio.shield(exchange.done), seconds)
        except asyncio.TimeoutError:
            raise RequestFailed(f"no answer within {seconds} s") from None
        return exchange

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.terminated = f"ended: {event.error_code} {event.reason_phrase}"
            for exchange in self.exchanges.values():
                fail(exchange, self.terminated)
        if isinstance(event, StreamReset) and event.stream_id in self.exchanges:
            fail(self.exchanges[event.stream_id], "stream reset")
        for happened in self.http.handle_event(event):
            self.http_event_received(happened)

    def http_event_received(self, event):
        exchange = self.exchanges.get(getattr(event, "stream_id", None))
        if exchange is None:
            return
        if isinstance(event, HeadersReceived):
            exchange.status = int(dict(event.headers)[b":status"])
        elif isinstance(event, DataReceived):
            exchange.body += event.data
        if event.stream_ended and not exchange.done.done():
            exchange.done.set_result(None)
            del self.exchanges[event.stream_id]


def fail(exchange, why):
    if not exchange.done.done():
        exchange.done.set_exception(RequestFailed(why))
        exchange.done.exception()  # seen, also where nobody waits


def bound_socket(local):
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    bound.bind((local, 0))
    return bound


def configuration(authority, name):
    made = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name=name, idle_timeout=60.0,
        verify_mode=ssl.CERT_REQUIRED,
    )
    made.load_verify_locations(authority)
    return made


async def connect(made, address, port, local, on_ticket=None, on_token=None, seconds=20):
    """A connected Http3."""
    quic = QuicConnection(
        configuration=made, session_ticket_handler=on_ticket, token_handler=on_token
    )
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Http3(quic), sock=bound_socket(local)
    )
    # In the form in which datagrams name their sender, or the answers count as a stranger's.
    protocol.connect((address, port, 0, 0) if ":" in address else (address, port))
    try:
        await asyncio.wait_for(protocol.wait_connected(), seconds)
    except asyncio.TimeoutError:
        raise RequestFailed(f"no handshake within {seconds} s") from None
    except ConnectionError:
        raise RequestFailed(f"no handshake: {protocol.terminated}") from None
    return protocol
