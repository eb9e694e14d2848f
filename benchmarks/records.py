"""What a benchmark has measured: kept as JSON, and as a Markdown table that the docs include."""

import json
from collections.abc import Sequence
from pathlib import Path

from fragments import pipes, write_fragment

RESULTS = Path(__file__).parent / "control"


def write(name: str, rows: Sequence[dict], digits: int = 2) -> None:
    """Write rows, dictionaries with the same keys, to ``<name>.json`` and ``<name>.md``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    )
    keys = list(rows[0])
    table = pipes([keys, *([_text(row[key], digits) for key in keys] for row in rows)])
    write_fragment(name, table)
    print(table, flush=True)


def _text(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
