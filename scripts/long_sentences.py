"""Mean sentence length of the pages that users read, and the longest sentences.

Ends with status 1 if the mean of a page is above the limit. Code, tables, headings and formulas do not count.

    python scripts/long_sentences.py
    python scripts/long_sentences.py docs/faq.md --show 5
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# benchmarks and research notes have no limit
NOTES = {
    "benchmarks.md",
    "design_note.md",
    "references.md",
    "api.md",
    "developer.md",
    "diffusion.md",
}
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
ITEM = re.compile(r"^\s*([-*]|\d+\.)\s+", re.MULTILINE)


def sentences(text: str) -> list[str]:
    """Sentences of a Markdown page, without markup."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = FENCE.sub("\n\n", text)
    text = re.sub(r"\$\$.*?\$\$", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)  # links and figures
    text = re.sub(r"\{\w+\}`([^`]*)`", r"\1", text)  # roles
    text = re.sub(r"`[^`]*`", "code", text)
    text = ITEM.sub("\n\n", text)
    found = []
    for block in re.split(r"\n\s*\n", text):
        block = block.strip()
        if not block or block[0] in "#|:{":
            continue
        for sentence in re.split(
            r"(?<=[.!?])[*\"')]*\s+(?=[\"'(*A-Z`0-9]|code)", " ".join(block.split())
        ):
            if len(sentence.split()) > 2:
                found.append(sentence)
    return found


def main() -> None:
    """Print the mean of each page, and its longest sentences if it is above the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "pages", type=Path, nargs="*", help="Markdown files [README and user pages]"
    )
    parser.add_argument("--limit", type=float, default=22, help="words of a mean sentence [22]")
    parser.add_argument("--longest", type=int, default=35, help="longer sentences are shown [35]")
    parser.add_argument("--show", type=int, default=3, help="sentences to show of a page [3]")
    args = parser.parse_args()

    pages = args.pages or [
        ROOT / "README.md",
        *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in NOTES),
    ]
    above = []
    for page in pages:
        found = sentences(page.read_text(encoding="utf-8"))
        words = [len(sentence.split()) for sentence in found]
        mean = sum(words) / max(len(words), 1)
        print(f"{mean:5.1f} words, {len(found):4} sentences  {page.name}")
        if mean > args.limit:
            above.append(page.name)
        longest = sorted(zip(words, found, strict=True), reverse=True)[: args.show]
        for n, sentence in longest:
            if n > args.longest:
                print(f"      {n}: {sentence}")
    if above:
        sys.exit(f"above {args.limit:g} words a sentence: {', '.join(above)}")


if __name__ == "__main__":
    main()
