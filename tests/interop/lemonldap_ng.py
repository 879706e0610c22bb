"""LemonLDAP::NG, from Debian: written in Perl, on OpenSSL."""

from __future__ import annotations

import base64
import json
import shutil

from api import AUDIENCE
from browser import Browser
from debian import libraries, unpack
from processes import Process, Trouble, Unavailable
from server import (
    LOGIN_CLIENT,
    LOGIN_SECRET,
    OTHER_API,
    READ,
    WRITE,
    Application,
    Asked,
    Login,
    Server,
    Way,
    answers,
    ask_for_token,
    free_port,
    openssl,
)

PACKAGES = ["liblemonldap-ng-portal-perl", "starman", "libcrypt-openssl-bignum-perl", "libconvert-pem-perl"]
PACKAGES += ["libstring-random-perl", "libio-string-perl"]
"""The server, what runs it, and what it only recommends and cannot do without."""

PORTAL = """use Plack::Builder;
builder {
    enable 'Static', path => qr{^/static/}, root => 'ROOT/lemonldap-ng/portal/htdocs';
    enable 'Static', path => qr{^/javascript/}, root => 'ROOT';
    do 'ROOT/lemonldap-ng/portal/htdocs/index.psgi';
};
"""
"""The server, and what a web server before it would do: it takes a request for a picture for one of its own."""


