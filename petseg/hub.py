"""Models on the Hugging Face Hub: pulled pinned and verified, usable without a network, and pushed.

Files live in huggingface_hub's own cache. A revision is resolved to a commit first, every file is held
against the petseg.json of that commit, and only then does the cache's ref point there. What has been pulled
is used without asking the Hub again; `pull` asks for what is newer.

huggingface_hub is imported when the Hub or its cache is needed, never before. It reads HF_ENDPOINT, HF_HOME,
HF_HUB_OFFLINE and HF_HUB_DISABLE_XET at that time, and HF_TOKEN at every call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from petseg.engine.session import version
from petseg.errors import HubContentError, HubError, HubUnavailableError
from petseg.models import bundle, cache, publishing
from petseg.models.bundle import Bundle
from petseg.models.cache import COMMIT, Reference, Snapshot
from petseg.models.client import ask

KEPT = (".gitattributes",)
"""Files of a repository that a push leaves alone."""

T = TypeVar("T")


def pull(model: str, revision: str | None = None) -> Path:
    """Bring a model into the cache, or up to date.

    Nothing but ONNX, JSON and safetensors files is downloaded, and only those that the repository's
    petseg.json lists. What is in the cache already and has the right hash is not downloaded again.

    Args:
        model: NAME, ORG/NAME, or either with @REVISION.
        revision: branch, tag or commit; None is the newest, or what this petseg was published with.

    Returns:
        The folder with the files, petseg.json among them.

    Raises:
        HubError: one of its subclasses; what was wrong, and what to do about it.
    """
    from petseg.models.catalog import reference

    return update(reference(model, revision)).folder


def update(reference: Reference) -> Snapshot:
    """The same as `pull`, for a reference."""
    if _is_offline():
        return _cached(reference)
    commit = _resolve(reference)
    pinned = Reference(reference.repo, commit, reference.sha256)
    found = cache.find(pinned, complete=True)
    if found is None:
        with cache.lock(pinned.repo):
            found = _download(pinned)
    cache.record(reference, commit)
    return found


def locate(reference: Reference) -> Snapshot:
    """A model from the cache; from the Hub if it is not there or damaged. Raises as `pull`."""
    return cache.find(reference) or update(reference)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _cached(reference: Reference) -> Snapshot:
    found = cache.inspect(reference, complete=True)
    if found is None:
        raise HubUnavailableError(
            f"{reference} is not whole in the cache and HF_HUB_OFFLINE is set; unset it, or pull the model "
            "before"
        )
    return found


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(library_name="petseg", library_version=version())


def _resolve(reference: Reference) -> str:
    """The commit that a revision stands for now; no network call for a commit."""
    if reference.revision is not None and COMMIT.fullmatch(reference.revision):
        return reference.revision
    from huggingface_hub import constants

    timeout = float(constants.HF_HUB_ETAG_TIMEOUT)
    info = ask(
        str(reference),
        lambda: _api().model_info(reference.repo, revision=reference.revision, timeout=timeout),
    )
    if not COMMIT.fullmatch(info.sha or ""):
        raise HubError(f"{reference}: the Hub names no commit for it; check HF_ENDPOINT")
    return str(info.sha)


def _download(pinned: Reference) -> Snapshot:
    """All files of a commit, each verified; what fails is removed, so that the next pull starts clean."""
    listed = _obtain(pinned, bundle.FILE, lambda path: Bundle.read(path, str(pinned), pinned.sha256))
    for name in listed.files:

        def check(path: Path, name: str = name) -> None:
            listed.check(path, name, str(pinned))

        try:
            _obtain(pinned, name, check)
        except HubContentError:
            cache.remove(cache.path_of(pinned, bundle.FILE))  # the list may be what is damaged
            raise
    found = cache.find(pinned, complete=True)
    if found is None:
        raise HubError(f"{pinned} is not whole in the cache, something else changes it; pull it again")
    return found


def _obtain(pinned: Reference, name: str, check: Callable[[Path], T]) -> T:
    """A file from the cache if it passes the check, else from the Hub; removed again if it does not pass.

    Returns:
        What the check does.
    """
    from huggingface_hub import hf_hub_download

    cached = cache.path_of(pinned, name)
    if cached is not None:
        try:
            return check(cached)
        except HubContentError:
            cache.remove(cached)
    path = Path(
        ask(
            f"{name} of {pinned}",
            lambda: hf_hub_download(
                pinned.repo,
                name,
                revision=pinned.revision,
                library_name="petseg",
                library_version=version(),
            ),
        )
    )
    try:
        return check(path)
    except HubContentError as error:
        cache.remove(path)
        raise HubContentError(f"{error}; what arrived was not kept") from error


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        url: of the repository.
        commit: full hash of the newest one.
        tag: of the version.
        changed: whether there is a new commit; not if the repository held the same before.
    """

    url: str
    commit: str
    tag: str
    changed: bool


