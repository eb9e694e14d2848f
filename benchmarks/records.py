"""What a benchmark has measured: kept as JSON, and as a Markdown table that the docs include."""

import json
from collections.abc import Sequence
from pathlib import Path

from fragments import pipes, write_fragment

RESULTS = Path(__file__).parent / "control"


def read_results(path: Path) -> list[dict]:
    """Return the rows in a file of results, none if there is no such file."""
    return json.loads(path.read_text()) if path.exists() else []


def write_results(rows: Sequence[dict], path: Path) -> None:
    """Write one row on a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def write(name: str, rows: Sequence[dict], digits: int = 2) -> None:
    """Write rows, dictionaries with the same keys, to ``<name>.json`` and ``<name>.md``."""
    write_results(rows, RESULTS / f"{name}.json")
    keys = list(rows[0])
    table = pipes([keys, *([_text(row[key], digits) for key in keys] for row in rows)])
    write_fragment(name, table)
    print(table, flush=True)


def _text(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
