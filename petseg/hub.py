"""Models on the Hugging Face Hub: pulled pinned and verified, usable without a network, and pushed.

Files live in huggingface_hub's own cache. A revision is resolved to a commit first, every file is held
against the petseg.json of that commit, and only then does the cache's ref point there. What has been pulled
is used without asking the Hub again; `pull` asks for what is newer.

huggingface_hub is imported when the Hub or its cache is needed, never before. It reads HF_ENDPOINT, HF_HOME,
HF_HUB_OFFLINE and HF_HUB_DISABLE_XET at that time, and HF_TOKEN at every call.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petseg.engine.network import open_model
from petseg.errors import HubContentError
from petseg.models import bundle, catalog, publishing
from petseg.models.bundle import Bundle
from petseg.models.cache import Reference
from petseg.models.client import api, ask
from petseg.models.fetch import locate, update

__all__ = ["Pushed", "check", "commit", "locate", "pull", "push", "update"]

KEPT = (".gitattributes",)
"""Files of a repository that a push leaves alone."""


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
    return update(catalog.reference(model, revision)).folder


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


def check(folder: Path) -> tuple[Bundle, dict[str, Path]]:
    """Make sure that a folder may be published.

    Returns:
        What its petseg.json says, and path in the repository -> file; hidden files are left out.

    Raises:
        HubContentError: no petseg.json or one that does not fit the files, a kind of file that is never
            published, a model that does not keep the contract, or without verified parity, metrics or card.
    """
    return publishing.check(folder, lambda model: open_model(model, "cpu", precision="float32").manifest)


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
        HubContentError: the folder cannot be published, see `check`, or the version
            is published with other files.
        HubError: another one of its subclasses; what was wrong, and what to do about it.
    """
    reference = Reference.parse(repo)
    if reference.revision is not None or "/" not in repo:
        raise HubContentError(f"{repo!r} is no place to publish; give ORG/NAME")
    listed, files = check(Path(folder))
    tag = f"v{listed.version}"
    client, about = api(), str(reference)
    url = ask(about, lambda: client.create_repo(repo, private=private, exist_ok=True))
    refs = ask(about, lambda: client.list_repo_refs(repo))
    tagged = next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
    if tagged is not None:
        _check_same(Reference(repo, tagged), files[bundle.FILE], listed.version)
    before = ask(about, lambda: client.model_info(repo)).sha
    newest = ask(about, lambda: commit(client, repo, files, f"{listed.name} {listed.version}"))
    if tagged is None:
        ask(about, lambda: client.create_tag(repo, tag=tag, revision=newest, exist_ok=True))
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
