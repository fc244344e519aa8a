"""What a study says about a model's recipe, and what it leaves open, for people."""

from typing import Any

from train.config import Config
from train.sections import StudyConfig


def value_at(config: Config, key: str) -> Any:
    """What stands at a key such as "data.sources.0.repeat".

    Raises:
        KeyError: there is no such key.
    """
    value: Any = config.model_dump()
    for part in key.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise KeyError(key) from error
    return value


def describe(config: Config) -> str:
    """The recipe of a study's model: stated and where, not stated, done otherwise; "" of others."""
    study = config.study
    if study is None:
        return ""
    lines = [f"{config.name}, as study {study.letter} states it (section):"]
    lines += [f"  {key} = {_short(value_at(config, key))}  ({where})" for key, where in study.stated.items()]
    lines += [f"  {fact}  ({where})" for fact, where in study.facts.items()]
    return "\n".join(
        [*lines, *_list("not stated, chosen here", study.unstated), *_list("differs", study.differs)]
    )


def published(study: StudyConfig) -> str:
    """Its figures in a line, and on what they were measured."""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in study.published.items())
    return f"{figures} ({study.measured})" if figures else "none"


def _list(title: str, items: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {item}" for item in items)] if items else []


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
