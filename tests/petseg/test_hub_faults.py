"""What can go wrong between the Hub and the cache: each its own message, and nothing half-written in use."""

import errno
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from petseg.errors import (
    HubAccessError,
    HubContentError,
    HubError,
    HubNotFoundError,
    HubUnavailableError,
)
from petseg.hub import pull
from petseg.models import cache, fetch
from petseg.models.cache import Reference
from tests.support.hub_fixtures import PATIENCE, REPO, contents, describe, make_release
from tests.support.hub_server import HubServer
from tests.support.tiny_models import manifest

SIZE = 100_000


@pytest.fixture
def published(hub: HubServer, tmp_path: Path) -> HubServer:
    """The Hub with one model, whose checkpoint is large enough to be cut."""
    hub.put(REPO, contents(make_release(tmp_path / "large", weights=os.urandom(SIZE))))
    return hub


def check_clean(hub: HubServer) -> None:
    """No half-written file is used, and the next pull is whole."""
    found = cache.find(Reference(REPO), complete=True)
    assert found is None
    hub.faults.clear()
    folder = pull(REPO)
    assert contents(folder).items() <= hub.files(REPO).items()
    assert cache.find(Reference(REPO), complete=True) is not None
    assert not list(hub.cache.rglob("*.incomplete"))


@pytest.mark.parametrize("cut", [0, SIZE // 2])
def test_connection_cut_once_goes_on(published: HubServer, cut: int) -> None:
    published.fail("GET", "/cdn/", cut=cut, times=2)
    folder = pull(REPO)
    assert contents(folder).items() <= published.files(REPO).items()


def test_connection_cut_for_good(published: HubServer) -> None:
    published.fail("GET", "/cdn/", cut=0, times=99)
    with pytest.raises(HubUnavailableError, match=r"model\.onnx of pets/tiny@\w{8} .*does not answer"):
        pull(REPO)
    check_clean(published)


def test_truncated_body(published: HubServer) -> None:
    published.fail("GET", "/cdn/", truncate=7, times=99)
    with pytest.raises(HubUnavailableError, match="did not arrive whole"):
        pull(REPO)
    check_clean(published)


@pytest.mark.parametrize("path", ["/cdn/", "/resolve/.*config.json", "/resolve/.*petseg.json"])
def test_flipped_byte_with_the_right_size(published: HubServer, path: str) -> None:
    published.fail("GET", path, flip=1)
    with pytest.raises(HubContentError, match=r"(wrong sha256|no JSON).*not kept"):
        pull(REPO)
    check_clean(published)


def test_flipped_byte_in_the_list_itself(published: HubServer) -> None:
    listed = published.files(REPO)["petseg.json"]
    at = listed.index(b'"sha256": "') + len(b'"sha256": "')
    listed = listed[:at] + (b"0" if listed[at : at + 1] != b"0" else b"1") + listed[at + 1 :]
    commit = published.put(REPO, published.files(REPO) | {"petseg.json": listed})
    with pytest.raises(HubContentError, match="wrong sha256"):
        pull(REPO)
    assert cache.path_of(Reference(REPO, commit), "petseg.json") is None


def test_wrong_etag(published: HubServer) -> None:
    published.fail("HEAD", "model.onnx", etag="0" * 64)
    folder = pull(REPO)
    assert contents(folder).items() <= published.files(REPO).items(), "the bytes count, not the label"


def test_etag_of_another_file(published: HubServer) -> None:
    """The cache would take one file for the other."""
    other = published.repositories[REPO].commits[published.repositories[REPO].branches["main"]]
    published.fail("HEAD", "model.safetensors", etag=other["model.onnx"].sha256)
    with pytest.raises(HubContentError, match="wrong sha256"):
        pull(REPO)
    check_clean(published)


def test_slow_server(published: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with monkeypatch.context() as settings:
        settings.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
        published.fail("GET", "/api/models", delay=PATIENCE)
        with pytest.raises(HubUnavailableError, match=r"does not answer.*HF_ENDPOINT"):
            pull(REPO)
    check_clean(published)


def test_slow_download_goes_on(published: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    published.fail("GET", "/cdn/", delay=PATIENCE)
    assert contents(pull(REPO)).items() <= published.files(REPO).items()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "3600"}, 3600), ({"RateLimit": '"api";r=0;t=55'}, 55), ({}, None)],
)
def test_too_many_requests(published: HubServer, headers: dict[str, str], seconds: int | None) -> None:
    published.fail("GET", "/api/models", status=429, headers=headers)
    with pytest.raises(HubUnavailableError, match=f"too many requests.*wait {seconds or 'some'}") as raised:
        pull(REPO)
    assert raised.value.retry_after == seconds
    assert published.waits == [], "an hour is not waited for in silence"
    check_clean(published)


