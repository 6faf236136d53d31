#!/usr/bin/env python3
"""An HTTP/3 GET by aioquic: the body on standard output, the status and the headers on standard error.

    .venv/bin/python tests/clients/get.py https://localhost:4433/ --ca target/run/internal.pem
"""

import argparse
import asyncio
import logging
import sys
from urllib.parse import urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated


class Client(QuicConnectionProtocol):
    """One request on one connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.done = None  # there is one while a request waits for its answer
        self.headers = []
        self.body = bytearray()

    async def get(self, authority, path):
        stream = self._quic.get_next_available_stream_id()
        request = [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
        ]
        self.done = asyncio.get_running_loop().create_future()
        self.http.send_headers(stream, request, end_stream=True)
        self.transmit()
        await self.done

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.end(ConnectionError(f"closed: {event.error_code:#x} {event.reason_phrase}"))
        for http_event in self.http.handle_event(event):
            if isinstance(http_event, HeadersReceived):
                self.headers += http_event.headers
            elif isinstance(http_event, DataReceived):
                self.body += http_event.data
            if getattr(http_event, "stream_ended", False):
                self.end(None)

    def end(self, error):
        if self.done is None or self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


async def fetch(url, ca):
    parts = urlsplit(url)
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN)
    if ca:
        configuration.load_verify_locations(ca)
    path = parts.path or "/"
    if parts.query:
        path += "?" + parts.query
    async with connect(
        parts.hostname, parts.port or 443, configuration=configuration, create_protocol=Client
    ) as client:
        await client.get(parts.netloc, path)
        return client.headers, bytes(client.body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--ca", help="file of the certificates to trust")
    parser.add_argument("--seconds", type=float, default=10, help="give up after (default 10)")
    arguments = parser.parse_args()
    # aioquic leaves a future of its own behind when a handshake fails; we say what happened.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        answer = asyncio.run(
            asyncio.wait_for(fetch(arguments.url, arguments.ca), arguments.seconds)
        )
    except asyncio.TimeoutError:
        sys.exit(f"no answer from {arguments.url} within {arguments.seconds:g} s")
    except (ConnectionError, OSError) as error:
        sys.exit(f"no answer from {arguments.url}: {error or 'no handshake'}")
    headers, body = answer
    for name, value in headers:
        print(f"{name.decode()}: {value.decode()}", file=sys.stderr)
    sys.stdout.buffer.write(body)
    sys.stdout.flush()
    status = dict(headers).get(b":status", b"")
    sys.exit(0 if status.startswith(b"2") else 1)


if __name__ == "__main__":
    main()
