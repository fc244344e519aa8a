"""petseg in a zip on the path: models, files of the page and other processes, without a folder."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import petseg

PACKAGE = Path(petseg.__file__).parent
CHELSEA = PACKAGE.parent / "docs" / "chelsea.jpg"


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A link to a zip that holds the package; nothing else brings it."""
    folder = tmp_path_factory.mktemp("zip")
    with zipfile.ZipFile(folder / "petseg-1.zip", "w") as archive:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(PACKAGE.parent))
    link = folder / "petseg.zip"
    link.symlink_to("petseg-1.zip")
    return link


def run(zipped: Path, code: str) -> list[object]:
    """What a fresh interpreter prints as JSON that has petseg from the zip alone."""
    code = f"import json, sys; sys.path.insert(0, {str(zipped)!r})\n{code}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_models_run_from_a_zip(zipped: Path) -> None:
    where, label, again, clicked = run(
        zipped,
        f"""import petseg, pickle
segmenter, photo = petseg.Segmenter(), {str(CHELSEA)!r}
again = pickle.loads(pickle.dumps(segmenter))
clicked = petseg.segment(photo, (200, 150))
print(json.dumps([petseg.__file__, segmenter.segment(photo).label, again(photo).label, clicked.model]))""",
    )
    assert str(where).startswith(str(zipped))
    assert (label, again, clicked) == ("cat", "cat", "prompt")


def test_weights_in_a_zip_are_listed_examined_and_hashed(zipped: Path) -> None:
    names, problems, sha256, archive = run(
        zipped,
        """import petseg
from petseg.batch.worker import model_sha256
from petseg.engine import diagnosis
from petseg.models import resources
problems = [fault.problem for fault in diagnosis.examine().problems if "weights" in fault.problem]
names = [info.name for info in petseg.list_models() if info.status == "embedded"]
print(json.dumps([names, problems, model_sha256(None, "float32"), str(resources.archive())]))""",
    )
    assert names == [info.name for info in petseg.list_models() if info.status == "embedded"]
    assert problems == []
    assert sha256 == hashlib.sha256((PACKAGE / "weights/unet.onnx").read_bytes()).hexdigest()
    assert archive == str(zipped)


def test_a_model_that_is_not_in_the_zip_is_an_error_that_says_so(zipped: Path) -> None:
    (message,) = run(
        zipped,
        f"""import petseg
try: petseg.Segmenter({str(zipped / "petseg/weights/none.onnx")!r})
except petseg.ModelError as error: print(json.dumps([str(error)]))""",
    )
    assert "none.onnx" in str(message)
    assert "cannot be read" in str(message)


@pytest.mark.slow  # Gradio's import takes its time
def test_the_page_has_its_files_from_a_zip(zipped: Path) -> None:
    pytest.importorskip("gradio")
    shapes, *sizes = run(
        zipped,
        """from petseg.app import examples, tab_segment, theme
shapes = [example.photo.shape for example in examples.all_examples()]
texts = theme.STYLE, theme.SCRIPT, tab_segment.SCRIPT
print(json.dumps([shapes, *map(len, texts)]))""",
    )
    assert shapes == [[300, 451, 3], [300, 902, 3]]
    assert all(int(str(size)) > 100 for size in sizes)


def test_a_package_in_a_folder_has_no_archive() -> None:
    from petseg.models import resources

    assert resources.archive() is None
    with pytest.raises(FileNotFoundError):
        resources.read_bytes(PACKAGE / "weights" / "none.onnx")
    with pytest.raises(FileNotFoundError):
        resources.status(PACKAGE / "weights" / "none.onnx")
