"""To the Hugging Face Hub: `python -m export.publish model NAME ORG/NAME`, `space ORG/NAME`, `web ORG/NAME`.

For a model, puts a folder together (the ONNX files and petseg.json, the card as README.md, the checkpoint
with its config and history, the measurements, the figures) and pushes it in one commit. Without verified
parity, metrics and a card it refuses; `petseg.hub.check` says what else must hold.

For a page, does the same with what `export.space` or `export.web` puts together, once it has been seen to
work: `space` runs on the Hub's machines, `web` in the visitor's own browser.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi

from export import card, space, web
from export.card.facts import ROOT, read_document
from export.errors import ExportError, PublishError
from export.missing import Plan, missing
from export.web import trial
from petseg import hub
from petseg.errors import PetsegError
from petseg.models import bundle, catalog, publishing
from petseg.models.cache import Reference
from petseg.models.client import ask
from petseg.models.index import Index, Published
from petseg.pixels import saving
from petseg.version import version
from train.models.stored import CONFIG, WEIGHTS

KINDS = (".json", ".safetensors", ".csv", ".png")
"""Files of a checkpoint folder that are published."""


def assemble(
    name: str,
    folder: Path,
    *,
    model: Path | None = None,
    checkpoint: Path | None = None,
    readme: Path | None = None,
    address: str = "ORG/NAME",
) -> Path:
    """Put together what is published of a model.

    Args:
        name: of the model.
        folder: to be made; it may be there if it is empty.
        model: its .onnx file, or the folder of two; the embedded model of this name by default.
        checkpoint: with weights, config, measurements and figures; train/checkpoints/NAME by default.
        readme: its card; made from the measurements by default, see `export.card`.
        address: where it is published, for its card.

    Returns:
        The folder.

    Raises:
        PublishError: the folder is in use, or something is missing.
        CardError: the card cannot be made.
        PetsegError: there is no such model, or it is none of petseg's.
    """
    checkpoint = checkpoint or ROOT / "train" / "checkpoints" / name
    for needed in (WEIGHTS, CONFIG, publishing.PARITY):
        if not (checkpoint / needed).is_file():
            raise PublishError(f"{checkpoint / needed} is missing; model_cards/README.md says what makes it")
    found = catalog.find(model or name)
    graphs, quantised = ([file.path for file in files] for files in found)
    if readme:
        text = readme.read_text(encoding="utf-8")
    else:
        text = card.make_own(name, model, checkpoint, address) if model else card.make(name)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise PublishError(f"{folder} is not empty; choose another folder")
    with _emptied_on_error(folder):
        _fill(folder, name, graphs, quantised, checkpoint, text)
    return folder


@contextmanager
def _emptied_on_error(folder: Path) -> Iterator[None]:
    """Leave no file in a folder after an error: the next try would find it in use."""
    try:
        yield
    except BaseException:
        for made in folder.iterdir():
            made.unlink()
        raise


def _fill(
    folder: Path, name: str, graphs: list[Path], quantised: list[Path], checkpoint: Path, text: str
) -> None:
    """Put all files of a model into an empty folder; errors as for `assemble`."""
    targets = *bundle.GRAPHS[len(graphs) - 1], *bundle.QUANTISED[: len(quantised)]
    for target, source in zip(targets, (*graphs, *quantised), strict=True):
        shutil.copyfile(source, folder / target)
    for source in sorted(checkpoint.iterdir()):
        if source.suffix in KINDS:
            shutil.copyfile(source, folder / source.name)
    # In the repository on the Hub the figures lie beside the card.
    text = text.replace(f"../train/checkpoints/{name}/", "")
    (folder / publishing.CARD).write_text(text, encoding="utf-8")
    described = bundle.describe(folder, read_document(graphs[0]))
    saving.write_json(folder / bundle.FILE, described)


def pin(name: str, repo: str, commit: str, folder: Path) -> None:
    """Let this petseg know a published model: from now on its name means this very commit.

    Args:
        name: that people will ask for.
        repo, commit: where it was pushed.
        folder: what was pushed.
    """
    index, listed = Index.read(catalog.WEIGHTS), folder / bundle.FILE
    document = json.loads(listed.read_text(encoding="utf-8"))
    index.published[name] = Published(repo, commit, bundle.digest(listed), document)
    index.write(catalog.WEIGHTS)


def publish_model(options: argparse.Namespace) -> None:
    """Assemble, check, and push unless it is a dry run."""
    checkpoint = options.checkpoint or ROOT / "train" / "checkpoints" / options.name
    plan = Plan(
        options.name,
        options.repo,
        checkpoint,
        options.model,
        options.card,
        options.folder,
        push=not options.dry_run,
    )
    if problems := missing(plan):
        lines = "\n".join(f"{number}. {problem}" for number, problem in enumerate(problems, 1))
        raise PublishError(f"of {options.name} is still missing:\n{lines}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = assemble(
            options.name,
            options.folder or Path(scratch) / options.name,
            model=options.model,
            checkpoint=options.checkpoint,
            readme=options.card,
            address=options.repo,
        )
        with _emptied_on_error(folder):
            listed, files = hub.check(folder)
        list_files(files)
        if options.dry_run:
            print(f"{listed.name} {listed.version} would become {options.repo}, tagged v{listed.version}")
            return
        pushed = hub.push(folder, options.repo, private=options.private)
        print(f"{pushed.url}: {pushed.tag} at {pushed.commit}{'' if pushed.changed else ', as before'}")
        if options.pin:
            pin(options.name, options.repo, pushed.commit, folder)


def publish_space(options: argparse.Namespace) -> None:
    """Assemble, check, try out, and push unless it is a dry run."""
    _check_place(options.repo)
    with tempfile.TemporaryDirectory() as scratch:
        folder = space.assemble(options.folder or Path(scratch) / "space", repo=options.repo)
        files = space.check(folder)
        list_files(files)
        space.prove(folder)
        _push_page(options, files, "gradio", f"{space.PACKAGE}/__init__.py")


def publish_web(options: argparse.Namespace) -> None:
    """The same for the page in the visitor's own browser."""
    _check_place(options.repo)
    with tempfile.TemporaryDirectory() as scratch:
        folder = web.assemble(options.folder or Path(scratch) / "web")
        files = web.check(folder)
        list_files(files)
        trial.try_out(folder)
        _push_page(options, files, "static", web.LISTING)


