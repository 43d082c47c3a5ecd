"""A stand-in for the Kubernetes API on the loopback, for the real kubectl."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.delivery.store import BY_PLURAL, RESOURCES, Key, Object, Refusal, Resource, Store

VERSION: Final = {"major": "1", "minor": "32", "gitVersion": "v1.32.4", "platform": "linux/amd64"}
_PATH: Final = re.compile(
    r"(?P<prefix>/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?"
)
_VERBS: Final = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass(slots=True)
class Access:
    """Who may do what: one token may do all, but for the (verb, plural) pairs forbidden."""

    token: str
    forbidden: set[tuple[str, str]] = field(default_factory=set)


class Asked(NamedTuple):
    """What a request is about; `name` is empty for all objects of the kind."""

    resource: Resource
    key: Key
    query: dict[str, str]


@contextmanager
def serving(store: Store, access: Access, folder: Path) -> Iterator[str]:
    """Answer on a free port of the loopback; yield the address.

    Over TLS, with a certificate that is left in `folder`/ca.crt: kubectl keeps its token to
    itself otherwise.
    """
    server = _Server(store, access)
    # The handshake is left to each connection's thread, so that none holds up the others.
    server.socket = _certified(folder).wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certified(folder: Path) -> ssl.SSLContext:
    certificate, key = folder / "ca.crt", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=stand-in", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def discovery(path: str) -> Object | None:
    """What kubectl asks before anything else; None if the path is something else."""
    prefixes = {resource.prefix: resource.api_version for resource in RESOURCES}
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups()}
    if path == "/openapi/v3":
        return {"paths": {prefix[1:]: {"serverRelativeURL": f"/openapi/v3{prefix}"}
                          for prefix in prefixes}}  # fmt: skip
    if path.startswith("/openapi/v3/"):
        return _openapi(path.removeprefix("/openapi/v3"))
    if path in prefixes:
        return _resources(path, prefixes[path])
    return None


def _groups() -> list[Object]:
    named = {resource.group: resource.api_version for resource in RESOURCES if resource.group}
    return [
        {"name": group, "versions": [version], "preferredVersion": version}
        for group, api_version in named.items()
        for version in [{"groupVersion": api_version, "version": api_version.split("/")[1]}]
    ]


def _resources(prefix: str, api_version: str) -> Object:
    return {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version,
        "resources": [
            {"name": resource.plural, "singularName": resource.kind.lower(), "verbs": _VERBS,
             "kind": resource.kind, "namespaced": resource.namespaced}
            for resource in RESOURCES if resource.prefix == prefix
        ],
    }  # fmt: skip


def _openapi(prefix: str) -> Object:
    """Say that fields are validated and dry runs are known; nothing else is asked for."""
    parameters = [{"name": name, "in": "query"} for name in ("dryRun", "fieldValidation")]
    paths = {
        f"{prefix}/{'namespaces/{namespace}/' * resource.namespaced}{resource.plural}/{{name}}": {
            "patch": {
                "parameters": parameters,
                "x-kubernetes-group-version-kind": {
                    "group": resource.group, "version": resource.version, "kind": resource.kind
                },
            }
        }
        for resource in RESOURCES
        if resource.prefix == prefix
    }  # fmt: skip
    return {"openapi": "3.0.0", "info": {"title": "stand-in", "version": "1"}, "paths": paths}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store: Store, access: Access) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store
        self.access = access


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer("get")

    def do_POST(self) -> None:
        self._answer("create")

    def do_PATCH(self) -> None:
        self._answer("patch")

    def do_DELETE(self) -> None:
        self._answer("delete")

    def log_message(self, *_: object) -> None:
        """Say nothing: a test's output is its own."""

    def _answer(self, verb: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._require(self.headers.get("Authorization") == f"Bearer {self.server.access.token}",
                          Refusal(401, "Unauthorized", "Unauthorized"))  # fmt: skip
            known = discovery(urlsplit(self.path).path)
            if known is None:
                self._about(verb, _asked(self.path), body)
            else:
                self._send(200, known)
        except Refusal as refusal:
            self._send(refusal.code, _failure(refusal))
        except (OSError, ssl.SSLError):
            self.close_connection = True  # the caller went away

    def _about(self, verb: str, asked: Asked, body: bytes) -> None:
        plural = asked.resource.plural
        self._require((verb, plural) not in self.server.access.forbidden, Refusal(
            403, "Forbidden", f'{plural} "{asked.key.name}" is forbidden: User "crimeguard" '
                              f'cannot {verb} resource "{plural}"'))  # fmt: skip
        if asked.query.get("watch") in ("1", "true"):
            self._watch(asked)
        elif verb == "get" and not asked.key.name:
            self._send(200, _listed(self.server.store, asked))
        else:
            content_type = self.headers.get("Content-Type", "")
            self._send(200, _done(self.server.store, verb, asked, content_type, body))

    def _watch(self, asked: Asked) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        number = int(asked.query.get("resourceVersion") or 0)
        seconds = float(asked.query.get("timeoutSeconds") or 300)
        for change in self.server.store.since(number, seconds):
            if change.key.plural == asked.resource.plural and _wanted(change.object, asked):
                line = json.dumps({"type": change.what, "object": change.object}).encode()
                self.wfile.write(b"%x\r\n%s\n\r\n" % (len(line) + 1, line))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _require(self, allowed: bool, refusal: Refusal) -> None:
        if not allowed:
            raise refusal

    def _send(self, code: int, document: Object) -> None:
        content = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _asked(target: str) -> Asked:
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    found = _PATH.fullmatch(parts.path)
    resource = BY_PLURAL.get(found["plural"]) if found else None
    if found is None or resource is None or resource.prefix != found["prefix"]:
        raise Refusal(404, "NotFound", "the server could not find the requested resource")
    key = Key(resource.plural, found["namespace"] or "", found["name"] or "")
    return Asked(resource, key, query)


def _wanted(candidate: Object, asked: Asked) -> bool:
    metadata = candidate["metadata"]
    if asked.key.namespace and metadata.get("namespace") != asked.key.namespace:
        return False
    labels = _pairs(asked.query.get("labelSelector", ""))
    if not labels.items() <= metadata.get("labels", {}).items():
        return False
    return all(
        str(_at(candidate, path)) == value
        for path, value in _pairs(asked.query.get("fieldSelector", "")).items()
    )


def _pairs(selector: str) -> dict[str, str]:
    """Read `a=b,c=d`; other operators are not known here."""
    pairs = [part.replace("==", "=").partition("=") for part in selector.split(",") if part]
    return {name: value for name, _, value in pairs}


def _at(document: Any, path: str) -> Any:
    for step in path.split("."):
        document = document.get(step, {}) if isinstance(document, dict) else {}
    return document


def _listed(store: Store, asked: Asked) -> Object:
    with store.changed:
        found = [o for o in store.find(asked.resource.plural) if _wanted(o, asked)]
        return {"kind": f"{asked.resource.kind}List", "apiVersion": asked.resource.api_version,
                "metadata": {"resourceVersion": str(store.number)}, "items": found}  # fmt: skip


def _done(store: Store, verb: str, asked: Asked, content_type: str, body: bytes) -> Object:
    if verb == "get":
        return store.get(asked.key)
    if verb == "delete":
        return store.remove(asked.key)
    given = json.loads(body)
    if verb == "create":
        key = asked.key._replace(name=given["metadata"]["name"])
        return store.put(key, given)
    if asked.resource.namespaced and verb == "patch":
        store.get(Key("namespaces", "", asked.key.namespace))
    if content_type == "application/apply-patch+yaml":
        return store.apply(
            asked.key, given, asked.query["fieldManager"],
            force=asked.query.get("force") == "true", keep="dryRun" not in asked.query,
        )  # fmt: skip
    if content_type == "application/json-patch+json":
        return store.edited(asked.key, lambda current: _replaced(current, given))
    raise Refusal(415, "UnsupportedMediaType", f"no {content_type} here: apply on the server")


def _replaced(current: Object, steps: list[Object]) -> None:
    """JSON Patch as far as `kubectl rollout undo` uses it."""
    for step in steps:
        *parents, last = step["path"].strip("/").split("/")
        place = current
        for parent in parents:
            place = place[parent]
        if step["op"] not in ("replace", "add"):
            raise Refusal(422, "Invalid", f"no {step['op']} here")
        place[last] = step["value"]


def _failure(refusal: Refusal) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(refusal),
            "reason": refusal.reason, "code": refusal.code}  # fmt: skip
