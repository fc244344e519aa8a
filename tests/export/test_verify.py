import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export import errors
from export.errors import (
    AxesError,
    BatchError,
    CheckpointMismatchError,
    ClassMapError,
    ForeignModelError,
    LogitsError,
    MetadataError,
    NamesError,
    PhotosError,
    TypesError,
)
from export.graph.samples import read_photos
from export.verify import Report, main, verify
from petseg.measure import report_file
from tests.support.tiny_checkpoints import PLAIN, make_checkpoint

Tamper = Callable[[onnx.ModelProto], None]
Photos = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def photos(oxford: Path) -> Photos:
    return read_photos(oxford, "trainval", 32)


@pytest.fixture
def tampered(exported: Path, tmp_path: Path) -> Callable[[Tamper], Path]:
    def write(tamper: Tamper) -> Path:
        model = onnx.load(exported)
        tamper(model)
        onnx.save(model, tmp_path / "tampered.onnx")
        return tmp_path / "tampered.onnx"

    return write


def test_a_sound_export_passes(exported: Path, checkpoint: Path, photos: Photos) -> None:
    report = verify(checkpoint, exported, photos)
    assert 0 < report.mean_difference < report.max_difference < report.tolerance
    assert report.agreement >= 0.999
    assert (report.photos, report.batch_sizes) == (32, (1, 2, 5, 16))


def test_float32_storage_is_held_to_a_closer_tolerance(
    exported: Path, exported_float32: Path, checkpoint: Path, photos: Photos
) -> None:
    closer = verify(checkpoint, exported_float32, photos)
    assert closer.tolerance < verify(checkpoint, exported, photos).tolerance
    assert closer.max_difference < 1e-4


def test_mobilenet_passes(exported_mobilenet: Path, mobilenet_checkpoint: Path, photos: Photos) -> None:
    assert verify(mobilenet_checkpoint, exported_mobilenet, photos).agreement >= 0.999


@pytest.fixture
def in_int8(tampered: Callable[[Tamper], Path]) -> Path:
    """An export that says it is int8."""
    return tampered(metadata(precision="int8"))


def test_int8_must_agree_on_classes_alone(in_int8: Path, checkpoint: Path, photos: Photos) -> None:
    report = verify(checkpoint, in_int8, photos, precision="int8")
    assert (report.agreement, report.tolerance) == (pytest.approx(1, abs=1e-3), None)


def test_the_precision_must_be_the_one_asked_for(
    in_int8: Path, exported: Path, checkpoint: Path, photos: Photos
) -> None:
    for path, precision in ((in_int8, "float32"), (exported, "int8")):
        with pytest.raises(MetadataError, match=f"not in {precision}; see --precision"):
            verify(checkpoint, path, photos, precision=precision)


def metadata(**changes: Any) -> Tamper:
    """Change fields of the document; None takes one away."""

    def tamper(model: onnx.ModelProto) -> None:
        document = json.loads(model.metadata_props[0].value) | changes
        document = {key: value for key, value in document.items() if value is not None}
        model.metadata_props[0].value = json.dumps(document)

    return tamper


