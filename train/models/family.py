"""What every model family tells of itself, and the register of families.

A family is a config, a `FamilyConfig`, and a model that is built from it:

    @family(UNetConfig)
    class UNet(nn.Module): ...

The rest of training and the export ask the config, and know no family by name.
"""

from collections.abc import Callable
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, Union

import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Tag, field_validator
from torch import Tensor, nn

DEFAULT = "unet"
"""The family of a config that names none, as those of the first models do."""

Need = Literal["prompt", "caption", "true species"]
Gives = Literal["logits", "photo", "similarity"]


class Borrowed(NamedTuple):
    """A part of a model that starts from the weights of a checkpoint.

    Attributes:
        part: name of the part in the model.
        checkpoint: folder.
        source: name of the part in the checkpoint's model; "" for all of it.
    """

    part: str
    checkpoint: str
    source: str = ""


class FamilyConfig(BaseModel):
    """Options of a model; those of a family add fields, and tell what is different about it.

    Attributes:
        family: name of the family, the default of the field in each of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str

    @field_validator("family")
    @classmethod
    def _own_name(cls, value: str) -> str:
        if value != family_name(cls):
            raise ValueError(f"these are options of the family {family_name(cls)!r}, not of {value!r}")
        return value

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the model must be given besides photos."""
        return ()

    @property
    def gives(self) -> Gives:
        """What the model says of a photo: logits of the classes, the photo itself, how well a text fits."""
        return "logits"

    @property
    def origin(self) -> str:
        """What training starts from, in words; "" for random weights."""
        return ""

    @property
    def borrowed(self) -> Borrowed | None:
        """The part that starts from a checkpoint, if there is one."""
        return None

    def example(self, size: int) -> dict[str, Tensor]:
        """One of each thing that the model takes, in order, by its name; photos are (1, 3, size, size)."""
        return {"photo": torch.zeros(1, 3, size, size, dtype=torch.uint8)}

    def without_start(self) -> Self:
        """The same without pretrained weights."""
        return self

    def resolved(self) -> Self:
        """The same with all that must be known to build the model without what it starts from.

        Raises:
            FileNotFoundError: what it starts from is not there.
        """
        return self

    def sketched(self) -> tuple[Self, str]:
        """The same without what it starts from, of the same shape, and what that shape rests on in words.

        Raises:
            FileNotFoundError, ValueError: the shape cannot be known.
        """
        return self.without_start(), ""

    def stages(self) -> dict[str, Self]:
        """The models that training makes one after the other, by their names."""
        return {self.family: self}


def family_name(config: type[FamilyConfig]) -> str:
    """The name of the family that a config class is of."""
    return str(config.model_fields["family"].default)


def family_of(options: Any) -> str:
    """The family that a table or a config names; the default one where it names none."""
    return str(options.get("family", DEFAULT) if isinstance(options, dict) else options.family)


def last_parts(path: str) -> str:
    """A folder by its last two names, which tell a run and a model of the Hub."""
    return "/".join(PurePath(path).parts[-2:])


_FAMILIES: dict[type[FamilyConfig], Callable[[Any], nn.Module]] = {}

Model = TypeVar("Model", bound=type[nn.Module])


def family(config: type[FamilyConfig]) -> Callable[[Model], Model]:
    """Register the decorated model, which is built from a config of this class.

    Raises:
        ValueError: another family has the name.
    """
    if family_name(config) in map(family_name, _FAMILIES):
        raise ValueError(f"there is a family {family_name(config)!r} already")

    def register(model: Model) -> Model:
        _FAMILIES[config] = model
        return model

    return register


def build(config: FamilyConfig) -> nn.Module:
    """A model with random or pretrained start.

    All models take uint8 photos (B, 3, S, S), and after them what the config `needs`. Those that give
    logits map them to float (B, 3, S, S) of background, cat and dog.
    """
    return _FAMILIES[type(config)](config)


def any_family() -> Any:
    """The type, for pydantic, of the config of any family registered so far, told by the field `family`."""
    tagged = tuple(Annotated[config, Tag(family_name(config))] for config in _FAMILIES)
    return Annotated[Union[tagged], Discriminator(family_of)]  # noqa: UP007 (there is no | of a tuple)
