"""docs/onnx-contract.md: its example gives what petseg gives, and it tells of every field."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.segmenter import Segmenter
from tests.support.tiny_models import manifest

TEXT = (Path(__file__).parents[3] / "docs/onnx-contract.md").read_text(encoding="utf-8")


def test_the_example_answers_like_petseg(
    photo: NDArray[np.uint8], prompt_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    shutil.copytree(prompt_model_path, tmp_path / "prompt")
    Image.fromarray(photo).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(example, "onnx-contract.md", "exec"), names)
    expected = Segmenter(prompt_model_path, device="cpu", threads=1)(photo, (25, 30))
    assert expected.label == "cat"
    np.testing.assert_array_equal(names["mask"], expected.mask)


def test_every_field_is_told_of() -> None:
    for field in [*manifest(), "part", "zoom", "mirror", "semantic", "apart", "presence", "doubt", "sure"]:
        assert re.search(rf"^\|.*`{field}`.*\|", TEXT, re.MULTILINE), field
