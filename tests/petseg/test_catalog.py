import json
from pathlib import Path

import pytest

from petseg import catalog
from petseg.errors import ModelError


def test_models_are_listed_default_first(weights: Path) -> None:
    models = catalog.list_models()
    assert [info.name for info in models] == ["tiny", "tiny-prompt"]
    first = models[0]
    assert first.status == "embedded"
    assert first.path == weights / "tiny.onnx"
    assert first.bytes == first.path.stat().st_size
    assert (first.prompts, models[1].prompts) == ((), ("point", "box"))
    assert first.parameters == 12
    assert first.metrics == {"miou": 0.5}
    assert "64 px" in first.description


@pytest.mark.parametrize(
    ("model", "file"), [(None, "tiny"), ("tiny", "tiny"), ("tiny-prompt", "tiny-prompt")]
)
def test_names(weights: Path, model: str | None, file: str) -> None:
    location = catalog.resolve(model)
    assert location.path == weights / f"{file}.onnx"
    assert location.sha256 is not None


@pytest.mark.parametrize("model", ["my.onnx", "MY.ONNX", "folder/model", Path("model")])
def test_paths(weights: Path, model: str | Path) -> None:
    assert catalog.resolve(model) == catalog.Location(Path(model))


def test_unknown_name_lists_the_known(weights: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'unett'.*tiny, tiny-prompt.*path of an \.onnx"):
        catalog.resolve("unett")


def test_neither_name_nor_path(weights: Path) -> None:
    with pytest.raises(ModelError, match="neither a name nor a path"):
        catalog.resolve(5)


def test_checkout_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    assert catalog.list_models() == []
    for model in (None, "unet"):
        with pytest.raises(ModelError, match=r"holds no weights.*reinstall petseg"):
            catalog.resolve(model)
    assert catalog.resolve("my.onnx").path == Path("my.onnx")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"models": {"a": {}}, "default": "a"}',
        '{"models": [], "default": null}',
        '{"models": {"a": {"file": 1, "sha256": "", "bytes": 1, "manifest": {}}}, "default": "a"}',
        '{"models": {"a": {"file": "", "sha256": "", "bytes": 1, "manifest": {}}}, "default": "b"}',
    ],
)
def test_damaged_index(weights: Path, text: str) -> None:
    (weights / "index.json").write_text(text)
    for ask in (catalog.list_models, catalog.resolve):
        with pytest.raises(ModelError, match="reinstall petseg"):
            ask()


def test_manifest_in_the_index_is_checked(weights: Path) -> None:
    index = json.loads((weights / "index.json").read_text())
    index["models"]["tiny"]["manifest"]["format"] = 99
    (weights / "index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="upgrade petseg"):
        catalog.list_models()
