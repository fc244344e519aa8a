"""Tiny checkpoints, their exports, and photos to compare on.

An export takes seconds, so each is made once.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from export.export import Exported, export
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
    return _write(prompt_checkpoint, tmp_path_factory.mktemp("export") / "prompt")


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(checkpoint, tmp_path_factory.mktemp("export") / "plain.onnx")


@pytest.fixture(scope="session")
def exported_float32(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(checkpoint, tmp_path_factory.mktemp("export") / "plain32.onnx", half=False)


@pytest.fixture(scope="session")
def exported_mobilenet(mobilenet_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(mobilenet_checkpoint, tmp_path_factory.mktemp("export") / "mobilenet.onnx")


@pytest.fixture(scope="session")
def float32_model(mobilenet_checkpoint: Path) -> Exported:
    """With residual sums, concatenations, ReLU6, a mean over planes and bilinear enlargement."""
    return export(mobilenet_checkpoint, half=False)


def _write(checkpoint: Path, path: Path, *, half: bool = True) -> Path:
    export(checkpoint, half=half).write(path)
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