class LemonldapNg(Server):
    name = "lemonldap-ng"
    title = "LemonLDAP::NG 2.16"
    algorithms = ("RS256", "RS512")
    demands = ("--plain-jwt",)
    endpoint = "/oauth2/introspect"
    asked = Asked(names_audience=False, leaves_out="audience")
    people = Login(names_user="Doctor Who")

    def install(self) -> None:
        for tool in ["perl", "openssl"]:
            if not shutil.which(tool):
                raise Unavailable(f"there is no {tool}")
        self.root = unpack(PACKAGES, self.store)

    def start(self, public_url: str) -> str:
        self.port = free_port()
        self.sessions = self.state / "sessions"
        for folder in ["configuration", "sessions/lock", "cache", "perl/GD"]:
            (self.state / folder).mkdir(parents=True)
        # It loads a module that draws pictures for its login page, where there are none here.
        (self.state / "perl/GD/SecurityImage.pm").write_text("package GD::SecurityImage; sub import {} 1;\n")
        (self.state / "lemonldap-ng.ini").write_text(self._settings())
        private, public = self.state / "signing.key", self.state / "signing.pub"
        openssl("genrsa", "-traditional", "-out", private, "2048")
        openssl("rsa", "-in", private, "-pubout", "-out", public)
        self.configuration = self._configuration(public_url, private.read_text(), public.read_text())
        self._run()
        return public_url

    def _run(self) -> None:
        """It reads its configuration when it starts."""
        (self.state / "configuration/lmConf-1.json").write_text(json.dumps(self.configuration))
        shutil.rmtree(self.state / "cache")
        (self.state / "cache").mkdir()
        places = [self.state / "perl", self.root / "usr/share/perl5", *self.root.glob("usr/lib/*-linux-*/perl5/5.*")]
        places += [*self.root.glob("usr/share/perl/5.*"), *self.root.glob("usr/lib/*-linux-*/perl/5.*")]
        environment = {
            "PERL5LIB": ":".join(map(str, places)),
            "LLNG_DEFAULTCONFFILE": f"{self.state}/lemonldap-ng.ini",
            **libraries(self.root),
        }
        portal = self.state / "portal.psgi"
        portal.write_text(PORTAL.replace("ROOT", f"{self.root}/usr/share"))
        address = f"127.0.0.1:{self.port}"
        command = ["perl", self.root / "usr/bin/starman", "--workers=4", f"--listen={address}", portal]
        self.process = Process(self.name, command, self.state / "lemonldap-ng.log", environment)
        self.process.wait_for(lambda: answers(f"http://{address}/.well-known/openid-configuration"))

    def token(self, algorithm: str, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        """It grants what a client may have, whatever was asked for: so there is a client for each."""
        client = f"machine-{algorithm}{'-other' if audience == OTHER_API else ''}{'-reads' if scope == READ else ''}"
        return ask_for_token(f"http://127.0.0.1:{self.port}/oauth2/token", client, "secret", {"scope": scope})

    def opaque(self, scope: str = f"{READ} {WRITE}", audience: str | None = None) -> str:
        return self.token("opaque", scope, audience)

    def revoke(self, token: str) -> None:
        """It has no endpoint for that. A session that is deleted ends the token, which is how its own tools do it."""
        session = token
        if "." in token:
            payload = token.split(".")[1]
            session = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
        try:
            (self.sessions / session).unlink()
        except OSError as error:
            raise Trouble(f"lemonldap-ng has no such session: {error}") from None

    def ways(self) -> list[Way]:
        return [
            Way("client_secret_basic", ["--client=api"], "secret"),
            Way("client_secret_post", ["--auth=post", "--client=api"], "secret", is_told=False),
        ]

    def signed(self) -> list[tuple[Way, bool]]:
        wanted = ["--client=api", "--signed"]
        return [(Way("signed answers, of which this server has none", wanted, "secret"), False)]

    def register(self, application: Application) -> tuple[str, str]:
        more = {
            "ClientSecret": LOGIN_SECRET,
            "RedirectUris": application.redirect_uri,
            "PostLogoutRedirectUris": application.post_logout_uri or "",
            "AccessTokenJWT": 1,
            "AccessTokenSignAlg": "RS256",
            "IDTokenSignAlg": "RS256",
            "RequirePKCE": 1,
            "RefreshToken": 1,
            # With that page it forgets, at a logout, where the browser came from.
            "BypassConsent": 1,
            "AccessTokenExpiration": application.lifetime,
        }
        self.configuration["oidcRPMetaDataOptions"][LOGIN_CLIENT] = self._client(LOGIN_CLIENT, AUDIENCE, **more)
        self.configuration["oidcRPMetaDataExportedVars"] = {LOGIN_CLIENT: {"name": "cn"}}
        self.process.stop()
        self._run()
        return LOGIN_CLIENT, LOGIN_SECRET

    def log_in(self, browser: Browser) -> None:
        """One of the people that it makes up to be tried."""
        browser.type("input[name=user]", "dwho")
        browser.type("input[name=password]", "dwho")
        browser.leave_by("button[type=submit]")

    def log_out(self, browser: Browser) -> None:
        browser.leave_by("button[type=submit]")

    def _settings(self) -> str:
        lines = ["[all]", "logLevel = warn", "[configuration]", "type = File", f"dirName = {self.state}/configuration"]
        cache = f"'cache_root' => '{self.state}/cache', 'cache_depth' => 3, 'default_expires_in' => 600"
        lines += ["localStorage = Cache::FileCache", f"localStorageOptions = {{ 'namespace' => 'config', {cache} }}"]
        lines += ["[portal]", f"templateDir = {self.root}/usr/share/lemonldap-ng/portal/templates", "languages = en"]
        return "\n".join(lines) + "\n"

    def _configuration(self, issuer: str, private: str, public: str) -> dict[str, object]:
        clients = {"api": self._client("api", AUDIENCE)}
        for kind in [*self.algorithms, "opaque"]:
            for whose, audience in {"": AUDIENCE, "-other": OTHER_API}.items():
                for rights in ["", "-reads"]:
                    name = f"machine-{kind}{whose}{rights}"
                    jwt = {} if kind == "opaque" else {"AccessTokenJWT": 1, "AccessTokenSignAlg": kind}
                    clients[name] = self._client(name, audience, AllowClientCredentialsGrant=1, **jwt)
        sessions = {"Directory": str(self.sessions), "LockDirectory": f"{self.sessions}/lock"}
        scopes = {name: {READ: "1", **({} if name.endswith("-reads") else {WRITE: "1"})} for name in clients}
        return {
            "cfgNum": 1,
            "cfgAuthor": "interop",
            "cfgDate": "1700000000",
            "portal": f"{issuer}/",
            "domain": "127.0.0.1",
            "cookieName": "lemonldap",
            "securedCookie": 0,
            "authentication": "Demo",
            "userDB": "Same",
            "passwordDB": "Null",
            "registerDB": "Null",
            "whatToTrace": "uid",
            "locationRules": {"default": {"default": "accept"}},
            "globalStorage": "Apache::Session::File",
            "globalStorageOptions": sessions,
            "persistentStorage": "Apache::Session::File",
            "persistentStorageOptions": sessions,
            "issuerDBOpenIDConnectActivation": 1,
            "oidcServiceMetaDataIssuer": issuer,
            "oidcServicePrivateKeySig": private,
            "oidcServicePublicKeySig": public,
            "oidcServiceKeyIdSig": "RSA-1",
            "oidcRPMetaDataOptions": clients,
            "oidcRPMetaDataScopeRules": scopes,
            "oidcServiceAllowAuthorizationCodeFlow": 1,
            "demoExportedVars": {"cn": "cn", "uid": "uid"},
        }

    @staticmethod
    def _client(name: str, audience: str, **more: object) -> dict[str, object]:
        options = {"ClientID": name, "ClientSecret": "secret", "AdditionalAudiences": audience, "UserIDAttr": "uid"}
        options |= {"AccessTokenExpiration": 3600, **more}
        return {f"oidcRPMetaDataOptions{option}": value for option, value in options.items()}
