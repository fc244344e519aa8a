"""Models that came from the Hub, in huggingface_hub's own cache; nothing here asks the network.

huggingface_hub is imported when its cache is looked at, never before.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from petseg.errors import HubContentError, HubError, HubNotFoundError, OutputError
from petseg.models import bundle
from petseg.models.bundle import Bundle
from petseg.models.client import ask
from petseg.pixels import saving

NAMESPACE = "petseg"
"""Whose repositories are meant by names without one: `petseg pull unet` is petseg/unet."""

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full hash of a commit."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")


@dataclass(frozen=True)
class Reference:
    """A model on the Hub.

    Attributes:
        repo: "ORG/NAME".
        revision: branch, tag or commit; None is the newest.
        sha256: what its petseg.json must hash to; None takes any.
    """

    repo: str
    revision: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        """As people write it, a commit in short."""
        if self.revision is None:
            return self.repo
        return f"{self.repo}@{self.revision[:8] if COMMIT.fullmatch(self.revision) else self.revision}"

    @classmethod
    def parse(cls, text: str, revision: str | None = None) -> "Reference":
        """Read NAME, ORG/NAME, or either with @REVISION.

        Raises:
            HubNotFoundError: it is none of these, or names two revisions.
        """
        name, at, tail = text.partition("@")
        if at and revision is not None:
            raise HubNotFoundError(f"{text!r} names a revision already; leave out revision={revision!r}")
        revision = tail if at else revision
        repo = name if "/" in name else f"{NAMESPACE}/{name}"
        if not _REPOSITORY.fullmatch(repo) or "--" in repo or ".." in repo:
            raise HubNotFoundError(
                f"{text!r} is no model on the Hub; give NAME or ORG/NAME, or one @REVISION"
            )
        if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
            raise HubNotFoundError(f"{revision!r} is no revision; give a branch, a tag or a commit")
        return cls(repo, revision)


def is_reference(text: str) -> bool:
    """Whether a text reads like ORG/NAME, ORG/NAME@REVISION or NAME@REVISION."""
    return bool(re.fullmatch(rf"{_NAME}(/{_NAME}(@.*)?|@.*)", text))


@dataclass(frozen=True)
class Snapshot:
    """A model in the cache, verified when it was found.

    Attributes:
        folder: of the commit.
        bundle: what it holds.
    """

    folder: Path
    bundle: Bundle


def find(reference: Reference, *, complete: bool = False) -> Snapshot | None:
    """A model in the cache, verified; None if it is not there or damaged. Arguments as for `inspect`."""
    try:
        return inspect(reference, complete=complete)
    except (HubContentError, OSError):
        return None


def inspect(reference: Reference, *, complete: bool = False) -> Snapshot | None:
    """A model in the cache, its files held against their hashes; None if one is missing or damaged.

    Args:
        reference: what to look for.
        complete: every file must be there, not only those that it takes to run.

    Raises:
        HubContentError: its petseg.json is damaged, or of a newer format.
        OSError: its petseg.json cannot be read.
    """
    path = path_of(reference, bundle.FILE)
    if path is None:
        return None
    listed = Bundle.read(path, str(reference), reference.sha256)
    for name in listed.files if complete else (*listed.graphs, *listed.quantised):
        try:
            listed.check(path.parent / name, name, str(reference))
        except (HubContentError, OSError):
            return None
    return Snapshot(path.parent, listed)


def path_of(reference: Reference, name: str) -> Path | None:
    """Where a file is in the cache, verified or not."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(reference.repo, name, revision=reference.revision)
    return Path(path) if isinstance(path, str) else None


def folder_of(pinned: Reference) -> Path:
    """The folder of a commit, there or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / _folder(pinned.repo) / "snapshots" / str(pinned.revision)


def listing() -> Iterator[tuple[Reference, Path, Bundle]]:
    """Every petseg model in the cache, its files neither verified nor surely there, with its folder.

    Of several revisions of a repository it is the newest that was pulled, or else the first by name.
    """
    from huggingface_hub import constants

    for refs in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*/refs")):
        repo = "/".join(refs.parent.name.split("--")[1:])
        names = [path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file()]
        for name in sorted(names, key=lambda name: (name != constants.DEFAULT_REVISION, name)):
            reference = Reference(repo, None if name == constants.DEFAULT_REVISION else name)
            try:
                commit = (refs / name).read_text(encoding="utf-8").strip()
                path = refs.parent / "snapshots" / commit / bundle.FILE
                yield reference, path.parent, Bundle.read(path, str(reference))
            except (HubError, OSError, ValueError):
                continue
            break


def remove(path: Path | None) -> None:
    """Remove a file of the cache with all it links to: the snapshot's link, and the blob."""
    while path is not None:
        target = path.parent / path.readlink() if path.is_symlink() else None
        path.unlink(missing_ok=True)
        path = target


@contextmanager
def lock(repo: str) -> Iterator[None]:
    """Keep other processes from a repository, so that none removes what another one has just brought.

    Raises:
        HubError: the cache may not be written.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import WeakFileLock

    folder = Path(constants.HF_HUB_CACHE) / ".locks" / _folder(repo)
    with ExitStack() as stack:

        def enter() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(WeakFileLock(folder / "petseg.lock"))

        ask(repo, enter)
        yield


def record(reference: Reference, commit: str) -> None:
    """Let the cache's ref of a revision, `refs/main` say, point to a commit, so that `find` takes it.

    A cache that may not be written stays as it is.
    """
    from huggingface_hub import constants

    name = reference.revision or constants.DEFAULT_REVISION
    path = Path(constants.HF_HUB_CACHE) / _folder(reference.repo) / "refs" / name
    try:
        if name == commit or (path.is_file() and path.read_text(encoding="utf-8") == commit):
            return
        saving.write(path, commit.encode())
    except (OSError, OutputError):
        pass


def _folder(repo: str) -> str:
    return "--".join(["models", *repo.split("/")])
