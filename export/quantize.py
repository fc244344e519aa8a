"""Checkpoint to int8: `python -m export.quantize train/checkpoints/unet --embed`.

Calibrated on photos that the checkpoint was trained on, then held against float32 on the test list, which
nothing was trained on. What loses more than `MAX_DROP` of mIoU, or gives fewer than `MIN_AGREEMENT` of the
pixels the same class, is not written. With --held-out it is measured on what training kept aside: for
choosing settings.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.errors import ExportError, QuantisationError
from export.export import Exported, check_weight, export
from export.graph import correct, photo_bytes
from export.graph.describe import figures
from export.graph.equalise import equalise
from export.graph.parts import WHOLE
from export.graph.rewrite import behind, share_scales
from export.graph.samples import prepare
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.bench import machine
from petseg.measure.datasets import read_pairs
from petseg.measure.metrics import Evaluation
from petseg.models import catalog
from petseg.models.index import Index, Weights, describe_file
from petseg.models.manifest import METADATA_KEY, Manifest
from petseg.segmenter import Segmenter
from train.checkpoint import load_checkpoint
from train.config import Config
from train.data.arguments import OXFORD, add_photos, split_of
from train.data.dataset import read_source, sources_at, split_validation
from train.data.samples import Sample

PHOTOS, SEED = 48, 0
"""Photos that ranges are measured on, and which ones."""

MAX_DROP, MIN_AGREEMENT = 0.003, 0.99
"""Largest loss of mIoU, and smallest share of pixels with the same class, that are accepted."""

_QUANTISED = ["Conv", "Add", "Concat", "Relu", "Clip"]
"""Operators that get 8-bit inputs and outputs. Resize stays float32: ONNX Runtime is slow at it in bytes."""


@dataclass(frozen=True)
class Comparison:
    """int8 beside float32.

    Attributes:
        photos: how many were compared.
        float32, int8: figures of each, see `export.graph.describe.figures`.
        agreement: share of all their pixels that both give the same class.
        speedup: time of float32's network over int8's, medians of runs in turns.
        threads: for that.
    """

    photos: int
    float32: dict[str, Any]
    int8: dict[str, Any]
    agreement: float
    speedup: float
    threads: int

    def check(self) -> None:
        """Raise `QuantisationError` unless int8 is good enough."""
        drop = self.float32["miou"] - self.int8["miou"]
        if not drop <= MAX_DROP:  # so that nan fails
            raise QuantisationError(f"mIoU falls by {drop:.4f}, allowed are {MAX_DROP}")
        if not self.agreement >= MIN_AGREEMENT:
            raise QuantisationError(
                f"{self.agreement:.3%} of the pixels get the same class, needed are {MIN_AGREEMENT:.1%}"
            )


class _Feeds(CalibrationDataReader):
    def __init__(self, feeds: Sequence[dict[str, NDArray[np.uint8]]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._feeds, None)


def split_photos(folder: Path, config: Config) -> tuple[list[Sample], list[Sample]]:
    """What a checkpoint was trained on in a folder, and what was kept aside there.

    Raises:
        ExportError: it was not trained on photos of this folder.
        petseg.ImageError: the folder holds no photos with masks.
    """
    known = sources_at(folder, config)
    if not known:
        names = ", ".join(PurePath(source.path).name for source in config.data.sources)
        raise ExportError(f"{folder} is none of what the checkpoint was trained on: {names}")
    source = known[-1].model_copy(update={"path": folder.name})
    return split_validation(read_source(source, folder.parent), source.validation, config.data.seed)


def quantise(model: Exported, photos: Sequence[NDArray[np.uint8]]) -> Exported:
    """A model of float32 weights in int8, all but the metadata.

    Activations are uint8 and weights int8, per output channel, which the instructions of x86 want.

    Args:
        model: exported with `half=False`.
        photos: (H, W, 3) uint8 each, to measure ranges on.

    Raises:
        ExportError: it is in two parts, or its first convolution does not take the photo.
    """
    if model.is_split:
        raise ExportError("a promptable model in two parts is not made for int8")
    images = prepare(photos, Manifest.from_document(model.document, "the model")).images
    feeds = [{"image": image[None]} for image in images]
    graph = onnx.load_from_string(model.graphs[WHOLE])
    versions = graph.ir_version, graph.producer_name, graph.producer_version
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        path.write_bytes(model.graphs[WHOLE])
        # Symbolic shapes are not needed: onnx infers all but the batch.
        quant_pre_process(path, path, skip_symbolic_shape=True)
        graph = onnx.load(path)
        photo_bytes.fold(graph)
        equalise(graph, feeds)
        means = correct.measure_means(graph, feeds)
        original = onnx.ModelProto()
        original.CopyFrom(graph)
        quantize_static(
            graph,
            path,
            _Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED,
            # The image-level head moves logits by far more than their own range: 8 bits would be too coarse.
            nodes_to_exclude=[*photo_bytes.NODES, *behind(graph, "Gemm")],
            per_channel=True,
            # 7 bits of weights: on x86 without VNNI sums of 8-bit products saturate.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        graph = onnx.load(path)
    correct.correct(graph, original, means)
    photo_bytes.connect(graph)
    share_scales(graph)
    del graph.graph.value_info[:]
    graph.ir_version, graph.producer_name, graph.producer_version = versions
    document = model.document | {"precision": "int8", "metrics": {}}
    return with_document(replace(model, graphs={WHOLE: graph.SerializeToString()}), document)


def with_document(model: Exported, document: dict[str, Any]) -> Exported:
    """The same graph with other metadata."""
    graph = onnx.load_from_string(model.graphs[WHOLE])
    onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(document, allow_nan=False)})
    onnx.checker.check_model(graph)
    return Exported(document, {WHOLE: graph.SerializeToString(deterministic=True)})


def compare(original: Exported, quantised: Exported, samples: Sequence[Sample], threads: int) -> Comparison:
    """Run both over photos with true masks, at their own size."""
    evaluations, same, pixels = (Evaluation(), Evaluation()), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / f"{name}.onnx" for name in ("float32", "int8")]
        for model, path in zip((original, quantised), paths, strict=True):
            model.write(path)
        segmenters = [Segmenter(path, device="cpu", threads=threads) for path in paths]
    for sample in samples:
        photo, truth = sample.read_image(), sample.read_mask()
        masks = [segmenter(photo).mask for segmenter in segmenters]
        for evaluation, mask in zip(evaluations, masks, strict=True):
            evaluation.add(truth, mask)
        same += int(np.count_nonzero(masks[0] == masks[1]))
        pixels += truth.size
    float32, int8 = (figures(evaluation.report()) for evaluation in evaluations)
    return Comparison(len(samples), float32, int8, same / pixels, time_both(segmenters), threads)


def time_both(segmenters: Sequence[Segmenter], rounds: int = 40) -> float:
    """Time of the first one's network over the second one's, medians of runs in turns."""
    size = segmenters[0].manifest.size
    image = np.random.default_rng(SEED).integers(0, 256, (1, 3, size, size), np.uint8)
    seconds = []
    for _ in range(rounds + 5):
        times = [perf_counter()]
        for segmenter in segmenters:
            segmenter._network.run(image)
            times.append(perf_counter())
        seconds.append(np.diff(times))
    first, second = np.median(seconds[5:], axis=0)
    return float(first / second)


def embed(model: Exported, folder: Path) -> Path:
    """Put an int8 model beside the embedded one it was made from, and into the index.

    Raises:
        ExportError: that one is not there, or was exported from another checkpoint; or too much weight.
    """
    name = model.document["name"]
    index = Index.read(folder)
    entry = index.models.get(name)
    same = ("checkpoint_sha256", "size", "fill")
    if entry is None or any(entry.float32.manifest[key] != model.document[key] for key in same):
        raise ExportError(
            f"the embedded {name} was exported from another checkpoint, or is not there; embed it first: "
            "python -m export.export CHECKPOINT --metrics ... --embed"
        )
    path = folder / f"{name}.int8.onnx"
    quantised = Weights((describe_file(path.name, model.graphs[WHOLE]),), model.document)
    index.models[name] = replace(entry, int8=quantised)
    check_weight(index, name)
    model.write(path)
    index.write(folder)
    return path


def run(options: argparse.Namespace) -> None:
    """Quantise, compare, and write what is good enough."""
    _, config = load_checkpoint(options.checkpoint)
    training, held_out = split_photos(options.calibration, config)
    chosen = np.random.default_rng(SEED).permutation(len(training))[:PHOTOS]
    original = export(options.checkpoint, name=options.name, half=False)
    quantised = quantise(original, [training[index].read_image() for index in chosen])
    samples = held_out if options.held_out else read_pairs(options.data, split_of(options))
    comparison = compare(original, quantised, samples, options.threads)
    print_comparison(comparison)
    comparison.check()
    if not options.held_out:  # those photos are for choosing, not for telling how good it is
        quantised = with_document(quantised, quantised.document | {"metrics": comparison.int8})
    written = [embed(quantised, catalog.WEIGHTS)] if options.embed else []
    if options.output:
        quantised.write(options.output, force=options.force)
        written.append(options.output)
    for path in written:
        print(f"{path}: {quantised.document['name']}, int8, {path.stat().st_size / 1e6:.2f} MB")
    report_file.write(options.json, report(quantised, comparison, len(chosen)))


def report(quantised: Exported, comparison: Comparison, calibrated: int) -> dict[str, Any]:
    """All that was measured, with what it is about."""
    digest = hashlib.sha256(quantised.graphs[WHOLE]).hexdigest()
    about = {
        "files": {f"{WHOLE}.int8.onnx": digest},
        "checkpoint_sha256": quantised.document["checkpoint_sha256"],
        "calibration_photos": calibrated,
        "machine": machine(),
    }
    return about | asdict(comparison)


def print_comparison(comparison: Comparison) -> None:
    """The figures for people."""
    float32, int8 = comparison.float32["miou"], comparison.int8["miou"]
    print(f"mIoU on {comparison.photos} photos: {float32:.4f} in float32, {int8:.4f} in int8")
    print(f"{comparison.agreement:.3%} of the pixels get the same class")
    print(f"int8 is {comparison.speedup:.2f} times as fast, {comparison.threads} threads, network alone")


def main(arguments: Sequence[str] | None = None) -> int:
    """Quantise as the command line says; 1 if it cannot be done, or is not good enough."""
    parser = argparse.ArgumentParser(prog="python -m export.quantize", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.onnx")
    parser.add_argument("--name", help="of the model; default: the name in its config")
    parser.add_argument(
        "--calibration", type=Path, default=OXFORD, help="folder that the checkpoint was trained on"
    )
    add_photos(parser)
    parser.add_argument("--held-out", action="store_true", help="measure on what training kept aside instead")
    parser.add_argument("--threads", type=int, default=2, help="to measure the speed with")
    parser.add_argument("--embed", action="store_true", help="put it into petseg/weights/, beside float32")
    options = report_file.parse(parser, arguments)
    if options.embed and options.held_out:
        parser.error("what is embedded is measured on the test list; leave out --held-out")
    try:
        run(options)
    except (ExportError, PetsegError, OSError, ValueError, RuntimeError) as error:
        print(f"{options.checkpoint} was not quantised: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
