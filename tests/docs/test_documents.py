"""The README and its companions: short, true, and no link leads nowhere."""

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.measure import report_file
from train.studies.page import page

ROOT = Path(__file__).parents[2]
OUTSIDE_DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "model_cards").glob("*.md")])
DOCS = sorted((ROOT / "docs").glob("*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.S | re.M)


def links(page: str) -> Iterator[str]:
    """Where links and pictures lead, inside the repository."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page, flags=re.S)
    for address in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"https?:|#", address):
            yield address.partition("#")[0]


def test_the_readme_fits_a_screen_and_a_half() -> None:
    lines = read("README.md").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("page", OUTSIDE_DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Those inside docs/ are `mkdocs build --strict`'s."""
    lost = [to for to in links(page.read_text(encoding="utf-8")) if not (page.parent / to).exists()]
    assert lost == []


def test_the_changelog_begins_with_this_version() -> None:
    entries = re.findall(r"^## \[([^\]]+)\] - (\S+)$", read("CHANGELOG.md"), re.M)
    assert entries, "no entry reads '## [VERSION] - DATE'"
    version, date = entries[0]
    assert version == PROJECT["version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d|Unreleased", date)


def test_ci_runs_the_tests_that_the_readme_names() -> None:
    (command,) = re.findall(r"python (-m pytest .*)$", read("README.md"), re.M)
    said = ", ".join(f'"{word}"' for word in ["python", *command.split()])
    assert said in read("noxfile.py")
    assert re.search(r"^nox ", read(".ci/run"), re.M)


def test_every_licence_is_there_and_packed() -> None:
    for name in PROJECT["license-files"]:
        assert "research and evaluation" in read(name) or "Apache License" in read(name)
        assert f'"/{name}"' in read("pyproject.toml")


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/python.md"])
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = ROOT / "docs" / "chelsea.jpg"
    (tmp_path / "photos").mkdir()
    for name in ("dog.jpg", "photos/chelsea.jpg", "photos/again.jpg"):
        shutil.copy(photo, tmp_path / name)
    pixels = np.asarray(Image.open(photo))
    Image.fromarray(np.concatenate([pixels, pixels[:, ::-1]], axis=1)).save(tmp_path / "both.jpg")
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    found = blocks(read(page), "python")
    assert found
    for block in found:
        exec(compile(block, page, "exec"), known)
    if page == "README.md":
        written = {path.name for path in tmp_path.glob("*.png")}
        assert written == {"chelsea-cutout.png", "again-cutout.png"}
        beside = {path.name for path in (tmp_path / "photos").glob("*.png")}
        assert beside == {"chelsea.jpg.mask.png", "again.jpg.mask.png"}, "the loop keeps results apart"


@pytest.mark.parametrize("page", [*OUTSIDE_DOCS, *DOCS], ids=lambda path: path.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    rooms = "petseg|train|export|benchmarks|tests|docs|model_cards"
    named = re.findall(rf"[` ]((?:{rooms})/[\w./-]*\w)", page.read_text(encoding="utf-8"))
    ours = {path for path in named if not re.search(r"NAME|\.\.\.|^petseg/\w+$", path)}
    missing = sorted(path for path in ours if not (ROOT / path).exists())
    assert missing == []


def test_the_page_of_the_studies_shows_what_was_measured() -> None:
    """`python -m train.study` writes both."""
    assert read("docs/studies.md") == page(report_file.read(ROOT / "docs" / "studies.json"))
