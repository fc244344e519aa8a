"""Checkpoint to ONNX: `python -m export.export train/checkpoints/unet -o unet.onnx`.

A promptable model becomes a folder: `python -m export.export train/checkpoints/prompt -o prompt` writes
prompt/encoder.onnx and prompt/decoder.onnx. What is written keeps docs/onnx-contract.md, and the same
checkpoint always gives the same bytes.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from torch.export import Dim

from export.errors import ExportError
from export.graph.describe import describe, petseg_version, read_metrics
from export.graph.parts import WHOLE, Part, split
from export.graph.rewrite import store_half, strip_origin
from petseg.errors import PetsegError
from petseg.models import catalog
from petseg.models.index import Index, Weights, describe_file
from petseg.models.manifest import METADATA_KEY
from petseg.pixels import saving
from petseg.pixels.classes import CLASSES
from train.checkpoint import load_checkpoint

OPSET, IR_VERSION = 18, 10
"""What torch writes without converting, and what onnxruntime 1.20 and later loads."""

EMBEDDED_LIMIT = 40_000_000
"""Bytes that the weights inside the package may have together."""


@dataclass(frozen=True)
class Exported:
    """A model that keeps the ONNX contract.

    Attributes:
        document: what it says about itself.
        graphs: "model", or "encoder" and "decoder" -> the bytes of the file.
    """

    document: dict[str, Any]
    graphs: dict[str, bytes]

    @property
    def is_split(self) -> bool:
        """Whether it has two graphs, which are written to a folder."""
        return WHOLE not in self.graphs

    def write(self, path: Path, *, force: bool = False) -> None:
        """Write the file, or encoder.onnx and decoder.onnx into the folder `path`.

        Raises:
            ExportError: two graphs, and a name that is meant to be one file; or, unless `force`, a file is
                there that is no model of petseg's.
        """
        if self.is_split and path.suffix.lower() == ".onnx":
            raise ExportError(
                f"{path} is to be a file, but the model has two graphs; give the name of a folder"
            )
        files = {path / f"{part}.onnx" if self.is_split else path: data for part, data in self.graphs.items()}
        for file in () if force else files:
            check_free(file)
        for file, data in files.items():
            saving.write(file, data)


def check_free(path: Path) -> None:
    """Raise `ExportError` where a file is that is not empty and no model that petseg exported."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        ours = METADATA_KEY in {
            entry.key for entry in onnx.load(path, load_external_data=False).metadata_props
        }
    except DecodeError:
        ours = False
    if not ours:
        raise ExportError(f"{path} is there and no model of petseg's; give another name, or --force")


@torch.no_grad()
def to_onnx(part: Part, *, half: bool = True) -> onnx.ModelProto:
    """The graph of a part, optimised, normalisation inside, batch normalisation folded.

    Args:
        part: see `export.graph.parts.split`.
        half: store weights as fp16; see `export.graph.rewrite.store_half`.
    """
    # torch sees by itself that all inputs share the batch, and warns if it is named twice.
    batches = ["batch"] + [Dim.DYNAMIC] * (len(part.inputs) - 1)
    program = torch.onnx.export(
        part.module,
        part.arrange(part.inputs.values()),
        input_names=list(part.inputs),
        output_names=list(part.outputs),
        dynamic_shapes=part.arrange({0: batch} for batch in batches),
        opset_version=OPSET,
        dynamo=True,
        optimize=True,  # folds constants, and batch normalisation into the convolution before it
        external_data=False,
        verbose=False,
    )
    assert program is not None  # which only an export without dynamo gives
    graph = program.model_proto
    strip_origin(graph)
    del graph.graph.value_info[:]  # shapes in between, which every runtime infers by itself
    if half:
        store_half(graph)
    graph.ir_version = IR_VERSION
    graph.producer_name, graph.producer_version = "petseg", petseg_version()
    return graph


