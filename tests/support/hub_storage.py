"""What the Hub of `hub_server` keeps: repositories of commits of files."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Blob:
    """The content of a file, and how it is stored."""

    data: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        lines = ["version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}"]
        return "\n".join([*lines, f"size {len(self.data)}", ""]).encode()

    @property
    def oid(self) -> str:
        """git's name for it."""
        content = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def entry(self, path: str) -> dict[str, Any]:
        """As in the answer of `tree`."""
        entry = {"type": "file", "path": path, "oid": self.oid, "size": len(self.data)}
        lfs = {"oid": self.sha256, "size": len(self.data), "pointerSize": len(self.pointer)}
        return entry | ({"lfs": lfs} if self.lfs else {})


@dataclass
class Repository:
    """Commits by hash, each a whole tree, in order; and what points to them."""

    private: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, tree: dict[str, Blob], message: str) -> str:
        """A new commit on main; returns its hash."""
        listing = json.dumps([sorted((path, blob.oid) for path, blob in tree.items()), len(self.commits)])
        oid = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[oid] = tree
        self.messages.append(message)
        self.branches["main"] = oid
        return oid

    def find(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)
