"""What the catalog knows of models on the Hub."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

import petseg
from petseg.errors import HubContentError, HubNotFoundError, ModelError, PromptError
from petseg.hub import pull
from petseg.models import bundle, catalog
from petseg.models.cache import Reference
from tests.support.hub_fixtures import REPO, contents, describe, make_release
from tests.support.hub_server import HubServer
from tests.support.tiny_models import build_model


@pytest.fixture
def published(hub: HubServer, release: Path, weights: Path) -> dict[str, Any]:
    """A package with two embedded models that was published with a third one on the Hub; its entry."""
    entry = {
        "repo": "petseg/clip",
        "revision": hub.put("petseg/clip", contents(release)),
        "sha256": bundle.digest(release / bundle.FILE),
        "bundle": json.loads((release / bundle.FILE).read_text()),
    }
    write(weights, {"clip": entry})
    return entry


def write(weights: Path, published: dict[str, Any]) -> None:
    index = json.loads((weights / "index.json").read_text())
    (weights / "index.json").write_text(json.dumps(index | {"published": published}))


def statuses() -> list[tuple[str, str]]:
    return [(info.name, info.status) for info in catalog.list_models()]


def test_list(hub: HubServer, published: dict[str, Any], release: Path) -> None:
    embedded = [("tiny", "embedded"), ("tiny-prompt", "embedded")]
    assert statuses() == [*embedded, ("clip", "can be pulled")]
    hub.put(REPO, contents(release))
    pull(REPO)
    pull("clip")
    assert statuses() == [*embedded, ("clip", "cached"), (REPO, "cached")]
    clip = catalog.list_models()[2]
    assert clip.bytes == clip.path.joinpath("model.onnx").stat().st_size
    assert (clip.prompts, clip.parameters, clip.metrics) == ((), 12, {"miou": 0.5})


def test_what_is_half_there_can_be_pulled(hub: HubServer, release: Path, weights: Path) -> None:
    hub.put(REPO, contents(release))
    (pull(REPO) / "model.onnx").unlink()
    assert statuses()[2:] == [(REPO, "can be pulled")]


def test_a_published_name_is_pinned(hub: HubServer, published: dict[str, Any], tmp_path: Path) -> None:
    newer = hub.put("petseg/clip", contents(make_release(tmp_path / "newer", version="2.0")))
    assert pull("clip").name == published["revision"]
    assert petseg.Segmenter("clip", device="cpu").manifest.version == "1.0"
    assert pull("clip@main").name == newer
    assert catalog.reference("clip") == Reference("petseg/clip", published["revision"], published["sha256"])
    assert catalog.reference("clip", "main") == Reference("petseg/clip", "main")


def test_a_published_name_must_be_what_was_published(
    hub: HubServer, published: dict[str, Any], weights: Path
) -> None:
    write(weights, {"clip": published | {"sha256": "0" * 64}})
    with pytest.raises(HubContentError, match=r"petseg\.json is not the one this petseg expects"):
        petseg.Segmenter("clip")


def test_names_that_were_pulled(hub: HubServer, release: Path, weights: Path) -> None:
    hub.put("petseg/other", contents(release))
    with pytest.raises(ModelError, match=r"no model 'other'.*ORG/NAME on the Hub"):
        catalog.resolve("other")
    assert hub.requests == [], "a typing error asks nobody"
    folder = pull("other")
    (file,) = catalog.resolve("other")
    assert file.path == folder / "model.onnx"
    assert file.sha256 == bundle.digest(release / "model.onnx")


def test_int8_comes_along(hub: HubServer, release: Path, weights: Path) -> None:
    document = json.loads((release / bundle.FILE).read_text())["manifest"]
    onnx.save(build_model(document=document | {"precision": "int8"}), release / "model.int8.onnx")
    hub.put(REPO, contents(describe(release, document)))
    folder = pull(REPO)
    (info,) = [info for info in catalog.list_models() if info.name == REPO]
    assert info.precisions == ("float32", "int8")
    assert info.bytes == sum((folder / name).stat().st_size for name in ("model.onnx", "model.int8.onnx"))
    for precision in ("float32", "int8"):
        assert petseg.Segmenter(REPO, device="cpu", precision=precision).precision == precision
    (folder / "model.int8.onnx").unlink()
    assert petseg.Segmenter(REPO, device="cpu", precision="int8").precision == "int8", "pulled again"


def test_what_is_embedded_is_not_looked_for(hub: HubServer, weights: Path) -> None:
    assert catalog.resolve("tiny")[0].path == weights / "tiny.onnx"
    assert hub.requests == []


def test_a_folder_that_is_there_wins(
    hub: HubServer, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("pets/tiny", contents(release))
    monkeypatch.chdir(tmp_path)
    Path("pets").mkdir()
    release.rename("pets/tiny")
    (file,) = catalog.resolve("pets/tiny")
    assert file == catalog.ModelFile(Path("pets/tiny/model.onnx"))
    assert catalog.resolve("pets/tiny@main")[0].path.is_relative_to(hub.cache)


def test_neither_here_nor_there(hub: HubServer) -> None:
    with pytest.raises(
        HubNotFoundError, match=r"no such repository.*nor is there a file or folder 'my/model'"
    ):
        catalog.resolve("my/model")


def test_pulled_models_are_not_chosen_unasked(hub: HubServer, tmp_path: Path, weights: Path) -> None:
    hub.put("petseg/a", contents(make_release(tmp_path / "parts", parts=True)))
    pull("a")
    assert catalog.choose(["point"]) == "tiny-prompt"
    index = json.loads((weights / "index.json").read_text())
    del index["models"]["tiny-prompt"]
    (weights / "index.json").write_text(json.dumps(index))
    with pytest.raises(PromptError, match="no installed model takes a point"):
        catalog.choose(["point"])


@pytest.mark.parametrize(
    "published", [{"a": {}}, [], {"a": {"repo": 1, "revision": "", "sha256": "", "bundle": {}}}]
)
def test_damaged(weights: Path, published: Any) -> None:
    write(weights, published)
    with pytest.raises(ModelError, match="is damaged; reinstall"):
        catalog.list_models()
