"""An authorization server for the interop suite: django-oauth-toolkit, on loopback, with throw-away keys.

    python issuer.py DATABASE

DATABASE is a file that is made. What it calls itself it takes from the requests that come, and its issuer has a path: `/o`. `machine` gets
opaque tokens, `api` asks about them, and so does whoever has a token of the scope `introspection`. `POST /_control/client` registers a
client that people log in to: the body is its metadata, as in RFC 7591. Once it listens it prints `LISTENING port`. It ends when its
standard input does, so it never outlives whoever started it.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

LOGIN = """<!doctype html>
<title>django-oauth-toolkit</title>
<style>body { font: 18px/1.5 sans-serif; max-width: 30em; margin: 3em auto }</style>
<h1>Log in</h1>
<form method="post">{% csrf_token %}{{ form }}<p><button>Log in</button></p></form>
"""
SCOPES = ["things:read", "things:write", "introspection", "openid", "profile"]
KEY = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
LOADERS = [
    ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN}),
    "django.template.loaders.app_directories.Loader",
]
settings.configure(
    SECRET_KEY=secrets.token_hex(32),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    LOGIN_URL="/login",
    # They are worth nothing, and each question about a token would cost a slow hash.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1], "OPTIONS": {"timeout": 20}}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": LOADERS}}],
    OAUTH2_PROVIDER={
        "SCOPES": {scope: scope for scope in SCOPES},
        "DEFAULT_SCOPES": ["things:read"],
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": KEY.decode(),
        "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
        "ALLOWED_SCHEMES": ["http"],
        "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    },
)
django.setup()

from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path
from oauth2_provider.models import get_application_model
from oauth2_provider.urls import metadata_urlpatterns

Application = get_application_model()


def register(request):
    metadata = json.loads(request.body)
    Application.objects.create(
        client_id=metadata["client_id"],
        client_secret=metadata["client_secret"],
        name=metadata["client_id"],
        client_type="confidential",
        authorization_grant_type="authorization-code",
        algorithm="RS256",
        redirect_uris=" ".join(metadata["redirect_uris"]),
        post_logout_redirect_uris=" ".join(metadata.get("post_logout_redirect_uris", [])),
    )
    return HttpResponse(metadata["client_id"])


urlpatterns = [
    path("", include((metadata_urlpatterns, "oauth2_provider"), namespace="metadata")),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login", LoginView.as_view()),
    path("_control/client", register),
]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


sys.modules[__name__] = sys.modules["__main__"]
call_command("migrate", verbosity=0)
User.objects.create_user("alice", password="a password of hers")
for name in ["machine", "api"]:
    Application.objects.create(
        client_id=name,
        client_secret="secret",
        name=name,
        client_type="confidential",
        authorization_grant_type="client-credentials",
    )
listener = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
listener.daemon_threads = True
listener.set_app(get_wsgi_application())
print(f"LISTENING {listener.server_port}", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
listener.serve_forever()
