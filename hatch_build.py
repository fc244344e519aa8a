"""What the package index shows: there, links to files of the repository need an address.

Where the repository is public is said when a release is built, by .github/workflows/release.yml:
PETSEG_REPOSITORY=https://github.com/ORG/NAME. Then the README's links are absolute, and [project.urls] is
there. A build without it has the README as it is.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PublicMetadata(MetadataHookInterface):
    """Fills in the fields `readme` and `urls` of [project], which pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Change [project] in place."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        if repository := os.environ.get("PETSEG_REPOSITORY", "").rstrip("/"):
            tag = f"v{metadata['version']}"
            text = absolute(text, repository, tag)
            metadata["urls"] = urls(repository, tag)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(readme: str, repository: str, tag: str) -> str:
    """A README whose links and pictures lead to a tag of a repository, not to files beside it."""

    def lead(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        where = "raw" if picture else "blob"
        return f"{picture}[{text}]({repository}/{where}/{tag}/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)", lead, readme)


def urls(repository: str, tag: str) -> dict[str, str]:
    """[project.urls]."""
    return {
        "Homepage": repository,
        "Documentation": f"{repository}/blob/{tag}/docs/index.md",
        "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
