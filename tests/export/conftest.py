"""Tiny checkpoints, their exports, and photos to compare on.

An export takes many seconds, so each is made once, for all processes of a run.
"""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from filelock import FileLock
from PIL import Image, ImageDraw

from export.export import Exported, export
from export.graph.rewrite import store_half
from tests.support.tiny_checkpoints import MOBILENET, PLAIN, PROMPT, make_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("plain"), PLAIN, 32)


@pytest.fixture(scope="session")
def mobilenet_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("mobilenet"), MOBILENET, 64)


@pytest.fixture(scope="session")
def prompt_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("prompt"), PROMPT, 32)


@pytest.fixture(scope="session")
def exported_prompt(prompt_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with encoder.onnx and decoder.onnx."""
    return _write(_once(prompt_checkpoint, tmp_path_factory), tmp_path_factory.mktemp("export") / "prompt")


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(_once(checkpoint, tmp_path_factory), tmp_path_factory.mktemp("export") / "plain.onnx")


@pytest.fixture(scope="session")
def exported_float32(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = _once(checkpoint, tmp_path_factory, half=False)
    return _write(made, tmp_path_factory.mktemp("export") / "plain32.onnx")


@pytest.fixture(scope="session")
def float32_model(mobilenet_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """With residual sums, concatenations, ReLU6, a mean over planes and bilinear enlargement."""
    return _once(mobilenet_checkpoint, tmp_path_factory, half=False)


@pytest.fixture(scope="session")
def exported_mobilenet(float32_model: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with weights stored as fp16, the last step of an export."""
    graph = onnx.load_from_string(float32_model.graphs["model"])
    store_half(graph)
    half = replace(float32_model, graphs={"model": graph.SerializeToString(deterministic=True)})
    return _write(half, tmp_path_factory.mktemp("export") / "mobilenet.onnx")


def _once(checkpoint: Path, folders: pytest.TempPathFactory, *, half: bool = True) -> Exported:
    """The export of a checkpoint, made by the first process of the run that needs it.

    Each process makes its own checkpoints; their weights are the same.
    """
    common = folders.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else folders.getbasetemp()
    weights = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    kept = common / f"{weights}-{half}.export"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(export(checkpoint, half=half)))
        made: Exported = pickle.loads(kept.read_bytes())
        return made


def _write(model: Exported, path: Path) -> Path:
    model.write(path)
    return path


@pytest.fixture(scope="session")
def oxford(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 drawn photos of many shapes with trimaps, in the Oxford-IIIT Pet layout."""
    root = tmp_path_factory.mktemp("oxford-iiit-pet")
    for folder in ("images", "annotations/trimaps"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    names = [f"{'Bengal' if number % 2 else 'pug'}_{number}" for number in range(32)]
    for name in names:
        width, height = (int(side) for side in generator.integers(40, 120, 2))
        photo = Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8))
        trimap = Image.new("L", photo.size, 2)
        ellipse = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
        ImageDraw.Draw(photo).ellipse(ellipse, fill=tuple(generator.integers(0, 256, 3).tolist()))
        ImageDraw.Draw(trimap).ellipse(ellipse, fill=1, outline=3)
        photo.save(root / "images" / f"{name}.jpg")
        trimap.save(root / "annotations/trimaps" / f"{name}.png")
    lines = [f"{name} 1 1 1" for name in names]
    (root / "annotations/trainval.txt").write_text("\n".join(lines) + "\n")
    return root
