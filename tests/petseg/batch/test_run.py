"""`petseg batch` without Ray: what it writes, what it refuses, and how it goes on after a stop."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from petseg import DeviceError, Segmenter
from petseg.batch import index, local
from petseg.batch import run as batches
from petseg.batch.worker import Worker
from petseg.engine import network, session
from tests.support.command_line import pixels, tree
from tests.support.tiny_models import build_model, manifest

Batch = Callable[..., Any]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def batch(run: Callable[..., Any], folder: Path, out: Path, model_path: Path) -> Batch:
    """`petseg batch` from `folder` to `out` with the tiny model."""

    def batch(
        *options: object, source: object = folder, output: object = out, model: Path = model_path
    ) -> Any:
        return run("batch", source, output, "--model", model, "--device", "cpu", *options)

    return batch


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """Path -> row; read as anybody would, and no path may be there twice."""
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(out / "index", index.SCHEMA).to_table()
    assert max(Counter(table["path"].to_pylist()).values(), default=1) == 1
    return {row["path"]: row for row in table.to_pylist()}


def statuses(out: Path) -> dict[str, str]:
    return {path: row["status"] for path, row in rows(out).items()}


def masks(out: Path) -> list[str]:
    return [name for name in tree(out) if name.endswith(".mask.png")]


def test_masks_and_rows(batch: Batch, put, folder: Path, out: Path, model_path: Path) -> None:
    names = ["a.jpg", "a.png", "b/a.jpg", "b/c/D.PNG"]
    for name in [*names, "b/.hidden.jpg", "b/a.mask.png", "note.txt"]:
        put(folder / name)
    result = batch()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("4 photos: 4 done in ")
    assert masks(out) == [f"{name}.mask.png" for name in names]
    found = rows(out)
    assert sorted(found) == names
    segmenter = Segmenter(model_path, device="cpu", threads=1)
    for name, row in found.items():
        expected = segmenter.segment(folder / name)
        assert np.count_nonzero(pixels(out / row["mask"]) != expected.mask) == 0
        assert row["score"] == pytest.approx(expected.score, abs=1e-6)
        assert row["milliseconds"] > 0
        assert row | {"score": 0, "milliseconds": 0} == {
            "path": name,
            "status": "ok",
            "error": None,
            "label": expected.label,
            "score": 0,
            "width": 100,
            "height": 60,
            "mask": f"{name}.mask.png",
            "model": "tiny",
            "sha256": hashlib.sha256(model_path.read_bytes()).hexdigest(),
            "milliseconds": 0,
        }


def test_what_has_a_row_is_not_done_again(
    batch: Batch, put, folder: Path, out: Path, runs: list[str]
) -> None:
    put(folder / "a.jpg")
    batch()
    done = len(runs)
    os.utime(out / "a.jpg.mask.png", (1, 1))
    put(folder / "a.png")  # a neighbour of that name must not change what a.jpg's mask is called
    result = batch()
    assert "2 photos: 1 done in" in result.stdout
    assert "1 were done before" in result.stdout
    assert len(runs) == done + 1
    assert (out / "a.jpg.mask.png").stat().st_mtime == 1
    assert statuses(out) == {"a.jpg": "ok", "a.png": "ok"}


def test_bad_photos_get_a_row_and_stop_nothing(batch: Batch, put, folder: Path, out: Path) -> None:
    for name in ("a.jpg", "c.jpg", "d.jpg"):
        put(folder / name)
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:400])
    (folder / "d.jpg").write_bytes(b"")
    (folder / "e.jpg").symlink_to("nowhere")
    result = batch()
    assert result.exit_code == 1
    assert "b.jpg' is damaged" in result.stderr
    assert "error: 3 of 5 failed" in result.stderr
    assert statuses(out) == dict.fromkeys(["a.jpg", "c.jpg"], "ok") | dict.fromkeys(
        ["b.jpg", "d.jpg", "e.jpg"], "failed"
    )
    failed = rows(out)["d.jpg"]
    assert "is empty" in failed["error"]
    assert (failed["mask"], failed["label"], failed["width"]) == (None, None, None)
    assert masks(out) == ["a.jpg.mask.png", "c.jpg.mask.png"]

    put(folder / "b.jpg")
    again = batch()
    assert (again.exit_code, again.stderr) == (
        1,
        "petseg: error: 3 failed before; --retry tries them again\n",
    )
    assert "0 done" in again.stdout
    assert "3 failed before" in again.stdout
    retried = batch("--retry")
    assert retried.exit_code == 1
    assert "2 of 3 failed" in retried.stderr
    assert statuses(out) == {
        "a.jpg": "ok",
        "b.jpg": "ok",
        "c.jpg": "ok",
        "d.jpg": "failed",
        "e.jpg": "failed",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a name")
def test_a_name_that_is_no_text_gets_a_row(batch: Batch, put, folder: Path, out: Path) -> None:
    put(folder / "a.jpg")
    os.link(folder / "a.jpg", os.fsencode(folder) + b"/\xff.jpg")
    assert batch().exit_code == 1
    assert batch().exit_code == 1
    assert statuses(out) == {"a.jpg": "ok", "\\udcff.jpg": "failed"}
    assert "not UTF-8" in rows(out)["\\udcff.jpg"]["error"]


def test_kinds(batch: Batch, put, folder: Path, out: Path) -> None:
    put(folder / "a.png")
    assert batch("--save", "json,cutout,overlay").exit_code == 0
    files = [name for name in tree(out) if not name.startswith("index")]
    assert files == ["a.png.cutout.png", "a.png.json", "a.png.overlay.jpg"]
    assert Image.open(out / files[0]).mode == "RGBA"
    assert rows(out)["a.png"]["mask"] is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"save": ["--save", "json"]}, "save"),
        ({"save": ["--resize", "nearest"]}, "resize"),
        ({"source": "other"}, "input"),
        ({"model": "other.onnx"}, "sha256"),
    ],
)
def test_results_of_two_kinds_do_not_mix(
    batch: Batch, put, folder: Path, out: Path, model_path: Path, change: dict[str, Any], says: str
) -> None:
    put(folder / "a.jpg")
    put(folder / "b.jpg")
    assert batch().exit_code == 0
    before = rows(out)
    other = onnx.load(model_path)
    other.producer_name = "another file, of the same name and version"
    onnx.save(other, folder.parent / "other.onnx")
    put(folder.parent / "other" / "a.jpg")
    arguments = {key: folder.parent / value for key, value in change.items() if key != "save"}
    options = change.get("save", [])
    result = batch(*options, **arguments)
    assert result.exit_code == 1
    assert f"holds results with {says} " in result.stderr
    assert "--overwrite" in result.stderr
    assert rows(out) == before

    assert batch("--overwrite", *options, **arguments).exit_code == 0
    assert set(rows(out)) == ({"a.jpg"} if says == "input" else {"a.jpg", "b.jpg"})
    if says == "sha256":
        assert rows(out)["a.jpg"]["sha256"] != before["a.jpg"]["sha256"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda index: (index / "_run.json").unlink(), "has rows, but no"),
        (lambda index: (index / "_run.json").write_text("["), "is damaged"),
        (lambda index: next(index.glob("part-*")).write_bytes(b"PAR1"), "cannot be read"),
    ],
)
def test_a_damaged_index_is_not_trusted(batch: Batch, put, folder: Path, out: Path, spoil, says: str) -> None:
    put(folder / "a.jpg")
    batch()
    spoil(out / "index")
    for options in ([], ["--retry"]):
        result = batch(*options)
        assert result.exit_code == 1
        assert says in result.stderr
    assert batch("--overwrite").exit_code == 0
    assert statuses(out) == {"a.jpg": "ok"}


def test_parts_add_up(batch: Batch, put, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PART_ROWS", 2)
    for i in range(5):
        put(folder / f"{i}.jpg")
    batch()
    assert len(list((out / "index").glob("part-*.parquet"))) == 3
    assert set(statuses(out)) == {f"{i}.jpg" for i in range(5)}


def test_rows_lost_with_a_crash_are_made_again(
    batch: Batch, put, folder: Path, out: Path, monkeypatch
) -> None:
    monkeypatch.setattr(index, "PART_ROWS", 2)
    for i in range(5):
        put(folder / f"{i}.jpg")
    batch()
    next((out / "index").glob("part-*.parquet")).unlink()
    assert len(rows(out)) < len(masks(out)) == 5
    batch()
    assert len(rows(out)) == len(masks(out)) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_stop_leaves_whole_files_only(
    batch: Batch, put, folder: Path, out: Path, model_path: Path, kill: signal.Signals
) -> None:
    first = put(folder / "0.png")
    Image.open(first).resize((900, 600)).save(first)
    for i in range(1, 40):
        os.link(first, folder / f"{i}.png")
    command = f"batch {folder} {out} --model {model_path} --device cpu".split()
    process = subprocess.Popen(
        [sys.executable, "-c", "from petseg.cli import main; main()", *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(masks(out) if out.is_dir() else ()) < 5 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(kill)
    stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode == (130 if kill == signal.SIGINT else -kill), stderr
    saved = masks(out)
    assert 5 <= len(saved) < 40
    for name in saved:
        Image.open(out / name).load()
    known = rows(out)
    assert {row["mask"] for row in known.values()} <= set(saved)
    if kill == signal.SIGINT:
        assert stderr == "petseg: interrupted\n"
        assert known
        assert not [name for name in tree(out) if name.endswith(".tmp")]
    assert batch().exit_code == 0
    assert len(rows(out)) == len(masks(out)) == 40


def test_one_run_at_a_time(batch: Batch, put, folder: Path, out: Path) -> None:
    from petseg.batch.storage import open_folder

    put(folder / "a.jpg")
    with open_folder(str(out)).locked(index.LOCK):
        result = batch()
    assert result.exit_code == 1
    assert "another run is writing to" in result.stderr
    assert batch().exit_code == 0


def test_an_engine_that_answers_twice_or_not_at_all(
    batch: Batch, put, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(folder / name)
    true_rows = local.rows

    def stutter(job: Any, paths: list[str]) -> Iterator[dict[str, Any]]:
        for row in true_rows(job, [path for path in paths if path != "b.jpg"]):
            yield from (row, dict(row))

    monkeypatch.setattr(local, "rows", stutter)
    result = batch()
    assert result.exit_code == 1
    assert "1 photos came back without an answer" in result.stderr
    assert set(rows(out)) == {"a.jpg", "c.jpg"}
    monkeypatch.undo()
    assert batch().exit_code == 0
    assert set(rows(out)) == {"a.jpg", "b.jpg", "c.jpg"}


def test_wrong_calls_write_nothing(
    batch: Batch, put, folder: Path, out: Path, prompt_model_path: Path
) -> None:
    def says(text: str, *options: object, status: int = 1, **arguments: Any) -> None:
        result = batch(*options, **arguments)
        assert result.exit_code == status
        assert text in result.stderr
        assert not out.exists()

    says("holds no photos")
    photo = put(folder / "a.jpg")
    says("is no folder", source=photo)
    says("is no folder", source=folder / "gone")
    says("cannot be used", source="nosuch://bucket/photos")
    says("cannot be used", output="nosuch://bucket/photos")
    says("give a point or a box", model=prompt_model_path)
    says("model file", model=folder / "gone.onnx")
    says("is none of mask", "--save", "masks", status=2)
    says("--engine", "--engine", "spark", status=2)


@pytest.mark.parametrize(("engine", "package"), [("local", "pyarrow"), ("ray", "pyarrow"), ("ray", "ray")])
def test_a_missing_package_is_named(
    batch: Batch, put, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, engine: str, package: str
) -> None:
    put(folder / "a.jpg")
    monkeypatch.setattr(batches, "find_spec", lambda name: None if name == package else True)
    result = batch("--engine", engine)
    assert result.exit_code == 1
    assert f"needs {package}" in result.stderr
    assert 'pip install "petseg[ray]"' in result.stderr
    assert not out.exists()


def test_nothing_heavy_before_it_is_needed() -> None:
    code = (
        "import json, sys; import petseg.cli, petseg.batch.run\n"
        "print(json.dumps([name for name in ('ray', 'pyarrow', 'fsspec', 'pandas') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_errors_of_the_model_stop_the_run(
    batch: Batch, put, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg"):
        put(folder / name)

    def run(self: session.Session, inputs: Any) -> Any:
        raise DeviceError("out of memory")

    monkeypatch.setattr(session.Session, "run", run)
    result = batch()
    assert result.exit_code == 1
    assert "out of memory" in result.stderr
    assert rows(out) == {}, "it is no photo's fault"
    monkeypatch.undo()
    assert batch().exit_code == 0
    assert len(rows(out)) == 2


@pytest.mark.parametrize(
    ("engine", "device", "asked", "fast", "precision"),
    [
        ("local", "cpu", "auto", True, "int8"),
        ("local", "cpu", "auto", False, "float32"),
        ("local", "cpu", "float32", True, "float32"),
        ("ray", "cpu", "auto", True, "int8"),
        ("ray", "cpu", "int8", False, "int8"),
        ("ray", "auto", "auto", True, "float32"),  # the workers may have GPUs
    ],
)
def test_all_workers_have_one_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine, device, asked, fast: bool, precision: str
) -> None:
    for name, document in (("model.onnx", manifest()), ("model.int8.onnx", manifest(precision="int8"))):
        onnx.save(build_model(document=document), tmp_path / name)
    monkeypatch.setattr(network, "int8_is_fast", lambda: fast)
    monkeypatch.setattr(batches, "find_spec", lambda name: True)
    monkeypatch.chdir(tmp_path.parent)
    job = batches.prepare("in", "out", engine, model=f"./{tmp_path.name}", device=device, precision=asked)
    assert (job.precision, job.model) == (precision, str(tmp_path))
    chosen = tmp_path / {"int8": "model.int8.onnx", "float32": "model.onnx"}[precision]
    assert job.sha256 == hashlib.sha256(chosen.read_bytes()).hexdigest()
    assert job.settings()["precision"] == precision
    assert Worker(job).segmenter.precision == precision
