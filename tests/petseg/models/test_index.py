"""index.json: what is written is read again, and what is damaged says so."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from petseg.errors import ModelError
from petseg.models import catalog
from petseg.models.index import FILE, Embedded, File, Index, Published, Weights, describe_file
from tests.support.tiny_models import PROMPTABLE, manifest

HUB = Published("pets/tiny", "c" * 40, "d" * 64, {"format": 1})


def weights(name: str, **changes: Any) -> Weights:
    return Weights((describe_file(f"{name}.onnx", name.encode()),), manifest(name=name, **changes))


def test_nothing_there_is_an_empty_index(tmp_path: Path) -> None:
    assert Index.read(tmp_path) == Index({}, None, {})


def test_a_file_is_described_by_its_bytes() -> None:
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert describe_file("a/b.onnx", b"abc") == File("a/b.onnx", digest, 3)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    index = Index(published={"b": HUB, "a": HUB})
    for name in ("zebra", "ant"):
        index.embed(name, weights(name))
    index.models["ant"] = Embedded(index.models["ant"].float32, weights("ant.int8", precision="int8"))
    index.write(tmp_path)
    assert Index.read(tmp_path) == index
    document = json.loads((tmp_path / FILE).read_text())
    assert list(document) == ["models", "default", "published"]
    assert list(document["models"]) == ["ant", "zebra"], "sorted, so that a diff shows what changed"
    assert list(document["published"]) == ["a", "b"]
    assert index.weight == len("zebra" + "ant" + "ant.int8")


def test_the_packages_own_index_is_what_would_be_written(tmp_path: Path) -> None:
    shutil.copyfile(catalog.WEIGHTS / FILE, tmp_path / FILE)
    Index.read(tmp_path).write(tmp_path)
    assert (tmp_path / FILE).read_bytes() == (catalog.WEIGHTS / FILE).read_bytes()


def test_the_default_needs_no_prompt_where_one_model_needs_none() -> None:
    index = Index()
    index.embed("clicks", Weights((File("clicks.onnx", "", 1),), PROMPTABLE))
    assert index.default == "clicks"
    for name in ("plain", "another"):
        index.embed(name, weights(name))
        assert index.default == "plain"


def test_a_model_that_is_embedded_again_loses_what_was_made_of_the_last_one() -> None:
    index = Index({"tiny": Embedded(weights("old"), weights("old.int8"))}, "tiny")
    index.embed("tiny", weights("new"))
    assert index.models["tiny"] == Embedded(weights("new"))


@pytest.mark.parametrize(
    "document",
    [
        {"models": {}, "default": None, "published": []},
        {"models": {}, "default": None, "published": {"a": {"repo": "pets/a", "revision": "c", "sha256": 1}}},
        {"models": {"a": {"files": [], "manifest": {}}}, "default": "a"},
        {
            "models": {"a": {"files": [{"path": "a", "sha256": "", "bytes": 1}], "manifest": {}}},
            "default": [],
        },
        {
            "models": {
                "a": {
                    "files": [{"path": "a", "sha256": "", "bytes": 1}],
                    "manifest": {},
                    "int8": {"files": [{"path": "a", "sha256": "", "bytes": "1"}], "manifest": {}},
                }
            },
            "default": "a",
        },
    ],
)
def test_damage_is_said(tmp_path: Path, document: Any) -> None:
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(ModelError, match=r"index\.json is damaged; reinstall petseg"):
        Index.read(tmp_path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\ud800"])
def test_what_is_no_json_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError, match=r"index\.json cannot be read"):
        Index.read(tmp_path)
