"""Looking for a pattern's strings first never hides one of its matches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.core.review import artefact, camera, clean, meta, shape
from promptlift.core.review.sought import Sought, needles

_CORPUS = Path(__file__).parents[1] / "corpus"


def _patterns() -> Iterator[Sought]:
    """Every pattern of the review that is sought."""
    for module in (artefact, camera, clean, meta, shape):
        for value in vars(module).values():
            yield from _inside(value)


def _inside(value: object) -> Iterator[Sought]:
    if isinstance(value, Sought):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _inside(one)
    elif isinstance(value, dict):
        yield from _inside(tuple(value.values()))


_PATTERNS = list(_patterns())
_ANSWERS = [
    json.loads(line)["answer"]
    for name in ("good", "bad", "repaired")
    for line in (_CORPUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_most_patterns_of_the_review_have_such_strings() -> None:
    """Else nothing would be spared: of some fifty patterns a handful must be tried each time."""
    assert len(_PATTERNS) > 45
    assert sum(not sought.needles for sought in _PATTERNS) <= 6


@pytest.mark.parametrize("sought", _PATTERNS, ids=lambda sought: sought.pattern.pattern[:40])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_a_pattern_matches_is_never_passed_over(sought: Sought, data: st.DataObject) -> None:
    """Texts made to match, in any case and with letters that fold to others, are looked at."""
    # What must stand before and what after is hard to make by chance, and takes no part in this.
    made = sought.pattern.pattern
    for around in (meta._SENTENCE, r"(?=(?:shot|filmed|taken|captured|recorded)\b)"):
        made = made.replace(around, "")
    text = data.draw(st.from_regex(re.compile(made, sought.pattern.flags)))
    assert sought.may_match(text), (sought.needles, text)


@pytest.mark.parametrize("sought", _PATTERNS, ids=lambda sought: sought.pattern.pattern[:40])
def test_on_the_corpus_it_finds_what_the_pattern_finds(sought: Sought) -> None:
    """Search, all matches and replacement are those of `re` on every answer of the corpus."""
    for answer in (*_ANSWERS, *map(str.upper, _ANSWERS), *map(str.title, _ANSWERS)):
        expected = [match.span() for match in sought.pattern.finditer(answer)]
        assert [match.span() for match in sought.finditer(answer)] == expected
        found = sought.search(answer)
        assert (None if found is None else found.span()) == (expected[0] if expected else None)
        assert sought.sub("", answer) == sought.pattern.sub("", answer)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("static", ("static",)),
        (r"\bstatic (?:camera|shot)\b", ("static ",)),
        (r"(?:static|fixed)\s+camera", ("camera",)),
        (r"(?:static|fixed)\s+\w+", ("fixed", "static")),
        (r"(?:very )?still", ("still",)),
        (r"(?:dog|cat)+?s", ("cat", "dog")),
        (r"(?:dog|\w)s", ()),
        (r"(?:frame|frames)\d", ("frame",)),
        (r"(?=frame)\w", ()),
        (r"[<|]s\W", ()),
        (r"</s>", ("</s>",)),
        (r"STRAßE", ("strasse",)),
        (r"(?:dogs?){0,2}", ()),
        (r"(?>dogs)|(?:cats)++", ("cats", "dogs")),
    ],
)
def test_the_strings_are_read_off_the_pattern(pattern: str, expected: tuple[str, ...]) -> None:
    """The longest that each way through the pattern must pass; none where one way has none."""
    assert needles(pattern) == expected


def test_letters_that_fold_to_an_i_are_found() -> None:
    """`re` takes the Turkish letters for an i where case is ignored, and so must the strings."""
    sought = Sought("video")
    for text in ("VIDEO", "vıdeo", "VİDEO", "video", "a vİdEo"):
        assert re.search("video", text, re.IGNORECASE)
        assert sought.search(text), text
    assert sought.search("radio") is None