def test_too_many_requests_while_downloading(published: HubServer) -> None:
    published.fail("GET", "/cdn/", status=429, headers={"Retry-After": "7"})
    pull(REPO)
    assert 8.0 in published.waits, "huggingface_hub waits as it is told"


@pytest.mark.parametrize("request_", [("GET", "/api/models"), ("HEAD", "petseg.json"), ("GET", "/cdn/")])
def test_trouble_twice_then_an_answer(published: HubServer, request_: tuple[str, str]) -> None:
    published.fail(*request_, status=500, times=2)
    assert contents(pull(REPO)).items() <= published.files(REPO).items()
    assert published.waits


@pytest.mark.parametrize("request_", [("GET", "/api/models"), ("HEAD", "petseg.json"), ("GET", "/cdn/")])
def test_trouble_for_good(published: HubServer, request_: tuple[str, str]) -> None:
    published.fail(*request_, status=503, times=99)
    with pytest.raises(HubUnavailableError, match=r"the Hub is in trouble.*try again later"):
        pull(REPO)
    check_clean(published)


@pytest.mark.parametrize(
    ("status", "headers", "error", "problem"),
    [
        (401, {"message": "Invalid credentials in Authorization header"}, HubAccessError, "HF_TOKEN"),
        (403, {}, HubAccessError, "denies access.*HF_TOKEN"),
        (403, {"code": "GatedRepo", "message": "restricted"}, HubAccessError, "restricted.*HF_TOKEN"),
        (404, {"code": "RepoNotFound"}, HubNotFoundError, "no such repository, or it is private.*HF_TOKEN"),
        (404, {"code": "RevisionNotFound"}, HubNotFoundError, "no such revision"),
        (418, {}, HubError, "the Hub refused"),
    ],
)
def test_refusals(
    published: HubServer, status: int, headers: dict[str, str], error: type[HubError], problem: str
) -> None:
    published.fail("GET", "/api/models", status=status, headers=headers)
    with pytest.raises(error, match=problem):
        pull(REPO)
    assert published.waits == []
    check_clean(published)


def test_gated_only_when_downloading(published: HubServer) -> None:
    published.fail("HEAD", "/resolve/", status=403, headers={"code": "GatedRepo"}, times=9)
    with pytest.raises(HubAccessError, match=r"petseg\.json of pets/tiny.*HF_TOKEN"):
        pull(REPO)
    check_clean(published)


def test_nothing_of_that_name(hub: HubServer, release: Path) -> None:
    with pytest.raises(HubNotFoundError, match="pets/none: there is no such repository"):
        pull("pets/none")
    hub.put(REPO, contents(release))
    for revision in ("v9", "0" * 40):
        with pytest.raises(HubNotFoundError, match=rf"pets/tiny@{revision[:8]}.*no such revision"):
            pull(REPO, revision)


