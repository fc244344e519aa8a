"""The page as a Hugging Face Space: `python -m export.space FOLDER`.

Puts together what a Space needs (README.md with its settings, requirements.txt, app.py and the package) and
proves that it works: installs it into a new environment the way a Space is built, starts it, and asks it.

A Space is built by `pip install -r /tmp/requirements.txt`, with no other file of the repository in reach, so
that a wheel beside it cannot be installed. Therefore petseg lies beside app.py as source, where Python finds
it, and requirements.txt names only what pyproject.toml says it needs.
"""

import argparse
import re
import shutil
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import SpaceCard, SpaceCardData, constants
from packaging.requirements import InvalidRequirement, Requirement

from export.card.facts import ROOT
from export.errors import SpaceError
from export.space.trial import try_out
from petseg.errors import PetsegError
from petseg.models import bundle
from petseg.models.index import FILE, Index, Published
from petseg.models.manifest import Manifest

APP, README, REQUIREMENTS, PACKAGE = "app.py", "README.md", "requirements.txt", "petseg"
WEIGHTS = "weights"
INDEX = f"{WEIGHTS}/{FILE}"
THUMBNAIL = f"{PACKAGE}/app/public/card.jpg"
"""What the Hub shows where somebody shares the Space: what the page itself gives to link previews."""
EXTRAS = ("app", "heif")
"""A page gets photos from phones."""

COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
"""Of a Space's thumbnail, https://huggingface.co/docs/hub/spaces-config-reference."""

SHORT = 60
"""Characters that the Hub lets a short description have."""

_CPU, _GPU = "onnxruntime", "onnxruntime-gpu"


