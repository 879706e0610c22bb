"""What the checks need of an authorization server."""

from __future__ import annotations

import base64
import json
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from processes import TooSlow, Trouble, Unavailable, run

if TYPE_CHECKING:
    from browser import Browser

INSTALL_SECONDS = 60
"""How long an installation may take in all. It takes three where the network is well, and the suite is one step of many."""

READ, WRITE = "things:read", "things:write"
OTHER_API = "https://other.example/"

USER, PASSWORD = "alice", "a password of hers"
LOGIN_CLIENT, LOGIN_SECRET = "tutorial", "a secret of the tutorial's own"


class Installation:
    """Runs the programs that install a server, until the time for that is over."""

    def __init__(self):
        self.deadline = time.monotonic() + INSTALL_SECONDS

    def run(self, command: list[str | Path], folder: Path | None = None) -> tuple[int, str]:
        try:
            return run(command, max(1, self.deadline - time.monotonic()), folder)
        except TooSlow:
            raise Unavailable(f"{Path(command[0]).name} was not done within {INSTALL_SECONDS} s") from None


@dataclass(frozen=True)
class Way:
    """How the guarded API asks: the arguments that say so, and the secret that they leave out."""

    name: str
    arguments: list[str]
    secret: str | None = None
    wrong: list[str] | None = None
    """The same with a proof that is somebody else's, where there is no secret to be mistaken."""
    is_told: bool = True
    """Whether the server says 401 to a wrong secret. With 400, which RFC 6749 s5.2 allows too, the API does not look for another."""

    def mistaken(self) -> Way | None:
        if self.secret is not None:
            return replace(self, secret=f"not the {self.secret}")
        return self.wrong and replace(self, arguments=self.wrong)


@dataclass(frozen=True)
class Asked:
    """What a server does when it is asked about tokens."""

    about_jwts: bool = True
    """It answers for its JWTs too."""
    names_audience: bool = True
    signs_refusals: bool = True
    """Where it signs its answers, it signs too that a token is not active."""
    leaves_out: str = ""
    """What its answers do not say, and the API has to be told to accept."""


@dataclass(frozen=True)
class Application:
    """A program that people log in to, as a server has to know it."""

    redirect_uri: str
    post_logout_uri: str | None = None
    backchannel_uri: str | None = None
    """Where it is told that somebody has logged out (OpenID Connect Back-Channel Logout 1.0)."""
    lifetime: int = 3600
    """How long its access tokens are valid, in seconds."""

    def metadata(self) -> dict[str, object]:
        """As RFC 7591 writes them, with the lifetime, which is not of it."""
        logout = {
            "post_logout_redirect_uris": self.post_logout_uri and [self.post_logout_uri],
            "backchannel_logout_uri": self.backchannel_uri,
            "backchannel_logout_session_required": self.backchannel_uri and True,
        }
        return {
            "client_id": LOGIN_CLIENT,
            "client_secret": LOGIN_SECRET,
            "redirect_uris": [self.redirect_uri],
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token"],
            "lifetime": self.lifetime,
            **{name: value for name, value in logout.items() if value},
        }


@dataclass(frozen=True)
class Login:
    """What people's logins are like at a server."""

    scope: str = f"openid profile {READ} {WRITE}"
    metadata: str = "/.well-known/openid-configuration"
    """Where that is found, below the issuer's URL."""
    resource: str | None = None
    """What a client asks for to get a token for the API (RFC 8707)."""
    known_by: str = ""
    """What the API reads of the person, in what its handler returns, if that is not the `sub` that the application was told."""
    names_user: str = ""
    """The person's name, where the ID token or the userinfo endpoint says it."""
    jwts: bool = True
    """The access tokens of people are JWTs. Opaque ones have to be asked about."""
    tells_logout: bool = False
    """It tells its clients when somebody logs out, by the back channel."""


class Server:
    name: ClassVar[str]
    title: ClassVar[str]
    """What the manual calls it."""
    algorithms: ClassVar[tuple[str, ...]]
    turns_keys: ClassVar[bool] = False
    """It turns its keys over when it is told to, under algorithms that include those that the checks turn."""
    demands: ClassVar[tuple[str, ...]] = ()
    """What the API has to be told of its JWTs."""
    endpoint: ClassVar[str]
    """Where it is asked, below the issuer's URL."""
    asked: ClassVar[Asked]
    people: ClassVar[Login | None] = None
    """What people's logins are like, where the checks can log in."""

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

    def opaque(self, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        """A genuine token that the server has to be asked about."""
        raise NotImplementedError

    def revoke(self, token: str) -> None:
        """Takes back a token, of either kind."""
        raise NotImplementedError

    def ways(self) -> list[Way]:
        """All ways to prove who asks. The first is the plainest."""
        raise NotImplementedError

    def signed(self) -> list[tuple[Way, bool]]:
        """Ways to ask for signed answers, and whether the API is to take what comes."""
        return []

    def publish(self, algorithm: str) -> str:
        """Puts another key into the set and returns its `kid`. It signs nothing yet."""
        raise NotImplementedError

    def sign_with(self, algorithm: str, kid: str) -> None:
        """From now on this key signs."""
        raise NotImplementedError

    def withdraw(self, kid: str) -> None:
        """Takes a key out of the set."""
        raise NotImplementedError

    def register(self, application: Application) -> tuple[str, str]:
        """Makes the application known, and returns the identifier and the secret of its client."""
        metadata = json.dumps(application.metadata()).encode()
        send(f"http://127.0.0.1:{self.port}/_control/client", "POST", metadata)
        return LOGIN_CLIENT, LOGIN_SECRET

    def log_in(self, browser: Browser) -> None:
        """Fills in the server's own forms, from where an application has sent the browser until it is sent back."""
        raise NotImplementedError

    def log_out(self, browser: Browser) -> None:
        """Answers what the server asks of somebody who logs out, if it asks, until the browser is sent back."""


def ask_for_token(url: str, client: str, secret: str, form: dict[str, str]) -> str:
    """The client credentials grant (RFC 6749 s4.4)."""
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    body = urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode()
    answer = send(url, "POST", body, {"Authorization": f"Basic {basic}"})
    return json.loads(answer)["access_token"]


def ask_to_revoke(url: str, client: str, secret: str, token: str) -> None:
    """RFC 7009 s2.1."""
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    send(url, "POST", urllib.parse.urlencode({"token": token}).encode(), {"Authorization": f"Basic {basic}"})


def send(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with DIRECT.open(request, timeout=20) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise Trouble(f"{method} {url}: {error.code} {error.read()[:300]!r}") from None
    except OSError as error:
        raise Trouble(f"{method} {url}: {error}") from None


def openssl(*arguments: str | Path) -> None:
    code, output = run(["openssl", *arguments], 20)
    if code:
        raise Trouble(f"openssl {arguments[0]}: {output}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url: str) -> bool | None:
    """Whether somebody listens there; nothing if not, as `Process.wait_for` wants it."""
    try:
        with DIRECT.open(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return None


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy that the environment names must not stand between us and loopback."""