def test_no_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnavailableError, match=r"does not answer.*check the network"):
        pull(REPO)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(published: HubServer, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(number, os.strerror(number))

    real = Path.open

    def full(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        written = self.suffix == ".incomplete" and mode[0] in "wa"
        return Full(self, mode[0]) if written else real(self, mode, *arguments, **options)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "open", full)
        with pytest.raises(HubError, match=r"does not fit.*is full.*HF_HOME"):
            pull(REPO)
    check_clean(published)


def test_killed_in_the_middle(published: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed pull leaves: some files there, others not, and scraps that no name points to."""
    published.fail("GET", "/cdn/", status=500, times=99)
    with pytest.raises(HubUnavailableError):
        pull(REPO)
    blobs = next(published.cache.glob("models--*/blobs"))
    (blobs / "scrap.incomplete").write_bytes(b"half")
    assert cache.find(Reference(REPO)) is None
    published.faults.clear()
    pull(REPO)
    assert cache.find(Reference(REPO), complete=True) is not None


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "does not list model.onnx, or encoder.onnx with decoder.onnx"),
        ({"encoder.onnx": {}}, "does not list"),
        ({"model.onnx": {}, "../x.onnx": {}}, r"lists '\.\./x\.onnx'"),
        ({"model.onnx": {}, "/etc/x.json": {}}, "lists '/etc/x.json'"),
        ({"model.onnx": {}, "a\\b.json": {}}, "lists"),
        ({"model.onnx": {}, "C:x.json": {}}, "lists"),
        ({"model.onnx": {}, "a/../b.json": {}}, "lists"),
        ({"model.onnx": {}, ".git/config.json": {}}, "lists"),
        ({"model.onnx": {}, "petseg.json": {}}, "lists"),
        ({"model.onnx": {}, "model.pkl": {}}, "reads only .onnx, .json, .safetensors"),
        ({"model.onnx": {}, "modeling.py": {}}, "reads only"),
        ({"model.onnx": {}, "pytorch_model.bin": {}}, "reads only"),
        ({"model.onnx": None}, "no sha256 and size"),
        ({"model.onnx": {"sha256": "abc"}}, "no sha256 and size"),
        ({"model.onnx": {"bytes": -1}}, "no sha256 and size"),
        ({"model.onnx": {"bytes": "1"}}, "no sha256 and size"),
        ([], "does not list"),
        (None, "does not list"),
    ],
)
def test_lists_that_are_refused(hub: HubServer, files: Any, problem: str) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1}
    if isinstance(files, dict):
        files = {name: None if change is None else entry | change for name, change in files.items()}
    document = {"format": 1, "name": "tiny", "version": "1.0", "files": files, "manifest": manifest()}
    hub.put(REPO, {"petseg.json": json.dumps(document).encode(), "model.onnx": b"x"})
    with pytest.raises(HubContentError, match=problem):
        pull(REPO)
    assert hub.asked("GET", "/cdn/") == 0


@pytest.mark.parametrize(
    "data", [None, b"", b"{", b"[]", b"{}", b'{"format": "1"}', b'{"format": 0}', b"[" * 99999]
)
def test_no_petseg_model(hub: HubServer, data: bytes | None) -> None:
    files = {"config.json": b"{}"} | ({} if data is None else {"petseg.json": data})
    hub.put(REPO, files)
    with pytest.raises(HubContentError, match=r"is no petseg model"):
        pull(REPO)
    assert cache.find(Reference(REPO)) is None


def test_weights_in_other_files(hub: HubServer, release: Path) -> None:
    import onnx
    from onnx import external_data_helper

    model = onnx.load(release / "model.onnx")
    external_data_helper.convert_model_to_external_data(model, location="../secret", size_threshold=0)
    (release / "model.onnx").write_bytes(model.SerializeToString())
    hub.put(REPO, contents(describe(release, manifest())))
    with pytest.raises(HubContentError, match="keeps weights in other files"):
        pull(REPO)


def test_a_hub_that_names_no_commit(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = SimpleNamespace(model_info=lambda *_, **__: SimpleNamespace(sha=None))
    monkeypatch.setattr(fetch, "api", lambda: nameless)
    with pytest.raises(HubError, match=r"pets/tiny: the Hub names no commit for it; check HF_ENDPOINT"):
        pull(REPO)


def test_a_cache_that_something_else_empties(published: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "find", lambda *_, **__: None)
    with pytest.raises(HubError, match="is not whole in the cache, something else changes it; pull it again"):
        pull(REPO)
