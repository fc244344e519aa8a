"""From the Hub into the cache: a model's files, each held against what was published.

A revision is resolved to a commit first, every file is held against the petseg.json of that commit, and only
then does the cache's ref point there. huggingface_hub is imported when the Hub is needed, never before.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from petseg.errors import HubContentError, HubError, HubUnavailableError
from petseg.models import bundle, cache
from petseg.models.bundle import Bundle
from petseg.models.cache import COMMIT, Reference, Snapshot
from petseg.models.client import api, ask
from petseg.version import version

T = TypeVar("T")


def update(reference: Reference) -> Snapshot:
    """Bring a model into the cache, or up to date, and verify it.

    Nothing but ONNX, JSON and safetensors files is downloaded, and only those that the repository's
    petseg.json lists. What is in the cache already and has the right hash is not downloaded again.

    Raises:
        HubError: one of its subclasses; what was wrong, and what to do about it.
    """
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
    """A model from the cache; from the Hub if it is not there or damaged. Raises as `update`."""
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


def _resolve(reference: Reference) -> str:
    """The commit that a revision stands for now; no network call for a commit."""
    if reference.revision is not None and COMMIT.fullmatch(reference.revision):
        return reference.revision
    from huggingface_hub import constants

    timeout = float(constants.HF_HUB_ETAG_TIMEOUT)
    info = ask(
        str(reference),
        lambda: api().model_info(reference.repo, revision=reference.revision, timeout=timeout),
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
