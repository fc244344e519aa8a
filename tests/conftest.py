"""Tiny models that keep the ONNX contract, and a photo they understand."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tiny_models import BLUE, GREY, PROMPTABLE, RED, build_model, manifest

from petseg import catalog


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    onnx.save(build_model(), path)
    return path


@pytest.fixture(scope="session")
def prompt_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-prompt.onnx"
    onnx.save(build_model(prompts=True), path)
    return path


@pytest.fixture
def weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_path: Path, prompt_model_path: Path
) -> Path:
    """A weights folder with both tiny models, in the place of the package's own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    models = {}
    for source, document in (
        (model_path, manifest()),
        (prompt_model_path, PROMPTABLE),
    ):
        data = source.read_bytes()
        (folder / source.name).write_bytes(data)
        models[source.stem] = {
            "file": source.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "manifest": document,
        }
    (folder / "index.json").write_text(json.dumps({"models": models, "default": "tiny"}))
    monkeypatch.setattr(catalog, "WEIGHTS", folder)
    return folder


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """(60, 100, 3) uint8: a red cat at columns 10..39, a blue dog at columns 60..79, rows 15..44, on grey."""
    pixels = np.full((60, 100, 3), GREY, np.uint8)
    pixels[15:45, 10:40] = RED
    pixels[15:45, 60:80] = BLUE
    return pixels
