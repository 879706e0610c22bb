"""What stands between the guarded API and the issuer: it counts, and it can be cut or slow."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length"}
"""What concerns one connection. `Host` is passed on: issuers make the addresses in their metadata of it."""


class Proxy:
    """A reverse proxy on loopback. Its URL is what the issuer is known by, so it exists before the issuer does."""

    def __init__(self):
        self.upstream: int | None = None
        self.delay = 0.0
        """How long questions about tokens lie here before they are passed on."""
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.port = 0
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Nobody listens any more: who asks is refused the connection."""
        self._listener.shutdown()
        self._listener.server_close()
        # A socket that is bound and does not listen refuses too, and keeps the port from being given to others.
        self._placeholder = socket.socket()
        self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._placeholder.bind(("127.0.0.1", self.port))

    def join(self) -> None:
        """Listens again, on the same port."""
        self._placeholder.close()
        self._listen()

    def _listen(self) -> None:
        self._listener = Listener(("127.0.0.1", self.port), Relay)
        self._listener.proxy = self
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()

    def note(self, path: str) -> None:
        with self._lock:
            self._asked[path.split("?")[0]] += 1

    def key_sets(self) -> int:
        """How often the issuer's key set was asked for."""
        with self._lock:
            return sum(count for path, count in self._asked.items() if path.endswith(("/jwks", "/jwks.json")))

    def grants(self, kind: str) -> int:
        """How often a token was asked for by this grant."""
        with self._lock:
            return self._asked[kind]

    def questions(self) -> int:
        """How often the issuer was asked about a token."""
        with self._lock:
            return sum(count for path, count in self._asked.items() if is_question(path))


def is_question(path: str) -> bool:
    return path.rstrip("/").endswith(("/introspect", "/introspection"))


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def handle_error(self, *_) -> None:
        """Who asked has lost patience and gone, which is no business of ours."""


class Relay(BaseHTTPRequestHandler):
    """One exchange a connection, so that a cut proxy leaves none open."""

    server: Listener

    def do_GET(self) -> None:
        self.relay(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = urllib.parse.parse_qs(body.decode(errors="replace"))
        for kind in form.get("grant_type", []):
            self.server.proxy.note(kind)
        self.relay(body)

    do_PUT = do_DELETE = do_POST  # As the pages of a server may do.

    def relay(self, body: bytes | None) -> None:
        self.server.proxy.note(self.path)
        if is_question(self.path):
            time.sleep(self.server.proxy.delay)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream, timeout=10)
        try:
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.send_error(502)
            return
        finally:
            upstream.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        pass
