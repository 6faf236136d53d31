"""What programs can have of a site: curl, gtlsclient, nghttp, h2load and wrk."""

import os
import re
import subprocess

import features


def run(*command):
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, (command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def said_by(*command):
    """What it prints of what it does, wherever."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120
    )
    assert done.returncode == 0, (command, done.returncode, done.stdout[-2000:])
    return done.stdout


class Curl:
    def __init__(self, site, version):
        self.site, self.version = site, version

    def ask(self, path, *options):
        site = self.site
        return run(
            "curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60",
            "--cacert", site.authority, "--resolve", f"{site.name}:{site.port}:127.0.0.1",
            self.version, *options, site.url(path),
        )

    def status(self, path, *options):
        written = "%{http_code} %{size_download} %{http_version}"
        return self.ask(path, "--output", "/dev/null", "--write-out", written, *options).decode()

    def get(self):
        assert self.ask("/small") == features.SMALL
        version = {"--http1.1": "1.1", "--http2": "2"}[self.version]
        assert self.status("/small") == f"200 6 {version}"

    def post(self):
        assert self.ask("/upload", "--data", "x=y") == b"3"

    def upload(self):
        said = self.ask("/upload", "--upload-file", self.site.upload())
        assert said == str(features.UPLOAD_BYTES).encode(), said

    def head(self):
        said = self.ask("/large", "--head").lower()
        assert f"content-length: {features.LARGE_BYTES}".encode() in said, said

    def not_modified(self):
        etag = re.search(rb"etag: (\S+)", self.ask("/small", "--head").lower())[1].decode()
        said = self.status("/small", "--header", f"if-none-match: {etag}")
        assert said.startswith("304 0 "), said

    def ranges(self):
        said = self.status("/large", "--range", "5-9")
        assert said.startswith("206 5 "), said

    def redirect(self):
        assert self.ask("/moved", "--location") == features.SMALL

    def trailers(self):
        fields = ["--header", "te: trailers"]
        if self.version == "--http1.1":
            fields += ["--header", "connection: te"]
        said = self.ask("/trailers", "--include", *fields)
        assert b"x-sum: 17" in said, said

    def hints(self):
        said = self.ask("/hints", "--include")
        assert said.split(b"\r\n")[0].split()[1] == b"103", said

    def download(self):
        said = self.status("/large")
        assert said.startswith(f"200 {features.LARGE_BYTES} "), said

    def many(self):
        urls = [self.site.url("/small")] * (features.MANY - 1)
        said = self.ask("/small", "--parallel", "--parallel-immediate", *urls)
        assert said == features.SMALL * features.MANY, said


class Gtlsclient:
    def __init__(self, site, _):
        self.site = site

    def ask(self, paths, *options):
        folder = os.path.join(self.site.folder, f"gtlsclient{len(os.listdir(self.site.folder))}")
        os.mkdir(folder)
        said = said_by(
            "gtlsclient", "--no-quic-dump", "--exit-on-all-streams-close", "--timeout=60s",
            f"--sni={self.site.name}", f"--download={folder}", *options,
            "127.0.0.1", str(self.site.port),
            *[f"https://{self.site.name}{path}" for path in paths],
        )
        return said, folder

    def one(self, path, *options):
        said, folder = self.ask([path], *options)
        file = os.path.join(folder, os.path.basename(path))
        with open(file, "rb") as content:
            return said, content.read()

    def get(self):
        assert self.one("/small")[1] == features.SMALL

    def post(self):
        small = os.path.join(self.site.folder, "form")
        with open(small, "wb") as file:
            file.write(b"x=y")
        assert self.one("/upload", "--http-method=POST", f"--data={small}")[1] == b"3"

    def upload(self):
        content = self.one("/upload", "--http-method=PUT", f"--data={self.site.upload()}")[1]
        assert content == str(features.UPLOAD_BYTES).encode(), content

    def head(self):
        said, _ = self.ask(["/large"], "--http-method=HEAD")
        assert f"content-length: {features.LARGE_BYTES}" in heads(said), said

    def hints(self):
        said, _ = self.ask(["/hints"])
        assert ":status: 103" in heads(said), said

    def download(self):
        assert len(self.one("/large")[1]) == features.LARGE_BYTES

    def many(self):
        said, _ = self.ask(["/small"], f"--nstreams={features.MANY}")
        found = heads(said).count(":status: 200")
        assert found == features.MANY, found


def heads(said):
    """Fields as a client that prints them does, without what it paints them with."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", said.decode("latin-1")).lower()
    return re.sub(r"\[(:?[a-z0-9-]+): ([^\]]*)\]", r"\1: \2", text)


