"""The page as strangers use it: it opens no path and no address of theirs, and tells nobody anything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.telling import SECRET, telling_photo
from tests.support.watched import Seen, watched

VISIT = f"import runpy\nrunpy.run_path({str(Path(__file__).with_name('strange_visit.py'))!r})"


def visit(
    model: Path, parts: Path, photo: NDArray[np.uint8], folder: Path, *more: str
) -> tuple[Seen, dict[str, Any], Path]:
    """See `strange_visit`; returns what was seen, what came back, and the file that nobody may have."""
    canary, given = folder / "canary.png", folder / "photo.jpg"
    canary.write_bytes(telling_photo(photo, "PNG"))
    given.write_bytes(telling_photo(photo, "JPEG"))
    (folder / "gradio").mkdir()
    places = {"GRADIO_TEMP_DIR": str(folder / "gradio"), "HF_HUB_CACHE": str(folder / "cache")}
    words = (model, parts, given, canary, folder / "downloads", *more)
    seen = watched(VISIT, folder / "seen.json", *words, **places)
    said = next(line.removeprefix("SAID ") for line in seen.output.splitlines() if line.startswith("SAID "))
    return seen, json.loads(said), canary


def check_kept(seen: Seen, canary: Path) -> None:
    """What is not the stranger's was not opened, and nothing left this machine."""
    assert str(canary) not in seen.of("open")
    assert seen.elsewhere == []
    assert seen.of("socket.connect"), "the hook sees the visits"
    assert seen.of("subprocess.Popen") == seen.of("pickle.find_class") == []


def test_strangers_get_nothing(
    model_path: Path, prompt_model_path: Path, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    seen, said, canary = visit(model_path, prompt_model_path, photo, tmp_path)
    assert (said["label"], said["sound"]) == ("cat", "complete"), "what is asked rightly is answered"
    assert [given for given, outcomes in said["answers"] if "complete" in outcomes] == []
    assert [path for path, status in said["files"] if status not in (400, 403, 404)] == []
    check_kept(seen, canary)

    inside = f"{(tmp_path / 'gradio').resolve()}/"
    assert said["uploads"], "some names are taken, in another form"
    assert [path for path in said["uploads"] if not path.startswith(inside)] == []
    assert list(tmp_path.glob("*evil*")) == []

    results = [path for path in (tmp_path / "downloads").rglob("*") if path.is_file()]
    assert len(results) >= 3
    assert [path for path in results if SECRET in path.read_bytes()] == [], "results hold pixels only"


@pytest.mark.slow
def test_no_handler_of_the_page_opens_what_a_stranger_names(
    model_path: Path, prompt_model_path: Path, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    seen, said, canary = visit(model_path, prompt_model_path, photo, tmp_path, "every")
    assert said["taken"] > 50
    check_kept(seen, canary)
