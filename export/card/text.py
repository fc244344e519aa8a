"""The sections of a model card that say what a model is, what it may be used for, and how it was made."""

from collections.abc import Mapping, Sequence
from typing import Any

from export.card.markdown import NOT_MEASURED, bullets, commands, table
from petseg.models.index import File
from petseg.models.manifest import Manifest

TERMS = {
    "oxford-iiit-pet": (
        "[Oxford-IIIT Pet](https://www.robots.ox.ac.uk/~vgg/data/pets/), a part of it",
        "CC BY-SA 4.0; the photos stay their owners'",
    ),
    "oxford-iiit-pet-unlabelled": (
        "further photos of Oxford-IIIT Pet, with masks that models predicted",
        "CC BY-SA 4.0; the photos stay their owners'",
    ),
    "no-pets": (
        "photos without a cat or a dog: samples of ImageNet, BSDS500, clothes, and scenes of COCO",
        "ImageNet and BSDS500: for research; clothes: free for any use; COCO: the photographers' Flickr "
        "licences",
    ),
    "pets-extra": (
        "photos and outlines of [COCO](https://cocodataset.org/), "
        "[StanfordExtra](https://github.com/benjiebob/StanfordExtra), feral-cat scenes, and eight frames of "
        "DAVIS",
        "COCO: the photographers' Flickr licences; StanfordExtra: academic use; feral-cat scenes: public "
        "domain",
    ),
}
"""Folder of photos -> (what it holds, under which terms)."""

RESEARCH = (
    "petseg's code is under the Apache License 2.0. **The weights are for research and evaluation**: the "
    "photos and outlines that they were trained on have terms of their own, part of them for academic use "
    "only. Whoever uses the weights otherwise must clear those terms."
)


def is_int8(path: str) -> bool:
    """Whether a file of weights is an int8 one, by its name."""
    return path.endswith(".int8.onnx")


def what_it_is(manifest: Manifest, config: Mapping[str, Any], files: Mapping[str, File]) -> str:
    """Inputs, outputs, size, architecture and files."""
    model = config.get("model", {})
    # A dual encoder goes by the place it was trained in, which says nothing to a reader.
    encoder = "a frozen mobilenet_v2" if model.get("backend") == "dual" else model.get("encoder")
    kind = " with ".join(str(part) for part in (model.get("family", "unet"), encoder) if part)
    takes = f" and {' or '.join(f'a {prompt}' for prompt in manifest.prompts)}" if manifest.prompts else ""
    rows = [(f"`{path}`", f"{file.bytes / 1e6:.2f} MB", f"`{file.sha256}`") for path, file in files.items()]
    arithmetic = "in float32 and in int8" if any(map(is_int8, files)) else "float32 arithmetic"
    return f"""## What it is

- Answers with one of background, cat and dog for every pixel of a photo{takes}; ONNX, {arithmetic}.
- Architecture: {kind}, {manifest.parameters:,} parameters.
- Sees the photo at {manifest.size} x {manifest.size} pixels, fitted with its aspect ratio kept; the mask has
  the photo's own size.
- Version {manifest.version}.

{table(("file", "size", "sha256"), rows)}"""


def usage(name: str, prompts: Sequence[str]) -> str:
    """Three lines."""
    click = ", (120, 80)" if prompts else ""
    return f"""## Use

```python
import petseg
result = petseg.segment("photo.jpg"{click}, model="{name}")
result.save("mask.png")
```"""


def training_data(folders: Sequence[str], summary: str, terms: str = "those of its owner") -> str:
    """What it learned from, and under which terms; `terms` are those of folders that are not known."""
    rows = [TERMS.get(folder, (folder, terms)) for folder in folders]
    return f"""## Training data and its terms

{summary}.

{table(("data", "terms"), rows)}

{RESEARCH}"""


