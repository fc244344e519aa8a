"""Models that ask for it see the mirror image too, and what they favour on one side evens out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.engine.network import Network
from petseg.errors import ModelError
from petseg.models.manifest import Manifest
from petseg.segmenter import Segmenter
from tests.support.tiny_models import GREY, PROMPTABLE, RED, SIZE, manifest, save_parts

ON_CAT, BESIDE = (20, 30), (12, 30)


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """(64, 64, 3): a cat left of the middle."""
    pixels = np.full((SIZE, SIZE, 3), GREY, np.uint8)
    pixels[24:40, 10:30] = RED
    return pixels


@pytest.fixture
def lopsided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks find more pets on the right."""
    answer = Network.answer

    def biased(self: Network, *inputs: Any) -> NDArray[np.float32]:
        logits = answer(self, *inputs)
        logits[:, 1:] += np.linspace(-3, 3, SIZE, dtype=np.float32)
        return logits

    monkeypatch.setattr(Network, "answer", biased)


def segmenter(folder: Path, *, mirror: bool) -> Segmenter:
    document = PROMPTABLE | {"mirror": mirror}
    return Segmenter(save_parts(folder / str(mirror), document), device="cpu", threads=1)


def unevenness(model: Segmenter, photo: NDArray[np.uint8], **box: Any) -> float:
    """How far the answer to the mirror image is from the mirror image of the answer."""
    there = model(photo, ON_CAT, **box)
    back = model(photo[:, ::-1], (SIZE - ON_CAT[0], ON_CAT[1]), **box)
    return float(np.abs(there.probabilities - back.probabilities[..., ::-1]).max())


@pytest.mark.usefixtures("lopsided")
@pytest.mark.parametrize("box", [{}, {"box": (8, 20, SIZE - 8, 44)}])
def test_left_and_right_are_alike(photo: NDArray[np.uint8], tmp_path: Path, box: dict[str, Any]) -> None:
    assert unevenness(segmenter(tmp_path, mirror=True), photo, **box) < 1e-5
    assert unevenness(segmenter(tmp_path, mirror=False), photo, **box) > 0.1


@pytest.mark.usefixtures("fresh_engine")
def test_another_click_needs_neither_encoder_nor_more_than_two_answers(
    photo: NDArray[np.uint8], tmp_path: Path, runs: list[str]
) -> None:
    model = segmenter(tmp_path, mirror=True)
    answer = model(photo, ON_CAT)
    assert runs == ["encoder", "decoder"] * 2
    assert answer.label == "cat"
    model.refine(answer, BESIDE)
    assert runs[4:] == ["decoder"] * 2


def test_only_promptable_models_have_a_mirror() -> None:
    with pytest.raises(ModelError, match="'mirror' in its metadata is True with prompts"):
        Manifest.from_document(manifest(mirror=True), "model 'tiny'")
