"""django-oauth-toolkit, from PyPI: written in Python, on `oauthlib` and `jwcrypto`. Its access tokens are opaque."""

from __future__ import annotations

import sys
from pathlib import Path

import pypi
from api import AUDIENCE
from browser import Browser
from processes import Process
from server import PASSWORD, READ, USER, WRITE, Asked, Login, Server, Way, ask_for_token, ask_to_revoke

FILES = Path(__file__).resolve().parent / "django-oauth-toolkit"


class DjangoToolkit(Server):
    name = "django-oauth-toolkit"
    title = "django-oauth-toolkit 3.4"
    algorithms = ()
    endpoint = "/introspect/"
    asked = Asked(about_jwts=False, leaves_out="issuer")
    people = Login(resource=AUDIENCE, known_by=f'"username":"{USER}"', jwts=False)

    def install(self) -> None:
        self.packages = pypi.fetch(FILES / "requirements.txt", self.store)

    def start(self, public_url: str) -> str:
        command = [sys.executable, "-B", FILES / "issuer.py", self.state / "django.db"]
        process = Process(self.name, command, self.state / "django.log", {"PYTHONPATH": str(self.packages)})
        self.port = int(process.line("LISTENING"))
        return f"{public_url}/o"

    def opaque(self, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        form = {"scope": scope, "resource": audience or AUDIENCE}
        return ask_for_token(f"http://127.0.0.1:{self.port}/o/token/", "machine", "secret", form)

    def revoke(self, token: str) -> None:
        ask_to_revoke(f"http://127.0.0.1:{self.port}/o/revoke_token/", "machine", "secret", token)

    def ways(self) -> list[Way]:
        # A token that is for an API is not one for the server itself, so this one is asked for without a resource.
        form = {"scope": "introspection"}
        bearer = ask_for_token(f"http://127.0.0.1:{self.port}/o/token/", "machine", "secret", form)
        return [
            Way("client_secret_basic", ["--client=api"], "secret", is_told=False),
            Way("a bearer token", ["--auth=bearer"], bearer, is_told=False),
        ]

    def signed(self) -> list[tuple[Way, bool]]:
        wanted = ["--client=api", "--signed"]
        return [(Way("signed answers, of which this server has none", wanted, "secret"), False)]

    def log_in(self, browser: Browser) -> None:
        if browser.wait_for("input[name=username]", "input[name=allow]") != "input[name=allow]":
            browser.type("input[name=username]", USER)
            browser.type("input[name=password]", PASSWORD)
            browser.leave_by("button")
        browser.leave_by("input[name=allow]")

    def log_out(self, browser: Browser) -> None:
        browser.leave_by("input[name=allow]")
