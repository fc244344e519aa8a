"""Promptable models: an encoder and a decoder."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from export.errors import (
    CheckpointMismatchError,
    ExportError,
    FeaturesError,
    ForeignModelError,
    LogitsError,
    MetadataError,
    NamesError,
)
from export.export import Exported, embed, main
from export.graph.parts import WHOLE, split
from export.graph.samples import prepare, read_photos
from export.verify import main as verify_main
from export.verify import verify
from petseg.engine.network import open_network
from petseg.models import catalog
from petseg.models.manifest import PARTS
from petseg.segmenter import Segmenter
from tests.support.tiny_checkpoints import PROMPT, make_checkpoint
from train.checkpoint import load_checkpoint

Photos = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def photos(oxford: Path) -> Photos:
    return read_photos(oxford, "trainval", 16)


@pytest.fixture
def tampered(exported_prompt: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the export with one graph changed."""

    def write(part: str, tamper: Callable[[onnx.ModelProto], None]) -> Path:
        for file in exported_prompt.iterdir():
            model = onnx.load(file)
            if file.stem == part:
                tamper(model)
            onnx.save(model, tmp_path / file.name)
        return tmp_path

    return write


def test_the_folder_keeps_the_contract(exported_prompt: Path, prompt_checkpoint: Path) -> None:
    assert sorted(path.name for path in exported_prompt.iterdir()) == ["decoder.onnx", "encoder.onnx"]
    manifest = open_network(catalog.resolve(exported_prompt), "cpu", 1).manifest
    assert (manifest.name, manifest.size, manifest.prompts) == ("tiny", 32, ("point", "box"))
    documents = {}
    for part in ("encoder", "decoder"):
        (entry,) = onnx.load(exported_prompt / f"{part}.onnx").metadata_props
        documents[part] = json.loads(entry.value)
        assert documents[part].pop("part") == part
    assert documents["encoder"] == documents["decoder"]


def test_each_graph_has_its_own_weights(exported_prompt: Path, prompt_checkpoint: Path) -> None:
    model, _ = load_checkpoint(prompt_checkpoint)
    kept = {
        part: sum(
            np.prod(tensor.dims) for tensor in onnx.load(exported_prompt / f"{part}.onnx").graph.initializer
        )
        for part in ("encoder", "decoder")
    }
    total = sum(parameter.numel() for parameter in model.parameters())
    assert 0.9 * total < sum(kept.values()) < 1.1 * total  # batch normalisation is folded
    assert "BatchNormalization" not in {
        node.op_type for node in onnx.load(exported_prompt / "encoder.onnx").graph.node
    }


@pytest.mark.parametrize("batch", [1, 5])
def test_both_graphs_answer_like_torch(batch: int, exported_prompt: Path, prompt_checkpoint: Path) -> None:
    model, _ = load_checkpoint(prompt_checkpoint)
    generator = np.random.default_rng(batch)
    images = generator.integers(0, 256, (batch, 3, 32, 32), np.uint8)
    prompts = generator.random((batch, 2, 32, 32), np.float32)
    logits = open_network(catalog.resolve(exported_prompt), "cpu", 1).run(images, prompts)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images), torch.from_numpy(prompts)).numpy()
    assert np.abs(logits - expected).max() < 5e-3


def test_verification_covers_prompts_and_features(
    exported_prompt: Path, prompt_checkpoint: Path, photos: Photos
) -> None:
    report = verify(prompt_checkpoint, exported_prompt, photos)
    assert 0 < report.max_difference < report.tolerance
    assert report.feature_difference is not None
    assert 0 < report.feature_difference < report.tolerance
    assert (report.prompts, report.photos) == (4, 16)
    for name, sha256 in report.files.items():
        assert hashlib.sha256((exported_prompt / name).read_bytes()).hexdigest() == sha256
    assert set(report.files) == {"encoder.onnx", "decoder.onnx"}


def test_prompts_of_every_kind_are_compared(exported_prompt: Path, photos: Photos) -> None:
    manifest = open_network(catalog.resolve(exported_prompt), "cpu", 1).manifest
    inputs = prepare(photos, replace(manifest, size=256))
    negative, box = (
        sum((prompt[:, 1].max((1, 2)) > t).all() for prompt in inputs.prompts) for t in (0.9, 0.4)
    )
    assert (len(inputs.prompts), negative, box) == (4, 2, 3)
    assert all(prompt[:, 0].any((1, 2)).all() for prompt in inputs.prompts)


def shift(name: str) -> Callable[[onnx.ModelProto], None]:
    """Add 0.3 to the largest weight tensor whose name ends so."""

    def tamper(model: onnx.ModelProto) -> None:
        tensor = max(
            (t for t in model.graph.initializer if name in t.name),
            key=lambda t: numpy_helper.to_array(t).size,
        )
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array((values + 0.3).astype(values.dtype), tensor.name))

    return tamper


def document(**changes: Any) -> Callable[[onnx.ModelProto], None]:
    def tamper(model: onnx.ModelProto) -> None:
        model.metadata_props[0].value = json.dumps(json.loads(model.metadata_props[0].value) | changes)

    return tamper


def swapped(model: onnx.ModelProto) -> None:
    """The inputs in another order."""
    inputs = list(model.graph.input)[::-1]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


