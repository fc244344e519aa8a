"""Every hostile file ends in a mask of the right size or in a `PetsegError`, soon, in little memory."""

import hashlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError
from petseg.measure.pair import read_labels
from tests.fuzz import corpus
from tests.fuzz.jury import judge
from tests.support.tiny_models import build_model

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its timers cannot end a process that hangs")

GIGABYTE = 2**30
FEW = 400 * 2**20
"""What photos of ordinary size may take, petseg and ONNX Runtime included."""


def test_the_corpus_is_the_same_every_time() -> None:
    first, again = (
        {name: hashlib.sha256(data).digest() for name, data in corpus.contents(seed)} for seed in (0, 0)
    )
    assert first == again
    assert len(first) >= 300
    assert first != {name: hashlib.sha256(data).digest() for name, data in corpus.contents(1)}


def test_hostile_photos(tmp_path: Path, model_path: Path) -> None:
    paths = corpus.write(tmp_path)
    verdicts = judge(paths, model_path)
    assert [verdict.path for verdict in verdicts] == paths
    wanted = {"good": {"mask"}, "bad": {"error"}, "any": {"mask", "error"}}
    wrong = [v for v in verdicts if v.outcome not in wanted[v.path.name[:4].strip("-")]]
    assert not wrong, "\n\n".join(f"{v.path.name!r} {v.outcome}: {v.said}" for v in wrong)
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    assert min(outcomes["mask"], outcomes["error"]) > 100
    worst = max(verdicts, key=lambda verdict: verdict.peak)
    assert worst.peak < FEW, f"{worst.path.name!r}: {worst.peak:,} bytes"


@pytest.mark.filterwarnings("ignore")
def test_hostile_masks(tmp_path: Path) -> None:
    path, outcomes = tmp_path / "mask.png", Counter[str]()
    for name, data in corpus.contents():
        path.write_bytes(data)
        try:
            labels = read_labels(path)
        except ImageError:
            outcomes["error"] += 1
        else:
            assert (labels.ndim, labels.dtype) == (2, np.uint8), name
            outcomes["labels"] += 1
    assert outcomes["labels"] >= 4
    assert outcomes["error"] > 100


def test_hostile_models(tmp_path: Path, model_path: Path) -> None:
    """A damaged model is an error or answers; ONNX Runtime is not to take the process down with it."""
    rng, paths = np.random.default_rng(0), []
    for number, prompts in enumerate((False, True)):
        sound = build_model(prompts).SerializeToString()
        for index in range(60):
            damaged = bytearray(sound)
            end = len(sound) if index % 3 else sound.rindex(b"petseg")  # the graph alone, or its metadata too
            for at in rng.integers(0, end, 1 + index % 4):
                damaged[at] = rng.integers(256)
            path = tmp_path / f"{number}-{index}.onnx"
            path.write_bytes(bytes(damaged[: None if index % 5 else int(rng.integers(len(sound)))]))
            paths.append(path)
    wrong = [v for v in judge([*paths, model_path]) if v.outcome not in ("mask", "error")]
    assert not wrong, "\n\n".join(f"{v.path.name!r} {v.outcome}: {v.said}" for v in wrong)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_a_photo_at_the_limit(tmp_path: Path, model_path: Path, mode: str) -> None:
    path = tmp_path / "good-large.png"
    Image.new(mode, (10_000, 10_000)).save(path, compress_level=1)
    (verdict,) = judge([path], model_path)
    assert verdict.outcome == "mask", verdict.said
    assert verdict.peak < GIGABYTE
