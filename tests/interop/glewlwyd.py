"""Glewlwyd, from Debian: written in C, with a JOSE library of its own."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.request
from pathlib import Path

from api import AUDIENCE
from browser import Browser
from debian import libraries, unpack
from processes import Process, Trouble, run
from server import (
    DIRECT,
    LOGIN_CLIENT,
    LOGIN_SECRET,
    OTHER_API,
    PASSWORD,
    READ,
    USER,
    WRITE,
    Application,
    Asked,
    Login,
    Server,
    Way,
    answers,
    ask_for_token,
    ask_to_revoke,
    free_port,
    send,
)

PACKAGES = ["glewlwyd", "rnbyc", "dbconfig-no-thanks", "libjs-jquery"]
"""The server, the tool that makes its keys, the word that no database server is wanted, and what its login page needs."""

KEYS = {"RS256": "rsa2048", "PS256": "rsa2048", "ES256": "ec256", "ES384": "ec384", "EdDSA": "ed25519"}


class Glewlwyd(Server):
    name = "glewlwyd"
    title = "Glewlwyd 2.7"
    algorithms = tuple(KEYS)
    turns_keys = True
    endpoint = "/introspect"
    asked = Asked(leaves_out="issuer", signs_refusals=False)
    people = Login(scope=f"openid {READ} {WRITE}", resource=AUDIENCE, tells_logout=True)

    def install(self) -> None:
        self.root = unpack(PACKAGES, self.store)

    def start(self, public_url: str) -> str:
        self.issuer = f"{public_url}/api/oidc"
        self.libraries = libraries(self.root)
        self.port, self.lifetime = free_port(), 3600
        self.base = f"http://127.0.0.1:{self.port}"
        database = self.state / "glewlwyd.db"
        with sqlite3.connect(database) as connection:
            tables = self.root / "usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
            connection.executescript(tables.read_text())
        connection.close()
        # Some of it are links to where other packages would be installed, among them the settings.
        shutil.copytree(self.root / "usr/share/glewlwyd/webapp", self.state / "pages", ignore=missing)
        shutil.copy(self.root / "etc/glewlwyd/config-2.7.json/config.json", self.state / "pages/config.json")
        settings = self.state / "glewlwyd.conf"
        settings.write_text(self._settings(public_url, database))
        command = [self.root / "usr/bin/glewlwyd", f"--config-file={settings}"]
        process = Process(self.name, command, self.state / "glewlwyd.log", self.libraries)
        process.wait_for(lambda: answers(f"{self.base}/config"))
        self._configure()
        return self.issuer

    def token(self, algorithm: str, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        form = {"scope": scope, "resource": audience or AUDIENCE}
        return ask_for_token(f"{self.base}/api/oidc/token", f"machine-{algorithm}", "secret", form)

    def opaque(self, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        """It has none but JWTs, which are opaque to an API that only asks."""
        return self.token("ES256", scope, audience)

    def revoke(self, token: str) -> None:
        ask_to_revoke(f"{self.base}/api/oidc/revoke", "machine-ES256", "secret", token)

    def ways(self) -> list[Way]:
        bearer = ask_for_token(f"{self.base}/api/oidc/token", "api", "secret", {"scope": INTROSPECT})
        return [
            Way("client_secret_basic", ["--client=machine-ES256"], "secret"),
            Way("a bearer token", ["--auth=bearer"], bearer),
        ]

    def signed(self) -> list[tuple[Way, bool]]:
        basic, bearer = self.ways()
        named = [*bearer.arguments, "--signed", f"--signed-for={AUDIENCE}"]
        drafted = [*basic.arguments, "--signed", "--draft-audience"]
        return [
            (Way("signed answers for the API (--draft-audience)", drafted, basic.secret), True),
            (Way("signed answers for the API, asked with a bearer token", named, bearer.secret), True),
            (Way("signed answers for the API, without --draft-audience", drafted[:-1], basic.secret), False),
        ]

    def publish(self, algorithm: str) -> str:
        kid = self._new_key(algorithm)
        self._plugin("PUT")
        return kid

    def sign_with(self, algorithm: str, kid: str) -> None:
        self._client("PUT", algorithm, kid)

    def withdraw(self, kid: str) -> None:
        self.keys = [key for key in self.keys if key["kid"] != kid]
        self._plugin("PUT")

    def register(self, application: Application) -> tuple[str, str]:
        client = {**CLIENT, "client_id": LOGIN_CLIENT, "name": LOGIN_CLIENT, "client_secret": LOGIN_SECRET, "scope": []}
        client |= {"authorization_type": ["code", "refresh_token"], "redirect_uri": [application.redirect_uri]}
        client |= {"post_logout_redirect_uris": [application.post_logout_uri or ""], "sign_kid": self.keys[-1]["kid"]}
        if application.backchannel_uri:
            client["backchannel_logout_uri"] = application.backchannel_uri
        self._admin("POST", "client/", client)
        self.lifetime = application.lifetime
        self._plugin("PUT")
        return LOGIN_CLIENT, LOGIN_SECRET

    def log_in(self, browser: Browser) -> None:
        """Its pages are drawn by a script: who it is, what the application may do, and that it goes on."""
        browser.type("#username", USER)
        browser.type("#password", PASSWORD)
        browser.click("#loginbut")
        browser.wait_for(GRANT)
        for scope in [READ, WRITE]:
            if browser.has(f'input[id="grant-{scope}"]'):
                browser.click(f'input[id="grant-{scope}"]')
        browser.click(GRANT)
        browser.wait_until_gone(GRANT)
        browser.leave_by("button.btn-success")

    def log_out(self, browser: Browser) -> None:
        """Its button does nothing until it has asked which applications the person is logged in to."""
        browser.wait_for_text(LOGIN_CLIENT)
        browser.leave_by(".card-body button.btn-danger")

    def _settings(self, public_url: str, database: Path) -> str:
        """Its settings file. The database as Debian makes it holds an administrator whose password is well known."""
        modules = {"user": "user", "user_middleware": "user_middleware", "client": "client", "plugin": "plugin"}
        modules["user_auth_scheme"] = "scheme"
        lines = [f'{name}_module_path="{self.root}/usr/lib/glewlwyd/{folder}"' for name, folder in modules.items()]
        settings = {
            "bind_address": "127.0.0.1",
            "external_url": public_url,
            "login_url": "login.html",
            "static_files_path": f"{self.state}/pages/",
            "api_prefix": "api",
            "log_mode": "console",
            "log_level": "WARNING",
            "cookie_domain": "127.0.0.1",
            "session_key": "GLEWLWYD2_SESSION_ID",
            "admin_session_authentication": "cookie",
            "profile_session_authentication": "cookie",
            "admin_scope": "g_admin",
            "profile_scope": "g_profile",
            "hash_algorithm": "SHA512",
        }
        lines += [f'{name}="{value}"' for name, value in settings.items()]
        lines += [f"port={self.port}", "cookie_secure=0", "session_expiration=2419200", "login_api_enabled=true"]
        lines.append(f"static_files_mime_types = ({MIME_TYPES})")
        lines.append(f'database = {{ type = "sqlite3"; path = "{database}"; }};')
        return "\n".join(lines) + "\n"

    def _configure(self) -> None:
        self._log_in()
        # Clients carry the name of the key that signs for them, which is how each algorithm is had.
        clients = json.loads(self._admin("GET", "mod/client/database"))
        clients["parameters"]["data-format"]["sign_kid"] = {"multiple": False, "read": True, "write": True}
        lists = {"multiple": True, "read": True, "write": True}
        clients["parameters"]["data-format"]["post_logout_redirect_uris"] = lists
        self._admin("PUT", "mod/client/database", clients)
        self._admin("PUT", "mod/client/database/reset")
        for scope in [READ, WRITE, INTROSPECT]:
            self._admin(
                "POST", "scope", {"name": scope, "display_name": scope, "password_required": True, "scheme": {}}
            )
        self.keys: list[dict[str, str]] = []
        self.made = 0
        for algorithm in self.algorithms:
            self._client("POST", algorithm, self._new_key(algorithm))
        self._admin("POST", "client/", {**CLIENT, "client_id": "api", "name": "api", "scope": [INTROSPECT]})
        person = {"username": USER, "password": PASSWORD, "name": "Alice Example", "enabled": True}
        self._admin("POST", "user/", {**person, "scope": ["openid", READ, WRITE]})
        self._plugin("POST")

    def _log_in(self) -> None:
        body = json.dumps({"username": "admin", "password": "password"}).encode()
        url = f"{self.base}/api/auth"
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        try:
            with DIRECT.open(request, timeout=20) as answer:
                self.cookie = answer.headers["Set-Cookie"].split(";")[0]
        except (OSError, AttributeError) as error:
            raise Trouble(f"glewlwyd does not let its administrator in: {error!r}") from None

    def _admin(self, method: str, path: str, body: object = None) -> bytes:
        encoded = None if body is None else json.dumps(body).encode()
        return send(
            f"{self.base}/api/{path}", method, encoded, {"Cookie": self.cookie, "Content-Type": "application/json"}
        )

    def _client(self, method: str, algorithm: str, kid: str) -> None:
        name = f"machine-{algorithm}"
        path = "client/" if method == "POST" else f"client/{name}"
        client = {**CLIENT, "client_id": name, "name": name, "scope": [READ, WRITE], "sign_kid": kid}
        self._admin(method, path, client)

    def _plugin(self, method: str) -> None:
        """Hands it its keys. They are a parameter of the plugin, which takes note of it when it is reset."""
        parameters = {
            "iss": self.issuer,
            "jwks-private": json.dumps({"keys": self.keys}),
            "jwks-show": True,
            "default-kid": "",
            "client-sign_kid-parameter": "sign_kid",
            "subject-type": "public",
            "allow-non-oidc": True,
            "access-token-duration": self.lifetime,
            "refresh-token-duration": 3600,
            "code-duration": 600,
            "auth-type-client-enabled": True,
            "auth-type-code-enabled": True,
            "auth-type-refresh-enabled": True,
            "pkce-allowed": True,
            "pkce-required": True,
            "session-management-allowed": True,
            # Without the one of them it does not find what the other is for.
            "back-channel-logout-allowed": True,
            "front-channel-logout-allowed": True,
            "session-cookie-name": "GLEWLWYD2_OIDC_SESSION",
            "session-cookie-expiration": 3600,
            **{f"auth-type-{other}-enabled": False for other in OTHER_GRANTS},
            # A client is told about its own tokens, and whoever has a token of this scope about all.
            "introspection-revocation-allowed": True,
            "introspection-revocation-allow-target-client": True,
            "introspection-revocation-auth-scope": [INTROSPECT],
            "resource-allowed": True,
            "resource-client-property": "resource",
            "resource-scope": {},
            "resource-scope-and-client-property": False,
        }
        plugin = {"module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": parameters}
        self._admin(method, "mod/plugin/" if method == "POST" else "mod/plugin/oidc", plugin)
        if method == "PUT":
            self._admin("PUT", "mod/plugin/oidc/reset")

    def _new_key(self, algorithm: str) -> str:
        """A key that its own tool makes, put before the others."""
        self.made += 1
        kid = f"{algorithm}-{self.made}"
        key = ["-j", "-g", KEYS[algorithm], "-k", kid, "-a", algorithm, "-p", "/dev/null", "-n", "0"]
        libraries = [f"{name}={value}" for name, value in self.libraries.items()]
        for _ in range(10):
            code, output = run(["env", *libraries, self.root / "usr/bin/rnbyc", *key], 20)
            document = output[output.find("{") :]
            if code or not document:
                raise Trouble(f"rnbyc made no key: {output}")
            made = json.loads(document)["keys"]
            if is_whole(made[0]):
                self.keys = made + self.keys
                return kid
        raise Trouble("rnbyc makes no key whose coordinates are whole")


def missing(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not Path(folder, name).exists()]


def is_whole(key: dict[str, str]) -> bool:
    """It leaves out zeros at the beginning of a coordinate, in one key of a hundred, which RFC 7518 s6.2.1.2 does not allow."""
    lengths = {"ec256": 43, "ec384": 64}
    wanted = lengths.get(KEYS[key["alg"]])
    return wanted is None or all(len(key[name]) == wanted for name in ["x", "y", "d"])


INTROSPECT = "introspect"
GRANT = ".carousel-item.active button.btn-primary"
CLIENT = {
    "enabled": True,
    "confidential": True,
    "client_secret": "secret",
    "authorization_type": ["client_credentials"],
    "token_endpoint_auth_method": ["client_secret_basic"],
    "resource": [AUDIENCE, OTHER_API],
}
OTHER_GRANTS = ["token", "id-token", "implicit", "password", "device"]
MIME_TYPES = ", ".join(
    f'{{ extension = ".{extension}" mime_type = "{kind}" }}'
    for extension, kind in [
        ("html", "text/html"),
        ("js", "application/javascript"),
        ("json", "application/json"),
        ("css", "text/css"),
    ]
)
