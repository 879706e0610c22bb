"""node-oidc-provider, from npm."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from api import AUDIENCE
from browser import Browser
from processes import Process, Trouble, Unavailable
from server import (
    PASSWORD,
    READ,
    USER,
    WRITE,
    Asked,
    Installation,
    Login,
    Server,
    Way,
    ask_for_token,
    ask_to_revoke,
    openssl,
    send,
)

FILES = Path(__file__).resolve().parent / "oidc-provider"
OUT_OF_REACH = re.compile(
    r"\b(E401|E403|E404|EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|ERR_SOCKET_TIMEOUT|ETIMEDOUT)\b"
)
"""What npm says where there is no network, or its registry does not have a package."""

CONSENT = "input[name=prompt][value=consent]"


class OidcProvider(Server):
    name = "oidc-provider"
    title = "node-oidc-provider 9.13"
    algorithms = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
    turns_keys = True
    endpoint = "/token/introspection"
    asked = Asked(about_jwts=False)
    people = Login(
        scope=f"openid profile offline_access {READ} {WRITE}",
        resource=AUDIENCE,
        names_user="Alice Example",
        tells_logout=True,
    )

    def install(self) -> None:
        for tool in ["node", "npm", "openssl"]:
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
        self.pki = self.state / "pki"
        make_certificates(self.pki)
        command = ["node", self.store / "issuer.mjs", public_url, AUDIENCE, self.pki]
        process = Process(self.name, command, self.state / "oidc-provider.log")
        self.port = int(process.line("LISTENING"))
        return public_url

    def token(self, algorithm: str, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        form = {"scope": scope, "resource": (audience or AUDIENCE) + algorithm}
        return ask_for_token(f"http://127.0.0.1:{self.port}/token", "machine", "secret", form)

    def opaque(self, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        return self.token("opaque", scope, audience)

    def revoke(self, token: str) -> None:
        ask_to_revoke(f"http://127.0.0.1:{self.port}/token/revocation", "machine", "secret", token)

    def ways(self) -> list[Way]:
        def key(name: str) -> list[str]:
            return ["--auth=private-key-jwt", "--client=api-key", f"--key-file={self.pki}/{name}", "--key-alg=ES256"]

        def certificate(client: str, name: str) -> list[str]:
            shown = [f"--cert={self.pki}/{name}", f"--ca={self.pki}/ca.crt"]
            return ["--auth=certificate", f"--client={client}", *shown]

        basic, odd = ["--client=api-basic"], ["--client=api-odd"]
        secret_jwt, long = ["--auth=secret-jwt", "--client=api-secret-jwt"], "a secret of thirty-two octets or more"
        by_authority = [certificate("api-certificate", name) for name in ["client.pem", "other.pem"]]
        own = [certificate("api-own-certificate", name) for name in ["self.pem", "client.pem"]]
        return [
            Way("client_secret_basic", basic, "secret"),
            Way("client_secret_basic, a secret that has to be form-encoded", odd, "p@ss:w/rd+%= x"),
            Way("client_secret_post", ["--auth=post", "--client=api-post"], "secret"),
            Way("client_secret_jwt", secret_jwt, long),
            Way("private_key_jwt", key("client.key"), wrong=key("other.key")),
            Way("private_key_jwt with a kid", [*key("client.key"), "--kid=api-1"]),
            Way("tls_client_auth", by_authority[0], wrong=by_authority[1]),
            Way("self_signed_tls_client_auth", own[0], wrong=own[1]),
        ]

    def signed(self) -> list[tuple[Way, bool]]:
        arguments = ["--client=api-signed", "--signed"]
        return [
            (Way("answers signed for the client that asks", arguments, "secret"), True),
            (Way("signed answers for somebody else", [*arguments, "--signed-for=other"], "secret"), False),
        ]

    def publish(self, algorithm: str) -> str:
        return self._control(f"publish?alg={algorithm}")

    def sign_with(self, algorithm: str, kid: str) -> None:
        self._control(f"sign-with?alg={algorithm}&kid={kid}")

    def withdraw(self, kid: str) -> None:
        self._control(f"withdraw?kid={kid}")

    def log_in(self, browser: Browser) -> None:
        """Two forms: who it is, and what the application may do."""
        if browser.wait_for("input[name=login]", CONSENT) != CONSENT:
            browser.type("input[name=login]", USER)
            browser.type("input[name=password]", PASSWORD)
            browser.leave_by("button[type=submit]")
            browser.wait_for(CONSENT)
        browser.leave_by(f"form:has({CONSENT}) button[type=submit]")

    def log_out(self, browser: Browser) -> None:
        browser.leave_by("button[name=logout][value=yes]")

    def _control(self, action: str) -> str:
        return send(f"http://127.0.0.1:{self.port}/_control/{action}", "POST").decode()


def make_certificates(folder: Path) -> None:
    """An authority, what it has certified, a certificate that nobody has, and keys without any. A `.pem` has the key in it."""
    folder.mkdir()
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]

    def certify(name: str, subject: str, *more: str) -> None:
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"]
        openssl("req", "-x509", *new_key, *files, "-subj", f"/CN={subject}", *more)
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())

    certify("ca", "interop", "-addext", "keyUsage=critical,keyCertSign")
    by_authority = ["-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key"]
    by_authority += ["-addext", "basicConstraints=critical,CA:FALSE"]
    certify("server", "127.0.0.1", *by_authority, "-addext", "subjectAltName=IP:127.0.0.1")
    certify("client", "api", *by_authority)
    certify("other", "somebody", *by_authority)
    certify("self", "api")
