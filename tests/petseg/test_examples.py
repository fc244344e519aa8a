"""The examples in docstrings do what they say."""

import doctest
import shutil
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "petseg").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_there_are_examples() -> None:
    assert "petseg.segmenter" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "docs" / "chelsea.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(import_module(module))
    assert tried > 0
    assert failed == 0, "what was expected and what came is printed above"