def no_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def no_json(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "unet"


def renamed(name: str) -> Tamper:
    def tamper(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.name = "other" if value.name == name else value.name
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = ["other" if each == name else each for each in names]

    return tamper


def int8_photos(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8


def fixed_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def head(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Tamper:
    """Change the weights of the last convolution."""

    def tamper(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "head.weight":
                tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))

    return tamper


def batch_dependent(model: onnx.ModelProto) -> None:
    """Add 0.01 to all logits for every photo in the batch."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["sole" if each == "logits" else each for each in node.output]
    graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "hundredth"))
    graph.node.extend(
        [
            helper.make_node("Shape", ["sole"], ["photos"], end=1),
            helper.make_node("Cast", ["photos"], ["count"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["count", "hundredth"], ["shift"]),
            helper.make_node("Add", ["sole", "shift"], ["logits"]),
        ]
    )


@pytest.mark.parametrize(
    ("tamper", "error", "message"),
    [
        (no_metadata, ForeignModelError, "no petseg model"),
        (no_json, MetadataError, "no JSON"),
        (metadata(classes=["background", "dog", "cat"]), MetadataError, "classes"),
        (metadata(training_data=None), MetadataError, "training_data"),
        (metadata(fill=0), MetadataError, "fill"),
        (metadata(prompts=["point"]), MetadataError, "prompts"),
        (metadata(parameters=1), MetadataError, "parameters"),
        (metadata(checkpoint_sha256="0" * 64), CheckpointMismatchError, "000000000000"),
        (renamed("image"), NamesError, "other"),
        (renamed("logits"), NamesError, "other"),
        (int8_photos, TypesError, "int8"),
        (fixed_batch, AxesError, "dynamic"),
        (metadata(size=64), AxesError, "64"),
        (head(lambda weights: weights + np.float32(0.3)), LogitsError, "allowed are 0.05"),
        (head(lambda weights: weights * np.float32("nan")), LogitsError, "nan"),
    ],
)
def test_each_fault_has_its_error(
    tamper: Tamper,
    error: type[Exception],
    message: str,
    tampered: Callable[[Tamper], Path],
    checkpoint: Path,
    photos: Photos,
) -> None:
    with pytest.raises(error, match=message):
        verify(checkpoint, tampered(tamper), photos)


@pytest.mark.parametrize(
    ("tamper", "error"), [(head(lambda weights: -weights), ClassMapError), (batch_dependent, BatchError)]
)
def test_faults_that_hide_within_a_large_tolerance(
    tamper: Tamper,
    error: type[Exception],
    tampered: Callable[[Tamper], Path],
    checkpoint: Path,
    photos: Photos,
) -> None:
    with pytest.raises(error):
        verify(checkpoint, tampered(tamper), photos, tolerance=1e3)


def test_another_checkpoint(exported: Path, tmp_path: Path, photos: Photos) -> None:
    other = make_checkpoint(tmp_path, PLAIN, 32, seed=1)
    with pytest.raises(CheckpointMismatchError):
        verify(other, exported, photos)


@pytest.mark.parametrize("data", [b"", b"no model at all"])
def test_a_file_that_is_no_onnx(data: bytes, checkpoint: Path, tmp_path: Path, photos: Photos) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(data)
    with pytest.raises(ForeignModelError, match=r"foreign\.onnx"):
        verify(checkpoint, path, photos)


def test_a_file_that_needs_others(exported: Path, checkpoint: Path, tmp_path: Path, photos: Photos) -> None:
    path = tmp_path / "split.onnx"
    onnx.save(onnx.load(exported), path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(ForeignModelError):
        verify(checkpoint, path, photos)


def test_too_few_photos(exported: Path, checkpoint: Path, photos: Photos, oxford: Path) -> None:
    with pytest.raises(PhotosError, match="batch of 16"):
        verify(checkpoint, exported, photos[:15])
    with pytest.raises(PhotosError, match=r"33 are needed; .* --data, or compare on fewer: --photos 32"):
        read_photos(oxford, "trainval", 33)


def test_read_photos_spreads_over_the_list_and_takes_plain_folders(oxford: Path) -> None:
    every, few = (read_photos(oxford, "trainval", count) for count in (32, 4))
    assert all(np.array_equal(photo, every[8 * index]) for index, photo in enumerate(few))
    assert len(read_photos(oxford / "images", "trainval", 32)) == 32


def test_all_errors_have_one_base() -> None:
    """Who calls a command of the export catches one class; who verifies tells its kinds apart."""
    own = [value for name, value in vars(errors).items() if name.endswith("Error")]
    assert errors.WebError in own
    assert all(issubclass(error, errors.ExportError) for error in own)
    assert sum(issubclass(error, errors.VerificationError) for error in own) == 12


def test_command_line(
    exported: Path, checkpoint: Path, oxford: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    arguments = [str(checkpoint), str(exported), "--data", str(oxford)]
    assert main([*arguments, "--json", str(path)]) == 0
    assert "agreement" in capsys.readouterr().out
    assert set(report_file.read(path)) == set(Report.__dataclass_fields__)
    assert main([*arguments, "--tolerance", "1e-9"]) == 1
    assert "LogitsError" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["data", "checkpoint", "file"])
def test_command_line_names_what_is_missing(
    what: str, exported: Path, checkpoint: Path, oxford: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"checkpoint": checkpoint, "file": exported, "data": oxford} | {what: Path("nowhere")}
    assert main([str(paths["checkpoint"]), str(paths["file"]), "--data", str(paths["data"])]) == 1
    assert "nowhere" in capsys.readouterr().err
