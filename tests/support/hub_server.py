"""A small Hugging Face Hub on the loopback, for an unchanged huggingface_hub, with faults on demand.

It speaks what huggingface_hub calls for models and Spaces (their repositories are called spaces/ORG/NAME
here): create, validate-yaml, preupload, LFS batch, upload and verify, commit, tag, refs, info, tree, and
resolve with its redirect to a "CDN" (a second port) for LFS files.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.hub_storage import Blob, Repository
from tests.support.space_settings import space_faults

TOKEN = "hf_test"
LFS_SUFFIXES = (".onnx", ".safetensors", ".png")


@dataclass
class Fault:
    """What goes wrong with the next requests that match.

    Attributes:
        method, path: GET, HEAD, ...; a regular expression that the path must contain.
        times: how many requests it befalls.
        status, headers: an error answer instead of the right one.
        cut: the connection breaks after so many bytes of the body.
        truncate: so many bytes are missing at the end, with a Content-Length that says so.
        flip: the byte at this place is another one.
        etag: what HEAD says instead of the right one.
        delay: seconds before the answer.
    """

    method: str
    path: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    truncate: int = 0
    flip: int | None = None
    etag: str = ""
    delay: float = 0.0


class Problem(Exception):
    """An answer that is none."""

    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message or f"status {status}", **headers}
        if code:
            self.headers["X-Error-Code"] = code


class HubServer:
    """The Hub. Start it by `running`; `url` is what HF_ENDPOINT must be, `cache` what HF_HUB_CACHE."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.repositories: dict[str, Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, str | None]] = []
        self.waits: list[float] = []
        self.stopping = threading.Event()
        self.busy = threading.RLock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        # As with the real Hub, the CDN is another host: some huggingface_hub follow redirects within one.
        self.url, self.cdn = (
            f"http://{host}:{server.server_port}"
            for host, server in zip(("127.0.0.1", "localhost"), self.servers, strict=True)
        )

    def put(self, repo: str, files: dict[str, bytes], message: str = "put") -> str:
        """Make a repository hold these files and no others; returns the commit."""
        tree = {path: Blob(data, path.endswith(LFS_SUFFIXES)) for path, data in files.items()}
        self.lfs |= {blob.sha256: blob.data for blob in tree.values() if blob.lfs}
        return self.repositories.setdefault(repo, Repository()).commit(tree, message)

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[repo]
        return {path: blob.data for path, blob in repository.commits[repository.find(revision) or ""].items()}

    def fail(self, method: str, path: str, **what: Any) -> Fault:
        """Let something go wrong; see `Fault`."""
        self.faults.append(Fault(method, path, **what))
        return self.faults[-1]

    def asked(self, method: str, path: str) -> int:
        """How many requests there were whose path contains a regular expression."""
        return sum(m == method and bool(re.search(path, p)) for m, p, _ in list(self.requests))

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self.busy:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    @contextmanager
    def running(self) -> Iterator["HubServer"]:
        threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            for server in self.servers
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            for server in self.servers:
                server.shutdown()
                server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One request; `hub` is set by `HubServer`."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.requests.append((method, path, self.headers.get("Authorization")))
        self.fault = hub.next_fault(method, path) or Fault(method, path)
        if self.fault.delay:
            hub.stopping.wait(self.fault.delay)
        try:
            if self.fault.status:
                raise Problem(self.fault.status, **{"message": "made to fail", **self.fault.headers})
            for pattern, methods, route in _ROUTES:
                if (match := re.fullmatch(pattern, path)) and method in methods.split():
                    with hub.busy:
                        answer = route(self, *match.groups(), *([body] if method in ("POST", "PUT") else []))
                    break
            else:
                raise Problem(404, message=f"no such endpoint: {method} {path}")
        except Problem as problem:
            self._send(problem.status, problem.headers, json.dumps({"error": str(problem)}).encode())
        else:
            self._send(*answer)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        fault = self.fault
        if status < 300 and fault.flip is not None:
            body = body[: fault.flip] + bytes([body[fault.flip] ^ 1]) + body[fault.flip + 1 :]
        body = body[: len(body) - fault.truncate]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.cut is not None:
            self.wfile.write(body[: fault.cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(body)

    def _json(self, document: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def _repository(self, repo: str, write: bool = False) -> Repository:
        token = self.headers.get("Authorization")
        if token not in (None, f"Bearer {TOKEN}"):
            raise Problem(401, message="Invalid credentials in Authorization header")
        if write and token is None:
            raise Problem(401, message="Invalid username or password.")
        found = self.hub.repositories.get(repo)
        if found is None or (found.private and token is None):
            raise Problem(404 if token else 401, "RepoNotFound", "Repository not found")
        return found

    def _commit_of(self, repository: Repository, revision: str) -> str:
        if (commit := repository.find(revision)) is None:
            raise Problem(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def create(self, body: bytes) -> Any:
        asked = json.loads(body)
        kind = asked.get("type", "model")
        repo = f"{asked['organization']}/{asked['name']}"
        repo = f"spaces/{repo}" if kind == "space" else repo
        url = f"{self.hub.url}/{repo}"
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Problem(401, message="Invalid username or password.")
        if repo in self.hub.repositories:
            answer = self._json({"error": f"You already created this {kind} repo", "url": url})
            return 409, *answer[1:]
        private = asked.get("private") or asked.get("visibility") == "private"
        repository = self.hub.repositories[repo] = Repository(bool(private))
        files = {".gitattributes": Blob(b"*.onnx filter=lfs\n", False)}
        if kind == "space":
            files["README.md"] = Blob(f"---\nsdk: {asked['sdk']}\n---\n".encode(), False)
        repository.commit(files, "initial commit")
        return self._json({"url": url})

    def validate_yaml(self, body: bytes) -> Any:
        asked = json.loads(body)
        errors = space_faults(asked["content"]) if asked["repoType"] == "space" else []
        answer = self._json({"errors": [{"message": error} for error in errors], "warnings": []})
        return 400 if errors else 200, *answer[1:]

    def info(self, repo: str, revision: str | None = None) -> Any:
        repository = self._repository(repo)
        commit = self._commit_of(repository, revision or "main")
        siblings = [{"rfilename": path} for path in repository.commits[commit]]
        info = {
            "id": repo.removeprefix("spaces/"),
            "sha": commit,
            "private": repository.private,
            "siblings": siblings,
        }
        return self._json(info | {"tags": [], "likes": 0, "downloads": 0})

    def tree(self, repo: str, revision: str) -> Any:
        repository = self._repository(repo)
        tree = repository.commits[self._commit_of(repository, revision)]
        return self._json([blob.entry(path) for path, blob in tree.items()])

    def refs(self, repo: str) -> Any:
        repository = self._repository(repo)
        rows = {
            key: [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": c} for n, c in pointers.items()]
            for key, kind, pointers in (
                ("branches", "heads", repository.branches),
                ("tags", "tags", repository.tags),
            )
        }
        return self._json(rows | {"converts": []})

    def preupload(self, repo: str, revision: str, body: bytes) -> Any:
        repository = self._repository(repo, write=True)
        tree = repository.commits[self._commit_of(repository, revision)]
        answers = []
        for asked in json.loads(body)["files"]:
            path = asked["path"]
            mode = "lfs" if path.endswith(LFS_SUFFIXES) else "regular"
            present = {"oid": tree[path].etag} if path in tree else {}
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **present})
        return self._json({"files": answers})

    def lfs_batch(self, repo: str, body: bytes) -> Any:
        self._repository(repo, write=True)
        objects = []
        for asked in json.loads(body)["objects"]:
            upload = {"href": f"{self.hub.cdn}/lfs/{asked['oid']}"}
            verify = {"href": f"{self.hub.url}/lfs-verify"}
            known = asked["oid"] in self.hub.lfs
            objects.append(asked | ({} if known else {"actions": {"upload": upload, "verify": verify}}))
        return self._json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, oid: str, body: bytes) -> Any:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Problem(400, message="wrong sha256")
        self.hub.lfs[oid] = body
        return 200, {}, b""

    def lfs_verify(self, body: bytes) -> Any:
        asked = json.loads(body)
        if len(self.hub.lfs.get(asked["oid"], b"")) != asked["size"]:
            raise Problem(404, message="no such object")
        return 200, {}, b""

    def commit(self, repo: str, revision: str, body: bytes) -> Any:
        repository = self._repository(repo, write=True)
        tree, message = dict(repository.commits[self._commit_of(repository, revision)]), ""
        for line in body.splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, repository.find(revision)):
                    raise Problem(412, message="A commit has happened since. Please refresh and try again.")
            elif row["key"] == "file":
                tree[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif row["key"] == "lfsFile":
                if value["oid"] not in self.hub.lfs:
                    raise Problem(400, message=f"LFS object {value['oid']} is missing")
                tree[value["path"]] = Blob(self.hub.lfs[value["oid"]], True)
            elif row["key"] == "deletedFile":
                del tree[value["path"]]
        commit = repository.commit(tree, message)
        url = f"{self.hub.url}/{repo}/commit/{commit}"
        return self._json({"success": True, "commitOid": commit, "commitUrl": url, "pullRequestUrl": None})

    def tag(self, repo: str, revision: str, body: bytes) -> Any:
        repository = self._repository(repo, write=True)
        name = json.loads(body)["tag"]
        if name in repository.tags:
            raise Problem(409, message="Tag already exists")
        repository.tags[name] = self._commit_of(repository, revision)
        return self._json({})

    def resolve(self, repo: str, revision: str, path: str) -> Any:
        repository = self._repository(repo)
        commit = self._commit_of(repository, revision)
        headers = {"X-Repo-Commit": commit}
        blob = repository.commits[commit].get(path)
        if blob is None:
            raise Problem(404, "EntryNotFound", "Entry not found", **headers)
        etag = f'"{self.fault.etag or blob.etag}"'
        if not blob.lfs:
            return self._body(blob.data, headers | {"ETag": etag})
        linked = {"X-Linked-Etag": etag, "X-Linked-Size": str(len(blob.data))}
        return 302, headers | linked | {"Location": f"{self.hub.cdn}/cdn/{blob.sha256}"}, b""

    def cdn(self, oid: str) -> Any:
        return self._body(self.hub.lfs[oid], {"ETag": f'"{oid}"'})

    def _body(self, data: bytes, headers: dict[str, str]) -> Any:
        headers = headers | {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if match is None:
            return 200, headers, data
        start = int(match[1])
        return 206, headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:]


_REPO = r"((?:spaces/)?[^/]+/[^/]+)"
_API = r"/api/(?:models/|(?=spaces/))" + _REPO
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("/api/repos/create", "POST", _Handler.create),
    ("/api/validate-yaml", "POST", _Handler.validate_yaml),
    (_API, "GET", _Handler.info),
    (f"{_API}/revision/(.+)", "GET", _Handler.info),
    (f"{_API}/tree/(.+)", "GET", _Handler.tree),
    (f"{_API}/refs", "GET", _Handler.refs),
    (f"{_API}/preupload/(.+)", "POST", _Handler.preupload),
    (f"{_API}/commit/(.+)", "POST", _Handler.commit),
    (f"{_API}/tag/(.+)", "POST", _Handler.tag),
    (rf"/{_REPO}\.git/info/lfs/objects/batch", "POST", _Handler.lfs_batch),
    ("/lfs/([0-9a-f]{64})", "PUT", _Handler.lfs_upload),
    ("/lfs-verify", "POST", _Handler.lfs_verify),
    (f"/{_REPO}/resolve/([^/]+)/(.+)", "GET HEAD", _Handler.resolve),
    ("/cdn/([0-9a-f]{64})", "GET HEAD", _Handler.cdn),
]
