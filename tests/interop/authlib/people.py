"""What people see of the suite's Authlib server: a login form, the code flow with OpenID Connect, renewal and logout."""

from __future__ import annotations

import secrets
import time

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import AuthorizationCodeMixin, UserInfo, UserInfoEndpoint
from authlib.oidc.core.grants import OpenIDCode
from authlib.oidc.rpinitiated import EndSessionEndpoint
from flask import abort, jsonify, render_template_string, request, session
from joserfc.jwk import KeySet

PAGE = """<!doctype html>
<title>Authlib's server</title>
<style>body { font: 18px/1.5 sans-serif; max-width: 30em; margin: 3em auto } input, button { font: inherit }</style>
<h1>Log in</h1>
<p>{{ client }} wants to know who you are, and may then use: {{ scope }}</p>
<form method="post">
<p><input name="user" placeholder="name"> <input name="password" type="password" placeholder="password"></p>
<button name="answer" value="yes">Log in and allow it</button> <button name="answer" value="no">No</button>
</form>
"""
PASSWORDS = {"alice": "a password of hers"}


class Person:
    def __init__(self, name: str):
        self.name = name

    def get_user_id(self):
        return self.name


def claims(user: Person, scope: str) -> UserInfo:
    return UserInfo(sub=user.name, name=f"{user.name.title()} Example").filter(scope)


class Code(AuthorizationCodeMixin):
    def __init__(self, asked):
        self.client_id, self.user, self.scope = asked.client.client_id, asked.user, asked.payload.scope
        self.redirect_uri, self.nonce = asked.payload.redirect_uri, asked.payload.data.get("nonce")
        self.code_challenge = asked.payload.data.get("code_challenge")
        self.code_challenge_method = asked.payload.data.get("code_challenge_method")
        self.made = int(time.time())

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return self.made


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]
    codes: dict[str, Code] = {}

    def save_authorization_code(self, code, request):
        self.codes[code] = Code(request)

    def query_authorization_code(self, code, client):
        found = self.codes.get(code)
        is_good = found and found.client_id == client.client_id and found.made + 60 > time.time()
        return found if is_good else None

    def delete_authorization_code(self, authorization_code):
        for code in [code for code, known in self.codes.items() if known is authorization_code]:
            del self.codes[code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


def serve(app, server, issuer: str, keys: dict, tokens: dict, renewable: dict) -> None:
    """Adds it to a server. `renewable` holds tokens by their refresh tokens."""
    signing, public = keys["RS256"], KeySet(list(keys.values()))

    class Renewal(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token):
            return renewable.get(refresh_token)

        def authenticate_user(self, refresh_token):
            return refresh_token.user

        def revoke_old_credential(self, refresh_token):
            for name in [name for name, token in renewable.items() if token is refresh_token]:
                del renewable[name]

    class IdTokens(OpenIDCode):
        def exists_nonce(self, nonce, request):
            return any(code.nonce == nonce for code in CodeGrant.codes.values())

        def get_client_claims(self, client):
            return {"iss": issuer, "aud": client.client_id}

        def resolve_client_private_key(self, client):
            return signing

        def get_encode_header(self, client):
            return {"alg": "RS256", "kid": signing.kid}

        def generate_user_info(self, user, scope):
            """The name is had at the userinfo endpoint alone."""
            return {"sub": user.name}

    class AboutThem(UserInfoEndpoint):
        def generate_user_info(self, user, scope):
            return claims(user, scope)

    class Ending(EndSessionEndpoint):
        def get_server_jwks(self):
            return public

        def end_session(self, end_session_request):
            user = session.pop("user", None)
            for name in [name for name, token in renewable.items() if token.user.name == user]:
                del renewable[name]

    class Bearers(BearerTokenValidator):
        def authenticate_token(self, token_string):
            return tokens.get(token_string)

    class Name(IssuerParameter):
        def get_issuer(self):
            return issuer

    protector = ResourceProtector()
    protector.register_token_validator(Bearers())
    server.register_grant(CodeGrant, [CodeChallenge(required=True), IdTokens(require_nonce=True)])
    server.register_grant(Renewal)
    server.register_endpoint(AboutThem(server, protector))
    server.register_endpoint(Ending)
    server.register_extension(Name())
    app.secret_key = secrets.token_bytes(32)
    app.config["SESSION_COOKIE_NAME"] = "authlib"  # A cookie knows no port, and the programs of the checks have theirs.

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize():
        user = Person(session["user"]) if "user" in session else None
        if request.form.get("answer") == "yes":
            name, password = request.form["user"], request.form["password"]
            if secrets.compare_digest(PASSWORDS.get(name, ""), password) and name in PASSWORDS:
                session["user"], user = name, Person(name)
        try:
            grant = server.get_consent_grant(end_user=user)
        except OAuth2Error as error:
            return server.handle_error_response(None, error)
        refuses = request.form.get("answer") == "no"
        if refuses or (user and request.method == "POST"):
            return server.create_authorization_response(grant_user=None if refuses else user, grant=grant)
        asked = grant.request
        return render_template_string(PAGE, client=asked.client.client_id, scope=asked.payload.scope)

    @app.route("/userinfo", methods=["GET", "POST"])
    def userinfo():
        return server.create_endpoint_response("userinfo")

    @app.route("/logout", methods=["GET", "POST"])
    def logout():
        try:
            asked = server.validate_endpoint_request("end_session")
        except OAuth2Error as error:
            return server.handle_error_response(None, error)
        if asked.needs_confirmation:
            abort(400, "who logs out has to bring an ID token")
        return server.create_endpoint_response("end_session", asked) or jsonify("logged out")
