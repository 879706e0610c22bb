"""What a guarded API must do before a real issuer."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from pathlib import Path

from api import AUDIENCE, Api, Seen, Stream
from processes import Trouble
from proxy import Proxy
from server import OTHER_API, READ, WRITE, Server, Way

ROTATED, STEADY = "ES256", "RS256"
"""The keys of the one are turned over and over, those of the other stay."""

FLOOD = 500


class Report:
    """One line a check, and their sum."""

    def __init__(self):
        self.passed = self.failed = 0
        self.since = time.monotonic()
        self.shown: dict[tuple[str, str], list[str]] = {}
        """By server and feature: what held, in particular."""

    def shows(self, server: str, feature: str, particular: str = "") -> None:
        shown = self.shown.setdefault((server, feature), [])
        if particular and particular not in shown:
            shown.append(particular)

    def line(self, server: str, holds: bool, what: str, seen: object = "") -> None:
        """With the seconds since the line before."""
        self.passed, self.failed = self.passed + holds, self.failed + (not holds)
        now = time.monotonic()
        took, self.since = now - self.since, now
        seen = f": {seen}" if seen and not holds else ""
        print(f"{'ok  ' if holds else 'FAIL'} {took:5.1f} s  {server}: {what}{seen}", flush=True)


class Examination:
    """Checks of one server that runs. What holds goes to the manual under the name of the feature that it `shows`.

    Each begins with an API of its own, so that none has spent what another counts.
    """

    def __init__(self, server: Server, issuer: str, proxy: Proxy, program: Path, report: Report):
        self.server, self.issuer, self.proxy, self.program, self.report = server, issuer, proxy, program, report
        self.apis = 0
        self.shows = ""

    def api(self, more: list[str] | None = None, secret: str | None = None) -> Api:
        """One that judges by keys, if it is not told otherwise."""
        self.apis += 1
        log = self.server.state / f"{type(self).__name__}-{self.apis}.log"
        return Api(self.program, self.issuer, log, [*self.server.demands, *(more or [])], secret)

    def asker(
        self,
        way: Way,
        *more: str,
        order: str = "--introspect",
        place: str = "discover",
        accept_absent: bool = True,
        secret_file: Path | None = None,
    ) -> Api:
        arguments = [f"{order}={place}", *way.arguments, *more]
        if accept_absent and self.server.asked.leaves_out:
            arguments.append(f"--accept-absent={self.server.asked.leaves_out}")
        if secret_file:
            return self.api([*arguments, f"--secret-file={secret_file}"])
        if way.secret is not None:
            arguments.append(f"--secret-env={Api.SECRET}")
        return self.api(arguments, way.secret)

    def say(self, holds: bool, what: str, seen: object = "", particular: str = "") -> None:
        self.report.line(self.server.name, holds, what, seen)
        if self.shows and holds:
            self.report.shows(self.server.name, self.shows, particular)


class Judging(Examination):
    """How JWTs are judged by the issuer's keys, while these are turned over."""

    def run(self) -> None:
        if not self.server.algorithms:
            return
        if not self.server.turns_keys:
            self.answers(self.api())
            return
        last, kept = self.api(), self.server.token(STEADY)
        for check in [self.answers, self.overlap, self.no_overlap, self.flood]:
            api = self.api()
            check(api)
            api.process.stop()
        self.outage(last, kept)

    def answers(self, api: Api) -> None:
        self.shows = "JWTs"
        for algorithm in self.server.algorithms:
            seen = api.ask(self.server.token(algorithm))
            self.say(seen.status == 200, f"a genuine token signed with {algorithm} is 200", seen, algorithm)
        algorithm = self.server.algorithms[0]
        token = self.server.token(algorithm)
        claims = api.ask(token, path="/me")
        self.say(f'"iss":"{self.issuer}"' in claims.body, "the handler reads the claims of the token", claims.body)
        seen = api.ask(None)
        fits = seen.status == 401 and parameters(seen) == {"realm": AUDIENCE, "scope": READ}
        self.say(fits, "no token is 401 with a challenge that names the scope, and no error", seen)
        head, payload, signature = token.split(".")
        bad = {
            "a changed signature": f"{head}.{payload}.{flipped(signature)}",
            "a changed payload": f"{head}.{encoded({**decoded(payload), 'sub': 'root'})}.{signature}",
            "no signature": f"{encoded({**decoded(head), 'alg': 'none'})}.{payload}.",
            "a genuine token for another API": self.server.token(algorithm, audience=OTHER_API),
        }
        for what, token in bad.items():
            seen = api.ask(token)
            self.say(is_refused(seen), f"{what} is 401 invalid_token", seen)
        seen = api.ask(self.server.token(algorithm, scope=READ), "POST")
        challenge = parameters(seen)
        fits = seen.status == 403 and challenge.get("error") == "insufficient_scope" and challenge.get("scope") == WRITE
        self.say(fits, "a genuine token that lacks the scope is 403 insufficient_scope", seen)

    def overlap(self, api: Api) -> None:
        """Twice the issuer publishes a key, signs with it a while later, and keeps the older ones."""
        self.shows = "rotation"
        before, first = self.proxy.key_sets(), self.server.token(ROTATED)
        old = [kid_of(first)]
        stream = Stream(api, {"the first key": first})
        for name in ["the second key", "the third key"]:
            stream.more(40)
            kid = self.server.publish(ROTATED)
            stream.more(40)
            stream.add(name, self.signed_by(kid))
            stream.more(40)
            old.append(kid)
        total, refused = stream.stop()
        what = f"two rotations with overlap: {total} requests by the old keys and the new ones, none refused"
        self.say(not refused, what, refused)
        self.fetched("two rotations with overlap", before, 2, 2)
        for kid in old[:-1]:
            self.server.withdraw(kid)

    def no_overlap(self, api: Api) -> None:
        """The old key is gone when the new one signs."""
        self.shows = "rotation"
        before, old = self.proxy.key_sets(), self.server.token(ROTATED)
        self.say(api.ask(old).status == 200, "before a rotation without overlap the old key is accepted")
        new = self.turn_over(kid_of(old))
        refused = [seen for seen in api.all_at_once([new] * 16) if seen.status != 200]
        what = "the first 16 tokens by the new key, at once, wait for it and are 200"
        self.say(not refused, what, refused[0] if refused else "")
        self.fetched("the first tokens by the new key", before, 1, 1)
        seen = api.ask(old)
        self.say(is_refused(seen), "a token by the withdrawn key is 401 invalid_token", seen)
        seen = api.ask(new)
        self.say(seen.status == 200, "and the new key is accepted as before", seen)
        self.fetched("a rotation without overlap", before, 1, 2)

    def flood(self, api: Api) -> None:
        """Somebody sends tokens that name keys nobody has."""
        self.shows = "flood"
        before, steady = self.proxy.key_sets(), self.server.token(STEADY)
        tokens = [steady if number % 10 == 9 else invented(steady) for number in range(FLOOD * 10 // 9)]
        answers = list(zip(tokens, api.all_at_once(tokens)))
        forged = [seen for token, seen in answers if token != steady]
        wrong = [seen for seen in forged if not is_refused(seen)]
        self.say(not wrong, f"{len(forged)} tokens with invented kids are 401 invalid_token", wrong[0] if wrong else "")
        wrong = [seen for token, seen in answers if token == steady and seen.status != 200]
        self.say(not wrong, "genuine tokens among them are 200", wrong[0] if wrong else "")
        self.fetched(f"{len(forged)} invented kids", before, 1, 2)
        new = self.turn_over(kid_of(self.server.token(ROTATED)))
        refusals = self.until_accepted(api, new, 40)
        what = "after that flood a new key is accepted within 40 s"
        self.say(refusals is not None, what, "it is still refused")
        self.fetched("the flood and the new key", before, 2, 3)

    def outage(self, api: Api, kept: str) -> None:
        """The issuer is out of reach. This API has its keys from before all the rotations."""
        self.shows = "keys out of reach"
        unknown = self.server.token(ROTATED)
        self.proxy.cut()
        wrong = [seen for seen in api.all_at_once([kept] * 50) if seen.status != 200]
        self.say(not wrong, "with the issuer down, 50 tokens by a key at hand are 200", wrong[0] if wrong else "")
        for what, token in [("a genuine token by a key not at hand", unknown), ("an invented kid", invented(kept))]:
            seen = api.ask(token)
            self.say(is_put_off(seen), f"with the issuer down, {what} is 503 with Retry-After and no challenge", seen)
        self.proxy.join()
        refusals = self.until_accepted(api, unknown, 40)
        self.say(refusals is not None, "with the issuer up again, the token is 200 within 40 s", "it is still refused")
        wrong = [seen for seen in refusals or [] if not is_put_off(seen)]
        what = f"until then it was put off {len(refusals or [])} times, each time with 503"
        self.say(not wrong, what, wrong[0] if wrong else "")
        seen = api.ask(invented(kept))
        self.say(is_refused(seen), "and an invented kid is 401 again", seen)

    def fetched(self, what: str, before: int, least: int, most: int) -> None:
        """How often the issuer's key set was asked for since. Not at all would mean that nobody counted."""
        asked = self.proxy.key_sets() - before
        self.say(least <= asked <= most, f"{what}: {asked} requests for the key set, of {most} at most")

    def signed_by(self, kid: str) -> str:
        """Lets this key sign from now on, and returns a token by it."""
        self.server.sign_with(ROTATED, kid)
        token = self.server.token(ROTATED)
        if kid_of(token) != kid:
            raise Trouble(f"the issuer was told to sign with {kid}, and signs with {kid_of(token)}")
        return token

    def turn_over(self, old: str) -> str:
        """Replaces the key, and returns a token by the new one."""
        token = self.signed_by(self.server.publish(ROTATED))
        self.server.withdraw(old)
        return token

    @staticmethod
    def until_accepted(api: Api, token: str, seconds: float) -> list[Seen] | None:
        """Asks until the token is accepted, and returns the refusals before that; nothing if it never was."""
        refusals, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = api.ask(token)
            if seen.status == 200:
                return refusals
            refusals.append(seen)
            time.sleep(0.5)
        return None


def is_refused(seen: Seen) -> bool:
    return seen.status == 401 and parameters(seen).get("error") == "invalid_token"


def is_put_off(seen: Seen) -> bool:
    return seen.status == 503 and (seen.retry_after or "").isdigit() and not seen.challenge


def parameters(seen: Seen) -> dict[str, str]:
    """Those of a bearer challenge (RFC 6750 s3)."""
    scheme, _, rest = seen.challenge.partition(" ")
    return dict(re.findall(r'(\w+)="([^"]*)"', rest)) if scheme == "Bearer" else {}


def kid_of(token: str) -> str:
    return decoded(token.split(".")[0])["kid"]


def invented(token: str) -> str:
    """The token with the name of a key that nobody has."""
    head, rest = token.split(".", 1)
    return f"{encoded({**decoded(head), 'kid': secrets.token_hex(8)})}.{rest}"


def flipped(signature: str) -> str:
    """Another first byte. At the end there may be bits that mean nothing."""
    return ("A" if signature[0] != "A" else "B") + signature[1:]


def decoded(part: str) -> dict:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encoded(part: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
