"""What a model says about itself, and whether it keeps the ONNX contract.

The document is JSON under the key "petseg" of the model's `metadata_props`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from petseg.errors import ModelError
from petseg.pixels.checks import is_number
from petseg.pixels.classes import CLASSES
from petseg.pixels.decision import SURE

METADATA_KEY = "petseg"
EXPORT_AGAIN = "download it again, or export it again (python -m export.export)"
FORMAT = 1
"""Version of the document; a reader refuses newer ones, whose meaning it cannot know."""

PRECISIONS = ("float32", "int8", "float16")
"""What a graph calculates in: float32 all through, mostly with 8-bit integers, or half precision for GPUs."""

OTHER_CLASSES = ("background", "pet", "border")
"""Those of a trimap, which models are exported with for other programs."""

PARTS = ("encoder", "decoder")
"""The graphs of a promptable model in two files, PART.onnx in one folder."""

FEATURES = "features_"
"""What goes from encoder to decoder: features_0, features_1, ..."""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a text that is not empty", lambda v: _is_text(v) and v != ""),
    "version": ("a text", _is_text),
    "classes": (f"{list(CLASSES)}", lambda v: v == list(CLASSES)),
    "size": ("a whole number of at least 1", lambda v: _is_count(v) and v > 0),
    "fit": ('"letterbox"', lambda v: v == "letterbox"),
    "fill": ("a whole number from 0 to 255", lambda v: _is_count(v) and v <= 255),
    "prompts": (
        'a list of "point" and "box"',
        lambda v: isinstance(v, list) and all(p in ("point", "box") for p in v),
    ),
    "training_data": ("a text", _is_text),
    "metrics": ("an object", lambda v: isinstance(v, dict)),
    "checkpoint_sha256": ("a text", _is_text),
    "parameters": ("a whole number", _is_count),
    "doubt": ("true or false", lambda v: isinstance(v, bool)),
    "sure": ("a number from 0.5 to below 1", lambda v: is_number(v, lambda number: 0.5 <= number < 1)),
    "precision": (f"one of {', '.join(PRECISIONS)}", lambda v: v in PRECISIONS),
}
"""Field -> (what it must be, the test of it)."""

_DEFAULTS: dict[str, Any] = {"doubt": True, "sure": SURE, "precision": "float32"}
"""What holds where a document, of an earlier petseg say, does not name it."""


@dataclass(frozen=True)
class Manifest:
    """A model's own description, checked.

    Attributes:
        part: "encoder" or "decoder" of a model in two graphs; None is a whole model.
        name, version: of the model.
        size: side S of the square the network sees, in pixels.
        fill: grey (0..255) around the photo in that square.
        prompts: what the model takes besides the photo: none, or some of "point" and "box".
        zoom: whether it is to look at a small animal a second time, closely (see `petseg.clicks.closeup`).
        mirror: whether its answer is the mean of those to the photo and to the photo's mirror image.
        semantic: whether the last of its features are logits of all pets (see `petseg.clicks.animal.Pets`).
        apart: whether the last but one of them tells animals apart (see `petseg.clicks.apart.margins`).
        presence: name of the model that is asked whether there is a pet where this one finds what was
            clicked on (see `petseg.engine.presence`); None: nobody is.
        doubt: whether what it is little sure of is no pet (`petseg.pixels.decision.without_unsure`).
        sure: how probable a pet must be at a pixel for it to tell that the photo shows one
            (`petseg.pixels.decision.shows_pet`).
        training_data: what it learned from.
        metrics: figures as `petseg.measure.metrics.Evaluation.report` gives them.
        checkpoint_sha256: of the checkpoint it was exported from, in hex.
        parameters: number of weights.
        precision: one of `PRECISIONS`; `metrics` hold for it.
    """

    name: str
    version: str
    size: int
    fill: int
    prompts: tuple[str, ...]
    training_data: str
    metrics: dict[str, Any]
    checkpoint_sha256: str
    parameters: int
    part: str | None = None
    zoom: bool = False
    mirror: bool = False
    semantic: bool = False
    apart: bool = False
    presence: str | None = None
    doubt: bool = True
    sure: float = SURE
    precision: str = "float32"

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """Read the document that a model carries.

        Args:
            text: the JSON.
            source: how messages name the model, for instance "model 'unet'".

        Raises:
            ModelError: not JSON, a field is missing or wrong, or the format is newer than this petseg.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{source}: its metadata are no JSON ({error}); {EXPORT_AGAIN}") from error
        return cls.from_document(document, source)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], source: str) -> Self:
        """The same from JSON that is parsed already."""
        version = document.get("format") if isinstance(document, Mapping) else None
        if not isinstance(version, int) or version < 1:
            raise ModelError(f"{source}: its metadata name no format; {EXPORT_AGAIN}")
        if version > FORMAT:
            raise ModelError(
                f"{source} has metadata of format {version}, this petseg reads up to {FORMAT}; "
                "upgrade petseg: pip install --upgrade petseg"
            )
        document = _DEFAULTS | dict(document)
        for field, (meaning, test) in _FIELDS.items():
            if field not in document:
                raise ModelError(f"{source}: its metadata lack {field!r} ({meaning}); {EXPORT_AGAIN}")
            if field == "classes" and document[field] == list(OTHER_CLASSES):
                raise ModelError(
                    f"{source} tells {', '.join(OTHER_CLASSES)}, not {', '.join(CLASSES)}: petseg cannot use "
                    "it, other programs can"
                )
            if not test(document[field]):
                raise ModelError(
                    f"{source}: {field!r} in its metadata is {document[field]!r}, must be {meaning}; "
                    f"{EXPORT_AGAIN}"
                )
        part = document.get("part")
        if part not in (None, *PARTS) or (part and not document["prompts"]):
            raise ModelError(
                f"{source}: 'part' in its metadata is {part!r} with prompts {document['prompts']}; only "
                f"promptable models have parts, {' and '.join(PARTS)}; {EXPORT_AGAIN}"
            )
        habits = {field: document.get(field, False) for field in ("zoom", "mirror", "semantic", "apart")}
        for field, value in habits.items():
            if not isinstance(value, bool) or (value and not document["prompts"]):
                raise ModelError(
                    f"{source}: {field!r} in its metadata is {value!r} with prompts {document['prompts']}; "
                    f"it must be true or false, and true for promptable models only; {EXPORT_AGAIN}"
                )
        presence = document.get("presence")
        if presence is not None and not (_is_text(presence) and document["prompts"]):
            raise ModelError(
                f"{source}: 'presence' in its metadata is {presence!r} with prompts {document['prompts']}; "
                f"it must be a text, and be there for promptable models only; {EXPORT_AGAIN}"
            )
        # classes and fit have only one value each, so there is nothing to keep.
        kept = {field: document[field] for field in _FIELDS if field not in ("classes", "fit")}
        checked = {
            "prompts": tuple(document["prompts"]),
            "part": part,
            "presence": presence,
        }
        return cls(**kept | checked | habits)


