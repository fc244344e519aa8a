"""`petseg doctor`."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petseg.engine import cuda, session

Run = Callable[..., Any]


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch, weights: Path) -> session.Diagnosis:
    """An installation without faults, whatever machine this is."""
    diagnosis = session.Diagnosis(
        petseg="1.2.3",
        python="3.11",
        platform="Testix",
        packages={"onnxruntime": "1.99"},
        compiled=("CPUExecutionProvider",),
        starting=("CPUExecutionProvider",),
        gpu_visible=False,
        cuda=session.Fault("built without CUDA", "install another"),
        faults=(),
    )
    monkeypatch.setattr(session, "describe", lambda: diagnosis)
    return diagnosis


@pytest.fixture
def ill(healthy: session.Diagnosis, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change what is found."""

    def change(**changes: object) -> None:
        diagnosis = dataclasses.replace(healthy, **changes)
        monkeypatch.setattr(session, "describe", lambda: diagnosis)

    return change


@pytest.mark.usefixtures("weights")
def test_doctor_here(run: Run) -> None:
    result = run("doctor")
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in result.stdout
    for name, version in cuda.installed_packages().items():
        assert f"{name} {version}" in result.stdout
    assert "CPUExecutionProvider" in result.stdout
    assert result.exit_code == int(len(cuda.installed_packages()) > 1)
    document = json.loads(run("doctor", "--json").stdout)
    assert document["ok"] == (result.exit_code == 0)
    assert "CPUExecutionProvider" in document["runtime"]["starting"]


@pytest.mark.usefixtures("healthy")
def test_doctor_is_content_with_a_cpu(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    for text in ("1.2.3", "onnxruntime 1.99", "on the CPU", "built without CUDA", "install another", "sound"):
        assert text in result.stdout
    document = json.loads(run("doctor", "--json").stdout)
    assert (document["ok"], document["device"], document["problems"]) == (True, "cpu", [])


def test_doctor_tells_why_a_gpu_is_not_used(run: Run, ill) -> None:
    fault = session.Fault("libcudnn.so.9 is missing", "pip install 'petseg[cuda]'")
    ill(gpu_visible=True, cuda=fault, faults=(fault,))
    result = run("doctor")
    assert result.exit_code == 0
    assert fault.problem in result.stdout
    assert fault.fix in result.stdout


def test_doctor_on_a_gpu(run: Run, ill) -> None:
    both = ("CUDAExecutionProvider", "CPUExecutionProvider")
    ill(gpu_visible=True, cuda=None, compiled=both, starting=both)
    result = run("doctor")
    assert result.exit_code == 0
    assert "on the GPU" in result.stdout
    assert json.loads(run("doctor", "--json").stdout)["device"] == "cuda"


@pytest.mark.usefixtures("weights")
def test_doctor_names_both_packages_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"onnxruntime": "1.20", "onnxruntime-gpu": "1.21"}
    monkeypatch.setattr(cuda, "installed_packages", lambda: found)
    result = run("doctor")
    assert result.exit_code == 1
    assert "onnxruntime 1.20 and onnxruntime-gpu 1.21 are both installed" in result.stdout
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in result.stdout


def test_doctor_where_nothing_runs(run: Run, ill) -> None:
    ill(packages={}, compiled=(), starting=(), faults=(session.Fault("no onnxruntime", "install it"),))
    result = run("doctor")
    assert result.exit_code == 1
    for text in ("nowhere", "no onnxruntime", "install it"):
        assert text in result.stdout
    assert json.loads(run("doctor", "--json").stdout)["device"] is None


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "tiny.onnx").write_bytes(b"x"), "weights of 'tiny' are damaged"),
        (lambda folder: (folder / "tiny.onnx").unlink(), "weights of 'tiny' cannot be read"),
        (lambda folder: (folder / "index.json").write_text("{"), "index.json cannot be read"),
        (lambda folder: (folder / "index.json").unlink(), "no embedded models"),
    ],
    ids=["damaged", "gone", "index", "none"],
)
@pytest.mark.usefixtures("healthy")
def test_doctor_examines_the_weights(run: Run, weights: Path, harm, message: str) -> None:
    harm(weights)
    result = run("doctor")
    assert result.exit_code == 1
    assert message in result.stdout
    assert "pip install --force-reinstall petseg" in result.stdout
    document = json.loads(run("doctor", "--json").stdout)
    assert not document["ok"]
    assert message in document["problems"][0]["problem"]
