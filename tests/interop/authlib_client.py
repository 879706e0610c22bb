"""Authlib's Flask client (`authlib/client.py`): somebody logs in with a real browser, and it calls the guarded API."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from authlib_flask import FILES, Authlib
from browser import Browser, Chromium
from checks import Examination
from processes import Process
from server import READ, WRITE, Application, Login, free_port


@dataclass(frozen=True)
class Desk:
    """What the checks with a browser have in common."""

    chromium: Chromium
    authlib: Authlib
    tutorial: Path | None
    """The program of `examples/tutorial`."""
    screenshots: Path


class AuthlibClient(Examination):
    """Two programs of other people's and the API between them."""

    def run(self, desk: Desk) -> None:
        self.shows, people = "Authlib's client", self.server.people
        port, may = free_port(), " ".join(word for word in people.scope.split() if word != WRITE)
        address = f"http://127.0.0.1:{port}"
        client, secret = self.server.register(Application(f"{address}/authorize", f"{address}/logged-out"))
        api = self.api() if people.jwts else self.asker(self.server.ways()[0])
        arguments = [str(port), f"{self.issuer}{people.metadata}", client, may, people.resource or ""]
        arguments.append(f"http://127.0.0.1:{api.port}")
        environment = {"PYTHONPATH": str(desk.authlib.packages), "CLIENT_SECRET": secret}
        command = [sys.executable, "-B", FILES / "client.py", *arguments]
        program = Process("Authlib's client", command, self.server.state / "client.log", environment)
        program.line("LISTENING")
        browser = desk.chromium.browser(self.server.state)
        try:
            self.story(browser, address, people)
            browser.screenshot(desk.screenshots / f"authlib-client-{self.server.name}.png")
            browser.leave_by("#sign-out")
            self.server.log_out(browser)
            is_out = browser.wait_for("#sign-in", "#user", "#error") == "#sign-in"
            what = "Authlib's client: the server logs the person out and sends the browser back"
            self.say(is_out, what, browser.page())
        finally:
            browser.delete()
            program.stop()
            api.process.stop()

    def story(self, browser: Browser, address: str, people: Login) -> None:
        browser.go(address)
        browser.leave_by("#sign-in")
        self.server.log_in(browser)
        browser.wait_for("#user", "#error")
        user = browser.text("#user") if browser.has("#user") else ""
        self.say(bool(user), "Authlib's client: a browser logs in by the server's own forms", browser.page())
        browser.leave_by("#write")
        seen = browser.text("#status")
        self.say(seen == "403", f"Authlib's client: what it did not ask for ({WRITE}) is 403", browser.page())
        browser.leave_by("#read")
        seen, answer = browser.text("#status"), browser.text("#answer")
        self.say(seen == "200", f"Authlib's client: it calls the API with the token ({READ}), and that is 200", answer)
        known = people.known_by or f'"sub":"{user}"'
        self.say(known in answer, "Authlib's client: the API knows who it is", answer)
