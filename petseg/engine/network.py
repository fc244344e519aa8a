"""A whole model, in one graph or in two, and the features of the photos that it saw last.

A promptable model has an encoder, which sees the photo, and a decoder, which answers one prompt, so that
another click on the same photo costs the decoder alone.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg.engine import cuda, session
from petseg.engine.precision import Precision, check_precision, int8_is_fast
from petseg.errors import DeviceError, ModelError
from petseg.models import catalog
from petseg.models.catalog import Files, ModelFile
from petseg.models.manifest import EXPORT_AGAIN, FEATURES, PARTS, Manifest

Features: TypeAlias = dict[str, NDArray[Any]]
"""Name -> (B, ...): the decoder's inputs, less the prompt. A whole model takes the photo itself."""

KEPT = 16
"""Squares whose features are kept, by all models of the process together: about 2 MB each at 256 pixels.

A photo may be several: the whole of it, close-ups, and their mirror images.
"""


class _Images:
    """Squares (B, 3, S, S) uint8, which are the same where their pixels are."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self._key = pixels.shape, hashlib.sha256(np.ascontiguousarray(pixels).data).digest()

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Images) and self._key == other._key


@lru_cache(maxsize=KEPT)
def _encode(encoder: session.Session, images: _Images) -> Features:
    """What an encoder gives for squares, kept of the last ones.

    Two threads that ask for the same new photo at the same time both encode it: the result is the same.
    """
    return encoder.run({"image": images.pixels})


def kept() -> int:
    """How many squares' features are kept just now."""
    return _encode.cache_info().currsize


def forget() -> None:
    """Keep nothing of the photos that were seen, nor of the models that were opened; for tests."""
    _encode.cache_clear()
    session.forget()


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded model; any number of threads may share it.

    Attributes:
        manifest: what the model says about itself.
        decoder: the graph that answers; the only one of a whole model.
        encoder: the graph that sees the photo, where there are two.
        files: what it was opened from.
    """

    manifest: Manifest
    decoder: session.Session
    encoder: session.Session | None = None
    files: tuple[ModelFile, ...] = ()

    @property
    def device(self) -> str:
        """Where the model really runs: "cpu" or "cuda:N"."""
        return self.decoder.device

    def run(
        self, images: NDArray[np.uint8], prompts: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Answer for photos.

        Args:
            images: (B, 3, S, S) uint8 RGB.
            prompts: (B, 2, S, S) float32, for promptable models only.

        Returns:
            Logits, (B, 3, S, S) float32: background, cat, dog.

        Raises:
            DeviceError: the device gave up, for want of memory say.
            ModelError: the network answered with NaN or infinity.
        """
        return self.answer(self.encode(images), prompts)

    def answer(self, features: Features, prompts: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The same from what `encode` gave for the photos."""
        inputs = features if prompts is None else features | {"prompt": prompts}
        return self.decoder.run(inputs)["logits"]

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """What the decoder needs to know of photos (B, 3, S, S) uint8, worked out or kept from before."""
        return {"image": images} if self.encoder is None else _encode(self.encoder, _Images(images))


def planes(squares: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(S, S, 3) each -> (B, 3, S, S)."""
    return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))


def semantic(features: Features) -> NDArray[np.float32]:
    """What an encoder says of all pets, of a model that has `Manifest.semantic`.

    Returns:
        Logits, (B, 3, s, s) float32: background, cat, dog; S is a multiple of s.
    """
    logits: NDArray[np.float32] = features[f"{FEATURES}{len(features) - 1}"]
    return logits


def vectors(features: Features) -> NDArray[np.float32]:
    """What an encoder says of which animal each place is of, of a model that has `Manifest.apart`.

    Returns:
        (B, E, s, s) float32, see `petseg.clicks.apart.margins`.
    """
    result: NDArray[np.float32] = features[f"{FEATURES}{len(features) - 2}"]
    return result


def open_model(
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int = 0,
    precision: Precision = "auto",
) -> Network:
    """Find a model, choose among its precisions, and open it.

    Args:
        model: see `petseg.models.catalog.find`.
        device, threads: see `petseg.engine.session.open_session`.
        precision: "float32"; "int8", which runs on the CPU; or "auto": int8 on a CPU with 8-bit dot products
            if the model has such weights, else float32.

    Raises:
        DeviceError: unknown precision, or int8 on a GPU; and as for `open_network`.
        ModelError: no such model, or it is not there in this precision; and as for `open_network`.
        HubError: it is to come from the Hub, and does not.
    """
    check_precision(precision)
    if precision == "int8" and device not in ("auto", "cpu"):
        raise DeviceError(f"int8 runs on the CPU, not on {device!r}; give device='cpu', or another precision")
    found = catalog.find(model)
    if precision == "auto":
        return _open_fastest(found, device, threads)
    if precision == "int8" and found.int8:
        return open_network(found.int8, "cpu", threads)
    network = open_network(found.float32, "cpu" if precision == "int8" else device, threads)
    if network.manifest.precision != precision:
        able = ", ".join(catalog.quantised())
        fix = f"those with both are: {able}" if able else "no installed model has both"
        raise ModelError(f"model {network.manifest.name!r} has no {precision} weights here; {fix}")
    return network


def _open_fastest(found: Files, device: str, threads: int) -> Network:
    """What runs best where the model ends up: int8 is for CPUs."""
    if not (found.int8 and int8_is_fast()):
        return open_network(found.float32, device, threads)
    if device != "cpu" and (device != "auto" or cuda.gpu_visible()):
        network = open_network(found.float32, device, threads)
        if network.device != "cpu":
            return network
    return open_network(found.int8, "cpu", threads)


def open_network(files: Sequence[ModelFile], device: str = "auto", threads: int = 0) -> Network:
    """Open a model, or take what is open already.

    Args:
        files: one, or encoder and decoder, as `petseg.models.catalog.resolve` gives them.
        device, threads: see `petseg.engine.session.open_session`.

    Raises:
        DeviceError: unknown device or number of threads, or CUDA did not start.
        ModelError: a file is missing, damaged or breaks the contract, or two do not belong together.
    """
    sessions: list[session.Session] = []
    for file in files:
        where = sessions[0].device if sessions else device
        sessions.append(session.open_session(file.path, where, threads, sha256=file.sha256))
    *encoders, decoder = sessions
    if not encoders:
        if decoder.manifest.part is not None:
            raise ModelError(
                f"{decoder.path} is only the {decoder.manifest.part} of a model; give the folder with "
                f"{' and '.join(f'{part}.onnx' for part in PARTS)}"
            )
        return Network(decoder.manifest, decoder, files=tuple(files))
    check_pair(encoders[0], decoder)
    return Network(replace(decoder.manifest, part=None), decoder, encoders[0], tuple(files))


def check_pair(encoder: session.Session, decoder: session.Session) -> None:
    """Raise `ModelError` unless the two graphs make up one model."""
    for opened, part in zip((encoder, decoder), PARTS, strict=True):
        if opened.manifest.part != part:
            is_one = f"part {opened.manifest.part!r}" if opened.manifest.part else "a whole model"
            raise ModelError(f"{opened.path} says that it is {is_one}, must be the {part}; {EXPORT_AGAIN}")
    if replace(encoder.manifest, part="decoder") != decoder.manifest:
        raise ModelError(
            f"{encoder.path} and {decoder.path} are of different models or exports; {EXPORT_AGAIN}"
        )
    if encoder.features != decoder.features:
        raise ModelError(
            f"{encoder.path} gives features {encoder.features}, {decoder.path} takes {decoder.features}; "
            f"{EXPORT_AGAIN}"
        )