def _check_place(repo: str) -> None:
    if Reference.parse(repo).repo != repo:
        raise PublishError(f"{repo!r} is no place to publish; give ORG/NAME")


def _push_page(options: argparse.Namespace, files: dict[str, Path], sdk: str, mark: str) -> None:
    if options.dry_run:
        print(f"this would become the Space {options.repo}; it was tried out, and works")
        return
    url, commit, changed = push_space(files, options.repo, sdk, mark, private=options.private)
    print(f"{url}: {commit}{'' if changed else ', as before'}")


def push_space(
    files: dict[str, Path], repo: str, sdk: str, mark: str, *, private: bool
) -> tuple[str, str, bool]:
    """Let a Space hold these files and no others, in one commit; it is made if there is none.

    Args:
        files: path in the repository -> file.
        repo: ORG/NAME.
        sdk: "gradio" or "static", of a new Space.
        mark: a file that a Space has that may be replaced.
        private: make a new Space private.

    Returns:
        Its address, its newest commit, and whether that is new.

    Raises:
        PublishError: the Space holds something else than this page of petseg's.
        HubError: one of its subclasses; what was wrong, and what to do about it.
    """
    about, kind = f"Space {repo}", "space"
    api = HfApi(library_name="petseg", library_version=version())
    url = ask(
        about,
        lambda: api.create_repo(repo, repo_type=kind, space_sdk=sdk, private=private, exist_ok=True),
    )
    before = ask(about, lambda: api.space_info(repo)).sha
    present = set(ask(about, lambda: api.list_repo_files(repo, repo_type=kind))) - set(hub.KEPT)
    # The Hub gives a new Space a README.md.
    if present - {space.README} and mark not in present:
        raise PublishError(f"{about} holds something else than this page of petseg's; choose another name")
    message = f"petseg {version()}"
    newest = ask(about, lambda: hub.commit(api, repo, files, message, repo_type=kind, parent=before))
    return str(url), newest, newest != before


def list_files(files: dict[str, Path]) -> None:
    """Print what would be, or is, published."""
    for name, path in files.items():
        print(f"{path.stat().st_size:>12,}  {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish as the command line says; 1 if it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m export.publish", description=__doc__)
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    model = kinds.add_parser("model", help="weights, card and checkpoint")
    model.set_defaults(publish=publish_model)
    model.add_argument("name", help="of the model")
    model.add_argument("repo", metavar="ORG/NAME")
    model.add_argument("--model", type=Path, help="its ONNX file or folder; default: the embedded one")
    model.add_argument("--checkpoint", type=Path, help="default: train/checkpoints/NAME")
    model.add_argument("--card", type=Path, help="default: made from what was measured")
    model.add_argument("--pin", action="store_true", help="let petseg pull this very commit by NAME")
    page = kinds.add_parser("space", help="the page, once it has been installed and started to try it out")
    page.set_defaults(publish=publish_space)
    page.add_argument("repo", metavar="ORG/NAME")
    own = kinds.add_parser(
        "web", help="the page in the visitor's own browser, once it was seen to work in one"
    )
    own.set_defaults(publish=publish_web)
    own.add_argument("repo", metavar="ORG/NAME")
    for kind in (model, page, own):
        kind.add_argument("--folder", type=Path, help="keep what is published here; it must be new or empty")
        kind.add_argument("--dry-run", action="store_true", help="check and list, but push nothing")
        kind.add_argument("--private", action="store_true", help="make a new repository private")
    options = parser.parse_args(arguments)
    try:
        options.publish(options)
    except (ExportError, PetsegError, OSError, ValueError) as error:
        print(f"not published: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
