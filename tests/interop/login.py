"""The tutorial (`examples/tutorial`), this crate's two halves in one program, before a real server and with a real browser."""

from __future__ import annotations

import time

from api import AUDIENCE, Client
from authlib_client import Desk
from checks import Examination, is_refused
from processes import Process, Trouble
from server import Application, Login, free_port

CALLBACK, AFTER_LOGOUT, TOLD = "/authorize", "/", "/backchannel-logout"
"""Where the tutorial is sent back to with a code and after a logout, and where a server tells it of one."""

LIFETIME = 6
"""How long its access tokens live, in seconds."""


class Tutorial(Examination):
    """Somebody logs in, calls the API, stays beyond the end of the token, and logs out."""

    def run(self, desk: Desk) -> None:
        people, port = self.server.people, free_port()
        self.address, self.port = f"http://127.0.0.1:{port}", port
        self.pictures = (desk.screenshots / f"tutorial-{self.server.name}-{number}.png" for number in range(1, 99))
        places = [f"{self.address}{path}" for path in [CALLBACK, AFTER_LOGOUT, TOLD]]
        client, secret = self.server.register(Application(*places, LIFETIME))
        command = [desk.tutorial, f"--port={port}", f"--issuer={self.issuer}", f"--client-id={client}"]
        command += [f"--client-secret={secret}", f"--scope={people.scope}", "--show-token", *self.server.demands]
        command += [f"--resource={AUDIENCE}"]
        program = Process("the tutorial", command, self.server.state / "tutorial.log", {"NO_COLOR": "1"})
        self.browser = desk.chromium.browser(self.server.state)
        try:
            program.line("LISTENING")
            self.logs_in(people)
            self.calls()
            self.renews()
            self.logs_out(people)
        except Trouble as why:
            self.browser.screenshot(next(self.pictures))
            raise Trouble(f"{why}\nThe tutorial said:\n{program.said()[-2000:]}") from None
        finally:
            self.browser.delete()
            program.stop()

    def logs_in(self, people: Login) -> None:
        self.shows = "the tutorial: login"
        browser = self.browser
        browser.go(self.address)
        browser.wait_for("#sign-in")
        browser.screenshot(next(self.pictures))
        browser.leave_by("#sign-in")
        browser.screenshot(next(self.pictures))
        self.server.log_in(browser)
        browser.wait_for("#user", "#error")
        user = browser.text("#user") if browser.has("#user") else ""
        fits = bool(user) and people.names_user in user
        self.say(fits, "the tutorial: a browser logs in by the server's own forms, and is greeted", browser.page())
        browser.screenshot(next(self.pictures))
        browser.go(f"{self.address}/profile")
        browser.wait_for("#user", "#error")
        self.say(browser.has("#user"), "the tutorial: it shows the profile", browser.page())
        browser.screenshot(next(self.pictures))

    def calls(self) -> None:
        self.shows = "the tutorial: the API is called"
        seen = self.call()
        self.say(seen == "200", "the tutorial: it calls the API with the token, and that is 200", self.browser.page())
        self.browser.screenshot(next(self.pictures))

    def renews(self) -> None:
        """The token is renewed before it ends or when it has, and by one request, though two calls need it."""
        self.shows = "the tutorial: the token is renewed"
        began, first = self.proxy.grants("refresh_token"), self.token()
        time.sleep(LIFETIME + 1)
        seen = self.call()
        self.say(seen == "200", "the tutorial: beyond the token's end it calls again: 200", self.browser.page())
        asked = self.proxy.grants("refresh_token") - began
        self.say(asked == 1, f"the tutorial: for that it renewed the token {asked} time")
        self.say(self.token() != first, "the tutorial: it has another token than before")
        self.browser.screenshot(next(self.pictures))

    def logs_out(self, people: Login) -> None:
        self.shows = "the tutorial: logout"
        browser, token = self.browser, self.token()
        seen = self.ask(token)
        self.say(seen.status == 200, "the tutorial: its API takes the token from anybody who has it", seen)
        browser.go(self.address)
        cookies = browser.cookies
        browser.leave_by("#sign-out")
        self.server.log_out(browser)
        browser.wait_for("#sign-in", "#error")
        at_home = browser.current_url.startswith(self.address) and browser.has("#sign-in")
        self.say(at_home, "the tutorial: the server logs the person out and sends the browser back", browser.page())
        browser.screenshot(next(self.pictures))
        for cookie in cookies:
            browser.set_cookie(cookie)
        browser.go(self.address)
        is_out = browser.wait_for("#sign-in", "#user", "#error") != "#user"
        self.say(is_out, "the tutorial: who comes back with the old session's cookies is not logged in", browser.page())
        if people.tells_logout:
            self.shows = "the tutorial: the server tells it of a logout"
            deadline = time.monotonic() + 5
            while (seen := self.ask(token)).status == 200 and time.monotonic() < deadline:
                time.sleep(0.05)
            what = "the tutorial: told of the logout by the back channel, its API refuses the token with 401"
            self.say(is_refused(seen), what, seen)

    def call(self) -> str:
        self.browser.go(self.address)
        self.browser.leave_by("#call-api")
        self.browser.wait_for("#answer", "#error")
        return self.browser.text("#status") if self.browser.has("#status") else ""

    def token(self) -> str:
        self.browser.go(self.address)
        return self.browser.attribute("#access-token", "textContent").strip()

    def ask(self, token: str):
        client = Client(self.port)
        try:
            return client.ask(token, path="/api/things")
        finally:
            client.close()
