import json
from types import SimpleNamespace

import pytest

from petseg.errors import ModelError
from petseg.models.manifest import FORMAT, Manifest, check_contract
from tests.support.tiny_models import manifest


def test_everything_is_read() -> None:
    read = Manifest.from_json(json.dumps(manifest(prompts=["point"], surplus="ignored")), "it")
    assert read == Manifest(
        name="tiny",
        version="1.0",
        size=64,
        fill=127,
        prompts=("point",),
        training_data="nothing",
        metrics={"miou": 0.5},
        checkpoint_sha256="0" * 64,
        parameters=12,
    )


@pytest.mark.parametrize("field", sorted(set(manifest()) - {"format"}))
def test_every_field_is_needed(field: str) -> None:
    with pytest.raises(ModelError, match=f"it: its metadata lack '{field}'.*export it again"):
        Manifest.from_document(manifest(**{field: None}), "it")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("version", 1.0),
        ("classes", ["background", "dog", "cat"]),
        ("size", 0),
        ("size", "64"),
        ("size", True),
        ("fit", "stretch"),
        ("fill", 256),
        ("prompts", ["text"]),
        ("prompts", "point"),
        ("metrics", []),
        ("parameters", -1),
    ],
)
def test_wrong_fields_are_named(field: str, value: object) -> None:
    with pytest.raises(ModelError, match=f"it: '{field}' in its metadata is .* must be .*export it again"):
        Manifest.from_document(manifest(**{field: value}), "it")


@pytest.mark.parametrize(
    ("part", "prompts"), [("head", ["point"]), (1, ["point"]), (["encoder"], ["point"]), ("encoder", [])]
)
def test_wrong_part(part: object, prompts: list[str]) -> None:
    with pytest.raises(ModelError, match=r"it: 'part' in its metadata is .*only promptable models"):
        Manifest.from_document(manifest(part=part, prompts=prompts), "it")


@pytest.mark.parametrize("precision", ["int4", "", None, 8, ["int8"]])
def test_wrong_precision(precision: object) -> None:
    document = manifest() | {"precision": precision}
    with pytest.raises(ModelError, match=r"it: 'precision' in its metadata is .*must be one of float32"):
        Manifest.from_document(document, "it")


def test_precision() -> None:
    assert Manifest.from_document(manifest(), "it").precision == "float32"
    assert Manifest.from_document(manifest(precision="int8"), "it").precision == "int8"


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000])
def test_no_json(text: str) -> None:
    with pytest.raises(ModelError, match="no JSON"):
        Manifest.from_json(text, "it")


@pytest.mark.parametrize("document", [[], 3, None, {}, {"format": "1"}, {"format": 0}])
def test_no_format(document: object) -> None:
    with pytest.raises(ModelError, match="name no format"):
        Manifest.from_json(json.dumps(document), "it")


def test_newer_format() -> None:
    with pytest.raises(ModelError, match="upgrade petseg: pip install --upgrade petseg"):
        Manifest.from_document(manifest(format=FORMAT + 1), "it")


def value(name: str, kind: str, shape: list[object]) -> SimpleNamespace:
    return SimpleNamespace(name=name, type=kind, shape=shape)


IMAGE = value("image", "tensor(uint8)", ["batch", 3, 64, 64])
PROMPT = value("prompt", "tensor(float)", [None, 2, 64, 64])
CHANNELS_LAST = value("image", "tensor(uint8)", ["batch", 64, 64, 3])
OTHER_NAME = value("x", "tensor(uint8)", ["batch", 3, 64, 64])
LOGITS = value("logits", "tensor(float)", ["batch", 3, 64, 64])
FEATURES = [
    value("features_0", "tensor(float)", ["b", 8, 4, 4]),
    value("features_1", "tensor(float)", [None, 5]),
]
SEMANTIC = value("features_1", "tensor(float)", ["b", 3, 32, 32])
FLAT = value("features_0", "tensor(float)", ["b", 5])
SIDES = [[8, 4, 4], [3, 5], [3, 16, 32], [3, 24, 24]]
ENCODER, DECODER = ({"prompts": ["point"], "part": part} for part in ("encoder", "decoder"))


def check(inputs: list[object], outputs: list[object], **changes: object) -> Manifest:
    metadata = SimpleNamespace(custom_metadata_map={"petseg": json.dumps(manifest(**changes))})
    return check_contract(
        SimpleNamespace(
            get_modelmeta=lambda: metadata, get_inputs=lambda: inputs, get_outputs=lambda: outputs
        ),
        "it",
    )


def test_contract_kept() -> None:
    assert check([IMAGE], [LOGITS]).prompts == ()
    assert check([PROMPT, IMAGE], [LOGITS], prompts=["box"]).prompts == ("box",)
    encoder = check([IMAGE], FEATURES, prompts=["box"], part="encoder")
    decoder = check([PROMPT, *FEATURES], [LOGITS], prompts=["box"], part="decoder")
    assert (encoder.part, decoder.part) == ("encoder", "decoder")
    assert check([IMAGE], [SEMANTIC, FEATURES[0]], semantic=True, **ENCODER).semantic
    assert check([PROMPT, SEMANTIC, FEATURES[0]], [LOGITS], semantic=True, **DECODER).semantic
    last = value("features_2", "tensor(float)", ["b", 3, 32, 32])
    told = [FEATURES[0], value("features_1", "tensor(float)", ["b", 14, 8, 8]), last]
    assert check([IMAGE], told, semantic=True, apart=True, **ENCODER).apart
    assert check([PROMPT, *told], [LOGITS], semantic=True, apart=True, **DECODER).apart
    assert not encoder.apart
    assert encoder.presence is None
    assert encoder.doubt
    assert not check([IMAGE], [LOGITS], doubt=False).doubt
    assert check([PROMPT, IMAGE], [LOGITS], prompts=["box"], presence="unet").presence == "unet"


