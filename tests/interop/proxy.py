"""What stands between the guarded API and the issuer: it counts, and it can be cut."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length"}
"""What concerns one connection. `Host` is passed on: issuers make the addresses in their metadata of it."""


class Proxy:
    """A reverse proxy on loopback. Its URL is what the issuer is known by, so it exists before the issuer does."""

    def __init__(self):
        self.upstream: int | None = None
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
            return sum(count for path, count in self._asked.items() if path.endswith("/jwks"))


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy


class Relay(BaseHTTPRequestHandler):
    """One exchange a connection, so that a cut proxy leaves none open."""

    server: Listener

    def do_GET(self) -> None:
        self.server.proxy.note(self.path)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream, timeout=10)
        try:
            upstream.request("GET", self.path, headers=headers)
            answer = upstream.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.send_error(502)
            return
        finally:
            upstream.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass
