"""A Hub for tests: a real HTTP server that speaks what `huggingface_hub` and `datasets` ask of the real one.

Repositories of datasets and models (`models/ORG/NAME`) with commits, tags and branches; small files in commits,
large ones by LFS on disk;
a token for everything that writes or is private. Faults are put in front of the next matching requests.
Leaves out: Xet (set HF_HUB_DISABLE_XET), multipart LFS, and pages of listings.
Wire format: as huggingface_hub 2.4 sends it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["TOKEN", "Fault", "LocalHub", "local_hub"]

TOKEN = "hf_localTestTokenThatMustNeverBeShown"
_BLOCK = 1 << 20
_REPO_CALL = re.compile(
    r"/api/(?P<kind>datasets|models)/(?P<repo>[^/]+/[^/]+)(?:/(?P<call>preupload|commit|tag|tree|paths-info|revision|refs|commits)"
    r"(?:/(?P<rest>.+))?)?"
)
_RESOLVE = re.compile(r"(?:/(?P<kind>datasets))?/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_BATCH = re.compile(r"(?:/(?P<kind>datasets))?/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
_OBJECT = re.compile(r"/(?P<what>lfs|cdn)/(?P<oid>[0-9a-f]{64})")


@dataclass
class Fault:
    """What happens to the next `times` requests of a method whose path contains a text.

    status: answer this instead of what was asked. cut: close the connection after half of the body.
    slow: seconds to wait first. late_status: do what was asked, then answer this. garble: change a byte of
    what is served. run: called first, to let the world change between two requests.
    """

    method: str
    path: str
    times: int = 1
    status: int = 0
    cut: bool = False
    slow: float = 0.0
    late_status: int = 0
    garble: bool = False
    run: Callable[[], None] | None = None
    message: str = "injected"


@dataclass(frozen=True)
class StoredFile:
    size: int
    git_oid: str
    content: bytes | None  # of a small file; a large one lies on disk under its sha256
    sha256: str = ""


@dataclass
class Commit:
    files: dict[str, StoredFile]
    parent: str | None
    title: str
    description: str = ""
    date: str = "2025-01-01T00:00:00.000Z"


@dataclass
class Repo:
    name: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, branch: str, commit: Commit) -> str:
        listing = sorted((path, file.git_oid) for path, file in commit.files.items())
        content = json.dumps([listing, commit.parent, commit.title, len(self.commits)])
        oid = hashlib.sha1(content.encode()).hexdigest()
        self.commits[oid] = commit
        self.branches[branch] = oid
        return oid

    def find(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)

    def files(self, revision: str) -> dict[str, StoredFile]:
        oid = self.find(revision)
        assert oid is not None, f"{self.name} has no {revision}"
        return self.commits[oid].files


class LocalHub:
    """The state of the server: repositories, faults to come, and a log of (method, path with query)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self.url = self.storage_url = ""
        self.tokens_at_storage = 0

    def fault(self, method: str, path: str, **what: Any) -> None:
        self.faults.append(Fault(method, path, **what))

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault
        return None

    def create(self, name: str, private: bool = False) -> Repo:
        repo = self.repos[name] = Repo(name, private)
        repo.add("main", Commit({".gitattributes": small(b"*.parquet filter=lfs\n")}, None, "initial commit"))
        return repo

    def push(self, name: str, path: str, content: bytes) -> str:
        """A commit of one small file by somebody else."""
        repo = self.repos[name]
        head = repo.branches["main"]
        return repo.add("main", Commit({**repo.commits[head].files, path: small(content)}, head, f"change {path}"))

    def large(self, oid: str) -> Path:
        return self.folder / oid

    def content(self, name: str, revision: str, path: str) -> bytes:
        file = self.repos[name].files(revision)[path]
        return self.large(file.sha256).read_bytes() if file.content is None else file.content


def key_of(found: re.Match[str]) -> str:
    return found["repo"] if found["kind"] == "datasets" else f"models/{found['repo']}"


def small(content: bytes) -> StoredFile:
    return StoredFile(len(content), git_oid(content), content)


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def local_hub(port: int = 0) -> Iterator[LocalHub]:
    """A Hub on 127.0.0.1 for the time of the context."""
    with tempfile.TemporaryDirectory() as folder:
        hub = LocalHub(Path(folder))

        class Handler(HubHandler):
            pass

        Handler.hub = hub
        # Large files lie at another address, as the Hub's do: clients must not send their token there.
        servers = [ThreadingHTTPServer(("127.0.0.1", at), Handler) for at in (port, 0)]
        hub.url, hub.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
        threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            for server in servers
        ]
        for thread in threads:
            thread.start()
        try:
            yield hub
        finally:
            for server, thread in zip(servers, threads, strict=True):
                server.shutdown()
                server.server_close()
                thread.join()


class Refused(Exception):
    """An answer other than the one asked for: status, the Hub's error code, a message."""


class HubHandler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for its head to be acknowledged

    def log_message(self, *args: object) -> None:
        pass

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        self.route, self.query = unquote(parts.path), parse_qs(parts.query)
        self.hub.log.append((self.command, self.path))
        fault = self.hub.take_fault(self.command, self.path)
        self.garbled = fault is not None and fault.garble
        self.late = fault
        try:
            if fault is not None:
                self.suffer(fault)
            self.answer()
        except Refused as refused:
            status, code, message = refused.args
            self.send_json(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def suffer(self, fault: Fault) -> None:
        if fault.run is not None:
            fault.run()
        time.sleep(fault.slow)
        if fault.cut:
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            self.close_connection = True
            raise ConnectionResetError
        if fault.status:
            self.discard()
            raise Refused(fault.status, "InjectedFault", fault.message)

    def answer(self) -> None:
        if found := _OBJECT.fullmatch(self.route):
            self.hub.tokens_at_storage += "Authorization" in self.headers
            return self.receive(found["oid"]) if found["what"] == "lfs" else self.serve(found["oid"])
        if "Authorization" in self.headers:
            self.require_token()
        if found := _RESOLVE.fullmatch(self.route):
            return self.resolve(self.repo(key_of(found)), found["revision"], found["path"])
        if self.route == "/api/validate-yaml":
            return self.validate_yaml()
        if self.route == "/api/whoami-v2":
            self.require_token()
            return self.send_json(200, {"type": "user", "name": "tester", "orgs": []})
        if self.route == "/api/repos/create":
            return self.create_repo()
        if found := _BATCH.fullmatch(self.route):
            return self.lfs_batch(self.repo(key_of(found)))
        if found := _REPO_CALL.fullmatch(self.route):
            return self.repo_call(self.repo(key_of(found)), found["call"] or "revision", found["rest"] or "")
        raise Refused(404, "NotFound", f"no such route: {self.route}")

    # ---- who may do what

    def require_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.discard()
            raise Refused(401, "", "Invalid username or password.")

    def repo(self, name: str) -> Repo:
        if self.command in {"POST", "DELETE"} and "/paths-info/" not in self.route:
            self.require_token()
        repo = self.hub.repos.get(name)
        if repo is not None and repo.private:
            self.require_token()
        if repo is None:
            self.discard()
            raise Refused(404, "RepoNotFound", "Repository not found")
        return repo

    def commit_of(self, repo: Repo, revision: str) -> tuple[str, Commit]:
        oid = repo.find(revision)
        if oid is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return oid, repo.commits[oid]

    # ---- writing

    def create_repo(self) -> None:
        self.require_token()
        asked = json.loads(self.body())
        name = f"{asked.get('organization') or 'tester'}/{asked['name']}"
        is_dataset = asked.get("type") == "dataset"
        answer = {"url": f"{self.hub.url}/{'datasets/' if is_dataset else ''}{name}", "name": name, "id": name}
        name = name if is_dataset else f"models/{name}"
        with self.hub.lock:
            if name in self.hub.repos:
                return self.send_json(409, {**answer, "error": "You already created this dataset repo"})
            self.hub.create(name, asked.get("visibility") == "private")
        return self.send_json(200, answer)

    def validate_yaml(self) -> None:
        import yaml

        content = json.loads(self.body())["content"]
        try:
            front = content.split("---\n")[1] if content.startswith("---\n") else ""
            errors = [] if isinstance(yaml.safe_load(front), dict) else [{"message": "metadata is no mapping"}]
        except yaml.YAMLError as error:
            errors = [{"message": str(error)}]
        self.send_json(400 if errors else 200, {"errors": errors, "warnings": []})

    def lfs_batch(self, repo: Repo) -> None:
        objects = [
            {"oid": o["oid"], "size": o["size"]}
            | (
                {}
                if self.hub.large(o["oid"]).exists()
                else {"actions": {"upload": {"href": f"{self.hub.storage_url}/lfs/{o['oid']}"}}}
            )
            for o in json.loads(self.body())["objects"]
        ]
        self.send_json(200, {"transfer": "basic", "objects": objects})

    def receive(self, oid: str) -> None:
        """Store a large file, streamed to disk; only whole and with the sum that it was announced by."""
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self.hub.folder, delete=False) as out:
            for block in self.blocks():
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != oid:
            Path(out.name).unlink()
            raise Refused(400, "BadDigest", "the content is not what was announced")
        Path(out.name).rename(self.hub.large(oid))
        self.send_json(200, {})

    def repo_call(self, repo: Repo, call: str, rest: str) -> None:
        if call in {"preupload", "commit", "tag", "paths-info"}:
            body = b"" if self.command == "DELETE" else self.body()
            return getattr(self, call.replace("-", "_"))(repo, rest, body)
        return getattr(self, call)(repo, rest)

    def preupload(self, repo: Repo, revision: str, body: bytes) -> None:
        _, commit = self.commit_of(repo, revision)
        answers = []
        for file in json.loads(body)["files"]:
            there = commit.files.get(file["path"])
            is_large = file["path"].endswith((".parquet", ".arrow", ".safetensors")) or file["size"] > 10_000_000
            answers.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if is_large else "regular",
                    "shouldIgnore": False,
                    "oid": (there.sha256 or there.git_oid) if there else None,
                }
            )
        self.send_json(200, {"files": answers})

    def commit(self, repo: Repo, branch: str, body: bytes) -> None:
        header, *operations = (json.loads(line) for line in body.splitlines() if line.strip())
        with self.hub.lock:
            head, before = self.commit_of(repo, branch)
            if header["value"].get("parentCommit", head) != head:
                raise Refused(412, "PreconditionFailed", "A commit has happened since. Please refresh and try again.")
            files = dict(before.files)
            for operation in operations:
                self.apply(files, operation["key"], operation["value"])
            made = Commit(files, head, header["value"]["summary"], header["value"].get("description", ""))
            oid = repo.add(branch, made)
        is_model = repo.name.startswith("models/")
        page = repo.name.removeprefix("models/") if is_model else f"datasets/{repo.name}"
        url = f"{self.hub.url}/{page}/commit/{oid}"
        self.send_json(200, {"success": True, "commitUrl": url, "commitOid": oid, "hookOutput": ""})

    def apply(self, files: dict[str, StoredFile], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            files[path] = small(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            stored = self.hub.large(value["oid"])
            if not stored.exists():
                raise Refused(400, "LfsMissing", f"{path} was not uploaded")
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\nsize {value['size']}\n"
            files[path] = StoredFile(stored.stat().st_size, git_oid(pointer.encode()), None, value["oid"])
        elif key == "deletedFile":
            if path not in files:
                raise Refused(404, "EntryNotFound", "A file with this name doesn't exist")
            del files[path]
        elif key == "deletedFolder":
            for name in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
                del files[name]

    def tag(self, repo: Repo, rest: str, body: bytes) -> None:
        if self.command == "DELETE":
            if repo.tags.pop(rest, None) is None:
                raise Refused(404, "RevisionNotFound", f"Invalid rev id: {rest}")
            return self.send_json(200, {})
        name = json.loads(body)["tag"]
        oid, _ = self.commit_of(repo, rest)
        if name in repo.tags:
            raise Refused(409, "TagExists", "Tag already exists")
        repo.tags[name] = oid
        return self.send_json(200, {})

    # ---- reading

    def revision(self, repo: Repo, revision: str) -> None:
        oid, commit = self.commit_of(repo, revision or "main")
        siblings = [{"rfilename": path} | self.blob(file) for path, file in sorted(commit.files.items())]
        self.send_json(
            200,
            {
                "_id": "0", "id": repo.name.removeprefix("models/"), "author": repo.name.split("/")[-2], "sha": oid,
                "private": repo.private,
                "lastModified": commit.date, "createdAt": commit.date, "gated": False, "disabled": False,
                "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
            },
        )  # fmt: skip

    def blob(self, file: StoredFile) -> dict[str, Any]:
        if "blobs" not in self.query:
            return {}
        lfs = {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": 130}} if file.sha256 else {}
        return {"size": file.size, "blobId": file.git_oid, **lfs}

    def refs(self, repo: Repo, _: str) -> None:
        def listed(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in names.items()]

        heads, tags = listed("heads", repo.branches), listed("tags", repo.tags)
        self.send_json(200, {"branches": heads, "tags": tags, "converts": []})

    def commits(self, repo: Repo, revision: str) -> None:
        oid: str | None = self.commit_of(repo, revision)[0]
        told = []
        while oid is not None:
            commit = repo.commits[oid]
            told.append(
                {
                    "id": oid, "title": commit.title, "message": commit.description, "date": commit.date,
                    "authors": [{"user": "tester"}],
                }
            )  # fmt: skip
            oid = commit.parent
        self.send_json(200, told)

    def tree(self, repo: Repo, rest: str) -> None:
        revision, _, folder = rest.partition("/")
        _, commit = self.commit_of(repo, revision)
        prefix = folder.strip("/") + "/" if folder.strip("/") else ""
        if prefix and not any(path.startswith(prefix) for path in commit.files):
            raise Refused(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        deep = self.query.get("recursive", [""])[0].lower() in {"true", "1"}
        folders, entries = set(), []
        for path, file in sorted(commit.files.items()):
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            folders |= {
                prefix + "/".join(parts[:depth]) for depth in range(1, len(parts) if deep else min(2, len(parts)))
            }
            if deep or len(parts) == 1:
                entries.append(self.entry(path, file))
        self.send_json(200, [self.folder_entry(name) for name in sorted(folders)] + entries)

    def paths_info(self, repo: Repo, revision: str, body: bytes) -> None:
        _, commit = self.commit_of(repo, revision)
        is_json = "json" in self.headers.get("Content-Type", "")
        asked = json.loads(body)["paths"] if is_json else parse_qs(body.decode()).get("paths", [])
        told = []
        for path in asked:
            if path in commit.files:
                told.append(self.entry(path, commit.files[path]))
            elif any(name.startswith(path.rstrip("/") + "/") for name in commit.files):
                told.append(self.folder_entry(path))
        self.send_json(200, told)

    def entry(self, path: str, file: StoredFile) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "size": file.size, "oid": file.git_oid}
        lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 130}} if file.sha256 else {}
        return entry | lfs

    def folder_entry(self, path: str) -> dict[str, Any]:
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}

    def resolve(self, repo: Repo, revision: str, path: str) -> None:
        """A small file itself; of a large one where it lies, as the Hub sends readers to its storage."""
        oid, commit = self.commit_of(repo, revision)
        file = commit.files.get(path)
        if file is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": oid, "ETag": f'"{file.sha256 or file.git_oid}"', "Accept-Ranges": "bytes"}
        if file.content is not None:
            return self.send_range(file.content, headers)
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.sha256}"'}
        return self.send_bytes(302, b"", headers | {"Location": f"{self.hub.storage_url}/cdn/{file.sha256}"})

    def serve(self, oid: str) -> None:
        path = self.hub.large(oid)
        if not path.exists():
            raise Refused(404, "EntryNotFound", "no such object")
        self.send_range(path, {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    # ---- bytes

    def blocks(self) -> Iterator[bytes]:
        """The request's body in blocks, whether its length is told or it comes in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip() or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (block := self.rfile.read(min(left, _BLOCK))):
            left -= len(block)
            yield block

    def body(self) -> bytes:
        return b"".join(self.blocks())

    def discard(self) -> None:
        """Read what an answer does not depend on, so that the next request on the connection is found."""
        for _ in self.blocks():
            pass

    def send_json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        if self.late is not None and self.late.late_status:
            status, content = self.late.late_status, {"error": self.late.message}
        told = {"Content-Type": "application/json", **(headers or {})}
        self.send_bytes(status, json.dumps(content).encode(), told)

    def send_bytes(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_range(self, content: bytes | Path, headers: dict[str, str]) -> None:
        """A file or the part of it that is asked for, in blocks."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        first, last, status = 0, size - 1, 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last, status = int(asked[1]), min(int(asked[2] or size - 1), size - 1), 206
            headers = headers | {"Content-Range": f"bytes {first}-{last}/{size}"}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(last - first + 1)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(content, bytes):
            self.wfile.write(self.as_served(content[first : last + 1]))
            return
        with content.open("rb") as stream:
            stream.seek(first)
            left = last - first + 1
            while left and (block := stream.read(min(left, _BLOCK))):
                left -= len(block)
                self.wfile.write(self.as_served(block))

    def as_served(self, block: bytes) -> bytes:
        return bytes([block[0] ^ 1]) + block[1:] if self.garbled and block else block
