"""An authorization server for the interop suite: Authlib's, in Flask, on loopback, with throw-away keys.

    python issuer.py PUBLIC_URL API_URL OTHER_API_URL CLIENT_KEY

PUBLIC_URL is its name: what it calls itself in tokens and metadata. What kind of token a client gets is in its name: `machine-RS256` a JWT
that is signed so, `machine-opaque` an opaque one; `-other` at the end makes it one for OTHER_API_URL. The client `api-key` signs with the
key in the file CLIENT_KEY. `POST /_control/client` registers a client that people log in to (`people.py`): the body is its metadata, as in
RFC 7591, and with them the lifetime of its access tokens, which are JWTs for API_URL. Once it listens it prints `LISTENING port`. It ends
when its standard input does, so it never outlives whoever started it.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator, JWTIntrospectionEndpoint
from flask import Flask, g, jsonify, request
from joserfc.jwk import ECKey, KeySet, RSAKey
from werkzeug.serving import make_server

import people

ISSUER, API, OTHER_API, CLIENT_KEY = sys.argv[1:]
LIFETIME = 3600
SCOPES, OF_PEOPLE = ["things:read", "things:write"], ["openid", "profile"]
KEYS = {
    "RS256": RSAKey.generate_key(2048, {"kid": "RS256-1", "use": "sig", "alg": "RS256"}, private=True),
    "ES256": ECKey.generate_key("P-256", {"kid": "ES256-1", "use": "sig", "alg": "ES256"}, private=True),
}


class Client(ClientMixin):
    def __init__(self, client_id: str, method: str, **metadata):
        self.client_id, self.method, self.client_metadata = client_id, method, metadata
        self.grants = metadata.get("grant_types", [])
        if client_id.startswith("machine-"):
            self.grants = ["client_credentials"]

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        allowed = [*SCOPES, *(OF_PEOPLE if "authorization_code" in self.grants else [])]
        return " ".join(word for word in scope.split() if word in allowed)

    def check_client_secret(self, secret):
        return secrets.compare_digest(secret, self.client_metadata.get("client_secret", "secret"))

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.method

    def check_grant_type(self, grant_type):
        return grant_type in self.grants

    def check_response_type(self, response_type):
        return response_type == "code" and "authorization_code" in self.grants

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri in self.client_metadata.get("redirect_uris", [])

    def get_default_redirect_uri(self):
        return None

    @property
    def lifetime(self) -> int:
        return self.client_metadata.get("lifetime", LIFETIME)


MACHINES = [f"machine-{kind}{whose}" for kind in [*KEYS, "opaque"] for whose in ["", "-other"]]
METHODS = {
    **dict.fromkeys([*MACHINES, "api-basic"], "client_secret_basic"),
    "api-post": "client_secret_post",
    "api-key": "private_key_jwt",
}
WAYS = sorted({*METHODS.values()})
CLIENTS = {name: Client(name, method) for name, method in METHODS.items()}


class Token(TokenMixin):
    def __init__(self, client: Client, token: dict, user: people.Person | None):
        self.client, self.user = client, user
        self.scope, self.token_type = token["scope"], token["token_type"]
        self.issued, self.is_over = int(time.time()), False

    def check_client(self, client):
        return client is self.client

    def get_client(self):
        return self.client

    def get_user(self):
        return self.user

    def get_scope(self):
        return self.scope

    def is_expired(self):
        return self.issued + self.client.lifetime < time.time()

    def is_revoked(self):
        return self.is_over


TOKENS: dict[str, Token] = {}
RENEWABLE: dict[str, Token] = {}
"""The same, by their refresh tokens."""


def audience(client: Client) -> str:
    return OTHER_API if client.client_id.endswith("-other") else API


class Jwts(JWTBearerTokenGenerator):
    def get_jwks(self):
        return KeySet([KEYS[self.alg]]).as_dict(private=True)

    def get_audiences(self, client, user, scope):
        return audience(client)


def random(**_) -> str:
    return secrets.token_urlsafe(32)


def make_token(grant_type, client, user=None, scope=None, expires_in=None, include_refresh_token=False):
    kind = client.client_id.split("-")[1] if client.client_id.startswith("machine-") else "ES256"
    more = {"refresh_token_generator": random, "expires_generator": lambda client, _: client.lifetime}
    make = BearerTokenGenerator(random, **more) if kind == "opaque" else Jwts(ISSUER, kind, **more)
    return make(grant_type, client, user, scope, None, include_refresh_token)


class Assertion(JWTBearerClientAssertion):
    CLIENT_AUTH_METHOD = "private_key_jwt"
    seen: set[str] = set()

    def get_audiences(self):
        return [ISSUER]

    def validate_jti(self, claims, jti):
        """Once a request: where there are two endpoints for introspection, each checks the assertion of the same request."""
        is_fresh = jti not in self.seen or g.get("jti") == jti
        self.seen.add(jti)
        g.jti = jti
        return is_fresh

    def resolve_client_public_key(self, client, headers=None):
        return KeySet([ECKey.import_key(open(CLIENT_KEY).read())])


class AboutJwts(JWTIntrospectionEndpoint):
    CLIENT_AUTH_METHODS = WAYS

    def get_jwks(self):
        return KeySet(list(KEYS.values())).as_dict(private=False)

    def get_username(self, user_id):
        return None

    def check_permission(self, token, client, request):
        """It keeps no list of what was revoked: that is asked for here."""
        return not TOKENS[request.form["token"]].is_over


class AboutOpaque(IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = WAYS

    def check_permission(self, token, client, request):
        return True

    def query_token(self, token, hint):
        return TOKENS.get(token)

    def introspect_token(self, token):
        name = token.client.client_id
        sub = token.user.name if token.user else name
        answer = {"active": True, "iss": ISSUER, "aud": audience(token.client), "sub": sub, "client_id": name}
        answer |= {"scope": token.scope, "token_type": token.token_type}
        return {**answer, "iat": token.issued, "exp": token.issued + token.client.lifetime}


class Revocation(RevocationEndpoint):
    def query_token(self, token, hint):
        return TOKENS.get(token) or RENEWABLE.get(token)

    def revoke_token(self, token, request):
        """With either of them both are over (RFC 7009 s2.1)."""
        token.is_over = True
        for name in [name for name, renewable in RENEWABLE.items() if renewable is token]:
            del RENEWABLE[name]


def keep(token: dict, request) -> None:
    kept = TOKENS[token["access_token"]] = Token(request.client, token, request.user)
    if "refresh_token" in token:
        RENEWABLE[token["refresh_token"]] = kept


os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
app = Flask(__name__)
server = AuthorizationServer(app, query_client=CLIENTS.get, save_token=keep)
server.register_token_generator("default", make_token)
server.register_client_auth_method("private_key_jwt", Assertion())
server.register_grant(grants.ClientCredentialsGrant)
for endpoint in [AboutJwts(ISSUER), AboutOpaque, Revocation]:
    server.register_endpoint(endpoint)
people.serve(app, server, ISSUER, KEYS, TOKENS, RENEWABLE)


@app.get("/.well-known/oauth-authorization-server")
def metadata():
    """RFC 8414, and no document of OpenID Connect."""
    places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
    places |= {"userinfo_endpoint": "userinfo", "end_session_endpoint": "logout"}
    places |= {"introspection_endpoint": "introspect", "revocation_endpoint": "revoke"}
    return jsonify(
        issuer=ISSUER,
        response_types_supported=["code"],
        grant_types_supported=["authorization_code", "client_credentials", "refresh_token"],
        code_challenge_methods_supported=["S256"],
        scopes_supported=[*SCOPES, *OF_PEOPLE],
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=["RS256"],
        authorization_response_iss_parameter_supported=True,
        introspection_endpoint_auth_methods_supported=WAYS,
        **{name: f"{ISSUER}/{place}" for name, place in places.items()},
    )


@app.post("/_control/client")
def client():
    metadata = request.get_json(force=True)
    CLIENTS[metadata["client_id"]] = Client(method="client_secret_basic", **metadata)
    return metadata["client_id"]


@app.get("/jwks")
def jwks():
    return jsonify(KeySet(list(KEYS.values())).as_dict(private=False))


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/introspect")
def introspect():
    return server.create_endpoint_response("introspection")


@app.post("/revoke")
def revoke():
    return server.create_endpoint_response("revocation")


listener = make_server("127.0.0.1", 0, app, threaded=True)
print(f"LISTENING {listener.port}", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
listener.serve_forever()
