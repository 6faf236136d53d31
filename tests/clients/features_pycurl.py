"""What libcurl can have of a site, by pycurl."""

import io

import pycurl

import features

VERSIONS = {
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2_0,
    "3": pycurl.CURL_HTTP_VERSION_3ONLY,
}


class Answer:
    def __init__(self):
        self.status, self.heads, self.body = 0, [], io.BytesIO()

    def line(self, line):
        self.heads.append(line.decode("latin-1").strip().lower())

    def field(self, name):
        lines = [line for line in self.heads if line.startswith(name + ":")]
        return lines[-1].split(":", 1)[1].strip() if lines else None


class PyCurl:
    def __init__(self, site, version):
        self.site, self.version = site, version
        self.curl = pycurl.Curl()
        if version == "1.1":
            # RFC 6455 begins with a request of HTTP/1.1, which is all that libcurl knows.
            self.websocket = self.websocket_of_http11

    def prepare(self, curl, path, fields=(), **options):
        site, answer = self.site, Answer()
        curl.reset()
        curl.setopt(pycurl.URL, site.url(path))
        curl.setopt(pycurl.RESOLVE, [f"{site.name}:{site.port}:127.0.0.1"])
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.CAINFO, site.authority)
        curl.setopt(pycurl.HTTP_VERSION, VERSIONS[self.version])
        curl.setopt(pycurl.TIMEOUT, 60)
        curl.setopt(pycurl.HTTPHEADER, list(fields))
        curl.setopt(pycurl.HEADERFUNCTION, answer.line)
        curl.setopt(pycurl.WRITEFUNCTION, answer.body.write)
        for option, value in options.items():
            curl.setopt(getattr(pycurl, option), value)
        return answer

    def ask(self, path, fields=(), **options):
        answer = self.prepare(self.curl, path, fields, **options)
        self.curl.perform()
        answer.status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        return answer

    def get(self):
        answer = self.ask("/small")
        assert (answer.status, answer.body.getvalue()) == (200, features.SMALL), answer.heads
        version = {"1.1": "http/1.1 ", "2": "http/2 ", "3": "http/3 "}[self.version]
        assert answer.heads[0].startswith(version), answer.heads

    def post(self):
        answer = self.ask("/upload", POSTFIELDS="x=y")
        assert (answer.status, answer.body.getvalue()) == (200, b"3"), answer.heads

    def upload(self):
        with open(self.site.upload(), "rb") as file:
            # Without a length: in chunks, or until the stream ends.
            answer = self.ask("/upload", UPLOAD=1, READDATA=file)
        expected = str(features.UPLOAD_BYTES).encode()
        assert answer.status in (200, 201, 204), answer.heads
        assert answer.body.getvalue() in (b"", expected), answer.body.getvalue()

    def head(self):
        answer = self.ask("/large", NOBODY=1)
        length = answer.field("content-length")
        assert (answer.status, length) == (200, str(features.LARGE_BYTES)), answer.heads

    def not_modified(self):
        etag = self.ask("/small").field("etag")
        answer = self.ask("/small", [f"if-none-match: {etag}"])
        assert (answer.status, answer.body.getvalue()) == (304, b""), answer.heads

    def ranges(self):
        answer = self.ask("/large", RANGE="5-9")
        assert answer.status == 206 and len(answer.body.getvalue()) == 5, answer.heads

    def redirect(self):
        answer = self.ask("/moved", FOLLOWLOCATION=1)
        assert (answer.status, answer.body.getvalue()) == (200, features.SMALL), answer.heads

    def trailers(self):
        fields = ["te: trailers"] + (["connection: te"] if self.version == "1.1" else [])
        answer = self.ask("/trailers", fields)
        assert answer.field("x-sum") == "17", answer.heads

    def hints(self):
        answer = self.ask("/hints")
        assert " 103" in answer.heads[0], answer.heads
        assert answer.status == 200, answer.heads

    def websocket_of_http11(self):
        site = self.site
        self.prepare(self.curl, "/socket", CONNECT_ONLY=2)
        self.curl.setopt(pycurl.URL, f"wss://{site.name}:{site.port}/socket")
        self.curl.perform()
        self.curl.ws_send(b"echo", pycurl.WS_BINARY)
        while True:
            try:
                received = self.curl.ws_recv(100)
                break
            except BlockingIOError:
                continue
            except pycurl.error as error:
                assert error.args[0] == pycurl.E_AGAIN, error
        assert b"echo" in repr(received).encode(), received
        self.curl.close()
        self.curl = pycurl.Curl()

    def download(self):
        answer = self.ask("/large")
        assert len(answer.body.getvalue()) == features.LARGE_BYTES, answer.heads

    def many(self):
        multi, handles = pycurl.CurlMulti(), []
        multi.setopt(pycurl.M_PIPELINING, 2)
        for _ in range(features.MANY):
            curl = pycurl.Curl()
            handles.append((curl, self.prepare(curl, "/small", PIPEWAIT=1)))
            multi.add_handle(curl)
        while multi.perform()[1]:
            multi.select(1.0)
        for curl, answer in handles:
            assert answer.body.getvalue() == features.SMALL, answer.heads
            multi.remove_handle(curl)
