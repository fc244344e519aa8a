"""petseg beside `fork`, `spawn` and `forkserver`: it works, or says what to do."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from petseg import DeviceError, ModelError, PetsegError, Segmenter
from petseg.engine import cuda, session
from tests.support.tiny_models import build_model, manifest

SCRIPT = Path(__file__).with_name("in_processes.py")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(params=["tiny", "tiny-prompt"])
def model(request: pytest.FixtureRequest, model_path: Path, prompt_model_path: Path) -> Path:
    return model_path if request.param == "tiny" else prompt_model_path


def run(function: str, model: Path, photo: Path) -> None:
    """See `in_processes`; what hangs is killed, and fails."""
    words = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        str(SCRIPT),
        function,
        str(model),
        str(photo),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "done\n"


def test_pools(model: Path, put: Callable[[Path], Path], folder: Path) -> None:
    """However their processes are started: what fails is the last that is named."""
    run("pools", model, put(folder / "photo.png"))


@forks
def test_what_a_forked_process_inherits(model: Path, put: Callable[[Path], Path], folder: Path) -> None:
    run("inherited", model, put(folder / "photo.png"))


@forks
@pytest.mark.parametrize("function", ["while_opening", "map_goes_on"])
def test_forks_at_bad_moments(
    function: str, model_path: Path, put: Callable[[Path], Path], folder: Path
) -> None:
    run(function, model_path, put(folder / "photo.png"))


def test_a_segmenter_and_its_answers_are_pickled(
    model: Path, photo: NDArray[np.uint8], put: Callable[[Path], Path], folder: Path
) -> None:
    segmenter = Segmenter(model, device="cpu", threads=1, resize="nearest", max_pixels=9999)
    copy = pickle.loads(pickle.dumps(segmenter))
    assert copy._network.decoder is segmenter._network.decoder, "there is one session in a process"
    prompt = {"point": (25, 30)} if segmenter.manifest.prompts else {}
    one, other = (each.segment(photo, **prompt) for each in (segmenter, copy))
    np.testing.assert_array_equal(one.mask, other.mask)
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.probabilities, one.probabilities)
    np.testing.assert_array_equal(again.photo, photo)
    if prompt:
        more = {"point": (70, 30)}
        np.testing.assert_array_equal(copy.refine(again, **more).mask, segmenter.refine(one, **more).mask)
    else:
        (unkept,) = segmenter.map([put(folder / "photo.png")], keep_photos=False)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(unkept)).photo, photo)


def test_a_model_that_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build_model(), path)
    sent = pickle.dumps(Segmenter(path, device="cpu"))
    onnx.save(build_model(document=manifest(version="2.0")), path)
    with pytest.raises(
        ModelError, match=r"model.onnx' has changed since it was opened; make a new Segmenter"
    ):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(ModelError, match="check the path"):
        pickle.loads(sent)


@pytest.mark.usefixtures("fresh_engine")
def test_cuda_is_refused_in_a_forked_process(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "gpu_visible", lambda: True)
    monkeypatch.setattr(cuda, "_user", os.getpid() + 1)
    with pytest.raises(DeviceError, match=r"was forked from one that uses it; start.*'spawn'.*device='cpu'"):
        Segmenter(model_path, device="cuda")
    with pytest.warns(session.DeviceWarning, match="was forked from one that uses it"):
        assert Segmenter(model_path).device == "cpu"


@pytest.mark.parametrize("kind", [*PetsegError.__subclasses__(), cuda.CudaError])
def test_errors_come_back_from_processes(kind: type[PetsegError]) -> None:
    error = kind("this was wrong", "do that") if kind is cuda.CudaError else kind("this was wrong; do that")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (kind, str(error))
