"""`petseg bench`: that it measures what it says; how fast anything is, is not for tests."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petseg.engine import session
from petseg.engine.network import planes
from petseg.errors import DeviceError
from petseg.measure import bench
from petseg.measure.bench import (
    STAGES,
    draw_photo,
    in_turns,
    ratios,
    run_network,
    spread,
    time_cold,
    time_stages,
)
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import load
from petseg.segmenter import Segmenter

Run = Callable[..., Any]
COLD = {"cold start": 0.5, "import": 0.01, "memory": 2.0**20}


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cold starts, which take seconds."""
    monkeypatch.setattr(bench, "time_cold", lambda *_: dict(COLD))


def test_the_drawn_photo_is_a_photo_and_always_the_same() -> None:
    assert load(draw_photo()).shape == (375, 500, 3)
    assert load(draw_photo(64, 48)).shape == (48, 64, 3)
    assert draw_photo() == draw_photo()


@pytest.mark.usefixtures("no_processes")
def test_two_models_in_turns(
    run: Run, model_path: Path, prompt_model_path: Path, runs: list[str], tmp_path: Path
) -> None:
    words = ["--model", model_path, "--compare", prompt_model_path, "--device", "cpu", "--rounds", 4]
    result = run("bench", *words, "--threads", 1, "--json", tmp_path / "bench.json")
    assert result.exit_code == 0, result.stderr
    stages = 3 + 4  # warm-up and rounds, one model first and then the other
    assert runs[:6] == ["encoder", "decoder", "tiny", "tiny", "encoder", "decoder"]
    assert runs[: 3 * stages].count("tiny") == stages
    for word in (*STAGES, "total", "photos per second", "cold start", "import", "memory", "ratio"):
        assert word in result.stdout
    assert "tiny float32 on cpu" in result.stdout
    report = json.loads((tmp_path / "bench.json").read_text())
    assert (report["threads"], report["rounds"], report["photos"], report["card"]) == (1, 4, 1, None)
    one, other = report["figures"]["model"], report["figures"]["peer"]
    assert (one["model"], other["model"]) == ("tiny", "tiny-prompt")
    assert 0 < one["stages"]["run"]["median"] <= one["stages"]["run"]["p95"]
    assert one["memory"] == COLD["memory"]
    assert report["ratios"]["cold start"] == 1
    assert report["ratios"]["photos per second"] == pytest.approx(
        one["photos per second"] / other["photos per second"]
    )


@pytest.mark.usefixtures("no_processes")
def test_one_model_in_two_precisions(run: Run, tmp_path: Path) -> None:
    words = ["--precision", "int8", "--compare", "float32", "--threads", 1, "--rounds", 1]
    result = run("bench", *words, "--json", tmp_path / "bench.json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())["figures"]
    assert [(one["model"], one["precision"]) for one in figures.values()] == [
        ("unet", "int8"),
        ("unet", "float32"),
    ]


@pytest.mark.usefixtures("no_processes")
def test_photos_and_batches(run: Run, put, folder: Path, model_path: Path, monkeypatch: Any) -> None:
    batches, network_run = [], session.Session.run

    def spy(self: Any, inputs: Any) -> Any:
        batches.append(len(inputs["image"]))
        return network_run(self, inputs)

    monkeypatch.setattr(session.Session, "run", spy)
    photos = [put(folder / "x.jpg"), put(folder / "y.png")]
    result = run("bench", *photos, "--model", model_path, "--device", "cpu", "--batch", 3, "--rounds", 2)
    assert result.exit_code == 0, result.stderr
    assert set(batches) == {3}
    assert "ratio" not in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.jpg"], "photo 'none.jpg' cannot be read"),
        (["--json", "no/where.json"], "there is no folder 'no'"),
        (["--model", "nonesuch"], "no model 'nonesuch'"),
        (["--compare", "nonesuch"], "no model 'nonesuch'"),
        (["--device", "tpu"], "device 'tpu' is unknown"),
    ],
)
@pytest.mark.usefixtures("no_processes", "weights")
def test_what_cannot_be_measured_is_one_line(run: Run, words: list[str], message: str) -> None:
    result = run("bench", *words)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_stages_add_up(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(model_path, device="cpu", threads=1)
    slow = bench.run_network

    def slower(*arguments: Any) -> Any:
        time.sleep(0.2)
        return slow(*arguments)

    monkeypatch.setattr(bench, "run_network", slower)
    seconds = time_stages(segmenter, [draw_photo(64, 48)] * 2)
    assert list(seconds) == [*STAGES, "total"]
    assert 0.1 <= seconds["run"] < seconds["total"] == pytest.approx(sum(seconds[s] for s in STAGES))


def test_the_network_that_is_timed_answers_like_a_click(prompt_model_path: Path, photo: Any) -> None:
    segmenter = Segmenter(prompt_model_path, device="cpu", threads=1)
    box = Letterbox.fit(100, 60, segmenter.manifest.size)
    logits = run_network(segmenter._network, planes([box.apply(photo)] * 2), [box] * 2)
    expected = segmenter(photo, (50, 30))
    for answer in logits:
        np.testing.assert_array_equal(segmenter._result(answer, box, photo).mask, expected.mask)


def test_in_turns() -> None:
    order: list[str] = []
    actions = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    results = in_turns(actions, rounds=2, warm_up=1)
    assert "".join(order) == "baabba"
    assert results == {"a": [3, 6], "b": [4, 5]}


def test_spread_and_ratios() -> None:
    assert spread([0.001, 0.002, 0.009]) == {"median": 2, "p95": pytest.approx(8.3)}
    figures = {"photos per second": 10.0, "cold start": 1.0, "import": 0.1, "memory": None}
    one = figures | {"stages": {"run": {"median": 3.0, "p95": 9.0}}}
    other = figures | {"stages": {"run": {"median": 6.0, "p95": 9.0}}, "photos per second": 5.0}
    found = ratios({"x": one, "y": other}, "x", "y")
    assert found == {"run": 0.5, "photos per second": 2, "cold start": 1, "import": 1}


def test_peak_memory_grows_with_what_is_held() -> None:
    before = bench.peak_memory()
    assert before is not None
    held = np.ones(before + 2**25, np.uint8)  # more than there ever was
    assert bench.peak_memory() > before + 2**24
    del held


@pytest.mark.parametrize("fixture", ["model_path", "prompt_model_path"])
def test_a_cold_start(request: pytest.FixtureRequest, fixture: str) -> None:
    figures = time_cold(str(request.getfixturevalue(fixture)), "auto", "cpu", 1, draw_photo(64, 48))
    assert 0 < figures["import"] < figures["cold start"]
    assert 2**24 < figures["memory"] < 2**30


def test_a_cold_start_that_fails(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"did not get to its first mask: (?s:.*)missing.onnx"):
        time_cold(str(tmp_path / "missing.onnx"), "auto", "cpu", 1, draw_photo(64, 48))


def test_both_lines_of_a_cold_start_are_read_however_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one may come with the first, and much may be said on standard error before."""
    talk = "import sys; sys.stderr.write('x' * 300_000); sys.stdout.write('0.5\\n12345\\n')"
    monkeypatch.setattr(bench, "_COLD", talk)
    for _ in range(3):
        times = bench.time_cold(None, "float32", "cpu", 1, b"")
        assert (times["import"], times["memory"]) == (0.5, 12345)
    monkeypatch.setattr(bench, "_COLD", "raise SystemExit('no such thing')")
    with pytest.raises(DeviceError, match="first mask: no such thing"):
        bench.time_cold(None, "float32", "cpu", 1, b"")
