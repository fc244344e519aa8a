"""Whatever the input, what is documented comes out: a value, or the one kind of error."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petseg.clicks import prompts
from petseg.clicks.prompts import Prompt
from petseg.errors import HubContentError, HubNotFoundError, ImageError, ModelError, PromptError
from petseg.models import onnxfile
from petseg.models.bundle import Bundle
from petseg.models.cache import Reference
from petseg.models.manifest import Manifest
from petseg.pixels.image import load
from tests.fuzz.samples import sound
from tests.support.tiny_models import build_model, manifest

quick = settings(
    max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
SOUND = {name: data for name, data in sound() if len(data) < 20_000}
MODELS = tuple(build_model(asks).SerializeToString() for asks in (False, True))

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "drop", "repeat", "insert"]), st.floats(0, 1), st.binary(max_size=12)
    ),
    max_size=6,
)
"""What happens to some bytes: (how, where as a share of their length, with what)."""


def edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for how, share, new in edits:
        at = int(share * len(data))
        if how == "set":
            data = data[:at] + new + data[at + len(new) :]
        elif how == "cut":
            data = data[:at]
        elif how == "drop":
            data = data[:at] + data[at + len(new) :]
        elif how == "repeat":
            data = data[:at] + data[at : at + 200] * len(new) + data[at:]
        else:
            data = data[:at] + new + data[at:]
    return data


@quick
@given(st.sampled_from(sorted(SOUND)), EDITS)
@pytest.mark.filterwarnings("ignore")
def test_photos(name: str, edits: list[tuple[str, float, bytes]]) -> None:
    try:
        photo = load(edited(SOUND[name], edits), max_pixels=10**6)
    except ImageError:
        return
    assert photo.dtype == np.uint8
    assert photo.shape[2:] == (3,)
    assert 0 < photo.shape[0] * photo.shape[1] <= 10**6


@quick
@given(st.binary(max_size=2000))
@pytest.mark.filterwarnings("ignore")
def test_bytes_that_were_never_a_photo(data: bytes) -> None:
    with pytest.raises(ImageError):
        load(b"\x00no" + data)


NUMBERS = st.one_of(
    st.integers(),
    st.integers(-2, 70),
    st.floats(allow_nan=True),
    st.booleans(),
    st.sampled_from([10**400, -(10**400), 1e308, np.float16(3), np.uint8(7), np.datetime64("2020"), 1j]),
)
ANYTHING = st.recursive(
    st.one_of(NUMBERS, st.none(), st.text(max_size=5), st.binary(max_size=5), st.just(object())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(st.text(), inner)
    ),
    max_leaves=8,
)
PAIR = st.tuples(NUMBERS, NUMBERS)


def maybe(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), likely, ANYTHING)


@quick
@given(
    st.fixed_dictionaries(
        {
            "point": maybe(PAIR),
            "points": maybe(st.lists(PAIR, max_size=4)),
            "labels": maybe(st.lists(st.integers(-1, 2), max_size=4)),
            "box": maybe(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)),
        }
    )
)
@pytest.mark.filterwarnings("ignore")
def test_prompts(arguments: dict[str, Any]) -> None:
    try:
        prompt = prompts.check(64, 48, **arguments)
    except PromptError:
        return
    if prompt is None:
        assert arguments["point"] is arguments["points"] is arguments["box"] is None
        return
    check_prompt(prompt)
    try:
        check_prompt(prompts.extend(prompt, 64, 48, points=arguments["points"], box=arguments["box"]))
    except PromptError:
        return


def test_a_number_that_cannot_be_printed() -> None:
    with pytest.raises(PromptError, match="give pixels"):
        prompts.check(64, 48, point=(10**5000, 1))


def check_prompt(prompt: Prompt) -> None:
    assert prompt.points.shape == (len(prompt.positive), 2)
    assert ((prompt.points >= 0) & (prompt.points < (64, 48))).all()
    if prompt.box is None:
        assert prompt.positive.any()
    else:
        x0, y0, x1, y1 = prompt.box
        assert 0 <= x0 < x1 <= 64
        assert 0 <= y0 < y1 <= 48


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
DOCUMENTS = st.one_of(
    JSON,
    st.dictionaries(st.sampled_from([*manifest(), "part", "zoom", "mirror", "semantic", "apart"]), JSON).map(
        lambda some: manifest() | some
    ),
)


@quick
@given(DOCUMENTS)
def test_manifests(document: Any) -> None:
    try:
        read = Manifest.from_json(json.dumps(document), "the model")
    except ModelError:
        return
    assert (read.name, read.size) == (document["name"], document["size"])


@quick
@given(
    st.one_of(
        st.text(max_size=50),
        EDITS.map(lambda edits: edited(json.dumps(manifest()).encode(), edits).decode("latin-1")),
    )
)
def test_manifests_that_are_no_json(text: str) -> None:
    try:
        read = Manifest.from_json(text, "the model")
    except ModelError:
        return
    assert read.size > 0


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "NaN", "\ufeff{}", '"\\ud800"']
)
def test_manifests_that_break_parsers(text: str) -> None:
    with pytest.raises(ModelError):
        Manifest.from_json(text, "the model")


def listing(**changes: Any) -> dict[str, Any]:
    """A petseg.json."""
    files = {"model.onnx": {"sha256": "0" * 64, "bytes": 1}}
    return {"format": 1, "name": "tiny", "version": "1.0", "files": files, "manifest": manifest()} | changes


PATHS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "../x.onnx",
            "/etc/passwd",
            "a/../../x.json",
            "C:\\x.onnx",
            "x.pkl",
            "a//b.json",
            "x.onnx\n",
            ".x.json",
        ]
    ),
)


@quick
@given(
    st.dictionaries(st.sampled_from([*listing()]), JSON),
    st.dictionaries(PATHS, st.one_of(JSON, st.just({"sha256": "0" * 64, "bytes": 1})), max_size=3),
)
def test_listings(changes: dict[str, Any], more: dict[str, Any]) -> None:
    document = listing(files=listing()["files"] | more) | changes
    try:
        read = Bundle.from_document(document, "the model")
    except HubContentError:
        return
    for path in read.files:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert path.endswith((".onnx", ".json", ".safetensors"))


@quick
@given(st.one_of(st.text(max_size=30), st.text("a./-_@:\\0 ", max_size=20)))
def test_names_on_the_hub(text: str) -> None:
    try:
        read = Reference.parse(text)
    except HubNotFoundError:
        return
    assert ".." not in str(read)
    assert read.repo.count("/") == 1


@quick
@given(st.sampled_from(MODELS), EDITS)
def test_models(model: bytes, edits: list[tuple[str, float, bytes]]) -> None:
    try:
        found = onnxfile.has_external_data(edited(model, edits))
    except ValueError:
        return
    assert found in (True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x00" * 2_000_000,
        b"\x3a\x80\x80\x80\x04" + b"\x0a\x00" * 2_000_000,
        b"\x0a\x05\x2a\x03" * 1_000_000,
    ],
    ids=["numbers", "empty nodes", "nested past the end"],
)
def test_models_of_tiny_parts(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"fields|past the end|wire type"):
        onnxfile.has_external_data(data)


def test_models_without_a_bottom() -> None:
    graph = b""
    for _ in range(2000):
        graph = field(1, field(5, field(6, graph)))  # a graph in an attribute of a node of a graph
    with pytest.raises(ValueError, match="protobuf"):
        onnxfile.has_external_data(field(7, graph))


def field(number: int, data: bytes) -> bytes:
    """A message within another, as protobuf writes it."""
    length, rest = b"", len(data)
    while rest > 127:
        length, rest = length + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + data
