"""Models in two graphs, and the features that are kept between them."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from petseg.engine import network, session
from petseg.engine.network import KEPT, open_network
from petseg.errors import DeviceError, ModelError
from petseg.models import catalog
from tests.support.tiny_models import PROMPTABLE, SIZE, build_model, build_part, manifest, save_parts

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3, SIZE, SIZE), np.uint8)
PROMPTS = np.random.default_rng(1).random((3, 2, SIZE, SIZE), np.float32)


pytestmark = pytest.mark.usefixtures("fresh_engine")


def test_two_graphs_answer_like_one(prompt_model_path: Path, tmp_path: Path) -> None:
    onnx.save(build_model(prompts=True), tmp_path / "one.onnx")
    two, one = (
        open_network(catalog.resolve(path), "cpu", 1) for path in (prompt_model_path, tmp_path / "one.onnx")
    )
    assert two.device == "cpu"
    assert two.manifest == one.manifest
    assert two.manifest.part is None
    np.testing.assert_array_equal(two.run(IMAGES, PROMPTS), one.run(IMAGES, PROMPTS))


def test_another_prompt_costs_the_decoder_alone(prompt_model_path: Path, runs: list[str]) -> None:
    for prompt in PROMPTS:
        open_network(catalog.resolve(prompt_model_path), "cpu", 1).run(IMAGES[:1], prompt[None])
    assert runs == ["encoder", "decoder", "decoder", "decoder"]
    open_network(catalog.resolve(prompt_model_path), "cpu", 1).run(IMAGES[1:2], PROMPTS[:1])
    assert runs[4:] == ["encoder", "decoder"]


def test_models_keep_their_features_apart(prompt_model_path: Path, tmp_path: Path, runs: list[str]) -> None:
    other = save_parts(tmp_path / "other", PROMPTABLE | {"name": "other"})
    for path in (prompt_model_path, other):
        open_network(catalog.resolve(path), "cpu", 1).run(IMAGES, PROMPTS)
    assert runs == ["encoder", "decoder"] * 2


def squares(count: int) -> list[NDArray[np.uint8]]:
    """So many, all different, (1, 3, S, S) each."""
    return [np.full((1, 3, SIZE, SIZE), number, np.uint8) for number in range(count)]


def test_features_are_bounded(prompt_model_path: Path, runs: list[str]) -> None:
    model, images = open_network(catalog.resolve(prompt_model_path), "cpu", 1), squares(KEPT + 1)
    for image in (*images[:KEPT], images[0], images[KEPT], images[0]):
        model.encode(image)
    assert len(runs) == network.kept() + 1 == KEPT + 1
    model.encode(images[1])  # the one that was unused for longest had to go
    assert len(runs) == KEPT + 2
    assert network.kept() == KEPT


def test_a_photo_is_the_same_where_its_pixels_are(prompt_model_path: Path, runs: list[str]) -> None:
    model, image = open_network(catalog.resolve(prompt_model_path), "cpu", 1), IMAGES[:1].copy()
    before = model.encode(image)["features_0"].copy()
    np.testing.assert_array_equal(model.encode(IMAGES[:1])["features_0"], before)
    image[:] = 0  # of whoever has the array
    np.testing.assert_array_equal(model.encode(IMAGES[:1])["features_0"], before)
    assert len(runs) == 1
    assert not np.array_equal(model.encode(image)["features_0"], before)
    assert len(runs) == 2


def test_a_failure_is_not_kept(prompt_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_network(catalog.resolve(prompt_model_path), "cpu", 1)

    def fail(*_: object) -> None:
        raise DeviceError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "run", fail)
        with pytest.raises(DeviceError):
            model.encode(IMAGES[:1])
    assert network.kept() == 0
    assert model.encode(IMAGES[:1])["features_0"].shape == (1, 3, SIZE, SIZE)


def test_threads_share_the_cache(prompt_model_path: Path) -> None:
    model, images = open_network(catalog.resolve(prompt_model_path), "cpu", 1), squares(2 * KEPT)
    expected = [model.encode(image)["features_0"] for image in images]
    barrier, wrong = threading.Barrier(16), []

    def work(seed: int) -> None:
        barrier.wait()
        for number in np.random.default_rng(seed).integers(0, len(images), 100).tolist():
            if not np.array_equal(model.encode(images[number])["features_0"], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert network.kept() == KEPT


# -- what is no model -----------------------------------------------------------------------------------

Change = Callable[[onnx.ModelProto], None]


def rename(old: str, new: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.name = new if value.name == old else value.name
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    return change


def retype(name: str, **changes: Any) -> Change:
    """Another element type, or `sides` behind the batch, declared for an input or output."""

    def change(model: onnx.ModelProto) -> None:
        (value,) = (v for v in (*model.graph.input, *model.graph.output) if v.name == name)
        kind = value.type.tensor_type
        kind.elem_type = changes.get("kind", kind.elem_type)
        for dim, side in zip(kind.shape.dim, changes.get("sides", []), strict=False):
            dim.Clear()
            if isinstance(side, int):
                dim.dim_value = side
            else:
                dim.dim_param = side

    return change


def document(**changes: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.metadata_props[0].value = json.dumps(json.loads(model.metadata_props[0].value) | changes)

    return change


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (
            "encoder",
            document(part="decoder"),
            r"encoder\.onnx' has inputs \['image'\], must be \['features_0'",
        ),
        ("decoder", document(part="head"), "'part' in its metadata is 'head'.* encoder and decoder"),
        ("encoder", document(prompts=[]), r"'part' in its metadata is 'encoder' with prompts \[\]"),
        ("decoder", document(part=None), r"decoder\.onnx' has inputs .*must be \['image', 'prompt'\]"),
        ("decoder", document(version="2"), "are of different models or exports"),
        ("decoder", document(checkpoint_sha256="1" * 64), "are of different models or exports"),
        ("encoder", rename("image", "photo"), r"inputs \['photo'\], must be \['image'\]"),
        (
            "encoder",
            rename("features_1", "mean"),
            r"\['features_0', 'mean'\], must be \['features_0', 'features_1'\]",
        ),
        ("decoder", rename("prompt", "clicks"), r"inputs .*'clicks'\], must be .*'prompt'\]"),
        ("decoder", rename("logits", "mask"), r"outputs \['mask'\], must be \['logits'\]"),
        ("encoder", retype("features_0", kind=TensorProto.FLOAT16), "Type Error|'features_0' is tensor"),
        (
            "decoder",
            retype("features_1", sides=["batch", 1, 1, 1]),
            r"gives features .*\[3, 1, 1\].*takes .*\[1, 1, 1\]",
        ),
    ],
)
def test_broken_parts(part: str, change: Change, message: str, tmp_path: Path) -> None:
    folder = save_parts(tmp_path / "model")
    model = build_part(part)
    change(model)
    onnx.save(model, folder / f"{part}.onnx")
    with pytest.raises(ModelError, match=f"(?:{message}).*export it again"):
        open_network(catalog.resolve(folder), "cpu", 1)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_fixed_batch(part: str, tmp_path: Path) -> None:
    folder = save_parts(tmp_path / "model")
    onnx.save(build_part(part, batch=1), folder / f"{part}.onnx")
    with pytest.raises(ModelError, match=rf"{part}\.onnx.*dynamic batch"):
        open_network(catalog.resolve(folder), "cpu", 1)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_part_alone_is_no_model(part: str, prompt_model_path: Path) -> None:
    with pytest.raises(
        ModelError, match=f"only the {part} of a model; give the folder with encoder.onnx and"
    ):
        open_network(catalog.resolve(prompt_model_path / f"{part}.onnx"), "cpu", 1)


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (
            build_model(),
            build_part("decoder"),
            r"encoder\.onnx says that it is a whole model, must be the encoder",
        ),
        (
            build_part("encoder"),
            build_model(),
            r"decoder\.onnx says that it is a whole model, must be the decoder",
        ),
        (build_part("decoder"), build_part("encoder"), "says that it is part 'decoder', must be the encoder"),
        (
            build_part("encoder", manifest(name="a", prompts=["box"])),
            build_part("decoder"),
            "different models",
        ),
    ],
)
def test_graphs_that_do_not_belong_together(
    encoder: onnx.ModelProto, decoder: onnx.ModelProto, message: str, tmp_path: Path
) -> None:
    onnx.save(encoder, tmp_path / "encoder.onnx")
    onnx.save(decoder, tmp_path / "decoder.onnx")
    with pytest.raises(ModelError, match=message):
        open_network(catalog.resolve(tmp_path), "cpu", 1)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder\.onnx.*check the path"):
        open_network(catalog.resolve(tmp_path), "cpu", 1)


def test_features_of_nan(prompt_model_path: Path) -> None:
    model = open_network(catalog.resolve(prompt_model_path), "cpu", 1)
    prompts: NDArray[np.float32] = np.full((1, 2, SIZE, SIZE), np.nan, np.float32)
    with pytest.raises(ModelError, match="answered with NaN"):
        model.run(IMAGES[:1], prompts)
