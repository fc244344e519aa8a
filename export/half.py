"""A model that calculates in fp16, for GPUs: `python -m export.half unet.onnx -o unet-fp16.onnx`.

What `python -m export.export` writes stores its weights in fp16 and calculates in float32. Here the
arithmetic is fp16 as well; photos still go in as uint8 and logits come out as float32, so that the file
keeps docs/onnx-contract.md.
"""

import argparse
import json
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.errors import ExportError
from export.export import check_free
from petseg.engine.session import open_session
from petseg.errors import PetsegError
from petseg.models.manifest import METADATA_KEY, PARTS


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a whole model or of an encoder or decoder, whose metadata say float16.

    Raises:
        ValueError: it is no petseg model.
    """
    documents = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not documents:
        raise ValueError(f"the model's metadata have no key {METADATA_KEY!r}: it is no petseg model")
    model = onnx.ModelProto.FromString(model.SerializeToString())
    restore_single(model)
    half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    document = json.loads(documents[0].value) | {"precision": "float16"}
    for entry in half.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = json.dumps(document, allow_nan=False)
    return half


def restore_single(model: onnx.ModelProto) -> None:
    """Store weights as float32 again: `export.graph.rewrite.store_half` undone, up to its rounding."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in stored:
            tensor = stored[node.input[0]]
            if tensor.data_type == TensorProto.FLOAT16 and node.attribute[0].i == TensorProto.FLOAT:
                values = numpy_helper.to_array(tensor).astype("float32")
                tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
                continue
        kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def main(arguments: list[str] | None = None) -> int:
    """Convert as the command line says; 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m export.half", description=__doc__)
    parser.add_argument("model", type=Path, help=".onnx file, or the folder of a model in two parts")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file, or folder, to write")
    parser.add_argument(
        "--force", action="store_true", help="replace files there that are no models of petseg's"
    )
    options = parser.parse_args(arguments)
    folder = options.model.is_dir()
    names = [f"{part}.onnx" for part in PARTS] if folder else [""]
    try:
        for name in names:
            source, target = options.model / name, options.output / name
            if not options.force:
                check_free(target)
            half = to_half(onnx.load(source))
            target.parent.mkdir(parents=True, exist_ok=True)
            onnx.save(half, target)
            open_session(target, "cpu")  # which holds it against the contract
    except (ExportError, PetsegError, OSError, ValueError) as error:
        print(f"cannot convert: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: fp16, for device='cuda'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
