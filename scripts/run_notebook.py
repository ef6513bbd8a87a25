"""Runs docs/notebook.ipynb and keeps what its cells put out.

    python scripts/run_notebook.py

It needs the extra `notebook`, and MNIST: from the folder that KERAS_OPTIMS_DATA names, else Keras downloads it. What would differ
from run to run or machine to machine, such as times and versions, is left out, so that a diff shows only changes of the notebook.
"""

from __future__ import annotations

import base64
import io
import os
import pathlib
import tempfile

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
COLOURS = 256  # of a picture; more would take three times as many bytes


def executed(folder: pathlib.Path) -> nbformat.NotebookNode:
    """The notebook with new outputs, run in this folder by the Python that runs this, with the packages of this checkout.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raises an error.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # With a level of its logs set, TensorFlow is taken to be wanted with its notes.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(ROOT)
    client = NotebookClient(
        notebook,
        timeout=300,
        record_timing=False,
        coalesce_streams=True,  # into one output, whenever its parts arrive
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    client.execute(env=environment)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    return notebook


def smaller(png: str) -> str:
    """A picture, in base64, with at most 256 colours."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        written = io.BytesIO()
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(written, "png", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(executed(pathlib.Path(folder)), NOTEBOOK)
