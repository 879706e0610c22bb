"""Authlib as an authorization server, from PyPI: written in Python, on `joserfc`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pypi
from api import AUDIENCE
from browser import Browser
from processes import Process, Unavailable
from server import (
    OTHER_API,
    PASSWORD,
    READ,
    USER,
    WRITE,
    Asked,
    Login,
    Server,
    Way,
    ask_for_token,
    ask_to_revoke,
    openssl,
)

FILES = Path(__file__).resolve().parent / "authlib"


class Authlib(Server):
    name = "authlib"
    title = "Authlib 1.9"
    algorithms = ("RS256", "ES256")
    endpoint = "/introspect"
    asked = Asked()
    people = Login(metadata="/.well-known/oauth-authorization-server", names_user="Alice Example")

    def install(self) -> None:
        if not shutil.which("openssl"):
            raise Unavailable("there is no openssl")
        self.packages = pypi.fetch(FILES / "requirements.txt", self.store)

    def start(self, public_url: str) -> str:
        for name in ["client", "other"]:
            key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.state / f"{name}.key"]
            openssl("genpkey", *key)
        arguments = [public_url, AUDIENCE, OTHER_API, self.state / "client.key"]
        command = [sys.executable, "-B", FILES / "issuer.py", *arguments]
        process = Process(self.name, command, self.state / "authlib.log", {"PYTHONPATH": str(self.packages)})
        self.port = int(process.line("LISTENING"))
        return public_url

    def token(self, algorithm: str, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        client = f"machine-{algorithm}" if audience in [None, AUDIENCE] else f"machine-{algorithm}-other"
        return ask_for_token(f"http://127.0.0.1:{self.port}/token", client, "secret", {"scope": scope})

    def opaque(self, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        return self.token("opaque", scope, audience)

    def revoke(self, token: str) -> None:
        client = "machine-ES256" if "." in token else "machine-opaque"
        ask_to_revoke(f"http://127.0.0.1:{self.port}/revoke", client, "secret", token)

    def ways(self) -> list[Way]:
        def key(name: str) -> list[str]:
            return ["--auth=private-key-jwt", "--client=api-key", f"--key-file={self.state}/{name}", "--key-alg=ES256"]

        return [
            Way("client_secret_basic", ["--client=api-basic"], "secret"),
            Way("client_secret_post", ["--auth=post", "--client=api-post"], "secret"),
            Way("private_key_jwt", key("client.key"), wrong=key("other.key")),
        ]

    def signed(self) -> list[tuple[Way, bool]]:
        wanted = ["--client=api-basic", "--signed"]
        return [(Way("signed answers, of which this server has none", wanted, "secret"), False)]

    def log_in(self, browser: Browser) -> None:
        browser.type("input[name=user]", USER)
        browser.type("input[name=password]", PASSWORD)
        browser.leave_by("button[value=yes]")
