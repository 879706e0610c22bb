"""node-oidc-provider, from npm."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from api import AUDIENCE
from processes import Process, Trouble, Unavailable
from server import READ, WRITE, Installation, Server, ask_for_token, send

FILES = Path(__file__).resolve().parent / "oidc-provider"
OUT_OF_REACH = re.compile(
    r"\b(E401|E403|E404|EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|ERR_SOCKET_TIMEOUT|ETIMEDOUT)\b"
)
"""What npm says where there is no network, or its registry does not have a package."""


class OidcProvider(Server):
    name = "oidc-provider"
    algorithms = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")

    def install(self) -> None:
        for tool in ["node", "npm"]:
            if not shutil.which(tool):
                raise Unavailable(f"there is no {tool}")
        installation = Installation()
        _, version = installation.run(["node", "--version"])
        if not (major := re.match(r"v(\d+)", version)) or int(major[1]) < 20:
            raise Unavailable(f"it needs node 20 or newer, and this is {version.strip()}")
        self.store.mkdir(parents=True, exist_ok=True)
        lock, installed = FILES / "package-lock.json", self.store / "installed.json"
        if not installed.exists() or installed.read_bytes() != lock.read_bytes():
            for name in ["package.json", "package-lock.json", ".npmrc"]:
                shutil.copy(FILES / name, self.store)
            code, output = installation.run(["npm", "ci"], self.store)
            if code and (reason := OUT_OF_REACH.search(output)):
                raise Unavailable(f"npm cannot fetch it ({reason[0]})")
            if code:
                raise Trouble(f"npm cannot install it:\n{output[-2000:]}")
            shutil.copy(lock, installed)
        # It stands beside node_modules, where node looks for them.
        shutil.copy(FILES / "issuer.mjs", self.store)

    def start(self, public_url: str) -> str:
        command = ["node", self.store / "issuer.mjs", public_url, AUDIENCE]
        process = Process(self.name, command, self.state / "oidc-provider.log")
        self.port = int(process.line("LISTENING"))
        return public_url

    def token(self, algorithm: str, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        form = {"scope": scope, "resource": (audience or AUDIENCE) + algorithm}
        return ask_for_token(f"http://127.0.0.1:{self.port}/token", "machine", "secret", form)

    def publish(self, algorithm: str) -> str:
        return self._control(f"publish?alg={algorithm}")

    def sign_with(self, algorithm: str, kid: str) -> None:
        self._control(f"sign-with?alg={algorithm}&kid={kid}")

    def withdraw(self, kid: str) -> None:
        self._control(f"withdraw?kid={kid}")

    def _control(self, action: str) -> str:
        return send(f"http://127.0.0.1:{self.port}/_control/{action}", "POST").decode()