def limits(said: Sequence[str], failures: Sequence[str], report: Mapping[str, Any]) -> str:
    """What it cannot do, and how it failed where it was tested."""
    counted = []
    if report.get("animals"):
        where = "those photos" if "measured_on" in report else "the test list"
        counted = [
            f"Of {report['animals']:,} animals of {where}: {report['species_confused']:,} with the "
            f"other species, {report['missed']:,} not found at all."
        ]
    seen = [*counted, *failures] or ["None was recorded."]
    return f"## Limits\n\n{bullets(said)}\n\n### Failures seen\n\n{bullets(seen)}"


def recipe(name: str, train: Sequence[str], manifest: Manifest, *, has_int8: bool) -> str:
    """The commands from photos to the embedded model and its card."""
    checkpoint, weights = f"train/checkpoints/{name}", f"petseg/weights/{name}"
    measure = [f"python -m train.evaluate {checkpoint} --json {checkpoint}/metrics.json"]
    if manifest.prompts:  # measured as exported, since close-ups belong to petseg and not to the network
        measure = [
            f"python -m export.export {checkpoint} --embed",
            f"python -m train.evaluate {name} --clicks --json {checkpoint}/metrics.json",
        ]
    steps = [
        *train,
        *measure,
        f"python -m export.export {checkpoint} --metrics {checkpoint}/metrics.json --embed",
        f"python -m export.verify {checkpoint} {weights}{'' if manifest.prompts else '.onnx'} "
        f"--json {checkpoint}/parity.json",
        *([f"python -m export.quantize {checkpoint} --embed --json {checkpoint}/int8.json"] * has_int8),
        f"python -m export.card {name}",
    ]
    return commands(steps)


def reproduce_own(
    train: Sequence[str], checkpoint: str, parity: Mapping[str, Any] | None, sha256: str
) -> str:
    """The same for a model that is not embedded."""
    name = checkpoint.rstrip("/")
    block = commands(
        [
            *train,
            f"python -m train.evaluate {name} --held-out --json {name}/metrics.json",
            f"python -m export.export {name} --metrics {name}/metrics.json -o MODEL.onnx",
            f"python -m export.verify {name} MODEL.onnx --data PHOTOS/images --json {name}/parity.json",
        ]
    )
    return f"""## How to reproduce

{block}

Checkpoint: `model.safetensors`, sha256 `{sha256}`. {_agreement(parity)}"""


def _agreement(parity: Mapping[str, Any] | None) -> str:
    """What proves that the ONNX files are the checkpoint's."""
    if not parity:
        return NOT_MEASURED
    return (
        f"On {parity['photos']} photos ONNX Runtime and PyTorch agree on the class of "
        f"{parity['agreement']:.4%} of the pixels; logits differ by at most "
        f"{parity['max_difference']:.2g}."
    )


def reproduce(
    name: str,
    train: Sequence[str],
    manifest: Manifest,
    parity: Mapping[str, Any] | None,
    *,
    has_int8: bool = False,
) -> str:
    """The commands, and what proves that the ONNX files are the checkpoint's."""
    checkpoint = f"train/checkpoints/{name}"
    block = recipe(name, train, manifest, has_int8=has_int8)
    return f"""## How to reproduce

{block}

Checkpoint: `{checkpoint}/model.safetensors`, sha256 `{manifest.checkpoint_sha256}`; in PyTorch,
`train.models.from_pretrained("{checkpoint}")`. {_agreement(parity)}"""


def unpublished(name: str, words: Mapping[str, Any]) -> str:
    """The whole text of a card for a model whose weights do not exist yet."""
    return f"""# {words["title"]}

{words["summary"].strip()}

## No weights are published yet

There is nothing to download under this name, no figure was measured, and
`petseg.segment(..., model="{name}")` is an error.

## How to train it

{words["how"].strip()}

{commands(words["train"])}

Once there are weights, they will be for research and evaluation like the others: part of what petseg's models
are trained on is for academic use only."""
