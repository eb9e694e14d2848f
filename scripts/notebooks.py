"""Run the tutorials: with small numbers as a check, or as they are to renew their outputs.

    python scripts/notebooks.py              all of notebooks/, small; no file is changed
    python scripts/notebooks.py --write      all in full; outputs are written to the files
    python scripts/notebooks.py trust scale  only these

Each notebook has a cell with the tag "parameters". For a check, another cell after it gives smaller
values to those of the names below that it assigns.
"""

from __future__ import annotations

import argparse
import ast
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SMALL = {
    "MAX_EPOCHS": 2,
    "PAPER_EPOCHS": 2,
    "N_CELLS": 300,
    "N_NEW": 600,  # more than one batch, so that there can be shards
    "N_DRAWS": 2,
    "N_REPEATS": 1,
    "REPEATS": 2,
    "DDPM_STEPS": [2, 3],
}


def main() -> None:
    """Run the notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="notebooks to run, without .ipynb; all if none")
    parser.add_argument("--write", action="store_true", help="run in full and write the outputs")
    args = parser.parse_args()
    paths = [FOLDER / f"{name}.ipynb" for name in args.names] or sorted(FOLDER.glob("*.ipynb"))
    # two at a time with one thread each: as fast on two cores as one with both, and less to wait for
    os.environ["OMP_NUM_THREADS"] = "1"
    with ThreadPoolExecutor(2) as pool:
        for path, seconds in zip(
            paths, pool.map(lambda p: run(p, args.write), paths), strict=True
        ):
            print(f"{path.name}: {seconds:.0f} s", flush=True)


def run(path: Path, write: bool) -> float:
    """Execute a notebook from top to bottom, and return the seconds; a cell that fails is an error."""
    notebook = nbformat.read(path, as_version=4)
    if not write:
        make_small(notebook, path.name)
    start = time.monotonic()
    client = NotebookClient(
        notebook, timeout=900, record_timing=False, resources={"metadata": {"path": str(FOLDER)}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise RuntimeError(f"{path.name} failed") from error
    if write:
        nbformat.write(notebook, path)
    return time.monotonic() - start


def make_small(notebook: nbformat.NotebookNode, name: str) -> None:
    """Insert a cell with smaller values after the one with the parameters.

    Raises
    ------
    ValueError
        If there is no such cell, or none of its parameters can be made smaller.
    """
    tagged = [
        i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())
    ]
    if len(tagged) != 1:
        raise ValueError(f"{name}: needs one cell with the tag 'parameters', has {len(tagged)}")
    code = ast.parse(notebook.cells[tagged[0]].source)
    names = [
        t.id
        for node in code.body
        if isinstance(node, ast.Assign)
        for t in node.targets
        if isinstance(t, ast.Name)
    ]
    lines = [f"{key} = {value!r}" for key, value in SMALL.items() if key in names]
    if not lines:
        raise ValueError(f"{name}: none of {', '.join(names)} is in SMALL of scripts/notebooks.py")
    notebook.cells.insert(tagged[0] + 1, nbformat.v4.new_code_cell("\n".join(lines)))


if __name__ == "__main__":
    main()
