"""What may go wrong between a checkpoint and what is published: one base, and a class for each kind."""


class ExportError(Exception):
    """Something cannot be exported, verified, described or published as asked; the message says why."""


class QuantisationError(ExportError):
    """An int8 model that is not good enough."""


class CardError(ExportError):
    """A card that cannot be made, since something was not measured or does not fit together."""


class PublishError(ExportError):
    """A folder that cannot be put together."""


class SpaceError(ExportError):
    """A Space that cannot be put together, or does not work."""


class WebError(ExportError):
    """A page for browsers that cannot be put together, or does not work."""


class VerificationError(ExportError):
    """The export and its checkpoint do not agree, or there was nothing to compare them on."""


class PhotosError(VerificationError):
    """Too few photos to compare on."""


class ForeignModelError(VerificationError):
    """A file is no ONNX model or has no petseg metadata, or there are not as many as the checkpoint makes."""


class MetadataError(VerificationError):
    """A field of the metadata is missing, or says something else than the checkpoint."""


class CheckpointMismatchError(VerificationError):
    """A file was exported from other weights."""


class NamesError(VerificationError):
    """Inputs or outputs have other names than the contract says."""


class TypesError(VerificationError):
    """An input or output has another element type."""


class AxesError(VerificationError):
    """An input or output has another shape, or a batch that is not dynamic."""


class FeaturesError(VerificationError):
    """What the encoder says about a photo is further away than the tolerance."""


class LogitsError(VerificationError):
    """Logits are further apart than the tolerance."""


class ClassMapError(VerificationError):
    """Too many pixels got another class."""


class BatchError(VerificationError):
    """A photo's logits depend on how many others are in its batch."""