def test_doubt_is_true_or_false() -> None:
    with pytest.raises(ModelError, match="'doubt' in its metadata is 'little', must be true or false"):
        check([IMAGE], [LOGITS], doubt="little")


def test_how_sure_is_sure() -> None:
    assert check([IMAGE], [LOGITS]).sure == 0.95
    assert check([IMAGE], [LOGITS], sure=0.7).sure == 0.7


@pytest.mark.parametrize("sure", [0.4, 1, True, "very"])
def test_sure_is_a_probability_above_half(sure: object) -> None:
    with pytest.raises(ModelError, match=r"'sure' in its metadata is .*, must be a number from 0\.5 to"):
        check([IMAGE], [LOGITS], sure=sure)


@pytest.mark.parametrize("changes", [{"presence": "unet"}, {"presence": 1, "prompts": ["point"]}])
def test_only_promptable_models_ask_whether_there_is_a_pet(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="'presence' in its metadata is"):
        check([IMAGE, PROMPT] if "prompts" in changes else [IMAGE], [LOGITS], **changes)


@pytest.mark.parametrize(
    ("inputs", "outputs", "changes", "message"),
    [
        (
            [OTHER_NAME],
            [LOGITS],
            {},
            r"inputs \['x'\], must be \['image'\]",
        ),
        ([IMAGE, PROMPT], [LOGITS], {}, "must be .'image'.;"),
        ([IMAGE], [LOGITS], {"prompts": ["point"]}, "must be .'image', 'prompt'."),
        ([IMAGE], [value("mask", "tensor(float)", ["b", 3, 64, 64])], {}, r"outputs \['mask'\]"),
        ([IMAGE], [LOGITS, value("x", "tensor(float)", [])], {}, "outputs"),
        ([value("image", "tensor(float)", ["b", 3, 64, 64])], [LOGITS], {}, "'image' is tensor.float."),
        (
            [CHANNELS_LAST],
            [LOGITS],
            {},
            "'image' is .*'batch', 3, 64, 64",
        ),
        ([value("image", "tensor(uint8)", [1, 3, 64, 64])], [LOGITS], {}, "dynamic batch"),
        ([value("image", "tensor(uint8)", [])], [LOGITS], {}, "'image' is"),
        ([IMAGE], [LOGITS], {"size": 32}, "'image' is .*'batch', 3, 32, 32"),
        ([IMAGE], [value("logits", "tensor(float16)", ["b", 3, 64, 64])], {}, "'logits' is tensor.float16."),
        ([IMAGE], [value("logits", "tensor(float)", ["b", 1, 64, 64])], {}, "'logits' is"),
        ([IMAGE], [value("logits", "tensor(float)", ["b", 3, "h", "w"])], {}, "'logits' is"),
        ([IMAGE], [], ENCODER, r"outputs \[\], must be \['features_0'\]"),
        ([IMAGE, PROMPT], FEATURES, ENCODER, r"must be \['image'\]"),
        ([IMAGE], FEATURES[1:], ENCODER, r"outputs \['features_1'\], must be \['features_0'\]"),
        ([IMAGE], [value("features_0", "tensor(float)", ["b", 8, "h", 4])], ENCODER, "'batch', fixed sides"),
        ([IMAGE], [value("features_0", "tensor(float)", ["b"])], ENCODER, "'batch', fixed sides"),
        ([IMAGE], [value("features_0", "tensor(float)", [1, 8, 4, 4])], ENCODER, "dynamic batch"),
        *(
            (
                [IMAGE],
                [FEATURES[0], value("features_1", "tensor(float)", ["b", *sides])],
                ENCODER | {"semantic": True},
                r"'features_1' must be \['batch', 3, s, s\], 64 a multiple of s, and is \[",
            )
            for sides in SIDES
        ),
        ([IMAGE, PROMPT], [LOGITS], {"prompts": ["box"], "semantic": True}, "and is not there"),
        ([IMAGE], FEATURES, ENCODER | {"apart": True}, "they are False and .8, 4, 4."),
        ([IMAGE], [SEMANTIC, FLAT], ENCODER | {"semantic": True, "apart": True}, r"they are True and \[5\]"),
        ([IMAGE], [LOGITS], {"apart": True}, "true for promptable models only"),
        ([PROMPT], [LOGITS], DECODER, r"must be \['features_0', 'prompt'\]"),
        (FEATURES, [LOGITS], DECODER, r"must be \['features_0', 'prompt'\]"),
        ([*FEATURES, IMAGE], [LOGITS], DECODER, r"must be \['features_0', 'features_1', 'prompt'\]"),
        ([FEATURES[0], value("prompt", "tensor(float)", ["b", 2, 32, 32])], [LOGITS], DECODER, "'prompt' is"),
        ([*FEATURES, PROMPT], FEATURES, DECODER, r"must be \['logits'\]"),
    ],
)
def test_contract_broken(
    inputs: list[object], outputs: list[object], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=f"{message}.*export it again"):
        check(inputs, outputs, **changes)
