"""A page's insides with tiny models: reddish pixels are cat, bluish ones dog."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg import Segmenter
from petseg.models import catalog

pytest.importorskip("gradio", reason='the page needs Gradio: pip install "petseg[app]"')

from petseg.app.handlers import Studio
from petseg.app.models import Models
from petseg.app.photos import Photos


@pytest.fixture
def segmenters(model_path: Path, prompt_model_path: Path) -> dict[str, Segmenter]:
    return {
        "tiny": Segmenter(model_path, device="cpu", threads=1),
        "tiny-prompt": Segmenter(prompt_model_path, device="cpu", threads=1),
    }


@pytest.fixture
def studio(segmenters: dict[str, Segmenter], tmp_path: Path) -> Studio:
    return Studio(Models(segmenters), Photos(), tmp_path / "files")


@pytest.fixture
def plain_studio(segmenters: dict[str, Segmenter], tmp_path: Path) -> Studio:
    """One whose models take no clicks."""
    return Studio(Models({"tiny": segmenters["tiny"]}), Photos(), tmp_path / "files")


@pytest.fixture
def no_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model in the package."""
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path / "no-weights")


@pytest.fixture
def upload(photo: NDArray[np.uint8], tmp_path: Path) -> Path:
    """The photo as a file, 20 times as large: 2000 x 1200 pixels."""
    path = tmp_path / "two pets.png"
    Image.fromarray(photo.repeat(20, 0).repeat(20, 1)).save(path)
    return path
