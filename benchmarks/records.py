"""What a benchmark has measured: kept as JSON, and as a Markdown table that the docs include."""

import json
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "control"
FIGURES = ROOT / "docs" / "figures"


def write(name: str, rows: Sequence[dict], digits: int = 2) -> None:
    """Write rows, dictionaries with the same keys, to ``<name>.json`` and ``<name>.md``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    )
    keys = list(rows[0])
    lines = [keys, ["---", *["---:"] * (len(keys) - 1)]]
    lines += [[_text(row[key], digits) for key in keys] for row in rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (FIGURES / f"{name}.md").write_text(table + "\n")
    print(table, flush=True)


def _text(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
