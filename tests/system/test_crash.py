"""Whatever ends a run, a file that has its final name is whole."""

import errno
import io
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from petseg.errors import OutputError
from petseg.hub import pull
from petseg.models import cache as hub_cache
from petseg.models.cache import Reference
from petseg.pixels import saving
from tests.support.command_line import tree
from tests.support.hub_fixtures import REPO, contents, environment, make_release
from tests.support.hub_server import HubServer
from tests.support.processes import COMMAND, NOISY, kill, long_run, start, visible, wait

ROOT = Path(__file__).parents[2]

_WRITES = re.compile(
    r"write_text|write_bytes|savefig\(path|save_file\(|\bopen\([^)]*[\"'][wxa]|(image|\))\.save\((path|target|folder)"
)
_WHOLE_FOLDERS = {
    "petseg/pixels/saving.py": "is what all others use",
    "train/multiply.py": "writes into a temporary folder, which is renamed",
    "export/publish.py": "fills a new folder, and refuses one that is not empty",
    "export/web/__init__.py": "assembles in a temporary folder, which is moved to its place",
    "export/space/__init__.py": "fills a new folder, and refuses one that is not empty",
    "export/quantize.py": "writes into a temporary folder",
    "export/space/trial.py": "writes a log into a temporary folder",
    "petseg/app/api.py": "writes into a new folder with a secret name, which nobody knows before it is done",
    "petseg/app/tab_robustness.py": "writes into a new folder with a secret name, as api.py does",
    "petseg/app/handlers.py": "`Segmentation.save` writes",
    "petseg/measure/bench.py": "writes into a temporary folder",
    "petseg/batch/storage.py": "opens a lock",
}
"""Files that may write without `petseg.pixels.saving` -> why."""


def test_every_output_is_written_beside_and_renamed() -> None:
    sources = [path for room in ("petseg", "train", "export") for path in (ROOT / room).rglob("*.py")]
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sources
        if (lines := [line for line in path.read_text().splitlines() if _WRITES.search(line)])
    }
    assert "petseg/pixels/saving.py" in found, "the search finds nothing"
    assert {name: lines for name, lines in found.items() if name not in _WHOLE_FOLDERS} == {}


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mask.png"
    saving.write(path, b"before")

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: Full(path, mode))
        with pytest.raises(
            OutputError, match=r"mask.png cannot be written \(No space left on device\); choose"
        ):
            saving.write(path, b"afterwards")
    assert path.read_bytes() == b"before"
    assert tree(tmp_path) == ["mask.png"]


def test_a_failed_rename_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="no regular file"):
        saving.write(tmp_path / "folder", b"x")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="cannot be written"):
        saving.write(tmp_path / "file" / "below", b"x")
    assert tree(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit for the size of files")
def test_a_file_that_the_system_cuts_short(
    put: Callable[[Path], Path], folder: Path, model_path: Path
) -> None:
    import resource

    out = folder.parent / "out"
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    noise[..., 0] = 230  # a cat all over: what is clear in a cutout takes no room
    noise[..., 1:] //= 4
    Image.fromarray(noise).save(folder / "noise.png")
    words = ["segment", folder, "-o", out, "--save", "mask,cutout", "--model", model_path, "--device", "cpu"]
    result = subprocess.run(
        [*COMMAND, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert result.returncode == 1
    assert "noise.cutout.png cannot be written (File too large)" in result.stderr
    assert "Traceback" not in result.stderr
    assert tree(out) == ["noise.mask.png"], "the mask is small enough, and of the cutout nothing is left"


def test_a_ref_that_cannot_be_written_is_done_without(hub: HubServer, tmp_path: Path) -> None:
    hub.put(REPO, contents(make_release(tmp_path / "release")))
    refs = hub.cache / "models--pets--tiny" / "refs"
    refs.parent.mkdir(parents=True)
    refs.write_text("in the way")
    hub_cache.record(Reference(REPO), "0" * 40)
    assert tree(hub.cache) == ["models--pets--tiny/refs"]


# -- kill -9 ----------------------------------------------------------------------------------------------


KILLS = 50


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills otherwise")
def test_a_folder_run_killed_at_any_moment(folder: Path, model_path: Path) -> None:
    words = [*long_run(folder, model_path), "--batch-size", 2, "--threads", 1]
    whole, out = folder.parent / "whole", folder.parent / "out"
    assert start(*words, "-o", whole).wait() == 0
    expected, chance, killed, unfinished = visible(whole), random.Random(0), 0, 0
    assert len(expected) == 4 * NOISY
    while killed < KILLS:
        process, photos = start(*words, "-o", out), chance.randrange(NOISY)
        assert process.stdout is not None
        for _ in range(photos):
            process.stdout.readline()
        wait(chance.uniform(0, 0.05 if photos else 1))
        killed += kill(process)
        written = visible(out)
        unfinished += 0 < len(written) < len(expected)
        assert written.items() <= expected.items(), "every file is whole, and the right one"
        if killed % 10:
            continue
        assert start(*words, "-o", out).wait() == 0
        assert visible(out) == expected
        for name in expected:
            (out / name).unlink()
    assert unfinished > KILLS / 5, "too few were killed while they wrote"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills otherwise")
def test_a_pull_killed_at_any_moment(hub: HubServer, tmp_path: Path) -> None:
    hub.put(REPO, contents(make_release(tmp_path / "large", weights=os.urandom(60_000_000))))
    assert start("pull", REPO, env=environment(hub)).wait() == 0
    requests, snapshot = len(hub.requests), hub_cache.find(Reference(REPO), complete=True)
    assert snapshot is not None
    expected, chance, killed, halfway = visible(snapshot.folder), random.Random(0), 0, 0
    clear(hub.cache)
    while killed < KILLS:
        sent, process = len(hub.requests), start("pull", REPO, env=environment(hub))
        sent += chance.randrange(requests + 1)
        while process.poll() is None and len(hub.requests) < sent:
            wait(0.001)
        wait(chance.uniform(0, 0.15))
        killed += kill(process)
        written = visible(snapshot.folder)
        assert written.items() <= expected.items(), "what has its final name is whole"
        if hub_cache.find(Reference(REPO), complete=True):
            clear(hub.cache)
        else:
            halfway += any(path.is_file() and path.stat().st_size for path in hub.cache.rglob("blobs/*"))
    folder = pull(REPO)
    assert visible(folder) == expected
    assert halfway > KILLS / 5, "too few were killed while files arrived"
    assert not list(hub.cache.rglob("*.tmp"))


def clear(cache: Path) -> None:
    """Empty the cache."""
    for path in sorted(cache.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