@pytest.mark.parametrize(
    ("part", "tamper", "error", "message"),
    [
        ("encoder", shift("encoder"), FeaturesError, "features_. differs by up to"),
        ("decoder", shift("levels"), LogitsError, "allowed are 0.05"),
        (
            "decoder",
            document(part="encoder"),
            ForeignModelError,
            "is encoder and encoder, must be encoder and decoder",
        ),
        ("encoder", document(version="9"), MetadataError, "different things"),
        ("decoder", swapped, NamesError, "inputs are .'prompt', "),
    ],
)
def test_what_verification_finds(
    part: str,
    tamper: Callable[[onnx.ModelProto], None],
    error: type[Exception],
    message: str,
    tampered: Callable[..., Path],
    prompt_checkpoint: Path,
    photos: Photos,
) -> None:
    with pytest.raises(error, match=message):
        verify(prompt_checkpoint, tampered(part, tamper), photos)


def test_one_graph_where_two_belong(exported_prompt: Path, prompt_checkpoint: Path, photos: Photos) -> None:
    with pytest.raises(ForeignModelError, match="is encoder, must be encoder and decoder"):
        verify(prompt_checkpoint, exported_prompt / "encoder.onnx", photos)
    with pytest.raises(ForeignModelError, match="nothing cannot be loaded"):
        verify(prompt_checkpoint, exported_prompt / "nothing", photos)


@pytest.mark.slow
def test_export_by_command_gives_the_same_bytes(
    prompt_checkpoint: Path, exported_prompt: Path, tmp_path: Path
) -> None:
    assert main([str(prompt_checkpoint), "-o", str(tmp_path / "made" / "prompt")]) == 0
    for file in exported_prompt.iterdir():
        assert (tmp_path / "made" / "prompt" / file.name).read_bytes() == file.read_bytes()


def test_command_lines(
    prompt_checkpoint: Path,
    exported_prompt: Path,
    oxford: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = {part: (exported_prompt / f"{part}.onnx").read_bytes() for part in PARTS}
    document = {"name": "tiny", "size": 32}
    monkeypatch.setattr("export.export.export", lambda *_, **__: Exported(document, graphs))
    assert main([str(prompt_checkpoint), "-o", str(tmp_path / "made" / "prompt")]) == 0
    for file in exported_prompt.iterdir():
        assert (tmp_path / "made" / "prompt" / file.name).read_bytes() == file.read_bytes()
    arguments = [str(prompt_checkpoint), str(exported_prompt), "--data", str(oxford), "--photos", "16"]
    assert verify_main([*arguments, "--json", str(tmp_path / "parity.json")]) == 0
    assert "feature_difference" in json.loads((tmp_path / "parity.json").read_text())


def test_two_graphs_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="two graphs; give the name of a folder"):
        Exported({}, {"encoder": b"", "decoder": b""}).write(tmp_path / "prompt.onnx")
    assert not list(tmp_path.iterdir())


def test_embedded_beside_a_plain_model(
    exported_prompt: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    graphs = {part: (exported_prompt / f"{part}.onnx").read_bytes() for part in PARTS}
    (entry,) = onnx.load_from_string(graphs["encoder"]).metadata_props
    prompt = Exported(json.loads(entry.value) | {"name": "prompt", "part": None}, graphs)
    assert embed(prompt, tmp_path) == tmp_path / "prompt"
    whole = {WHOLE: exported.read_bytes()}
    habits = dict.fromkeys(("zoom", "mirror", "semantic", "apart"), False)
    plain = Exported(prompt.document | {"name": "plain", "prompts": []} | habits, whole)
    assert embed(plain, tmp_path) == tmp_path / "plain.onnx"
    assert [info.name for info in catalog.embedded_models()] == [
        "plain",
        "prompt",
    ]  # the default needs no click
    info = catalog.embedded_models()[1]
    assert (info.path, info.bytes) == (tmp_path / "prompt", sum(map(len, graphs.values())))
    segmenter = Segmenter("prompt", device="cpu", threads=1)
    photo = np.full((30, 50, 3), 90, np.uint8)
    answer = segmenter.refine(segmenter(photo, (20, 20)), (5, 5), 0)
    np.testing.assert_array_equal(
        answer.probabilities, segmenter(photo, points=[(20, 20), (5, 5)], labels=[1, 0]).probabilities
    )


def test_other_families_stay_whole() -> None:
    class Autoencoder(nn.Module):
        """One with stages, which takes no prompt."""

        def encode(self, image: Tensor) -> Tensor:
            return image.float()

        def decode(self, code: Tensor) -> Tensor:
            return code

        def forward(self, image: Tensor) -> Tensor:
            return self.decode(self.encode(image))

    (part,) = split(Autoencoder(), 16)
    assert (part.name, list(part.inputs), list(part.outputs)) == (WHOLE, ["image"], ["logits"])


def test_another_size(prompt_checkpoint: Path, tmp_path: Path) -> None:
    model, _ = load_checkpoint(prompt_checkpoint)
    encoder, decoder = split(model, 64)
    assert encoder.inputs["image"].shape == (2, 3, 64, 64)
    assert list(decoder.inputs) == [*encoder.outputs, "prompt"]
    assert decoder.outputs["logits"].shape == (2, 3, 64, 64)
    with pytest.raises(ValueError, match="33"):
        split(model, 33)


def test_other_checkpoints(
    exported_prompt: Path, checkpoint: Path, prompt_checkpoint: Path, photos: Photos, tmp_path: Path
) -> None:
    other = make_checkpoint(tmp_path, PROMPT, 32, seed=1)
    with pytest.raises(CheckpointMismatchError):
        verify(other, exported_prompt, photos)
    with pytest.raises(MetadataError, match=r"prompts in the metadata is \('point', 'box'\), should be \(\)"):
        verify(checkpoint, exported_prompt, photos)
