"""Configs as TOML text."""

import json
from collections.abc import Mapping
from typing import Any


def to_toml(document: Mapping[str, Any], path: str = "") -> str:
    """A document as TOML: what has no tables first, then tables, and lists of tables.

    Args:
        document: of what JSON has too, None left out.
        path: of the table that it is, "" for the whole.
    """
    values, tables = [], []
    for key, value in document.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and path.count(".") < 1:
            tables.append(f"\n[{name}]\n{to_toml(value, name)}")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            tables += [f"\n[[{name}]]\n{to_toml(item, f'{name}.')}" for item in value]
        elif value is not None:
            values.append(f"{key} = {_inline(value)}\n")
    return "".join(values + tables)


def _inline(value: Any) -> str:
    """A value on one line; JSON's texts, numbers and lists are TOML's as well."""
    if isinstance(value, Mapping):
        return (
            "{ "
            + ", ".join(
                f"{json.dumps(key, ensure_ascii=False)} = {_inline(each)}" for key, each in value.items()
            )
            + " }"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value, ensure_ascii=False)
