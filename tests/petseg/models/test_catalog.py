import json
from pathlib import Path

import pytest

from petseg.errors import ModelError, PromptError
from petseg.models import catalog


def test_models_are_listed_default_first(weights: Path) -> None:
    models = catalog.list_models()
    assert [info.name for info in models] == ["tiny", "tiny-prompt"]
    first = models[0]
    assert first.status == "embedded"
    assert first.path == weights / "tiny.onnx"
    assert first.bytes == first.path.stat().st_size
    assert (first.prompts, models[1].prompts) == ((), ("point", "box"))
    assert models[1].path == weights / "tiny-prompt"
    assert models[1].bytes == sum(path.stat().st_size for path in models[1].path.iterdir())
    assert first.parameters == 12
    assert first.metrics == {"miou": 0.5}
    assert "64 px" in first.description


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        (None, ["tiny.onnx"]),
        ("tiny", ["tiny.onnx"]),
        ("tiny-prompt", ["tiny-prompt/encoder.onnx", "tiny-prompt/decoder.onnx"]),
    ],
)
def test_names(weights: Path, model: str | None, paths: list[str]) -> None:
    files = catalog.resolve(model)
    assert [file.path for file in files] == [weights / path for path in paths]
    assert all(file.sha256 is not None for file in files)


@pytest.mark.parametrize("model", ["my.onnx", "MY.ONNX", "./folder/model", Path("model"), "a\0b.onnx"])
def test_paths(weights: Path, model: str | Path) -> None:
    assert catalog.resolve(model) == (catalog.ModelFile(Path(model)),)


def test_a_folder_holds_two_graphs(tmp_path: Path) -> None:
    for model in (tmp_path, f"{tmp_path}/"):
        assert catalog.resolve(model) == (
            catalog.ModelFile(tmp_path / "encoder.onnx"),
            catalog.ModelFile(tmp_path / "decoder.onnx"),
        )


def test_who_takes_what_and_who_is_asked(weights: Path) -> None:
    assert catalog.takers("point") == catalog.takers("box") == ["tiny-prompt"]
    assert catalog.choose([]) is None
    assert catalog.choose(["point"]) == catalog.choose(["point", "box"]) == "tiny-prompt"


def test_nobody_takes_a_point(weights: Path) -> None:
    index = json.loads((weights / "index.json").read_text())
    index["models"]["tiny-prompt"]["manifest"]["prompts"] = ["box"]
    (weights / "index.json").write_text(json.dumps(index))
    assert catalog.choose(["box"]) == "tiny-prompt"
    with pytest.raises(
        PromptError, match="no installed model takes a point and a box; leave it out, or give"
    ):
        catalog.choose(["point", "box"])


def test_unknown_name_lists_the_known(weights: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'unett'.*tiny, tiny-prompt.*path of an \.onnx"):
        catalog.resolve("unett")


def test_a_model_without_published_weights_says_how_to_get_it(weights: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no weights of model 'clip'.*`petseg pull clip`.*--config train/configs/clip\.toml"
    ):
        catalog.resolve("clip")


def test_neither_name_nor_path(weights: Path) -> None:
    with pytest.raises(ModelError, match="neither a name nor a path"):
        catalog.resolve(5)


def test_checkout_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    assert catalog.list_models() == []
    for model in (None, "unet"):
        with pytest.raises(ModelError, match=r"holds no weights.*reinstall petseg"):
            catalog.resolve(model)
    assert catalog.choose(["point"]) is None  # so that asking for it says what is missing
    assert catalog.resolve("my.onnx") == (catalog.ModelFile(Path("my.onnx")),)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"models": {"a": {}}, "default": "a"}',
        '{"models": [], "default": null}',
        '{"models": {"a": {"files": [], "manifest": {}}}, "default": "a"}',
        '{"models": {"a": {"files": [{}], "manifest": {}}}, "default": "a"}',
        '{"models": {"a": {"files": [FILE], "manifest": 1}}, "default": "a"}',
        '{"models": {"a": {"files": [FILE], "manifest": {}}}, "default": "b"}',
        '{"models": {"a": {"files": [FILE, {"path": 1}], "manifest": {}}}, "default": "a"}',
    ],
)
def test_damaged_index(weights: Path, text: str) -> None:
    file = '{"path": "a.onnx", "sha256": "", "bytes": 1}'
    (weights / "index.json").write_text(text.replace("FILE", file))
    for ask in (catalog.list_models, catalog.resolve):
        with pytest.raises(ModelError, match="reinstall petseg"):
            ask()


def test_manifest_in_the_index_is_checked(weights: Path) -> None:
    index = json.loads((weights / "index.json").read_text())
    index["models"]["tiny"]["manifest"]["format"] = 99
    (weights / "index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="upgrade petseg"):
        catalog.list_models()