def push(folder: str | Path, repo: str, *, private: bool = False) -> Pushed:
    """Publish a model: every file of a folder in one commit, tagged with the version.

    The repository is made if there is none. Afterwards it holds what the folder holds and nothing else.
    A version stays what it is: once tagged, other model files need another version; a new card or figure
    becomes a commit behind the tag.

    Args:
        folder: with petseg.json, the files it lists, parity.json, README.md and whatever else belongs to it;
            `python -m export.publish` makes one.
        repo: ORG/NAME.
        private: make a new repository private.

    Raises:
        HubContentError: the folder cannot be published, see `petseg.models.publishing.check`, or the version
            is published with other files.
        HubError: another one of its subclasses; what was wrong, and what to do about it.
    """
    reference = Reference.parse(repo)
    if reference.revision is not None or "/" not in repo:
        raise HubContentError(f"{repo!r} is no place to publish; give ORG/NAME")
    listed, files = publishing.check(Path(folder))
    tag = f"v{listed.version}"
    api, about = _api(), str(reference)
    url = ask(about, lambda: api.create_repo(repo, private=private, exist_ok=True))
    refs = ask(about, lambda: api.list_repo_refs(repo))
    tagged = next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
    if tagged is not None:
        _check_same(Reference(repo, tagged), files[bundle.FILE], listed.version)
    before = ask(about, lambda: api.model_info(repo)).sha
    newest = ask(about, lambda: commit(api, repo, files, f"{listed.name} {listed.version}"))
    if tagged is None:
        ask(about, lambda: api.create_tag(repo, tag=tag, revision=newest, exist_ok=True))
    return Pushed(str(url), newest, tag, newest != before)


def _check_same(published: Reference, manifest: Path, version: str) -> None:
    """Raise `HubContentError` unless a tagged version has the same petseg.json."""
    from huggingface_hub import hf_hub_download

    path = ask(
        str(published), lambda: hf_hub_download(published.repo, bundle.FILE, revision=published.revision)
    )
    if Path(path).read_bytes() != manifest.read_bytes():
        raise HubContentError(
            f"version {version} of {published.repo} is published already with other files; give the model "
            "another version"
        )


def commit(
    api: Any,
    repo: str,
    files: dict[str, Path],
    message: str,
    *,
    repo_type: str = "model",
    parent: str | None = None,
) -> str:
    """Make a repository hold these files and no others in one commit, unless it does already.

    Args:
        api: a `huggingface_hub.HfApi`.
        repo: ORG/NAME.
        files: path in the repository -> file.
        message: of the commit.
        repo_type: "model" or "space".
        parent: the commit that must still be the newest, so that nothing is lost that someone else has
            pushed since; None does not ask.

    Returns:
        The newest commit.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    stale = sorted(set(api.list_repo_files(repo, repo_type=repo_type)) - set(files) - set(KEPT))
    operations: list[Any] = [CommitOperationAdd(name, path) for name, path in files.items()]
    operations += [CommitOperationDelete(name, is_folder=False) for name in stale]
    made = api.create_commit(
        repo, operations, commit_message=message, repo_type=repo_type, parent_commit=parent
    )
    return str(made.oid)
