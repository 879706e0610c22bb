"""What a guarded API must do that asks its issuer about tokens (RFC 7662)."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from pathlib import Path

from api import Api, Seen
from checks import ROTATED, Examination, flipped, is_put_off, is_refused, kid_of, parameters
from proxy import Proxy
from server import OTHER_API, READ, WRITE, Server, Way

REMEMBER, DEADLINE, SLOW = 3, 2, 4
"""In seconds: how long an answer counts where that is tried, how long the API waits for one, and how long a slow server takes."""

MARGIN = 1.5
"""What a busy machine may add."""


class Asking(Examination):
    """How tokens are judged by what the issuer says of them."""

    def run(self) -> None:
        self.dead = self.server.opaque()
        self.server.revoke(self.dead)
        ways = self.server.ways()
        for way in ways:
            self.proves(way)
            if mistaken := way.mistaken():
                self.mistaken(way, mistaken)
        self.plainest = ways[0]
        self.absent()
        self.remembered()
        self.not_remembered()
        if self.server.algorithms:
            self.jwts()
        for way, is_taken in self.server.signed():
            self.signed(way, is_taken)
        self.out_of_reach()

    def proves(self, way: Way) -> None:
        """What the issuer says is minded, whichever way the API proves who it is."""
        self.shows = "introspection"
        api = self.asker(way)
        seen, plainly = api.ask(self.server.opaque()), re.split(", | with ", way.name)[0]
        self.say(seen.status == 200, f"{way.name}: an active token is 200", seen, plainly)
        seen = api.ask(self.server.opaque(scope=READ), "POST")
        challenge = parameters(seen)
        fits = seen.status == 403 and challenge.get("error") == "insufficient_scope" and challenge.get("scope") == WRITE
        self.say(fits, f"{way.name}: one that lacks the scope is 403 insufficient_scope", seen)
        bad = {"a revoked one": self.dead, "an invented one": "invented"}
        if self.server.asked.names_audience:
            bad["one for another API"] = self.server.opaque(audience=OTHER_API)
        seen = {what: api.ask(token) for what, token in bad.items()}
        wrong = [f"{what}: {answer}" for what, answer in seen.items() if not is_refused(answer)]
        self.say(not wrong, f"{way.name}: {', '.join(bad)} are 401 invalid_token", ", ".join(wrong))
        api.process.stop()

    def mistaken(self, way: Way, mistaken: Way) -> None:
        """The issuer does not believe the API, which says nothing of the token. A secret lies in a file and is set right."""
        token, file = self.server.opaque(), None
        if mistaken.secret is not None:
            file = self.server.state / "secret"
            file.write_text(f"{mistaken.secret}\n")
        api = self.asker(mistaken, secret_file=file)
        seen = api.ask(token)
        self.say(is_put_off(seen), f"{way.name}, with a wrong proof: an active token is 503, and not 401", seen)
        if file and way.is_told:
            file.write_text(f"{way.secret}\n")
            seen = api.ask(token)
            self.say(seen.status == 200, f"{way.name}: when its file is set right the token is 200 at once", seen)
        api.process.stop()

    def absent(self) -> None:
        """What an answer does not say counts against the token, unless the API was told otherwise."""
        self.shows = ""
        if not self.server.asked.leaves_out:
            return
        api = self.asker(self.plainest, accept_absent=False)
        seen = api.ask(self.server.opaque())
        what = f"without --accept-absent {self.server.asked.leaves_out} an active token is 401 invalid_token"
        self.say(is_refused(seen), what, seen)
        api.process.stop()

    def remembered(self) -> None:
        """A revoked token is accepted for as long as the answer counts, and no longer."""
        self.shows = "revocation"
        api = self.asker(self.plainest, f"--remember={REMEMBER}", place=f"{self.issuer}{self.server.endpoint}")
        token, before = self.server.opaque(), self.proxy.questions()
        began = time.monotonic()
        wrong = [seen for seen in api.all_at_once([token] * 50) if seen.status != 200]
        asked = self.proxy.questions() - before
        fits = not wrong and asked == 1
        self.say(fits, f"50 requests with one token are 200 and cost {asked} question", wrong[0] if wrong else "")
        self.server.revoke(token)
        seen = api.ask(token)
        self.say(seen.status == 200, "revoked a moment later, it is still 200 from memory", seen)
        while (seen := api.ask(token)).status == 200 and time.monotonic() - began < REMEMBER + MARGIN:
            time.sleep(0.02)
        what = f"it is 401 {time.monotonic() - began:.1f} s after the answer, which counted {REMEMBER} s"
        self.say(is_refused(seen), what, seen)
        api.process.stop()

    def not_remembered(self) -> None:
        self.shows = "revocation"
        api = self.asker(self.plainest, "--remember=0")
        token, before = self.server.opaque(), self.proxy.questions()
        seen = [api.ask(token), api.ask(token)]
        asked = self.proxy.questions() - before
        fits = asked == 2 and all(answer.status == 200 for answer in seen)
        self.say(fits, f"with --remember 0 two requests are 200 and cost {asked} questions", seen[-1])
        self.server.revoke(token)
        seen = api.ask(token)
        self.say(is_refused(seen), "with --remember 0 a revoked token is 401 at once", seen)
        api.process.stop()

    def jwts(self) -> None:
        """Keys first, and then the issuer: for JWTs that can be revoked."""
        self.shows = "revoked JWTs" if self.server.asked.about_jwts else ""
        algorithm = ROTATED if ROTATED in self.server.algorithms else self.server.algorithms[0]
        token = self.server.token(algorithm)
        api = self.asker(self.plainest, "--remember=0", order="--and-introspect")
        if not self.server.asked.about_jwts:
            seen = api.ask(token)
            self.say(is_put_off(seen), "a JWT, of which this server says nothing when asked, is 503, and not 401", seen)
            api.process.stop()
            return
        seen = api.ask(token)
        self.say(seen.status == 200, "--and-introspect: a JWT that is good by its keys and active is 200", seen)
        before = self.proxy.questions()
        head, payload, signature = token.split(".")
        seen = api.ask(f"{head}.{payload}.{flipped(signature)}")
        fits = is_refused(seen) and self.proxy.questions() == before
        self.say(fits, "--and-introspect: a JWT with a changed signature is 401, and nobody is asked", seen)
        self.server.revoke(token)
        seen = api.ask(token)
        self.say(is_refused(seen), "--and-introspect: a revoked JWT is 401", seen)
        api.process.stop()
        by_keys = self.api()
        seen = by_keys.ask(token)
        self.say(seen.status == 200, "an API that asks nobody cannot know, and its 200 shows that", seen)
        by_keys.process.stop()

    def signed(self, way: Way, is_taken: bool) -> None:
        """RFC 9701. The key that signs the answers is turned over while the API runs."""
        self.shows = "signed answers" if is_taken else ""
        api = self.asker(way, "--remember=0")
        token = self.server.opaque()
        seen = api.ask(token)
        if not is_taken:
            self.say(is_put_off(seen), f"{way.name}: an active token is 503", seen)
            api.process.stop()
            return
        self.say(seen.status == 200, f"{way.name}: an active token is 200", seen)
        seen = api.ask(self.dead)
        if self.server.asked.signs_refusals:
            self.say(is_refused(seen), f"{way.name}: a revoked one is 401 invalid_token", seen)
        else:
            self.say(is_put_off(seen), f"{way.name}: a revoked one, of which nothing is signed, is 503", seen)
        old, before = kid_of(self.server.token(ROTATED)), self.proxy.key_sets()
        self.server.sign_with(ROTATED, self.server.publish(ROTATED))
        self.server.withdraw(old)
        seen = api.ask(self.server.opaque())
        asked = self.proxy.key_sets() - before
        fits = seen.status == 200 and asked == 1
        self.say(fits, f"{way.name}: the first answer by a new key is taken, for {asked} request for the key set", seen)
        api.process.stop()

    def out_of_reach(self) -> None:
        """The server is down and then slow, and JWTs of another one, if it makes any, are judged by its keys meanwhile."""
        self.shows = "down or slow"
        jwt, more = None, []
        if self.server.algorithms:
            other, proxy = self.another()
            jwt = other.token(other.algorithms[0])
            more.append(f"--also-trust={self.issuer.replace(self.proxy.url, proxy.url)}")
        api, kept = self.asker(self.plainest, *more), self.server.opaque()
        seen = api.ask(kept)
        self.say(seen.status == 200, "before it goes down its token is 200", seen)
        if jwt:
            seen = api.ask(jwt)
            self.say(seen.status == 200, "before it goes down a JWT of another issuer is 200", seen)
        fresh = self.server.opaque()
        self.proxy.cut()
        seen = api.ask(fresh)
        self.say(is_put_off(seen), "down: a token that has to be asked about is 503 with Retry-After", seen)
        seen = api.ask(kept)
        self.say(seen.status == 200, "down: a token whose answer still counts is 200", seen)
        if jwt:
            wrong = [seen for seen in api.all_at_once([jwt] * 50) if seen.status != 200]
            self.say(not wrong, "down: 50 JWTs of the other issuer are 200", wrong[0] if wrong else "")
        self.proxy.join()
        self.accepts_again(api, fresh, "up again")

        tokens = [self.server.opaque() for _ in range(8)]
        self.proxy.delay = SLOW
        answers: list[Seen] = []
        asking = threading.Thread(target=lambda: answers.extend(api.all_at_once(tokens)), daemon=True)
        began = time.monotonic()
        asking.start()
        longest, wrong = 0.0, []
        while jwt and asking.is_alive() and time.monotonic() - began < SLOW:
            sent = time.monotonic()
            seen = api.ask(jwt)
            longest = max(longest, time.monotonic() - sent)
            wrong += [seen] if seen.status != 200 else []
            time.sleep(0.01)
        asking.join(10)
        took = time.monotonic() - began
        fits = len(answers) == len(tokens) and all(map(is_put_off, answers)) and took < DEADLINE + MARGIN
        what = f"slow: 8 tokens that have to be asked about are 503 after {took:.1f} s, of {DEADLINE} s"
        self.say(fits, what, ", ".join(map(str, answers)))
        if jwt:
            fits = not wrong and longest < MARGIN
            what = f"slow: JWTs of the other issuer are 200 meanwhile, within {longest * 1000:.0f} ms"
            self.say(fits, what, wrong[0] if wrong else "")
        self.proxy.delay = 0
        self.accepts_again(api, tokens[0], "fast again")
        api.process.stop()

    def accepts_again(self, api: Api, token: str, when: str) -> None:
        began, refusals = time.monotonic(), []
        while (seen := api.ask(token)).status != 200 and time.monotonic() - began < 10:
            refusals.append(seen)
            time.sleep(0.1)
        wrong = [refusal for refusal in refusals if not is_put_off(refusal)]
        fits = seen.status == 200 and not wrong
        self.say(fits, f"{when}: the token is 200 after {time.monotonic() - began:.1f} s", wrong[0] if wrong else seen)

    def another(self) -> tuple[Server, Proxy]:
        """A second server of the same kind, with a name and keys of its own."""
        other = type(self.server)(self.server.store, Path(tempfile.mkdtemp(prefix="other-", dir=self.server.state)))
        proxy = Proxy()
        other.install()
        other.start(proxy.url)
        proxy.upstream = other.port
        return other, proxy
