import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from petseg.engine import cuda
from petseg.engine import session as runtime
from petseg.engine.session import describe, open_session
from petseg.errors import DeviceError, ModelError
from tests.support.tiny_models import SIZE, build_model, manifest

IMAGES = np.zeros((2, 3, SIZE, SIZE), np.uint8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, fresh_engine: None) -> None:
    """No sessions, no warnings so far, no GPU."""
    monkeypatch.setattr(cuda, "gpu_visible", lambda: False)


# -- sessions -------------------------------------------------------------------------------------------


def test_a_session_runs(model_path: Path) -> None:
    session = open_session(model_path, "cpu")
    assert session.device == "cpu"
    assert session.manifest.name == "tiny"
    (logits,) = session.run({"image": IMAGES}).values()
    assert (logits.shape, logits.dtype) == ((2, 3, SIZE, SIZE), np.float32)


def test_sessions_are_shared_by_file_device_and_threads(model_path: Path) -> None:
    first = open_session(model_path, "cpu", 1)
    assert open_session(str(model_path), "cpu", 1) is first
    assert open_session(os.path.relpath(model_path), "cpu", 1) is first
    assert open_session(model_path, "auto", 1) is first  # no GPU here: the same thing
    assert open_session(model_path, "cpu", 2) is not first


def test_a_file_that_changed_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build_model(), path)
    first = open_session(path, "cpu")
    onnx.save(build_model(document=manifest(name="second")), path)
    assert open_session(path, "cpu").manifest.name == "second"
    assert first.manifest.name == "tiny"


def test_threads_that_race_get_one_session(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, start, barrier = [], runtime._start, threading.Barrier(16)

    def slow_start(*args: Any) -> Any:
        started.append(args)
        time.sleep(0.05)
        return start(*args)

    monkeypatch.setattr(runtime, "_start", slow_start)
    sessions: list[object] = []

    def open_at_once() -> None:
        barrier.wait()
        sessions.append(open_session(model_path, "auto", 1))

    threads = [threading.Thread(target=open_at_once) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 1
    assert len(sessions) == 16
    assert len({id(session) for session in sessions}) == 1


def test_options(model_path: Path) -> None:
    options = open_session(model_path, "cpu", 2)._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    everything = open_session(model_path, "cpu")._session.get_session_options()
    assert everything.intra_op_num_threads == 0


@pytest.mark.parametrize("threads", [-1, 1025, 1.5, "2", True, None])
def test_bad_threads(model_path: Path, threads: object) -> None:
    with pytest.raises(DeviceError, match=r"threads is .*; give 0 \(all cores\)"):
        open_session(model_path, "cpu", threads)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", None, 0])
def test_unknown_device(model_path: Path, device: object) -> None:
    with pytest.raises(DeviceError, match="is unknown; give 'auto', 'cpu', 'cuda', 'cuda:N'"):
        open_session(model_path, device)


def flat(path: Path) -> None:
    model = build_model()
    del model.graph.input[0].type.tensor_type.shape.dim[0]
    onnx.save(model, path)


def external(path: Path) -> None:
    onnx.save(build_model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)


def foreign(path: Path) -> None:
    model = build_model()
    del model.metadata_props[:]
    onnx.save(model, path)


def unknown_operator(path: Path) -> None:
    model = build_model()
    model.graph.node[0].op_type = "Frobnicate"
    onnx.save(model, path)


BAD_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "model.onnx.*check the path"),
    "folder": (Path.mkdir, "no regular file; give the path of an .onnx file"),
    "pipe": (os.mkfifo, "no regular file"),
    "empty": (Path.touch, "model.onnx is damaged.*download it again"),
    "text": (lambda path: path.write_text("no model"), "model.onnx is damaged or no ONNX"),
    "cut": (lambda path: path.write_bytes(build_model().SerializeToString()[:-99]), "is damaged or no ONNX"),
    "unknown operator": (unknown_operator, "is damaged or no ONNX model.*Frobnicate"),
    "foreign": (foreign, "is no petseg model.*no key 'petseg'.*export it again"),
    "external": (external, "weights in other files; export it as one self-contained file"),
    "three axes": (flat, "'image' has 3 axes, must have 4; .*export it again"),
    "fixed batch": (lambda path: onnx.save(build_model(batch=1), path), "dynamic batch"),
    "newer": (lambda path: onnx.save(build_model(document=manifest(format=2)), path), "upgrade petseg"),
}


@pytest.mark.parametrize(
    ("case", "device"),
    [(case, "cpu") for case in BAD_MODELS]
    + [(case, "cuda") for case in ("missing", "text", "cut", "external", "unknown operator")],
)
def test_bad_models(case: str, device: str, tmp_path: Path) -> None:
    make, message = BAD_MODELS[case]
    path = tmp_path / "model.onnx"
    make(path)
    with pytest.raises(ModelError, match=message):
        open_session(path, device)


def test_null_in_the_path() -> None:
    with pytest.raises(ModelError, match="check the path"):
        open_session("a\0b.onnx", "cpu")


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("no model")
    with pytest.raises(ModelError):
        open_session(path, "cpu")
    onnx.save(build_model(), path)
    assert open_session(path, "cpu").manifest.name == "tiny"


def test_bytes_are_verified(model_path: Path) -> None:
    with pytest.raises(ModelError, match=r"wrong sha256.*reinstall petseg"):
        open_session(model_path, "cpu", sha256="0" * 64)


def test_verification_is_not_skipped_for_an_open_session(model_path: Path) -> None:
    open_session(model_path, "cpu")
    with pytest.raises(ModelError, match="wrong sha256"):
        open_session(model_path, "cpu", sha256="0" * 64)


def test_a_run_that_fails(model_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"failed on cpu with a batch of 2.*smaller batch"):
        open_session(model_path, "cpu").run({"image": IMAGES[:, :, :5]})


def test_an_answer_of_nan(tmp_path: Path) -> None:
    model = build_model()
    model.graph.node[1].output[0] = "colour"
    model.graph.node.append(helper.make_node("Log", ["colour"], ["logits"]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="answered with NaN"):
        open_session(tmp_path / "model.onnx", "cpu").run({"image": IMAGES})


def test_without_onnxruntime(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=r"onnxruntime cannot be imported.*reinstall petseg"):
        open_session(model_path, "cpu")
    diagnosis = describe()
    assert diagnosis.starting == diagnosis.compiled == ()
    assert any("cannot be imported" in fault.problem for fault in diagnosis.faults)


def test_the_probe_is_a_model() -> None:
    session = onnxruntime.InferenceSession(runtime._PROBE, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones(1, np.float32)})[0].tolist() == [2]
