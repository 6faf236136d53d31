"""A site for features.py, of Python's own HTTP server: usage PORT."""

import base64
import hashlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import features

ETAG = '"small"'
# RFC 6455 section 1.3.
WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nobody reads it."""

    def say(self, status, body=b"", *fields, length=None):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if status != 304:
            self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.partition("?")[0]
        answer = getattr(self, "answer_" + path[1:], None)
        if answer is None:
            return self.say(404)
        return answer()

    do_HEAD = do_GET

    def answer_small(self):
        if self.headers["if-none-match"] == ETAG:
            return self.say(304, b"", ("etag", ETAG))
        return self.say(200, features.SMALL, ("etag", ETAG))

    def answer_large(self):
        asked = self.headers["range"]
        if asked == "bytes=5-9":
            content = ("content-range", f"bytes 5-9/{features.LARGE_BYTES}")
            return self.say(206, b"xxxxx", content)
        body = b"" if self.command == "HEAD" else b"x" * features.LARGE_BYTES
        return self.say(200, body, length=features.LARGE_BYTES)

    def answer_moved(self):
        self.say(302, b"", ("location", "/small"))

    def answer_hints(self):
        self.send_response_only(103)
        self.send_header("link", "</a.css>; rel=preload")
        self.end_headers()
        self.say(200, features.SMALL)

    def answer_trailers(self):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("trailer", "x-sum")
        self.end_headers()
        self.wfile.write(b"6\r\nhello\n\r\n0\r\nx-sum: 17\r\n\r\n")

    def answer_socket(self):
        key = self.headers["sec-websocket-key"] or ""
        accept = base64.b64encode(hashlib.sha1((key + WEBSOCKET).encode()).digest()).decode()
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header("sec-websocket-accept", accept)
        self.end_headers()
        self.close_connection = True
        head = self.rfile.read(2)
        mask = self.rfile.read(4)
        text = self.rfile.read(head[1] & 0x7F)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
        self.wfile.write(bytes([head[0], len(text)]) + text)
        # Until the other side has had it.
        self.rfile.read()

    def do_POST(self):
        count = 0
        if self.headers["transfer-encoding"]:
            while length := int(self.rfile.readline(), 16):
                count += len(self.rfile.read(length))
                self.rfile.readline()
            while self.rfile.readline().strip():
                """Trailers."""
        else:
            count = len(self.rfile.read(int(self.headers["content-length"] or 0)))
        self.say(200, str(count).encode())

    do_PUT = do_POST


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
