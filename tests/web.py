"""A real HTTP server in a thread, whose responses fail on demand."""

import hashlib
import http.server
import re
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Site:
    """The files of a server, the faults of its next responses, and the requests so far.

    Attributes:
        files: Path -> content.
        faults: Path -> faults of the next requests for it, in order: a status such as 503; ("cut", n): the connection
            ends after n bytes; ("stall", n): no byte follows the first n; "no_range": ranges are ignored; "page": a web
            page is sent instead; "other_range": the response begins at another offset; ("lies", n): n bytes more are
            announced than sent.
        validators: Whether responses have an ETag.
        requests: Path and headers of every request.
    """

    files: dict = field(default_factory=dict, repr=False)
    faults: dict = field(default_factory=dict)
    validators: bool = True
    requests: list = field(default_factory=list, repr=False)
    url: str = ""

    def ranges(self, path):
        """The Range header of every request for a path."""
        return [headers.get("Range") for requested, headers in self.requests if requested == path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server.site
        site.requests.append((self.path, dict(self.headers)))
        waiting = site.faults.get(self.path)
        fault = waiting.pop(0) if waiting else None
        content = site.files.get(self.path)
        if content is None or isinstance(fault, int):
            self.send_error(fault or 404)
            return
        if fault == "page":
            content = b"<html>Quota exceeded</html>"
        tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        whole = fault == "no_range" or self.headers.get("If-Range", tag) != tag
        first = int(requested[1]) if requested and not whole else 0
        kind, number = fault if isinstance(fault, tuple) else (fault, 0)
        total = len(content) + number * (kind == "lies")
        if first >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = first // 2 if kind == "other_range" else first
        body = content[first:]
        self.send_response(206 if requested and not whole else 200)
        if requested and not whole:
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.send_header("Content-Type", "text/html" if kind == "page" else "application/octet-stream")
        self.send_header("Content-Length", str(total - first))
        if site.validators:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(body[:number] if kind in ("cut", "stall") else body)
        if kind == "stall":
            self.wfile.flush()
            while not self.server.ending:
                time.sleep(0.01)
        if kind in ("cut", "stall", "lies"):
            self.close_connection = True

    def log_message(self, *_):
        pass


def serve():
    """Start a server; returns its site and a function that stops it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.ending = True, False
    server.site = Site(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def end():
        server.ending = True
        server.shutdown()
        server.server_close()
        thread.join()

    return server.site, end
