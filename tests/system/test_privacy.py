"""What is in a photo, besides its pixels, goes nowhere; and nothing is told to anybody."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from petseg import Segmenter
from petseg.cli import main
from petseg.pixels.saving import SUFFIXES
from tests.support.telling import SECRET, telling_photo
from tests.support.watched import watched

ROOT = Path(__file__).parents[2]
KINDS = [(kind, suffix) for kind, suffixes in SUFFIXES.items() for suffix in suffixes]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("given_as", ["bytes", "PIL image"])
def test_nothing_of_a_photo_but_its_pixels_is_saved(
    photo: NDArray[np.uint8], model_path: Path, tmp_path: Path, file_format: str, given_as: str
) -> None:
    data = telling_photo(photo, file_format)
    given = Image.open(io.BytesIO(data)) if given_as == "PIL image" else data
    answer = Segmenter(model_path, device="cpu")(given)
    for kind, suffix in KINDS:
        path = tmp_path / f"{kind}{suffix}"
        answer.save(path, kind)
        check_silent(path)
    for image in (answer.overlay(), answer.cutout()):
        assert not image.info
        assert not image.getexif()


def check_silent(path: Path) -> None:
    assert SECRET not in path.read_bytes()
    if path.suffix == ".json":
        return
    with Image.open(path) as image:
        image.load()
        assert dict(image.getexif()) in ({}, {ExifTags.Base.Software: "petseg"})
        assert image.info.get("comment") in (None, b"petseg")
        assert image.info.get("Software") in (None, "petseg")
        assert not set(image.info) & {"icc_profile", "xmp", "XML:com.adobe.xmp", "Author"}


def test_the_command_line_saves_pixels_only(
    run: Callable[..., Any], folder: Path, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    (folder / "dog.jpg").write_bytes(telling_photo(photo, "JPEG"))
    assert run("segment", folder, "-o", tmp_path / "out", "--save", "mask,cutout,overlay,json").exit_code == 0
    made = list((tmp_path / "out").iterdir())
    assert len(made) == 4
    for path in made:
        check_silent(path)


# -- no telemetry -----------------------------------------------------------------------------------------

SEGMENT = """
import petseg
from petseg.cli import app
photo = "petseg/app/examples/chelsea.jpg"
petseg.segment(photo, (220, 150)).save(sys.argv[2] + "/answer.json")
petseg.list_models()
for words in (["segment", photo, "-o", sys.argv[2], "--save", "mask,overlay"], ["models"], ["doctor"]):
    app(words, standalone_mode=False)
"""


def test_no_socket_is_opened_to_segment(tmp_path: Path) -> None:
    seen = watched(SEGMENT, tmp_path / "seen.json", tmp_path, HF_HUB_CACHE=str(tmp_path / "cache"))
    assert (tmp_path / "chelsea.mask.png").exists()
    assert [event for event in seen.events if event[0].startswith("socket.")] == []


EXPORT = """
import onnx
from export.graph.rewrite import asked_for
from petseg.models import catalog
print(asked_for(onnx.load(catalog.find("unet").float32[0].path), ["logits"]).get_inputs()[0].name)
"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import petseg; print(petseg.segment('petseg/app/examples/chelsea.jpg').label)", "cat"),
        (EXPORT, "image"),
    ],
)
def test_onnx_runtime_records_nothing(code: str, says: str, tmp_path: Path) -> None:
    """Its telemetry starts with a database in the home directory, unless it is on a build server."""
    quiet = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME", "GITHUB_ACTIONS", "TF_BUILD")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment | home, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{says}\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_hook_sees_sockets(tmp_path: Path) -> None:
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 0.01)\nexcept OSError: pass"
    assert ("socket.connect", "192.0.2.1") in watched(code, tmp_path / "seen.json").elsewhere


def test_the_command_line_tells_the_hub_nothing_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setattr("sys.argv", ["petseg", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