def assemble(folder: Path, root: Path = ROOT, repo: str | None = None) -> Path:
    """Put together what a Space needs.

    Args:
        folder: to be made; it may be there if it is empty.
        root: of the repository.
        repo: ORG/NAME of the Space, for the address of its thumbnail; without it, it has none.

    Returns:
        The folder.

    Raises:
        SpaceError: the folder is in use, or something is missing.
        PetsegError: petseg/weights/index.json is damaged.
    """
    for needed in (APP, README, "LICENSE", "pyproject.toml", f"{PACKAGE}/{INDEX}", THUMBNAIL):
        if not (root / needed).is_file():
            raise SpaceError(f"{root / needed} is missing; a Space is made from a whole checkout")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    index = Index.read(root / PACKAGE / WEIGHTS)
    needs = requirements(project)
    text = readme(project, index, needs, (root / README).read_text(encoding="utf-8"), repo)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SpaceError(f"{folder} is not empty; choose another folder")
    shutil.copytree(root / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in (APP, "LICENSE"):
        shutil.copyfile(root / name, folder / name)
    (folder / README).write_text(text, encoding="utf-8")
    (folder / REQUIREMENTS).write_text("".join(f"{need}\n" for need in needs), encoding="utf-8")
    # A package that is not installed has no version; with this, importlib.metadata finds it all the same.
    described = folder / f"{PACKAGE}-{project['version']}.dist-info" / "METADATA"
    described.parent.mkdir()
    described.write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {project['version']}\n")
    return folder


def requirements(project: dict[str, Any]) -> list[Requirement]:
    """What the page needs, on a Space's CPU.

    Args:
        project: [project] of pyproject.toml.

    Raises:
        SpaceError: it has not all of `EXTRAS`, or a requirement that cannot be read.
    """
    try:
        lines = list(project["dependencies"])
        lines += [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
        needs = [Requirement(line) for line in lines]
    except (KeyError, InvalidRequirement) as error:
        raise SpaceError(f"pyproject.toml does not say what the page needs: {error}") from error
    kept = [need for need in needs if need.name != _GPU]
    for need in kept:
        if need.name == _CPU:
            need.marker = None  # elsewhere it is for the platforms that have no build for GPUs
    return kept


def readme(
    project: dict[str, Any], index: Index, needs: Sequence[Requirement], text: str, repo: str | None
) -> str:
    """The Space's README.md: its settings, what it is, and its licence.

    Args:
        project: [project] of pyproject.toml.
        index: petseg/weights/index.json.
        needs: what requirements.txt will say.
        text: the repository's README.md.
        repo: see `assemble`.

    Raises:
        SpaceError: no model is embedded, there is no section on the licence, or no gradio that fits.
    """
    licence = licence_section(text)
    if not index.models:
        raise SpaceError("no model is embedded; embed one: python -m export.export --embed")
    manifests = [Manifest.from_document(entry.float32.manifest, name) for name, entry in index.models.items()]
    models = ", ".join(sorted(f"`{manifest.name}` {manifest.version}" for manifest in manifests))
    body = f"# {project['name']}\n\n{project['description']}. Models: {models}.\n\n{licence}\n"
    return f"---\n{settings(project, index, needs, repo).to_yaml()}\n---\n\n{body}"


def licence_section(text: str) -> str:
    """The section on the licence of the repository's README.md.

    Raises:
        SpaceError: there is none.
    """
    licence = re.search(r"^## Licence\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if licence is None:
        raise SpaceError(f"{README} has no section '## Licence', which a Space must repeat")
    return licence[0].strip()


def settings(
    project: dict[str, Any], index: Index, needs: Sequence[Requirement], repo: str | None
) -> SpaceCardData:
    """What the Hub reads at the top of README.md; arguments and errors as for `readme`.

    Gradio and Python are those that run now, since the proof is made with them. Embedded models are part of
    the package; of the published ones, just what it takes to run them is brought when the Space is built.
    """
    published = index.published
    preload = [_preload(name, entry) for name, entry in published.items() if name not in index.models]
    return SpaceCardData(
        title=project["name"],
        emoji="🐾",
        colorFrom="indigo",
        colorTo="pink",
        sdk="gradio",
        sdk_version=_gradio(needs),
        python_version=f"{sys.version_info.major}.{sys.version_info.minor}",
        app_file=APP,
        license=license_of(project["license"]),
        short_description=project["description"],
        thumbnail=f"{constants.ENDPOINT}/spaces/{repo}/resolve/main/{THUMBNAIL}" if repo else None,
        tags=["cat", "dog", "image-segmentation", "background-removal"],
        models=sorted({entry.repo for entry in published.values()}) or None,
        preload_from_hub=preload or None,
    )


def license_of(expression: str) -> str:
    """An SPDX expression as the Hub's one word: code and weights under different terms are "other"."""
    return "other" if " " in expression else expression.lower()


def _gradio(needs: Sequence[Requirement]) -> str:
    """The installed version, which must be one that the page may have."""
    needed = next((need for need in needs if need.name == "gradio"), None)
    if needed is None:
        raise SpaceError("pyproject.toml's extra app does not name gradio")
    try:
        version = metadata.version("gradio")
    except metadata.PackageNotFoundError as error:
        raise SpaceError(
            "gradio is not installed; a Space gets your version: pip install '.[app]'"
        ) from error
    if not needed.specifier.contains(version):
        raise SpaceError(f"gradio {version} is installed, the page needs {needed}; install that")
    return version


def _preload(name: str, published: Published) -> str:
    """A line of preload_from_hub: repository, files, commit."""
    graphs = bundle.Bundle.from_document(published.bundle, f"model {name!r}").graphs
    return f"{published.repo} {','.join((bundle.FILE, *graphs))} {published.revision}"


def check(folder: Path) -> dict[str, Path]:
    """Make sure, without a network, that a folder may become a Space.

    Returns:
        Path in the repository -> file.

    Raises:
        SpaceError: a file is missing, or a setting is one that the Hub would refuse.
    """
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    for name in (README, REQUIREMENTS, APP, f"{PACKAGE}/__init__.py", f"{PACKAGE}/{INDEX}"):
        if name not in files:
            raise SpaceError(
                f"{folder / name} is missing; python -m export.space puts such a folder together"
            )
    try:
        said = SpaceCard(files[README].read_text(encoding="utf-8")).data.to_dict()
    except ValueError as error:
        raise SpaceError(f"{files[README]} has no settings that can be read: {error}") from error
    versions = (said.get("sdk_version"), said.get("python_version"))
    faults = {
        "title": not said.get("title"),
        "emoji": not said.get("emoji"),
        "colorFrom and colorTo": not {said.get("colorFrom"), said.get("colorTo")} <= set(COLOURS),
        "sdk": said.get("sdk") not in constants.SPACES_SDK_TYPES,
        # YAML takes 3.10 for 3.1, if it is not a text.
        "sdk_version and python_version": not all(isinstance(version, str) for version in versions),
        "app_file": said.get("app_file") not in files,
        "thumbnail": "thumbnail" in said
        and not (str(said["thumbnail"]).endswith(f"/{THUMBNAIL}") and THUMBNAIL in files),
        "short_description": len(str(said.get("short_description", ""))) > SHORT,
    }
    if wrong := [name for name, fault in faults.items() if fault]:
        raise SpaceError(f"{files[README]}: the Hub would refuse {', '.join(wrong)}")
    return files


def prove(folder: Path) -> None:
    """Install a Space into a new environment, start it, and ask it; takes minutes and the package index.

    Raises:
        SpaceError: what does not work.
    """
    card = SpaceCard((folder / README).read_text(encoding="utf-8")).data.to_dict()
    index = Index.read(folder / PACKAGE / WEIGHTS)
    try_out(folder, card["sdk_version"], sorted(index.models), ROOT / "docs" / "chelsea.jpg", "cat")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a Space as the command line says; 1 if it cannot be done, or does not work."""
    parser = argparse.ArgumentParser(prog="python -m export.space", description=__doc__)
    parser.add_argument("folder", type=Path, help="to be made; it must be new or empty")
    parser.add_argument("--repo", metavar="ORG/NAME", help="where it will be, for its thumbnail's address")
    parser.add_argument("--untried", action="store_true", help="do not install and start it")
    options = parser.parse_args(arguments)
    try:
        files = check(assemble(options.folder, repo=options.repo))
        if not options.untried:
            prove(options.folder)
    except (SpaceError, PetsegError, OSError, ValueError) as error:
        print(f"no Space: {error}", file=sys.stderr)
        return 1
    print(f"{options.folder}: {len(files)} files, {'not tried out' if options.untried else 'works'}")
    return 0
