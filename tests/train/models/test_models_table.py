"""`python -m train.models` with models whose pretrained start is not here."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPConfig

from train.config import Config, load_config
from train.models.__main__ import Summary, main, summarise, table

CONFIGS = Path(__file__).parents[3] / "train/configs"
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "projection_dim": 16,
}
VIT_B32, VIT_L14 = 87_456_000, 303_179_776
"""Weights of OpenAI's vision towers."""


@pytest.fixture
def row(make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Summary]:
    """The row of a CLIP model at 224 px; no network is needed, and none is asked."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("somebody wants to connect")

    monkeypatch.setattr("socket.socket.connect", refuse)

    def make(**options: Any) -> Summary:
        document = make_config(data={"size": 224}).model_dump(exclude={"model"})
        options = {"family": "clip", "layers": [1], "decoder": "plain", "widths": [8], **options}
        (only,) = summarise(Config.model_validate(document | {"model": options}))
        return only

    return make


def frozen(row: Summary) -> int:
    assert row.total is not None
    assert row.trainable is not None
    return row.total - row.trainable


@pytest.mark.parametrize(
    ("encoder", "weights"),
    [("openai/clip-vit-base-patch32", VIT_B32), ("openai/clip-vit-large-patch14", VIT_L14)],
)
def test_published_sizes(row: Callable[..., Summary], encoder: str, weights: int) -> None:
    found = row(encoder=encoder)
    assert frozen(found) == weights
    assert (found.inputs, found.output) == ("photo 3x224x224", "logits 3x224x224")
    assert found.note == f"encoder without its weights, by the published sizes of {encoder}"


def test_a_folder_knows_its_sizes(row: Callable[..., Summary], tmp_path: Path) -> None:
    projection = TINY["projection_dim"]
    CLIPConfig(vision_config=TINY, text_config={}, projection_dim=projection).save_pretrained(tmp_path)
    found = row(encoder=str(tmp_path))
    assert frozen(found) < 50_000
    assert found.note.endswith(f"by {tmp_path}")


def test_the_config_may_tell_the_sizes(row: Callable[..., Summary]) -> None:
    found = row(encoder="nobody/knows", architecture=TINY)
    assert frozen(found) < 50_000
    assert found.note.endswith("by the config's model.architecture")


def test_what_cannot_be_built_is_a_row_too(
    row: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)  # as if it were not installed
    reasons = {
        "the sizes of nobody/knows are not known here": row(encoder="nobody/knows"),
        "cannot be opened": row(encoder=str(tmp_path)),
        'pip install "petseg[openclip]"': row(backend="open_clip", architecture="RN50", encoder="openai"),
        "layers [12] do not fit": row(encoder="openai/clip-vit-base-patch32", layers=[12]),
    }
    for reason, found in reasons.items():
        assert (found.total, found.trainable) == (None, None)
        assert found.output.startswith("cannot be built: ")
        assert reason in found.output
    assert table(list(reasons.values())).count("cannot be built") == 4


def test_captions_and_true_species_are_inputs() -> None:
    (pretrain,) = summarise(load_config(CONFIGS / "clip_mini_pretrain.toml"))
    assert (pretrain.inputs, pretrain.output) == ("photo 3x192x192 + caption 20", "similarity 1")
    assert "128 weights each" in pretrain.note
    (oracle,) = summarise(load_config(CONFIGS / "studies/a_clip_oracle.toml"))
    assert oracle.inputs == "photo 3x352x352 + true species 1"
    assert frozen(oracle) == VIT_B32 + 768 * 512  # and what brings the photo into the texts' space


def test_a_bad_config_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("name = 'x'")
    for bad in (path, tmp_path / "missing.toml"):
        with pytest.raises(SystemExit) as caught:
            main([str(bad)])
        assert caught.value.code == 2
        assert f"error: {bad}: " in capsys.readouterr().err


@pytest.mark.slow
def test_every_config_has_its_rows() -> None:
    paths = [*CONFIGS.glob("*.toml"), *(CONFIGS / "studies").glob("*.toml")]
    assert len(paths) > 25
    rows = [row for path in paths for row in summarise(load_config(path))]
    assert [row.output for row in rows if row.total is None] == []
