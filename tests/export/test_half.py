"""Models that calculate in fp16."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from export.half import main, to_half
from petseg.engine.session import open_session
from petseg.segmenter import Segmenter


def convert(source: Path, target: Path) -> Path:
    assert main([str(source), "-o", str(target)]) == 0
    return target


def test_a_half_model_keeps_the_contract_and_nearly_the_answers(
    exported_mobilenet: Path, tmp_path: Path
) -> None:
    half = open_session(convert(exported_mobilenet, tmp_path / "new" / "half.onnx"), "cpu")
    full = open_session(exported_mobilenet, "cpu")
    assert (half.manifest.precision, full.manifest.precision) == ("float16", "float32")
    assert half.manifest.name == full.manifest.name
    side = full.manifest.size
    images = np.random.default_rng(0).integers(0, 256, (3, 3, side, side), np.uint8)
    logits, expected = (session.run({"image": images})["logits"] for session in (half, full))
    assert logits.dtype == np.float32
    scale = np.abs(expected).max()
    assert 0 < np.abs(logits - expected).max() < 0.02 * scale
    assert (logits.argmax(1) == expected.argmax(1)).mean() > 0.99


def test_the_arithmetic_is_half(exported_mobilenet: Path) -> None:
    graph = to_half(onnx.load(exported_mobilenet)).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    weights = [stored[node.input[1]] for node in graph.node if node.op_type == "Conv"]
    assert weights
    assert set(weights) == {TensorProto.FLOAT16}
    to_float = [
        node for node in graph.node if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT
    ]
    assert [node.output[0] for node in to_float] == ["logits"]


def test_both_parts_of_a_promptable_model(exported_prompt: Path, tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    half = Segmenter(convert(exported_prompt, tmp_path / "half"), device="cpu")
    answers = [segmenter(photo, (40, 30)) for segmenter in (half, Segmenter(exported_prompt, device="cpu"))]
    np.testing.assert_allclose(*(answer.probabilities for answer in answers), atol=0.05)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (onnx.ModelProto(ir_version=8), "no petseg model")]
)
def test_no_model(
    content: onnx.ModelProto | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "in.onnx").write_bytes(content.SerializeToString())
    assert main([str(tmp_path / "in.onnx"), "-o", str(tmp_path / "out.onnx")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()
