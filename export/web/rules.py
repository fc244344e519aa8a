"""What stands once, in Python, and the page in a visitor's browser is told: decision rules, as numbers."""

from types import ModuleType

from petseg import dialogue
from petseg.clicks import animal, apart, closeup, prompts
from petseg.engine import presence, second_look
from petseg.pixels import decision, speckles, stickers

MODULES = (animal, apart, closeup, decision, dialogue, presence, prompts, second_look, speckles, stickers)
"""Whose rules web/src follows; `Rules` of web/src/rules.ts names those that it uses."""


def rules() -> dict[str, dict[str, float]]:
    """Module -> constant -> value."""
    return {module.__name__.rpartition(".")[2]: constants(module) for module in MODULES}


def constants(module: ModuleType) -> dict[str, float]:
    """The numbers among a module's constants, by name, without a leading underscore."""
    return {
        name.lstrip("_"): value
        for name, value in vars(module).items()
        if name.isupper() and type(value) in (int, float)
    }
