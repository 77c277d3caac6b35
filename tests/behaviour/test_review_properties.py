"""What holds of a review whatever the answer and the prompt are."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptlift.review import CHECKS, clean_answer, review
from promptlift.targets import TARGET_NAMES, target

# Pieces that the patterns of the review look for, in any order, with arbitrary text between them.
_PIECES = (
    *("◁think▷", "</seed:think>", "<|channel|>final<|message|>", "<unused94>", "\\boxed{a}", "~~~"),
    *("As the video progresses, ", "<prompt>", "</prompt>", "Negative prompt: ", "„"),
    *("<think>", "</think>", "<answer>", "</answer>", "```", "**", "*", "_", "`", "\n", "\n\n"),
    *(
        "# ",
        "- ",
        "1. ",
        "Prompt: ",
        "Here is the prompt: ",
        "Sure! ",
        '"',
        "“",
        "”",
        "'",
        "{",
        "}",
    ),
    *("The video shows ", "In this video, ", "we can see ", "a dog", "A dog runs. ", "no people"),
    *("two red cars", "Note: ", " in the video", "the image is", "[INST]", "<|im_end|>", "</s>"),
    *("\x00", "\ud800", "\ufffd", "\u200b", "狗在跑", "собака ", "Let me know", "(12 words)", ": "),
    *('{"prompt": "a dog"}', "camera pans left ", "static camera ", "[a](b)", "I'm sorry", "..."),
)
_TEXTS = st.one_of(
    st.text(alphabet=st.characters(), max_size=200),
    st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=8)), max_size=14).map("".join),
)
_REASONS = st.sampled_from(["stop", "length", "other", "abort"])


@given(answer=_TEXTS, prompt=_TEXTS, reason=_REASONS, name=st.sampled_from(TARGET_NAMES))
@settings(max_examples=150)
@example(answer="\ud800", prompt="\udfff", reason="stop", name="wan-2.2")
@example(answer='{"prompt": "\\ud800"}', prompt="", reason="stop", name="wan-2.2")
def test_any_answer_gets_a_review_whose_parts_agree(
    answer: str, prompt: str, reason: str, name: str
) -> None:
    """No text makes a review fail; it lists every check, and the verdict follows from them."""
    result = review(answer, finish_reason=reason, short_prompt=prompt, target=target(name))
    assert tuple(check.name for check in result.checks) == CHECKS
    passed = all(check.passed for check in result.checks)
    repaired = any(check.repaired for check in result.checks)
    assert result.verdict == ("rejected" if not passed else "repaired" if repaired else "ok")
    assert (result.failed == ()) == passed
    result.text.encode()
    for finding in result.findings:
        start, end = finding.span or (0, 0)
        assert 0 <= start <= end <= len(result.text)


@given(answer=_TEXTS, prompt=_TEXTS)
@settings(max_examples=150)
def test_cleaning_twice_is_cleaning_once(answer: str, prompt: str) -> None:
    """A cleaned answer is clean: nothing more is taken off it."""
    once = clean_answer(answer, prompt)
    twice = clean_answer(once.text, prompt)
    assert twice.text == once.text
    assert twice.removed == ()
    assert twice.invisible == 0


@pytest.mark.parametrize(
    "words",
    [
        "The video shows a sign: **OPEN**. In the video, it rains.",
        "Prompt: a dog, *very* wet",
        "1. a dog\n2. a cat",
        "we see a dog  on the beach",
        '"Stop" says the man',
        "note: the dog is wet",
    ],
)
def test_the_users_words_stay_as_typed(words: str) -> None:
    """Where an answer holds them, cleaning leaves them alone, line breaks and all."""
    answer = f"{words} The camera stays where it is."
    assert clean_answer(answer, words, target("wan-2.2")).text == answer


@pytest.mark.parametrize(
    "unit",
    [
        *("a ", "<think>", "**a", "\n# ", "\n1. ", '{"a":', "The video shows ", "Prompt: ", "[a]("),
        *(
            "I cannot ",
            "camera pans ",
            "white lines ",
            "no people ",
            "two red cars ",
            "1,",
            "| a |",
        ),
        *("In this video" + " " * 500, "\ud800", "\u200b", "한", "é", "aaaa", "not ", "free of "),
    ],
)
def test_fifty_thousand_hostile_characters_are_reviewed(unit: str) -> None:
    """Length alone is no trouble: a pattern that went wild would run into the suite's timeout."""
    text = (unit * (50_000 // len(unit) + 1))[:50_000]
    result = review(text, finish_reason="stop", short_prompt=text, target=target())
    assert result.verdict == "rejected"