def export(
    checkpoint: Path,
    *,
    name: str | None = None,
    size: int | None = None,
    metrics: Path | None = None,
    half: bool = True,
) -> Exported:
    """Export a checkpoint folder.

    Args:
        checkpoint: the folder.
        name: of the model; the config's name by default.
        size: side of the model's square; the one it was trained at by default.
        metrics: JSON of `python -m train.evaluate --json`, to be carried along.
        half: store weights as fp16.

    Raises:
        FileNotFoundError: the folder is not a checkpoint.
        ValueError: the size does not fit the model, or the metrics are about other checkpoints.
        ExportError: the model answers with something else than logits of the contract's shape.
    """
    model, config = load_checkpoint(checkpoint)
    if config.model.gives == "photo":
        raise ExportError(f"{checkpoint} gives photos back; export the one that was trained on its encoder")
    size = size or config.data.size
    figures = read_metrics(metrics, checkpoint) if metrics else {}
    document = describe(checkpoint, model, config, name=name or config.name, size=size, metrics=figures)
    graphs = {}
    for part in split(model, size):
        graph = to_onnx(part, half=half)
        carried = document if part.name == WHOLE else document | {"part": part.name}
        onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(carried, allow_nan=False)})
        onnx.checker.check_model(graph)
        graphs[part.name] = graph.SerializeToString(deterministic=True)
    return Exported(document, graphs)


def embed(model: Exported, folder: Path) -> Path:
    """Put an exported model among embedded weights, and into the index, see `petseg.models.index`.

    Args:
        model: its name becomes that of its file or folder.
        folder: of the weights, `petseg.models.catalog.WEIGHTS` say.

    Returns:
        The file, or the folder of two.

    Raises:
        ExportError: a name that is no file name, other classes than petseg's, or too much weight.
    """
    name = model.document["name"]
    if model.document["classes"] != list(CLASSES):
        raise ExportError(f"{name} cannot be embedded: it tells {', '.join(model.document['classes'])}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ExportError(f"name {name!r} cannot be embedded; use lower-case letters, digits, - and _")
    path = folder / (name if model.is_split else f"{name}.onnx")
    index = Index.read(folder)
    files = [
        describe_file(f"{name}/{part}.onnx" if model.is_split else path.name, data)
        for part, data in model.graphs.items()
    ]
    index.embed(name, Weights(tuple(files), model.document))
    check_weight(index, name)
    model.write(path, force=True)
    index.write(folder)
    (folder / f"{name}.int8.onnx").unlink(missing_ok=True)  # it was made of what was here before
    return path


def check_weight(index: Index, name: str) -> None:
    """Raise `ExportError` if with a model the embedded weights are too large."""
    total = index.weight
    if total > EMBEDDED_LIMIT:
        raise ExportError(
            f"with {name} the embedded weights would have {total:,} bytes, more than {EMBEDDED_LIMIT:,}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Export as the command line says; 1 if it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m export.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.onnx|FOLDER")
    parser.add_argument("--name", help="of the model; default: the name in its config")
    parser.add_argument("--size", type=int, help="model square; default: the one it was trained at")
    parser.add_argument("--metrics", type=Path, help="JSON of python -m train.evaluate --json")
    parser.add_argument("--float32", action="store_true", help="store weights as float32, not fp16")
    parser.add_argument("--embed", action="store_true", help="put it into petseg/weights/")
    parser.add_argument(
        "--force", action="store_true", help="replace a file there that is no model of petseg's"
    )
    options = parser.parse_args(arguments)
    if not (options.output or options.embed):
        parser.error("give -o FILE.onnx (a folder for a promptable model), or --embed")
    try:
        model = export(
            options.checkpoint,
            name=options.name,
            size=options.size,
            metrics=options.metrics,
            half=not options.float32,
        )
        written = [embed(model, catalog.WEIGHTS)] if options.embed else []
        if options.output:
            model.write(options.output, force=options.force)
            written.append(options.output)
    except (ExportError, PetsegError, OSError, ValueError, RuntimeError) as error:
        print(f"{options.checkpoint} was not exported: {error}", file=sys.stderr)
        return 1
    weight = sum(map(len, model.graphs.values()))
    for path in written:
        print(f"{path}: {model.document['name']}, {model.document['size']} px, {weight / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
