import json
import subprocess
import sys

import pytest

import petseg

HEAVY = ("numpy", "PIL", "onnxruntime", "torch", "gradio", "huggingface_hub", "typer", "tqdm")


def run(code: str) -> dict[str, object]:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def loaded_after(statement: str) -> list[str]:
    report = f"print(json.dumps({{'loaded': [m for m in {HEAVY} if m in sys.modules]}}))"
    return run(f"import json, sys\n{statement}\n{report}")["loaded"]


def test_import_loads_nothing_heavy() -> None:
    assert loaded_after("import petseg") == []


def test_errors_and_models_need_neither_pixels_nor_runtime() -> None:
    assert loaded_after("from petseg import PetsegError, ImageError") == []


def test_no_runtime_before_the_first_model() -> None:
    loaded = loaded_after("from petseg import *; petseg = Segmenter, segment, list_models(), DeviceWarning")
    assert set(loaded) <= {"numpy", "PIL", "huggingface_hub"}, "the Hub's cache is looked at"


def test_import_is_quick() -> None:
    code = (
        "import json, time\n"
        "started = time.process_time()\n"
        "import petseg\n"
        "print(json.dumps({'seconds': time.process_time() - started}))"
    )
    # About 5 ms of the processor; the least of three, since caches are cold at first.
    assert min(run(code)["seconds"] for _ in range(3)) < 0.15


def test_every_public_name_is_there() -> None:
    for name in petseg.__all__:
        assert getattr(petseg, name) is not None
    assert set(petseg.__all__) <= set(dir(petseg))
    assert set(petseg._HOMES) == set(petseg.__all__) - {"__version__"}


def test_version_is_a_text() -> None:
    assert isinstance(petseg.__version__, str)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segmentt'"):
        petseg.segmentt  # noqa: B018


def test_errors_have_one_base() -> None:
    errors = [name for name in petseg.__all__ if name.endswith("Error")]
    assert len(errors) == 12
    assert all(issubclass(getattr(petseg, name), petseg.PetsegError) for name in errors)
