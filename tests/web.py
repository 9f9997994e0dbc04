"""A real HTTP server in a thread, whose answers go wrong on demand."""

import hashlib
import http.server
import re
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Site:
    """What a server offers, how its next answers go wrong, and what it was asked.

    Attributes:
        files: Path -> content.
        faults: Path -> what goes wrong at the next requests for it, first come first: a status such as 503; ("cut", n):
            the connection ends after n bytes; ("stall", n): nothing more comes after n bytes; "no_range": ranges are
            ignored; "page": a web page comes instead; "other_range": the answer begins elsewhere; ("lies", n): n bytes
            more are announced than come.
        validators: Whether answers have an ETag.
        requests: Path and headers of every request.
    """

    files: dict = field(default_factory=dict, repr=False)
    faults: dict = field(default_factory=dict)
    validators: bool = True
    requests: list = field(default_factory=list, repr=False)
    url: str = ""

    def ranges(self, path):
        """The Range header of every request for a path."""
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


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
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        whole = fault == "no_range" or self.headers.get("If-Range", tag) != tag
        first = int(asked[1]) if asked and not whole else 0
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
        self.send_response(206 if asked and not whole else 200)
        if asked and not whole:
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
    """Start a server; -> its site, and how to end it."""
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
