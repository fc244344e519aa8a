"""Proof that an export agrees with its checkpoint: `python -m export.verify CHECKPOINT FILE.onnx|FOLDER`.

Names, element types, axes and metadata first, then torch against ONNX Runtime on real photos, in
batches of several sizes, for a promptable model with clicks and boxes. The first thing that differs ends
it, with an error of its own.
"""

import argparse
import hashlib
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from export.errors import (
    AxesError,
    BatchError,
    CheckpointMismatchError,
    ClassMapError,
    ExportError,
    FeaturesError,
    ForeignModelError,
    LogitsError,
    MetadataError,
    NamesError,
    PhotosError,
    TypesError,
)
from export.graph.parts import WHOLE, Part, split
from export.graph.samples import Inputs, prepare, read_photos
from petseg.errors import ModelError, PetsegError
from petseg.measure import report_file
from petseg.models import catalog
from petseg.models.manifest import METADATA_KEY, Manifest
from petseg.pixels.geometry import FILL
from train.checkpoint import checkpoint_sha256, load_checkpoint
from train.data.arguments import add_photos, split_of
from train.models import parameter_count

BATCH_SIZES = (1, 2, 5, 16)

TOLERANCE, TOLERANCE_HALF = 1e-3, 0.05
"""Largest difference of logits, for weights stored as float32 and as fp16.

Measured on the U-Net (32 photos, logits within +-6): 1.5e-5, where only the order of sums differs, and
0.0075 for the rounding of weights. The tolerances leave room for longer sums and larger logits; a wrong
layer, padding or interpolation is off by whole units.
"""

FEATURES_SHARE = 0.5
"""The same for features, whose scale is free: share of `tolerance` by which they may differ, relative to
the largest value of the same tensor."""

AGREEMENT = {"float32": 0.999, "int8": 0.99}
"""Share of the photos' pixels that must get the same class, for each precision."""

INVARIANCE = 1e-3
"""Largest difference of logits that the batch size may make in float32; only the order of sums may change."""


@dataclass(frozen=True)
class Report:
    """How well an export agrees with its checkpoint.

    Attributes:
        max_difference, mean_difference: between torch's logits and ONNX Runtime's, the largest and the
            mean absolute one, over all prompts and batch sizes.
        tolerance: what `max_difference` had to stay within; None for int8.
        feature_difference: the largest one of features, relative to their tensor's largest value; None
            for a model in one graph.
        agreement: share of the photos' pixels (padding left out) with the same class, for the worst
            batch size.
        batch_difference: largest absolute difference that the batch size makes.
        photos: how many were compared.
        prompts: how many prompts each of them got.
        batch_sizes: the batches they came in.
        files: name -> sha256 of each ONNX file.
        checkpoint_sha256: of the weights that the files were compared with.
    """

    max_difference: float
    mean_difference: float
    tolerance: float | None
    feature_difference: float | None
    agreement: float
    batch_difference: float
    photos: int
    prompts: int
    batch_sizes: tuple[int, ...]
    files: dict[str, str]
    checkpoint_sha256: str


