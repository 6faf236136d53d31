"""What aioquic can have of a site: HTTP/3."""

import asyncio
import os

import aioquic_http3 as http3
import features
from aioquic.h3.events import HeadersReceived

SECONDS = 60


class Client(http3.Http3):
    """One that keeps every head, and sends what it is told to."""

    def ask(self, site, method, path, fields=(), content=None, end=True):
        stream = self._quic.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", site.name)]
        head += [(":path", path), *fields]
        head.sort(key=lambda field: not field[0].startswith(":"))
        exchange = self.exchanges[stream] = http3.Exchange()
        exchange.stream, exchange.heads, exchange.waiter = stream, [], asyncio.Event()
        encoded = [(name.encode(), value.encode()) for name, value in head]
        self.http.send_headers(stream, encoded, end_stream=end and content is None)
        if content is not None:
            self.http.send_data(stream, content, end_stream=end)
        self.transmit()
        return exchange

    def http_event_received(self, event):
        exchange = self.exchanges.get(getattr(event, "stream_id", None))
        if exchange is not None and isinstance(event, HeadersReceived):
            exchange.heads.append(dict(event.headers))
        if exchange is not None and isinstance(event, HeadersReceived):
            if b":status" not in dict(event.headers):
                # Trailers have no status.
                if event.stream_ended and not exchange.done.done():
                    exchange.done.set_result(None)
                return
        super().http_event_received(event)
        if exchange is not None:
            exchange.waiter.set()


async def connect(site):
    made = http3.configuration(site.authority, site.name)
    plain, http3.Http3 = http3.Http3, Client
    try:
        return await http3.connect(made, "127.0.0.1", site.port, "0.0.0.0")
    finally:
        http3.Http3 = plain


class Aioquic:
    def __init__(self, site, _):
        self.site = site

    def run(self, work):
        async def connected():
            client = await connect(self.site)
            try:
                return await work(client)
            finally:
                client.close()

        return asyncio.run(connected())

    def answer(self, method, path, fields=(), content=None):
        async def work(client):
            exchange = client.ask(self.site, method, path, fields, content)
            return await client.finish(exchange, SECONDS)

        return self.run(work)

    def get(self):
        answer = self.answer("GET", "/small")
        assert (answer.status, bytes(answer.body)) == (200, features.SMALL), answer.heads

    def post(self):
        answer = self.answer("POST", "/upload", content=b"x=y")
        assert (answer.status, bytes(answer.body)) == (200, b"3"), answer.heads

    def upload(self):
        answer = self.answer("PUT", "/upload", content=b"x" * features.UPLOAD_BYTES)
        assert bytes(answer.body) == str(features.UPLOAD_BYTES).encode(), answer.body

    def head(self):
        answer = self.answer("HEAD", "/large")
        length = answer.heads[0][b"content-length"]
        assert length == str(features.LARGE_BYTES).encode() and not answer.body, answer.heads

    def not_modified(self):
        etag = self.answer("GET", "/small").heads[0][b"etag"].decode()
        answer = self.answer("GET", "/small", [("if-none-match", etag)])
        assert answer.status == 304 and not answer.body, answer.heads

    def ranges(self):
        answer = self.answer("GET", "/large", [("range", "bytes=5-9")])
        assert answer.status == 206 and len(answer.body) == 5, answer.heads

    def redirect(self):
        answer = self.answer("GET", "/moved")
        assert answer.status == 302 and answer.heads[0][b"location"] == b"/small", answer.heads

    def trailers(self):
        answer = self.answer("GET", "/trailers", [("te", "trailers")])
        assert answer.heads[-1][b"x-sum"] == b"17", answer.heads

    def hints(self):
        answer = self.answer("GET", "/hints")
        assert [head[b":status"] for head in answer.heads] == [b"103", b"200"], answer.heads

    def websocket(self):
        async def work(client):
            fields = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
            exchange = client.ask(self.site, "CONNECT", "/socket", fields, end=False)
            mask, text = os.urandom(4), b"echo"
            masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
            await asyncio.wait_for(exchange.waiter.wait(), SECONDS)
            assert exchange.status == 200, exchange.heads
            client.http.send_data(
                exchange.stream, bytes([0x82, 0x80 | len(text)]) + mask + masked, end_stream=False
            )
            client.transmit()
            while len(exchange.body) < 2 + len(text):
                exchange.waiter.clear()
                await asyncio.wait_for(exchange.waiter.wait(), SECONDS)
            assert bytes(exchange.body) == b"\x82\x04echo", exchange.body

        self.run(work)

    def download(self):
        answer = self.answer("GET", "/large")
        assert len(answer.body) == features.LARGE_BYTES, len(answer.body)

    def many(self):
        async def work(client):
            exchanges = [
                client.ask(self.site, "GET", "/small") for _ in range(features.MANY)
            ]
            return [await client.finish(exchange, SECONDS) for exchange in exchanges]

        for answer in self.run(work):
            assert bytes(answer.body) == features.SMALL, answer.heads
