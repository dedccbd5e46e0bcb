"""`recsys report`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.session import HERE, Place, progress
from recsys.errors import InputError


def report(
    name: Annotated[str, Parameter(help="A study, its run in MLflow, or a comparison.")],
    /,
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"), metavar="FILE")] = Path("report.html"),
    place: Place = HERE,
) -> None:
    """Write what a study or a comparison found as one HTML file.

    The file holds everything: it opens from disk, without a network.

    Example:
        recsys report mine -o mine.html

    Args:
        out: The file.
    """
    workspace = place.open()
    check_page(out)
    from flows.reporting import report_of

    with progress(place):
        html = report_of(workspace, name)
    write_page(out, html)
    print(f"report of {name}: {out}")


def check_page(out: Path) -> None:
    """Raise InputError where a page cannot have this name, as it is a folder's."""
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file, such as {out / 'report.html'}")


def write_page(out: Path, html: str) -> None:
    """Write a page; its folder is made where it is missing.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(html, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}; name a file that you may write") from error