def verify(
    checkpoint: Path,
    path: Path,
    photos: Sequence[NDArray[np.uint8]],
    *,
    tolerance: float | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    precision: str = "float32",
) -> Report:
    """Hold an export against its checkpoint.

    Args:
        checkpoint: the folder it is said to come from.
        path: the ONNX file, or the folder with encoder.onnx and decoder.onnx.
        photos: (H, W, 3) uint8 each, at least as many as the largest batch.
        tolerance: of logits; None is `TOLERANCE_HALF` where weights are stored as fp16, else `TOLERANCE`; for
            int8, whose logits are coarse, none at all.
        batch_sizes: the batches to run them in.
        precision: a key of `AGREEMENT`, what the export must say that it calculates in.

    Raises:
        VerificationError: one of its subclasses, for the first thing that differs.
        FileNotFoundError: the checkpoint is none.
    """
    if len(photos) < max(batch_sizes):
        raise PhotosError(f"{len(photos)} photos do not fill a batch of {max(batch_sizes)}; give more")
    model, _ = load_checkpoint(checkpoint)
    found = catalog.find(path)
    files = [file.path for file in (precision == "int8" and found.int8) or found.float32]
    sessions = [_open(file) for file in files]
    manifests = [check_metadata(session, model, checkpoint) for session in sessions]
    if any(manifest.precision != precision for manifest in manifests):
        raise MetadataError(f"the export is in {manifests[0].precision}, not in {precision}; see --precision")
    parts = split(model, manifests[0].size)
    check_parts(manifests, [part.name for part in parts])
    for session, part in zip(sessions, parts, strict=True):
        check_interface(session, part)
    inputs = prepare(photos, manifests[0])
    if tolerance is None and precision == "int8":
        tolerance = math.inf
    elif tolerance is None:
        tolerance = TOLERANCE_HALF if any(map(_stores_half, files)) else TOLERANCE
    feature_difference = None
    if len(parts) == 2:
        feature_difference = compare_features(parts[0], sessions[0], inputs, tolerance * FEATURES_SHARE)
    expected = np.concatenate([_run_torch(model, *feed)[0] for feed in inputs.feeds()])
    answers = (_answer(sessions, inputs, batch_size) for batch_size in batch_sizes)
    inside = np.tile(inputs.inside, (len(inputs.feeds()), 1, 1))
    return Report(
        **compare(expected, answers, inside, tolerance, precision),
        tolerance=tolerance if math.isfinite(tolerance) else None,
        feature_difference=feature_difference,
        photos=len(photos),
        prompts=len(inputs.prompts),
        batch_sizes=tuple(batch_sizes),
        files={file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        checkpoint_sha256=manifests[0].checkpoint_sha256,
    )


def _open(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; the log would only repeat it
    try:
        # From bytes, so that a file which needs others beside it fails.
        return onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ForeignModelError(f"{file} cannot be loaded as one ONNX file: {error}") from error


def check_metadata(session: onnxruntime.InferenceSession, model: nn.Module, checkpoint: Path) -> Manifest:
    """Read the metadata, complete and about this checkpoint.

    Raises:
        ForeignModelError, MetadataError, CheckpointMismatchError: they are not.
    """
    document = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if document is None:
        raise ForeignModelError(f"the metadata have no key {METADATA_KEY!r}: no petseg model")
    try:
        manifest = Manifest.from_json(document, "the export")
    except ModelError as error:
        raise MetadataError(str(error)) from error
    truth = {
        "fill": FILL,
        "prompts": tuple(getattr(model, "prompts", ())),
        "parameters": parameter_count(model),
    }
    for field, value in truth.items():
        if getattr(manifest, field) != value:
            raise MetadataError(f"{field} in the metadata is {getattr(manifest, field)}, should be {value}")
    sha256 = checkpoint_sha256(checkpoint)
    if manifest.checkpoint_sha256 != sha256:
        raise CheckpointMismatchError(
            f"exported from weights {manifest.checkpoint_sha256[:12]}, {checkpoint} has {sha256[:12]}"
        )
    return manifest


def check_parts(manifests: Sequence[Manifest], names: Sequence[str]) -> None:
    """Compare the graphs that there are with those that the checkpoint makes.

    Raises:
        ForeignModelError: there are others.
        MetadataError: they say different things about the model.
    """
    found = [manifest.part or WHOLE for manifest in manifests]
    if found != list(names):
        raise ForeignModelError(f"the export is {' and '.join(found)}, must be {' and '.join(names)}")
    if any(replace(manifest, part=manifests[0].part) != manifests[0] for manifest in manifests):
        raise MetadataError("the graphs say different things about the model")


def check_interface(session: onnxruntime.InferenceSession, part: Part) -> None:
    """Compare names, element types and axes with what torch works with.

    Raises:
        NamesError, TypesError, AxesError: they differ.
    """
    pairs = (("inputs", session.get_inputs(), part.inputs), ("outputs", session.get_outputs(), part.outputs))
    kinds = {torch.uint8: "tensor(uint8)", torch.float32: "tensor(float)"}
    for what, found, expected in pairs:
        names = [value.name for value in found]
        if names != list(expected):
            raise NamesError(f"{what} are {names}, must be {list(expected)}")
        for value in found:
            example = expected[value.name]
            if value.type != kinds[example.dtype]:
                raise TypesError(f"{value.name} is {value.type}, must be {kinds[example.dtype]}")
            if value.shape[1:] != list(example.shape[1:]) or not isinstance(value.shape[0], str):
                raise AxesError(
                    f"{value.name} is {value.shape}, must be {['batch', *example.shape[1:]]}, batch dynamic"
                )


@torch.inference_mode()
def _run_torch(module: nn.Module, *arrays: NDArray[Any], batch_size: int = 8) -> list[NDArray[np.float32]]:
    """What a module answers, one array for each of its outputs."""
    batches = zip(*(torch.from_numpy(array).split(batch_size) for array in arrays), strict=True)
    answers = [module(*batch) for batch in batches]
    answers = [answer if isinstance(answer, tuple) else (answer,) for answer in answers]
    return [torch.cat(output).float().numpy() for output in zip(*answers, strict=True)]


def _run_onnx(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]], batch_size: int
) -> dict[str, NDArray[np.float32]]:
    names = [value.name for value in session.get_outputs()]
    count = len(next(iter(inputs.values())))
    batches = [
        session.run(names, {name: array[start : start + batch_size] for name, array in inputs.items()})
        for start in range(0, count, batch_size)
    ]
    return {name: np.concatenate(parts) for name, *parts in zip(names, *batches, strict=True)}


