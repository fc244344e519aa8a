"""The peers of a click: what they answer, and that they stand in one table with petseg."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from petseg.measure.metrics import binary_iou
from tests.support.drawing import draw_labels, paint, write_oxford
from tests.support.tiny_models import save_parts
from train.config import Config
from train.people import clicks

pytest.importorskip("ai_edge_litert", reason="benchmarks need ai-edge-litert, which is for Linux")
peers = pytest.importorskip("benchmarks.clicks")

CAT, DOG = 1, 2


@pytest.fixture
def labels() -> np.ndarray:
    """(60, 90) uint8: a cat on the left, a dog on the right, with a cat touching its corner."""
    plane = np.zeros((60, 90), np.uint8)
    plane[10:40, 10:35] = CAT
    plane[10:40, 50:75] = DOG
    plane[40:45, 75:80] = CAT
    return plane


def test_component_is_what_hangs_together_under_the_click(labels: np.ndarray) -> None:
    photos = []
    clicked = peers.Component("peer", lambda photo: photos.append(photo) or labels)
    photo = paint(labels)
    clicked.start(photo)
    assert (clicked.click((20.5, 20.5), True) == np.where(np.arange(90) < 40, labels, 0)).all()
    clicked.start(photo)
    assert (clicked.click((60.5, 20.5), True) == np.where(np.arange(90) < 40, 0, labels)).all()
    clicked.start(photo)
    assert not clicked.click((42.5, 20.5), True).any()
    assert len(photos) == 1
    clicked.start(photo.copy())
    assert len(photos) == 2


@pytest.mark.parametrize("factor", [1, 8])
def test_grabcut_finds_what_stands_out(labels: np.ndarray, factor: int) -> None:
    """In photos smaller and larger than what it works on."""
    labels = labels.repeat(factor, 0).repeat(factor, 1)
    cat = labels == CAT
    cat[:, 40 * factor :] = False
    clicked = peers.GrabCut()
    clicked.start(paint(labels))
    boxed = clicked.box(np.array([8.0, 8.0, 37.0, 42.0]) * factor)
    assert (boxed.shape, boxed.dtype) == (labels.shape, np.uint8)
    assert binary_iou(cat, boxed > 0) > 0.9
    clicked.start(paint(labels))
    answer = clicked.click((22.5 * factor, 25.5 * factor), True)
    assert answer[25 * factor, 22 * factor]
    assert not clicked.click((60.5 * factor, 25.5 * factor), False)[25 * factor, 60 * factor]
    clicked.start(paint(labels))
    assert (clicked.click((22.5 * factor, 25.5 * factor), True) == answer).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (40, 60)])
def test_grabcut_survives_what_leaves_no_background(shape: tuple[int, int]) -> None:
    clicked = peers.GrabCut()
    photo = np.zeros((*shape, 3), np.uint8)
    clicked.start(photo)
    assert clicked.box(np.array([0.0, 0.0, shape[1], shape[0]])).all()
    clicked.start(photo)
    assert clicked.click((0.5, 0.5), True)[0, 0]
    assert clicked.click((shape[1] - 0.5, shape[0] - 0.5), False).shape == shape


def test_all_stand_in_one_table(
    make_config: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Nothing:
        def __init__(self, path: Path, threads: int) -> None:
            assert (path, threads) == (Path("net.tflite"), 1)

        def letterboxed(self, photo: np.ndarray) -> np.ndarray:
            return np.zeros(photo.shape[:2], np.uint8)

    monkeypatch.setattr(peers, "Peer", Nothing)
    monkeypatch.setattr(clicks, "load_config", lambda path: make_config())
    write_oxford(tmp_path / "test", {"Bombay_1": draw_labels(0, 80, 60)}, "test")
    words = [str(save_parts(tmp_path / "tiny")), "--data", str(tmp_path / "test"), "--max-clicks", "3"]
    words += ["--peer", "net.tflite", "--threads", "1", "--json", str(tmp_path / "r.json")]
    monkeypatch.setattr("sys.argv", ["clicks", *words])
    assert peers.main() == 0
    report = json.loads((tmp_path / "r.json").read_text())
    ours, component, grabcut = report["sets"]["single"]["methods"].values()
    assert (ours["limit"], component["limit"], grabcut["limit"]) == (3, 1, 3)
    assert component["exact"]["iou"] == {"1": 0.0}
    assert "box_iou" not in component
    assert grabcut["box_iou"] > 0.9
    assert "species" in ours["exact"]
    assert "species" not in grabcut["exact"]
    assert report["sets"]["multi"]["animals"] == 0  # no photo of several animals was held out
    assert set(report["peers"]) == {"deeplab", "grabcut"}
    printed = capsys.readouterr().out
    for name in report["sets"]["single"]["methods"]:
        assert f"\n{name} " in printed


def test_a_missing_peer_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(save_parts(tmp_path / "tiny"))
    monkeypatch.setattr("sys.argv", ["clicks", model, "--peer", str(tmp_path / "none.tflite")])
    assert peers.main() == 1
    assert "cannot measure" in capsys.readouterr().err
