"""`petseg models`, `petseg pull` and `petseg push`."""

from pathlib import Path
from typing import Annotated

import typer

from petseg.cli import outputs
from petseg.cli.options import AsJson, Quiet, path_of


def models(as_json: AsJson = False) -> None:
    """List the models that can be asked for by name."""
    from dataclasses import asdict

    from petseg.measure.tables import aligned
    from petseg.models.catalog import list_models

    known = list_models()
    if as_json:
        outputs.print_json([asdict(info) for info in known])
        return
    rows = [("name", "status", "size", "prompts", "parameters", "precisions", "mIoU (float32)")]
    for info in known:
        miou = info.metrics.get("miou")
        rows.append(
            (
                info.name,
                info.status,
                f"{info.bytes / 1e6:.1f} MB",
                ", ".join(info.prompts) or "-",
                f"{info.parameters:,}",
                ", ".join(info.precisions),
                f"{miou:.3f}" if isinstance(miou, int | float) else "-",
            )
        )
    typer.echo(aligned(rows))


def pull(
    model: Annotated[str, typer.Argument(metavar="NAME|ORG/NAME[@REVISION]", show_default=False)],
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="A branch, a tag or a commit; default: the newest.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Bring a model from the Hugging Face Hub, or bring it up to date.

    Every file is held against the SHA-256 that the model was published with, and the list is printed as
    sha256sum reads it. Afterwards the model works without a network. HF_TOKEN, HF_HOME, HF_ENDPOINT and
    HF_HUB_OFFLINE are honoured.
    """
    from petseg.models import bundle, catalog, fetch

    if quiet:
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    reference = catalog.reference(model, revision)
    found = fetch.update(reference)
    if quiet:
        return
    typer.echo(
        f"# {found.bundle.name} {found.bundle.version}, {reference.repo} at {found.folder.name}", err=True
    )
    for name in (bundle.FILE, *found.bundle.files):
        typer.echo(f"{bundle.digest(found.folder / name)}  {found.folder / name}")


def push(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=path_of, help="As python -m export.publish makes it.")
    ],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and list what would be published.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Publish a model on the Hugging Face Hub, in one commit, tagged with its version.

    Refused without metrics, a card, and proof that the model agrees with its checkpoint. The same content
    again makes no commit. HF_TOKEN must be one that may write.
    """
    from petseg import hub

    if dry_run:
        listed, files = hub.check(folder)
        for name, path in files.items():
            typer.echo(f"{path.stat().st_size:>12,}  {name}")
        typer.echo(f"{listed.name} {listed.version} would become {repo}, tagged v{listed.version}")
        return
    pushed = hub.push(folder, repo, private=private)
    what = "is" if pushed.changed else "holds the same already, nothing was changed:"
    typer.echo(f"{pushed.url} {what} {pushed.tag} at {pushed.commit}")