def _answer(
    sessions: Sequence[onnxruntime.InferenceSession], inputs: Inputs, batch_size: int
) -> NDArray[np.float32]:
    """Logits of all photos for each prompt in turn, photos encoded once where there is an encoder."""
    *encoders, decoder = sessions
    seen: dict[str, NDArray[Any]] = {"image": inputs.images}
    for encoder in encoders:
        seen = {**_run_onnx(encoder, seen, batch_size)}
    feeds = [{**seen, "prompt": prompt} for prompt in inputs.prompts] or [seen]
    return np.concatenate([_run_onnx(decoder, feed, batch_size)["logits"] for feed in feeds])


def _stores_half(file: Path) -> bool:
    return any(t.data_type == onnx.TensorProto.FLOAT16 for t in onnx.load(file).graph.initializer)


def compare_features(
    part: Part, session: onnxruntime.InferenceSession, inputs: Inputs, tolerance: float
) -> float:
    """Compare torch's features with ONNX Runtime's.

    Returns:
        The largest difference, relative to the largest value of its tensor.

    Raises:
        FeaturesError: they do not agree.
    """
    expected = _run_torch(part.module, inputs.images)
    found = _run_onnx(session, {"image": inputs.images}, 8)
    differences = {
        name: float(np.abs(found[name] - values).max() / np.abs(values).max())
        for name, values in zip(part.outputs, expected, strict=True)
    }
    for name, difference in differences.items():
        if not difference <= tolerance:  # so that NaN fails
            raise FeaturesError(f"{name} differs by up to {difference:.4g} of it, allowed is {tolerance:g}")
    return max(differences.values())


def compare(
    expected: NDArray[np.float32],
    answers: Iterable[NDArray[np.float32]],
    inside: NDArray[np.bool_],
    tolerance: float,
    precision: str = "float32",
) -> dict[str, float]:
    """Compare torch's logits (N, 3, S, S) with ONNX Runtime's, one array of those per batch size.

    Returns:
        The figures of `Report` that are about logits.

    Raises:
        LogitsError, ClassMapError, BatchError: they do not agree.
    """
    classes = expected.argmax(1)
    first, rows = None, []
    for answer in answers:
        first = answer if first is None else first
        difference = np.abs(answer - expected)
        same = (answer.argmax(1) == classes)[inside]
        rows.append((difference.max(), difference.mean(), same.mean(), np.abs(answer - first).max()))
    largest, means, agreements, batches = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    figures = {
        "max_difference": float(largest.max()),
        "mean_difference": float(means.mean()),
        "agreement": float(agreements.min()),
        "batch_difference": float(batches.max()),
    }
    # "not <=" since a comparison with NaN is false.
    if not figures["max_difference"] <= tolerance:
        raise LogitsError(
            f"logits differ by up to {figures['max_difference']:.4g}, allowed are {tolerance:g}"
        )
    needed = AGREEMENT[precision]
    if not figures["agreement"] >= needed:
        raise ClassMapError(f"{figures['agreement']:.4%} of the pixels agree, needed are {needed:.1%}")
    # In int8 another order of sums may end up on another step.
    if precision == "float32" and not figures["batch_difference"] <= INVARIANCE:
        raise BatchError(f"the batch size changes logits by up to {figures['batch_difference']:.4g}")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify as the command line says; 1 if something does not agree."""
    parser = argparse.ArgumentParser(prog="python -m export.verify", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("path", type=Path, help="what was exported from it, a file or a folder")
    add_photos(parser, "trainval")
    parser.add_argument("--photos", type=int, default=32, help="how many to compare on")
    parser.add_argument("--precision", choices=list(AGREEMENT), default="float32", help="of the export")
    parser.add_argument("--tolerance", type=float, help="largest difference of logits that is accepted")
    options = report_file.parse(parser, arguments)
    try:
        photos = read_photos(options.data, split_of(options), options.photos)
        asked = {"tolerance": options.tolerance, "precision": options.precision}
        report = asdict(verify(options.checkpoint, options.path, photos, **asked))
    except (ExportError, PetsegError, OSError, ValueError, RuntimeError) as error:
        print(f"{options.path} does not pass: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for name, value in report.items():
        print(f"{name:<19}{value}")
    report_file.write(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
