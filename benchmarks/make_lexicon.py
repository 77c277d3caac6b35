"""Pack what the review needs of Princeton WordNet 3.0 into one small file.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    python benchmarks/make_lexicon.py wordnet/usr/share/wordnet

The table holds the concrete nouns with their synsets and first hypernyms, and of every word its
usual part of speech and, where it is a form of another word, its lemma. The format is described in
`promptlift.review.lexicon`, which reads it.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from promptlift.language import ENGLISH_FUNCTION_WORDS
from promptlift.review.lexicon import ENDINGS

TABLE = Path(__file__).parents[1] / "src/promptlift/review/lexicon.txt.z"
# Lexicographer files of what can be seen (man 5 lexnames), and what the table calls their kind.
KINDS = {5: "animal", 6: "artifact", 8: "body", 11: "event", 13: "food", 14: "group"}
KINDS |= {15: "location", 17: "object", 18: "person", 19: "phenomenon", 20: "plant", 25: "shape"}
KINDS |= {27: "substance"}
# The tops of the hierarchy have a file of their own, and the name of a kind.
TOPS = set(KINDS.values()) - {"body", "object"}
WORD = re.compile(r"[a-z][a-z'-]*(?:_[a-z'-]+)?")
MOST_SENSES = 4
SINGLE_WORD = re.compile(r"[a-z][a-z'-]*")
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
TAGGED_PARTS = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
# A form that is a word of its own too ("painting") stays one where texts have it often enough
# beside the word that it is a form of: so many times, and this share.
FEWEST_OWN = 3
LEAST_SHARE, LEAST_SHARE_IN_S = 0.1, 1


def index(folder: Path, part: str) -> dict[str, list[str]]:
    """Synset offsets of each lemma, the most usual sense first."""
    lemmas = {}
    for line in (folder / f"index.{part}").read_text("ascii").splitlines():
        if not line.startswith(" "):
            lemma, _, senses, *rest = line.split()
            lemmas[lemma] = rest[-int(senses) :]
    return lemmas


class Synset(NamedTuple):
    """A synset of nouns."""

    kind: str
    names: list[str]
    above: list[str]
    is_instance: bool


def synsets_of_nouns(folder: Path) -> dict[str, Synset]:
    """The synsets by their offset."""
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
        kind = KINDS.get(int(fields[1])) or (spelled[0] if spelled[0] in TOPS else "")
        synsets[fields[0]] = Synset(kind, spelled, above, instance)
    return synsets


def nouns(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """A line for each synset of what can be seen, and the senses of each noun."""
    synsets = synsets_of_nouns(folder)
    ranked: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for lemma, offsets in index(folder, "noun").items():
        for rank, offset in enumerate(offsets[:MOST_SENSES], 1):
            synset = synsets[offset]
            visible = synset.kind and not synset.is_instance and lemma in synset.names
            if visible and WORD.fullmatch(lemma):
                ranked[offset][lemma] = rank
    keys: dict[str, str] = {}
    lines: list[str] = []
    senses: defaultdict[str, list[str]] = defaultdict(list)

    def key(offset: str) -> str:
        kind, spelled, above, _ = synsets[offset]
        if not kind:
            return ""
        if offset not in keys:
            parent = key(above[0]) if above else ""
            keys[offset] = f"#{len(keys):05}"
            # A synset that only leads upwards still has a name.
            names = ranked.get(offset) or {spelled[0].lower(): 9}
            for name, rank in names.items():
                senses[name].append(f"{rank}:{keys[offset]}")
            lines.append("\t".join([keys[offset], kind, parent, *names]))
        return keys[offset]

    for offset in sorted(ranked):
        key(offset)
    return lines, senses


def tagged_counts(folder: Path) -> defaultdict[str, Counter[str]]:
    """How often each lemma is each part of speech in WordNet's tagged texts, 0 for never."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in (folder / "cntlist.rev").read_text("ascii").splitlines():
        key, _, count = line.split()
        lemma, _, rest = key.partition("%")
        counts[lemma][TAGGED_PARTS[rest[0]]] += int(count)
    for letter, part in PARTS.items():
        for lemma in index(folder, part):
            counts[lemma][letter] += 0
    return counts


def exceptions(folder: Path, part: str) -> dict[str, str]:
    """The lemma of each irregular form."""
    rows = (line.split() for line in (folder / f"{part}.exc").read_text("ascii").splitlines())
    return {form: lemma for form, lemma, *_ in rows}


def bases(
    word: str, counts: dict[str, Counter[str]], irregular: dict[str, dict[str, str]]
) -> list[tuple[int, str]]:
    """The lemmas that a word can be a form of, and how often texts have each."""
    found = []
    for letter, endings in ENDINGS.items():
        base = irregular[letter].get(word)
        for ending in endings if base is None else ():
            old, _, new = ending.partition(":")
            regular = word.removesuffix(old) + new
            if (
                word.endswith(old)
                and len(word) > len(old) + 1
                and letter in counts.get(regular, ())
            ):
                base = regular
                break
        if base not in (None, word):
            found.append((counts.get(base, Counter())[letter], base))
    return found


def lemma_of(
    word: str, counts: dict[str, Counter[str]], irregular: dict[str, dict[str, str]]
) -> str:
    """The lemma of a word; empty where that is itself."""
    found = bases(word, counts, irregular)
    if not found:
        return ""
    count, lemma = max(found, key=lambda one: one[0])
    if word in ENGLISH_FUNCTION_WORDS or len(word) < 3:
        return lemma if lemma in ("be", "do", "have") else ""
    own = counts.get(word, Counter())
    is_gerund = word.endswith("ing")
    times = 0 if word.endswith("ed") else own["n"] if is_gerund or word[-1] == "s" else own.total()
    share = LEAST_SHARE_IN_S if word[-1] == "s" else LEAST_SHARE
    return "" if times >= max(FEWEST_OWN, share * count) else lemma


def word_lines(folder: Path, senses: dict[str, list[str]]) -> list[str]:
    """A line for each word: usual part of speech, all parts, lemma and senses."""
    counts = tagged_counts(folder)
    irregular = {letter: exceptions(folder, PARTS[letter]) for letter in ENDINGS}
    words = {word for word in counts if SINGLE_WORD.fullmatch(word)}
    words.update(form for forms in irregular.values() for form in forms if form.isalpha())
    lines = []
    for word in words | senses.keys():
        parts = counts.get(word, Counter())
        usual = "n" if word in senses else ""
        lemma = ""
        if SINGLE_WORD.fullmatch(word):
            lemma = lemma_of(word, counts, irregular)
            most = max(parts.values(), default=0)
            common = [part for part in "var" if parts.get(part) == most]
            usual = common[-1] if common and (most or "n" not in parts) else usual
        lines.append("\t".join([word, usual, "".join(sorted(parts)), lemma, *senses.get(word, ())]))
    return lines


def main() -> None:
    """Write the table."""
    folder = Path(sys.argv[1])
    synsets, senses = nouns(folder)
    lines = [line.replace("_", " ") for line in [*synsets, *word_lines(folder, senses)]]
    TABLE.write_bytes(zlib.compress("\n".join([*sorted(lines), ""]).encode("ascii"), 9))
    print(f"{TABLE}: {TABLE.stat().st_size:,} bytes, {len(lines):,} lines")


if __name__ == "__main__":
    main()
