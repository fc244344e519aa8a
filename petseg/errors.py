"""Everything that can go wrong, each with its own class, all under `PetsegError`.

A message says what was wrong with which input and what to do about it.
"""


class PetsegError(Exception):
    """Base class of every error that petseg raises on purpose."""


class ImageError(PetsegError):
    """A photo that cannot be read, or is not what it claims to be."""


class ImageTooLargeError(ImageError):
    """A photo with more pixels than the limit allows."""


class ImageWarning(UserWarning):
    """A photo that was read although something is wrong with it."""


class PromptError(PetsegError):
    """A point or box that is malformed or outside the photo, or given to a model that takes none."""


class ModelError(PetsegError):
    """A model that is unknown, damaged, or does not keep the ONNX contract."""


class DeviceError(PetsegError):
    """A device that is unknown or could not be used, with the cause."""


class OutputError(PetsegError):
    """A result that cannot be written where it was asked to go."""


class HubError(PetsegError):
    """The Hugging Face Hub, or the local cache of what came from it, failed."""


class HubNotFoundError(HubError):
    """There is no such repository, or no such revision of it."""


class HubAccessError(HubError):
    """The Hub wants a token, or this one may not do this."""


class HubUnavailableError(HubError):
    """The Hub did not answer, or is not to be asked (offline): the same may work later.

    Attributes:
        retry_after: seconds after which the Hub wants to be asked again, if it said so.
    """

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HubContentError(HubError):
    """A repository or a folder to be published is no petseg model, is damaged, or needs a newer petseg."""