def check_contract(session: Any, source: str) -> Manifest:
    """Hold a graph against the contract: its metadata, and the names, types and shapes it works with.

    The contract is written down in docs/onnx-contract.md.

    Args:
        session: an `onnxruntime.InferenceSession`.
        source: how messages name the model.

    Returns:
        What the model says about itself.

    Raises:
        ModelError: the first thing that differs.
    """
    try:
        return _check_contract(session, source)
    except UnicodeDecodeError as error:  # ONNX Runtime decodes names and metadata when it is asked for them
        raise ModelError(f"{source} is damaged ({error}); {EXPORT_AGAIN}") from error


def _check_contract(session: Any, source: str) -> Manifest:
    document = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if document is None:
        raise ModelError(
            f"{source} is no petseg model: its metadata have no key {METADATA_KEY!r}; {EXPORT_AGAIN}"
        )
    manifest = Manifest.from_json(document, source)
    side = manifest.size
    image, prompt = ("tensor(uint8)", [3, side, side]), ("tensor(float)", [2, side, side])
    logits = {"logits": ("tensor(float)", [3, side, side])}
    inputs, outputs = session.get_inputs(), session.get_outputs()
    expected: tuple[_Values, _Values]
    if manifest.part == "encoder":
        expected = {"image": image}, _features(len(outputs))
    elif manifest.part == "decoder":
        expected = _features(len(inputs) - 1) | {"prompt": prompt}, logits
    else:
        expected = {"image": image} | ({"prompt": prompt} if manifest.prompts else {}), logits
    _check_values("inputs", inputs, expected[0], source)
    _check_values("outputs", outputs, expected[1], source)
    if manifest.semantic and manifest.part != "decoder":
        _check_semantic(outputs, side, source)
    if manifest.apart and manifest.part != "decoder":
        _check_apart(outputs, manifest, source)
    return manifest


_Values: TypeAlias = Mapping[str, tuple[str, list[int] | None]]
"""Name -> (element type, shape without the batch; None is any fixed one)."""


def _features(count: int) -> dict[str, tuple[str, list[int] | None]]:
    return {f"{FEATURES}{i}": ("tensor(float)", None) for i in range(max(1, count))}


def _check_semantic(outputs: Any, side: int, source: str) -> None:
    """Of an encoder, or of a whole model, which has no features."""
    last = f"{FEATURES}{len(outputs) - 1}"
    shapes = [value.shape[1:] for value in outputs if value.name == last]
    if not any(
        len(shape) == 3 and shape[0] == 3 and shape[1] == shape[2] and side % shape[1] == 0
        for shape in shapes
    ):
        raise ModelError(
            f"{source}: 'semantic' in its metadata is true, so {last!r} must be ['batch', 3, s, s], {side} a "
            f"multiple of s, and is {shapes[0] if shapes else 'not there'}; {EXPORT_AGAIN}"
        )


def _check_apart(outputs: Any, manifest: Manifest, source: str) -> None:
    """Of an encoder, or of a whole model, which has no features."""
    name = f"{FEATURES}{len(outputs) - 2}"
    shapes = [value.shape[1:] for value in outputs if value.name == name]
    square = any(len(shape) == 3 and shape[1] == shape[2] for shape in shapes)
    if not (manifest.semantic and square):
        raise ModelError(
            f"{source}: 'apart' in its metadata is true, so 'semantic' must be true, and {name!r} "
            f"['batch', E, s, s]; they are {manifest.semantic} and {shapes[0] if shapes else 'not there'}; "
            f"{EXPORT_AGAIN}"
        )


def _check_values(what: str, found: Any, expected: _Values, source: str) -> None:
    names = [value.name for value in found]
    if set(names) != set(expected):
        raise ModelError(f"{source} has {what} {names}, must be {list(expected)}; {EXPORT_AGAIN}")
    for value in found:
        kind, shape = expected[value.name]
        batch, *rest = value.shape or [None]
        fits = rest == shape if shape else rest and all(isinstance(side, int) for side in rest)
        if value.type != kind or not fits or isinstance(batch, int):
            sides = ", ".join(map(str, shape)) if shape else "fixed sides"
            raise ModelError(
                f"{source}: {value.name!r} is {value.type} {value.shape}, must be {kind} "
                f"['batch', {sides}] with a dynamic batch; {EXPORT_AGAIN}"
            )
