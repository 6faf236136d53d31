"""What each client can have of a site: usage AUTHORITY NAME PORT ROW[:FEATURE]...; a line
of JSON for each row.

The site answers /small, /large, /upload, /moved, /trailers, /hints and /socket, see origin_features.py;
for those who ask for WebSockets alone, /socket is that of features_websocket.py.
A feature is true, false with the reason on standard error, or absent where the client has no way to
ask for it.
"""

import importlib
import json
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass

SMALL = b"hello\n"
LARGE_BYTES = 20_000_000
UPLOAD_BYTES = 10_000_000
MANY = 20

ROWS = {
    "curl-h1": ("features_programs", "Curl", "--http1.1"),
    "curl-h2": ("features_programs", "Curl", "--http2"),
    "pycurl-h1": ("features_pycurl", "PyCurl", "1.1"),
    "pycurl-h2": ("features_pycurl", "PyCurl", "2"),
    "pycurl-h3": ("features_pycurl", "PyCurl", "3"),
    "aioquic-h3": ("features_aioquic", "Aioquic", None),
    "gtlsclient-h3": ("features_programs", "Gtlsclient", None),
    "nghttp-h2": ("features_programs", "Nghttp", None),
    "h2load-h2": ("features_programs", "H2load", "h2"),
    "h2load-h1": ("features_programs", "H2load", "http/1.1"),
    "wrk-h1": ("features_programs", "Wrk", None),
    "websockets-h1": ("features_websockets", "Websockets", None),
    "wsproto-h2": ("features_wsproto", "Http2", None),
    "wsproto-h3": ("features_wsproto", "Http3", None),
}


@dataclass
class Site:
    """Where it is, and files for whoever needs some."""

    authority: str
    name: str
    port: int
    folder: str

    def url(self, path):
        return f"https://{self.name}:{self.port}{path}"

    def upload(self):
        path = os.path.join(self.folder, "upload")
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(b"x" * UPLOAD_BYTES)
        return path


FEATURES = [
    "get", "post", "upload", "head", "not_modified", "ranges", "redirect", "trailers", "hints",
    "websocket", "download", "many",
    # Of features_websocket.py.
    "ws_text", "ws_binary", "ws_fragments", "ws_ping", "ws_large", "ws_close", "ws_protocol",
    "ws_deflate",
]


def seen(client, wanted):
    """What it can have of these."""
    features = {}
    for feature in wanted:
        ask = getattr(client, feature, None)
        if ask is None:
            continue
        try:
            ask()
            features[feature] = True
        except Exception:  # whatever it is, the feature is not there
            print(f"{type(client).__name__} {feature}:", file=sys.stderr)
            traceback.print_exc()
            features[feature] = False
    return features


def main(authority, name, port, *rows):
    with tempfile.TemporaryDirectory() as folder:
        site = Site(authority, name, int(port), folder)
        for row in rows or ROWS:
            row, _, only = row.partition(":")
            module, kind, argument = ROWS[row]
            client = getattr(importlib.import_module(module), kind)(site, argument)
            print(json.dumps({"row": row, "features": seen(client, [only] if only else FEATURES)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
