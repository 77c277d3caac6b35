"""Pack what the review needs of Princeton WordNet 3.0 into one small file.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    python benchmarks/make_lexicon.py wordnet/usr/share/wordnet

The table holds the concrete nouns with their synsets and first hypernyms, and for each other word
its usual part of speech. Its format is described in `promptlift.review.lexicon`, which reads it.
"""

from __future__ import annotations

import lzma
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

TABLE = Path(__file__).parents[1] / "src/promptlift/review/lexicon.txt.xz"
# Lexicographer files (man 5 lexnames) of what can be seen, by their letter in the table.
KINDS = {5: "a", 6: "t", 8: "b", 11: "e", 13: "f", 14: "g", 15: "l", 17: "o", 18: "p"}
KINDS |= {19: "n", 20: "v", 25: "s", 27: "u"}
# The tops of the hierarchy have a file of their own.
TOPS = {"person": "p", "animal": "a", "plant": "v", "artifact": "t", "food": "f", "substance": "u"}
TOPS |= {"location": "l", "group": "g", "shape": "s", "phenomenon": "n", "event": "e"}
WORD = re.compile(r"[a-z][a-z'-]*(?:_[a-z'-]+)?")
MOST_SENSES = 4
PARTS_OF_SPEECH = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}


def index(folder: Path, part: str) -> dict[str, list[str]]:
    """Synset offsets of each lemma, the most usual sense first."""
    lemmas = {}
    for line in (folder / f"index.{part}").read_text("ascii").splitlines():
        if not line.startswith(" "):
            lemma, _, senses, *rest = line.split()
            lemmas[lemma] = rest[-int(senses) :]
    return lemmas


def noun_lines(folder: Path) -> list[str]:
    """A line a synset, after the synset that it is a kind of: kind, hypernym's line, lemmas."""
    synsets = {}
    for line in (folder / "data.noun").read_text("ascii").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split(" | ")[0].split()
        names = 4 + 2 * int(fields[3], 16)
        pointers = range(names + 1, names + 1 + 4 * int(fields[names]), 4)
        above = [fields[at + 1] for at in pointers if fields[at] == "@"]
        instance = any(fields[at] == "@i" for at in pointers)
        spelled = fields[4:names:2]
        kind = KINDS.get(int(fields[1])) or TOPS.get(spelled[0], "")
        synsets[fields[0]] = (kind, spelled, above, instance)
    ranked: defaultdict[str, list[str]] = defaultdict(list)
    for lemma, offsets in index(folder, "noun").items():
        for rank, offset in enumerate(offsets[:MOST_SENSES], 1):
            kind, spelled, _, instance = synsets[offset]
            if kind and not instance and lemma in spelled and WORD.fullmatch(lemma):
                ranked[offset].append(lemma if rank == 1 else f"{lemma}:{rank}")
    numbers: dict[str, int] = {}
    lines: list[str] = []

    def number(offset: str) -> str:
        kind, spelled, above, _ = synsets[offset]
        if not kind:
            return ""
        if offset not in numbers:
            parent = number(above[0]) if above else ""
            numbers[offset] = len(lines)
            # A synset that only leads upwards still has a name.
            names = ranked.get(offset) or [f"{spelled[0].lower()}:9"]
            lines.append(f"{kind}{parent} {' '.join(names)}")
        return str(numbers[offset])

    for offset in sorted(ranked):
        number(offset)
    return lines


def other_words(folder: Path) -> list[str]:
    """For verbs, adjectives and adverbs a line each: words that are that most of the time."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in (folder / "cntlist.rev").read_text("ascii").splitlines():
        key, _, count = line.split()
        lemma, _, rest = key.partition("%")
        counts[lemma][PARTS_OF_SPEECH[rest[0]]] += int(count)
    for part, letter in (("noun", "n"), ("verb", "v"), ("adj", "a"), ("adv", "r")):
        for lemma in index(folder, part):
            counts[lemma][letter] += 0
    lines = []
    for letter in "var":
        words = (
            lemma
            for lemma, parts in counts.items()
            if re.fullmatch(r"[a-z][a-z'-]*", lemma)
            and letter in parts
            and parts[letter] == max(parts.values())
            and (parts[letter] > 0 or "n" not in parts)
        )
        lines.append(f"{letter} {' '.join(sorted(words))}")
    return lines


def main() -> None:
    """Write the table."""
    folder = Path(sys.argv[1])
    text = "\n".join([*other_words(folder), *noun_lines(folder)]) + "\n"
    TABLE.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{TABLE}: {TABLE.stat().st_size:,} bytes, {text.count(chr(10)):,} lines")


if __name__ == "__main__":
    main()
