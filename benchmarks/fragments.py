"""Tables for pages of the documentation, which include them as files."""

from pathlib import Path

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def write_fragment(name: str, text: str) -> None:
    """Write a Markdown fragment that a page includes."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.md").write_text(text)


def pipes(lines: list[list[str]]) -> str:
    """Return a Markdown table; the first line is its head."""
    rule = "|---" + "|---:" * (len(lines[0]) - 1) + "|"
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([rows[0], rule, *rows[1:]]) + "\n"
