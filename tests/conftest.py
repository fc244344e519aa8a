"""Tiny models that keep the ONNX contract, and a photo they understand."""

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from petseg.engine import network
from petseg.models import catalog
from petseg.models.manifest import PARTS
from tests.support.hub_fixtures import hub, release  # noqa: F401
from tests.support.tiny_models import BLUE, GREY, PROMPTABLE, RED, build_model, manifest, save_parts

# Torch's threads else wait for each other in loops, and take the cores from the other processes of the run.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A shell starts background jobs with Ctrl-C ignored, which the processes that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    onnx.save(build_model(), path)
    return path


@pytest.fixture(scope="session")
def prompt_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with encoder.onnx and decoder.onnx."""
    return save_parts(tmp_path_factory.mktemp("models") / "tiny-prompt")


@pytest.fixture
def weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_path: Path, prompt_model_path: Path
) -> Path:
    """A weights folder with both tiny models, in the place of the package's own."""
    folder, models = tmp_path / "weights", {}
    (folder / "tiny-prompt").mkdir(parents=True)
    parts = {f"tiny-prompt/{part}.onnx": prompt_model_path / f"{part}.onnx" for part in PARTS}
    for document, sources in ((manifest(), {"tiny.onnx": model_path}), (PROMPTABLE, parts)):
        files = []
        for path, source in sources.items():
            data = source.read_bytes()
            (folder / path).write_bytes(data)
            files.append({"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
        models[document["name"]] = {"files": files, "manifest": document}
    (folder / "index.json").write_text(json.dumps({"models": models, "default": "tiny"}))
    monkeypatch.setattr(catalog, "WEIGHTS", folder)
    return folder


@pytest.fixture
def fresh_engine() -> Iterator[None]:
    """No model is open, nothing is kept of photos, no warning was given: at first, and afterwards."""
    network.forget()
    yield
    network.forget()


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """(60, 100, 3) uint8: a red cat at columns 10..39, a blue dog at columns 60..79, rows 15..44, on grey."""
    pixels = np.full((60, 100, 3), GREY, np.uint8)
    pixels[15:45, 10:40] = RED
    pixels[15:45, 60:80] = BLUE
    return pixels
