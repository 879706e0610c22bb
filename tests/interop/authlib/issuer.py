"""An authorization server for the interop suite: Authlib's, in Flask, on loopback, with throw-away keys.

    python issuer.py PUBLIC_URL API_URL OTHER_API_URL CLIENT_KEY

PUBLIC_URL is its name: what it calls itself in tokens and metadata. What kind of token a client gets is in its name: `machine-RS256` a JWT
that is signed so, `machine-opaque` an opaque one; `-other` at the end makes it one for OTHER_API_URL. The client `api-key` signs with the
key in the file CLIENT_KEY. Once it listens it prints `LISTENING port`. It ends when its standard input does, so it never outlives whoever
started it.
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
from flask import Flask, g, jsonify
from joserfc.jwk import ECKey, KeySet, RSAKey
from werkzeug.serving import make_server

ISSUER, API, OTHER_API, CLIENT_KEY = sys.argv[1:]
LIFETIME = 3600
SCOPES = ["things:read", "things:write"]
KEYS = {
    "RS256": RSAKey.generate_key(2048, {"kid": "RS256-1", "use": "sig", "alg": "RS256"}, private=True),
    "ES256": ECKey.generate_key("P-256", {"kid": "ES256-1", "use": "sig", "alg": "ES256"}, private=True),
}


class Client(ClientMixin):
    def __init__(self, client_id: str, method: str):
        self.client_id, self.method = client_id, method

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(word for word in scope.split() if word in SCOPES)

    def check_client_secret(self, secret):
        return secrets.compare_digest(secret, "secret")

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.method

    def check_grant_type(self, grant_type):
        return self.client_id.startswith("machine-") and grant_type == "client_credentials"


MACHINES = [f"machine-{kind}{whose}" for kind in [*KEYS, "opaque"] for whose in ["", "-other"]]
METHODS = {
    **dict.fromkeys([*MACHINES, "api-basic"], "client_secret_basic"),
    "api-post": "client_secret_post",
    "api-key": "private_key_jwt",
}
WAYS = sorted({*METHODS.values()})
CLIENTS = {name: Client(name, method) for name, method in METHODS.items()}


class Token(TokenMixin):
    def __init__(self, client: Client, token: dict):
        self.client, self.scope, self.token_type = client, token["scope"], token["token_type"]
        self.issued, self.is_over = int(time.time()), False

    def check_client(self, client):
        return client is self.client

    def get_client(self):
        return self.client

    def get_user(self):
        return None

    def is_expired(self):
        return self.issued + LIFETIME < time.time()

    def is_revoked(self):
        return self.is_over


TOKENS: dict[str, Token] = {}


def audience(client: Client) -> str:
    return OTHER_API if client.client_id.endswith("-other") else API


class Jwts(JWTBearerTokenGenerator):
    def get_jwks(self):
        return KeySet([KEYS[self.alg]]).as_dict(private=True)

    def get_audiences(self, client, user, scope):
        return audience(client)


def make_token(grant_type, client, user=None, scope=None, expires_in=None, include_refresh_token=False):
    kind = client.client_id.split("-")[1]
    random = BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32))
    make = random if kind == "opaque" else Jwts(ISSUER, kind)
    return make(grant_type, client, user, scope, LIFETIME, False)


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
        answer = {"active": True, "iss": ISSUER, "aud": audience(token.client), "sub": name, "client_id": name}
        answer |= {"scope": token.scope, "token_type": token.token_type}
        return {**answer, "iat": token.issued, "exp": token.issued + LIFETIME}


class Revocation(RevocationEndpoint):
    def query_token(self, token, hint):
        return TOKENS.get(token)

    def revoke_token(self, token, request):
        token.is_over = True


def keep(token: dict, request) -> None:
    TOKENS[token["access_token"]] = Token(request.client, token)


os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
app = Flask(__name__)
server = AuthorizationServer(app, query_client=CLIENTS.get, save_token=keep)
server.register_token_generator("default", make_token)
server.register_client_auth_method("private_key_jwt", Assertion())
server.register_grant(grants.ClientCredentialsGrant)
for endpoint in [AboutJwts(ISSUER), AboutOpaque, Revocation]:
    server.register_endpoint(endpoint)


@app.get("/.well-known/oauth-authorization-server")
def metadata():
    """RFC 8414, and no document of OpenID Connect."""
    places = {"token_endpoint": "token", "jwks_uri": "jwks"}
    places |= {"introspection_endpoint": "introspect", "revocation_endpoint": "revoke"}
    return jsonify(
        issuer=ISSUER,
        response_types_supported=[],
        introspection_endpoint_auth_methods_supported=WAYS,
        **{name: f"{ISSUER}/{place}" for name, place in places.items()},
    )


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
