"""Somebody's program that uses Authlib's Flask client: people log in to it, and it calls the guarded API for them.

    python client.py PORT ISSUER CLIENT_ID SCOPE RESOURCE API_URL

ISSUER is the address of the server's metadata. RESOURCE is what it asks to have a token for (RFC 8707); nothing if it is empty. The secret
of the client is in CLIENT_SECRET. Once it listens it prints `LISTENING port`. It ends when its standard input does.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading

import requests
from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, render_template_string, request, session
from werkzeug.serving import make_server

PORT, METADATA, CLIENT_ID, SCOPE, RESOURCE, API = sys.argv[1:]
PAGE = """<!doctype html>
<title>A program that uses Authlib</title>
<style>body { font: 18px/1.5 sans-serif; max-width: 40em; margin: 3em auto } pre { white-space: pre-wrap; overflow-wrap: anywhere }</style>
<h1>A program that uses Authlib</h1>
{% if user %}
<p>Logged in as <b id="user">{{ user }}</b></p>
<form method="post" action="/call"><button id="read" name="method" value="GET">Read things</button>
<button id="write" name="method" value="POST">Write things</button></form>
<p><a id="sign-out" href="/logout">Log out</a></p>
{% else %}
<p><a id="sign-in" href="/login">Log in</a></p>
{% endif %}
{% if status %}<p>The API said <b id="status">{{ status }}</b></p><pre id="answer">{{ answer }}</pre>{% endif %}
{% if error %}<p id="error">{{ error }}</p>{% endif %}
"""
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)
app.config["SESSION_COOKIE_NAME"] = "client"
resource = {"resource": RESOURCE} if RESOURCE else {}
issuer = OAuth(app).register(
    "issuer",
    client_id=CLIENT_ID,
    client_secret=os.environ["CLIENT_SECRET"],
    server_metadata_url=METADATA,
    authorize_params=resource,
    client_kwargs={"scope": SCOPE, "code_challenge_method": "S256", "trust_env": False},
)
TOKENS: dict[str, dict] = {}


def page(**more):
    return render_template_string(PAGE, user=session.get("user"), **more)


@app.get("/")
def home():
    return page()


@app.get("/login")
def login():
    return issuer.authorize_redirect(f"http://127.0.0.1:{PORT}/authorize")


@app.get("/authorize")
def authorize():
    token = issuer.authorize_access_token(**resource)
    session["user"] = token["userinfo"]["sub"]
    TOKENS[session["user"]] = token
    return redirect("/")


@app.post("/call")
def call():
    bearer = {"Authorization": f"Bearer {TOKENS[session['user']]['access_token']}"}
    with requests.Session() as direct:
        direct.trust_env = False
        answer = direct.request(request.form["method"], f"{API}/things", headers=bearer, timeout=10)
        claims = direct.get(f"{API}/me", headers=bearer, timeout=10)
    return page(status=answer.status_code, answer=f"{answer.text}\n{claims.text}")


@app.get("/logout")
def logout():
    token = TOKENS.pop(session.pop("user"))
    return issuer.logout_redirect(f"http://127.0.0.1:{PORT}/logged-out", token["id_token"], client_id=CLIENT_ID)


@app.get("/logged-out")
def logged_out():
    issuer.validate_logout_response()
    return redirect("/")


@app.errorhandler(Exception)
def failed(error):
    return page(error=repr(error)), getattr(error, "code", 500)


listener = make_server("127.0.0.1", int(PORT), app, threaded=True)
print(f"LISTENING {listener.port}", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
listener.serve_forever()
