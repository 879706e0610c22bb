"""What the checks need of an authorization server."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import ClassVar

from processes import TooSlow, Trouble, Unavailable, run

INSTALL_SECONDS = 60
"""How long an installation may take in all. It takes three where the network is well, and the suite is one step of many."""

READ, WRITE = "things:read", "things:write"
OTHER_API = "https://other.example/"


class Installation:
    """Runs the programs that install a server, until the time for that is over."""

    def __init__(self):
        self.deadline = time.monotonic() + INSTALL_SECONDS

    def run(self, command: list[str | Path], folder: Path | None = None) -> tuple[int, str]:
        try:
            return run(command, max(1, self.deadline - time.monotonic()), folder)
        except TooSlow:
            raise Unavailable(f"{Path(command[0]).name} was not done within {INSTALL_SECONDS} s") from None


class Server:
    name: ClassVar[str]
    algorithms: ClassVar[tuple[str, ...]]

    port: int
    """Where it is on loopback. Tokens are fetched from there, so that a cut proxy keeps nobody from having one."""

    def __init__(self, store: Path, state: Path):
        """`store` keeps what was installed for the next time; `state` is a folder for one run."""
        self.store, self.state = store, state

    def install(self) -> None:
        """Makes the server available in `store`, or says with `Unavailable` why it cannot be had."""
        raise NotImplementedError

    def start(self, public_url: str) -> str:
        """Starts it behind this URL, and returns the name that it gives itself: the issuer."""
        raise NotImplementedError

    def token(self, algorithm: str, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        """A genuine token, by the key that signs with this algorithm."""
        raise NotImplementedError

    def publish(self, algorithm: str) -> str:
        """Puts another key into the set and returns its `kid`. It signs nothing yet."""
        raise NotImplementedError

    def sign_with(self, algorithm: str, kid: str) -> None:
        """From now on this key signs."""
        raise NotImplementedError

    def withdraw(self, kid: str) -> None:
        """Takes a key out of the set."""
        raise NotImplementedError


def ask_for_token(url: str, client: str, secret: str, form: dict[str, str]) -> str:
    """The client credentials grant (RFC 6749 s4.4)."""
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    body = urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode()
    answer = send(url, "POST", body, {"Authorization": f"Basic {basic}"})
    return json.loads(answer)["access_token"]


def send(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with DIRECT.open(request, timeout=20) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise Trouble(f"{method} {url}: {error.code} {error.read()[:300]!r}") from None
    except OSError as error:
        raise Trouble(f"{method} {url}: {error}") from None


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy that the environment names must not stand between us and loopback."""
