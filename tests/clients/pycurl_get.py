"""One GET / by libcurl over HTTP/3 or not at all: usage AUTHORITY NAME ADDRESS PORT."""

import sys

import pycurl

authority, name, address, port = sys.argv[1:]
curl = pycurl.Curl()
curl.setopt(pycurl.URL, f"https://{name}:{port}/")
curl.setopt(pycurl.RESOLVE, [f"{name}:{port}:{address}"])
curl.setopt(pycurl.CAINFO, authority)
curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_3ONLY)
curl.setopt(pycurl.TIMEOUT, 10)
print(curl.perform_rs())
