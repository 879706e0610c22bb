"""The guarded API (`examples/guarded_api`), and a client for it."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from processes import Process, Trouble

AUDIENCE = "https://api.example/"


def build(root: Path, example: str) -> Path:
    """Builds the example, as every other step of CI does, and returns the program."""
    command = ["cargo", "build", "--locked", "--example", example, "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        raise Trouble(f"{example} cannot be built")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == example and message.get("executable"):
            return Path(message["executable"])
    raise Trouble(f"cargo did not say where {example} is")


@dataclass
class Seen:
    """What an answer says of the judgement."""

    status: int
    challenge: str = ""
    retry_after: str | None = None
    body: str = ""

    def __str__(self) -> str:
        parts = [str(self.status), self.challenge, self.retry_after and f"Retry-After: {self.retry_after}"]
        return " ".join(part for part in parts if part)


class Api:
    """One guarded API that trusts one issuer. It has fetched the keys once when this returns, if it needs any."""

    SECRET = "INTEROP_SECRET"

    def __init__(self, program: Path, issuer: str, log: Path, more: list[str] | None = None, secret: str | None = None):
        command = [program, "--issuer", issuer, "--audience", AUDIENCE, "--listen", "127.0.0.1:0", *(more or [])]
        environment = {"NO_COLOR": "1"} if secret is None else {"NO_COLOR": "1", self.SECRET: secret}
        self.process = Process("the guarded API", command, log, environment)
        self.port = int(self.process.line("API").rpartition(":")[2])

    def ask(self, token: str | None, method: str = "GET", path: str = "/things") -> Seen:
        client = Client(self.port)
        try:
            return client.ask(token, method, path)
        finally:
            client.close()

    def all_at_once(self, tokens: list[str], threads: int = 8) -> list[Seen]:
        """Asks with each token, some of them at a time. The answers are in the order of the tokens."""
        answers: dict[int, Seen] = {}
        left = iter(enumerate(tokens))
        lock = threading.Lock()

        def work() -> None:
            client = Client(self.port)
            while True:
                with lock:
                    place, token = next(left, (None, None))
                if place is None:
                    break
                answers[place] = client.ask(token)
            client.close()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(tokens)))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        if len(answers) != len(tokens):
            raise Trouble(f"{len(tokens) - len(answers)} of {len(tokens)} requests were not answered")
        return [answers[place] for place in range(len(tokens))]


class Client:
    """One connection that is kept."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self, token: str | None, method: str = "GET", path: str = "/things") -> Seen:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        try:
            self.connection.request(method, path, headers=headers)
            answer = self.connection.getresponse()
            body = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return Seen(0, f"no answer: {error!r}")
        return Seen(answer.status, answer.getheader("WWW-Authenticate", ""), answer.getheader("Retry-After"), body)

    def close(self) -> None:
        self.connection.close()


class Stream:
    """A steady stream of requests by all the tokens that are in `tokens` at the time, until it is stopped."""

    THREADS = 4
    PAUSE = 0.004

    def __init__(self, api: Api, tokens: dict[str, str]):
        self.api = api
        self.tokens = tokens
        self.seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(self.THREADS)]
        for worker in self._workers:
            worker.start()

    def _work(self) -> None:
        client = Client(self.api.port)
        while not self._stopped.wait(self.PAUSE):
            for name, token in self.tokens.items():
                seen = client.ask(token)
                with self._lock:
                    self.seen[name, str(seen)] += 1
        client.close()

    def add(self, name: str, token: str) -> None:
        self.tokens = {**self.tokens, name: token}

    def count(self, name: str) -> int:
        with self._lock:
            return sum(count for (whose, _), count in self.seen.items() if whose == name)

    def more(self, requests: int) -> None:
        """Waits until each token has been sent so many times more."""
        wanted = {name: self.count(name) + requests for name in self.tokens}
        deadline = time.monotonic() + 30
        while any(self.count(name) < count for name, count in wanted.items()):
            if time.monotonic() > deadline:
                raise Trouble("the stream of requests has run dry")
            time.sleep(0.01)

    def stop(self) -> tuple[int, str]:
        """How many requests there were, and what was seen instead of 200."""
        self._stopped.set()
        for worker in self._workers:
            worker.join(30)
        others = [f"{name}: {count} times {seen}" for (name, seen), count in self.seen.items() if seen != "200"]
        return sum(self.seen.values()), ", ".join(others)
