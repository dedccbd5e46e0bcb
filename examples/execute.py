"""Execute the notebooks of this folder and write their outputs again.

    python examples/execute.py [NOTEBOOK ...]

Each runs in an empty folder with the code of this checkout. What would differ from one run to the
next, or take much room, is not kept: times, versions, counters of output, colours of pictures
beyond 64. Needs nbclient and ipykernel, which `make test` installs.
"""

import base64
import io
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).resolve().parent
SECONDS = 600  # that a cell may take
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main(arguments: Sequence[str]) -> None:
    """Execute the notebooks that are named, or all."""
    for path in [Path(each) for each in arguments] or sorted(HERE.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


def executed(path: Path) -> Any:
    """A notebook with the outputs of this checkout.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ["PYTHONPATH"] = str(HERE.parent)  # the kernel inherits it
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            resources=resources,
            record_timing=False,
        )
        kernel = client.create_kernel_manager()
        kernel.transport, kernel.ip = "ipc", f"{folder}/kernel"  # files in place of open ports
        client.execute()
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            _shrink(output)
    return notebook


def _shrink(output: Any) -> None:
    data = output.get("data", {})
    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        file = io.BytesIO()
        picture.convert("RGB").quantize(64).save(file, format="PNG", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode("ascii")
        data["text/plain"] = "picture"  # in place of its size and class


if __name__ == "__main__":
    main(sys.argv[1:])