class Nghttp:
    def __init__(self, site, _):
        self.site = site

    def ask(self, path, *options):
        # It looks the name up, which is nobody's: the address, and the name for TLS and the host.
        return run(
            "nghttp", "--no-verify-peer", "--timeout=60", "-H", f":authority: {self.site.name}",
            *options, f"https://127.0.0.1:{self.site.port}{path}",
        )

    def get(self):
        assert self.ask("/small") == features.SMALL

    def post(self):
        small = os.path.join(self.site.folder, "form")
        with open(small, "wb") as file:
            file.write(b"x=y")
        assert self.ask("/upload", f"--data={small}") == b"3"

    def upload(self):
        said = self.ask("/upload", f"--data={self.site.upload()}", "--trailer=x-sum: 17")
        assert said == str(features.UPLOAD_BYTES).encode(), said

    def head(self):
        said = heads(self.ask("/large", "-v", "-H", ":method: HEAD"))
        assert f"content-length: {features.LARGE_BYTES}" in said, said

    def not_modified(self):
        etag = re.search(r"etag: (\S+)", heads(self.ask("/small", "-v")))[1]
        said = heads(self.ask("/small", "-v", "-H", f"if-none-match: {etag}"))
        assert ":status: 304" in said, said

    def ranges(self):
        said = heads(self.ask("/large", "-v", "-H", "range: bytes=5-9"))
        assert ":status: 206" in said, said

    def redirect(self):
        said = heads(self.ask("/moved", "-v"))
        assert ":status: 302" in said and "location: /small" in said, said

    def trailers(self):
        said = heads(self.ask("/trailers", "-v", "-H", "te: trailers"))
        assert "x-sum: 17" in said, said

    def hints(self):
        said = heads(self.ask("/hints", "-v"))
        assert ":status: 103" in said, said

    def download(self):
        assert len(self.ask("/large")) == features.LARGE_BYTES

    def many(self):
        said = self.ask("/small", f"--multiply={features.MANY}")
        assert said == features.SMALL * features.MANY, said


class H2load:
    def __init__(self, site, protocol):
        self.site, self.protocol = site, protocol

    def ask(self, path, requests, *options):
        version = "--npn-list=h2" if self.protocol == "h2" else "--h1"
        said = run(
            "h2load", version, f"--requests={requests}", *options,
            f"https://{self.site.name}:{self.site.port}{path}",
            f"--connect-to=127.0.0.1:{self.site.port}",
        ).decode()
        counts = f"{requests} total, {requests} started, {requests} done, {requests} succeeded"
        assert counts in said, said

    def get(self):
        self.ask("/small", 1)

    def post(self):
        small = os.path.join(self.site.folder, "form")
        with open(small, "wb") as file:
            file.write(b"x=y")
        self.ask("/upload", 1, f"--data={small}")

    def upload(self):
        self.ask("/upload", 2, f"--data={self.site.upload()}")

    def download(self):
        self.ask("/large", 2)

    def many(self):
        self.ask("/small", 1000, "--clients=10", "--max-concurrent-streams=10")


class Wrk:
    def __init__(self, site, _):
        self.site = site

    def ask(self, path, *options):
        said = run(
            "wrk", "--duration=1s", "--threads=1", "--timeout=30s",
            "--header", f"Host: {self.site.name}", *options,
            f"https://127.0.0.1:{self.site.port}{path}",
        ).decode()
        assert int(re.search(r"(\d+) requests in", said)[1]) > 0, said
        assert "Non-2xx" not in said and "Socket errors" not in said, said

    def get(self):
        self.ask("/small", "--connections=1")

    def download(self):
        self.ask("/large", "--connections=1")

    def many(self):
        self.ask("/small", f"--connections={features.MANY}")
