"""Fuzzing led by coverage: `python -m tests.fuzz.atheris_targets image -runs=20000`.

Needs `pip install atheris`. Targets: image, prompts, manifest, onnx, reference. Everything behind the name of
the target goes to libFuzzer (https://llvm.org/docs/LibFuzzer.html): -max_total_time=60, a folder for inputs.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["PIL", "petseg"]):
    from petseg.clicks import prompts
    from petseg.errors import HubContentError, HubNotFoundError, ImageError, ModelError, PromptError
    from petseg.models import onnxfile
    from petseg.models.bundle import Bundle
    from petseg.models.cache import Reference
    from petseg.models.manifest import Manifest
    from petseg.pixels.image import load

from tests.fuzz.samples import sound
from tests.support.tiny_models import build_model, manifest


def image(data: bytes) -> None:
    """Pixels of the promised form, or an `ImageError`."""
    try:
        photo = load(data, max_pixels=10**6)
    except ImageError:
        return
    if photo.ndim != 3 or photo.shape[2] != 3 or not 0 < photo.shape[0] * photo.shape[1] <= 10**6:
        raise AssertionError(photo.shape)


def check_prompts(data: bytes) -> None:
    """A prompt within the photo, or a `PromptError`."""
    source = atheris.FuzzedDataProvider(data)

    def value(depth: int = 0) -> object:
        kind = source.ConsumeIntInRange(0, 6 if depth < 3 else 3)
        if kind == 0:
            return source.ConsumeFloat()
        if kind == 1:
            return source.ConsumeIntInRange(-2, 70)
        if kind == 2:
            return source.ConsumeInt(64) ** source.ConsumeIntInRange(1, 40)
        if kind == 3:
            return source.ConsumeUnicode(4)
        return [value(depth + 1) for _ in range(source.ConsumeIntInRange(0, 4))]

    names = [name for name in ("point", "points", "labels", "box") if source.ConsumeBool()]
    try:
        prompt = prompts.check(64, 48, **{name: value() for name in names})
    except PromptError:
        return
    if prompt is not None and not ((prompt.points >= 0) & (prompt.points < (64, 48))).all():
        raise AssertionError(prompt)


def manifests(data: bytes) -> None:
    """What a model or a repository says about itself, or that it is damaged."""
    text = data.decode("utf-8", "replace")
    with suppress(ModelError):
        Manifest.from_json(text, "the model")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    with suppress(HubContentError):
        Bundle.from_document(document, "the model")


def onnx(data: bytes) -> None:
    """Whether weights are elsewhere, or a `ValueError`."""
    with suppress(ValueError):
        onnxfile.has_external_data(data)


def reference(data: bytes) -> None:
    """A repository and a revision that lead nowhere else, or a `HubNotFoundError`."""
    try:
        read = Reference.parse(data.decode("utf-8", "replace"))
    except HubNotFoundError:
        return
    if ".." in str(read) or read.repo.count("/") != 1:
        raise AssertionError(read)


def _listing() -> bytes:
    files = {"model.onnx": {"sha256": "0" * 64, "bytes": 1}}
    document = {"format": 1, "name": "tiny", "version": "1", "files": files, "manifest": manifest()}
    return json.dumps(document).encode()


def _models() -> Iterable[bytes]:
    return (build_model(asks).SerializeToString() for asks in (False, True))


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterable[bytes]]]] = {
    "image": (image, lambda: (data for _, data in sound() if len(data) < 20_000)),
    "prompts": (check_prompts, lambda: ()),
    "manifest": (manifests, lambda: (json.dumps(manifest()).encode(), _listing())),
    "onnx": (onnx, _models),
    "reference": (reference, lambda: (b"pets/tiny@v1.0", b"unet")),
}
"""Name -> (what is called, inputs to begin with)."""


def main() -> None:
    """Fuzz one target."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.atheris_targets {{{','.join(TARGETS)}}} [libFuzzer options]")
    target, seeds = TARGETS[sys.argv[1]]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for index, data in enumerate(seeds()):
            Path(folder, f"seed-{index}").write_bytes(data)
        options = [
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-max_len=20000",
            f"-artifact_prefix={tempfile.gettempdir()}/",
        ]
        # The first folder is where libFuzzer writes, so one that the user names comes before the seeds.
        atheris.Setup([sys.argv[0], *options, *sys.argv[2:], folder], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
