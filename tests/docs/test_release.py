"""What a release says of itself on the package index."""

import re
import tomllib
from pathlib import Path

import pytest

from hatch_build import PublicMetadata

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://example.org/petseg"


def metadata() -> dict[str, object]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    PublicMetadata(str(ROOT), {}).update(project)
    return project


def test_the_page_of_a_release_shows_the_whole_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETSEG_REPOSITORY", f"{REPOSITORY}/")
    project = metadata()
    text = project["readme"]["text"]
    targets = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", text)
    assert len(targets) > 20
    assert [target for _, target in targets if not target.startswith("https:")] == []
    ours = [(picture, target) for picture, target in targets if target.startswith(REPOSITORY)]
    for picture, target in ours:
        found = re.fullmatch(rf"{REPOSITORY}/(raw|blob)/v{project['version']}/([^#]+)(#.*)?", target)
        assert found, target
        assert (found[1] == "raw") == bool(picture)
        assert (ROOT / found[2]).exists(), target
    assert {target.rpartition(".")[2] for picture, target in ours if picture} == {"jpg"}
    assert set(project["urls"]) == {"Homepage", "Documentation", "Changelog", "Issues"}
    for name, url in project["urls"].items():
        assert url.startswith(REPOSITORY), name


def test_a_build_of_a_clone_names_no_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PETSEG_REPOSITORY", raising=False)
    project = metadata()
    assert project["readme"]["text"] == (ROOT / "README.md").read_text(encoding="utf-8")
    assert "urls" not in project


def test_a_release_is_told_where_the_repository_is() -> None:
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "PETSEG_REPOSITORY: ${{ github.server_url }}/${{ github.repository }}" in workflow
