"""Find cats and dogs in a photo, pixel by pixel.

    import petseg

    result = petseg.segment("dog.jpg")
    result.mask      # (H, W) uint8: 0 background, 1 cat, 2 dog
    result.label     # "dog"
    result.cutout().save("dog.png")

Nothing is loaded before it is used: `import petseg` is cheap, and the first model brings ONNX Runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from petseg.engine.session import DeviceWarning
    from petseg.errors import (
        DeviceError,
        HubAccessError,
        HubContentError,
        HubError,
        HubNotFoundError,
        HubUnavailableError,
        ImageError,
        ImageTooLargeError,
        ModelError,
        OutputError,
        PetsegError,
        PromptError,
    )
    from petseg.models.catalog import ModelInfo, list_models
    from petseg.segmentation import Segmentation
    from petseg.segmenter import Segmenter, segment

    __version__: str

__all__ = [
    "DeviceError",
    "DeviceWarning",
    "HubAccessError",
    "HubContentError",
    "HubError",
    "HubNotFoundError",
    "HubUnavailableError",
    "ImageError",
    "ImageTooLargeError",
    "ModelError",
    "ModelInfo",
    "OutputError",
    "PetsegError",
    "PromptError",
    "Segmentation",
    "Segmenter",
    "__version__",
    "list_models",
    "segment",
]

_HOMES = {
    "ModelInfo": "models.catalog",
    "list_models": "models.catalog",
    "DeviceError": "errors",
    "HubAccessError": "errors",
    "HubContentError": "errors",
    "HubError": "errors",
    "HubNotFoundError": "errors",
    "HubUnavailableError": "errors",
    "ImageError": "errors",
    "ImageTooLargeError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "PetsegError": "errors",
    "PromptError": "errors",
    "DeviceWarning": "engine.session",
    "Segmentation": "segmentation",
    "Segmenter": "segmenter",
    "segment": "segmenter",
}
"""Public name -> the module that has it (PEP 562)."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from petseg.version import version

        return version()
    if name not in _HOMES:
        raise AttributeError(f"module 'petseg' has no attribute {name!r}")
    value = getattr(import_module(f"petseg.{_HOMES[name]}"), name)
    globals()[name] = value  # so that the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
