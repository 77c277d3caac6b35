"""The generators that prompts are written for, their limits, and the estimate of a length."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from promptlift.errors import OptionError
from promptlift.options import Options
from promptlift.targets import all_targets, estimate_tokens, read_target, target
from promptlift.tokens.text import estimate

_CORPUS = Path(__file__).parents[1] / "corpus"


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_CORPUS / name).read_text("utf-8").splitlines()]


def _counted(name: str) -> list[Any]:
    """Those that the encoders' own tokenizers have counted."""
    return [case for case in _lines(name) if "tokens" in case]


def test_every_target_says_where_its_limit_comes_from_and_advises_what_fits() -> None:
    """A source names a file and a line, and the longest prompt advised is within the limit."""
    assert len(all_targets()) >= 11
    for item in all_targets():
        assert ":" in item.source
        assert 0 < item.min_words < item.max_words
        # English takes 1.3 tokens a word in these encoders.
        assert item.max_words * 1.3 <= item.limit


@pytest.mark.parametrize(
    "name", ["Cosmos-Transfer1", "cosmos_transfer1", " cosmos transfer1 ", "cosmostransfer1"]
)
def test_case_blanks_and_underscores_do_not_matter(name: str) -> None:
    """A target is found however its name is typed."""
    assert target(name).name == "cosmos-transfer1"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("cosmos-tranfer1", "cosmos-transfer1"),
        ("hunyan-video", "hunyuan-video"),
        ("lxt-2", "ltx-2"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    """The error quotes what was typed and asks whether the nearest name was meant."""
    with pytest.raises(OptionError) as caught:
        target(typed)
    assert repr(typed) in caught.value.message
    assert caught.value.remedy == f"did you mean {meant!r}"


def test_part_of_a_name_is_answered_with_all_that_begin_so() -> None:
    """Which of two versions is meant is not guessed."""
    with pytest.raises(OptionError) as caught:
        target("cosmos-predict")
    assert caught.value.remedy == "did you mean 'cosmos-predict1' or 'cosmos-predict2.5'"


def test_versions_that_want_the_same_are_one_target() -> None:
    """Each is found by its own name, and no two targets claim one."""
    assert target("Wan 2.1") is target("wan") is target("wan-2.2")
    names = [name for goal in all_targets() for name in (goal.name, *goal.versions)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("encoder", ["t5", "qwen2.5", "llama3", "gemma3"])
def test_the_estimate_is_never_below_the_truth_on_prose(encoder: str) -> None:
    """On paragraphs in 25 languages and on every good answer, the real tokenizers count less.

    The true counts in the corpus were made once with the encoders' own tokenizers.
    """
    for case in _counted("token_counts.jsonl") + _counted("good.jsonl"):
        text = case.get("text") or case["answer"]
        assert estimate(text, encoder) >= case["tokens"][encoder], text[:60]


@pytest.mark.parametrize("encoder", ["t5", "qwen2.5", "llama3", "gemma3"])
def test_the_estimate_of_english_is_not_far_above_the_truth(encoder: str) -> None:
    """English prompts are not rejected for an estimate that is half as long again."""
    for case in _counted("good.jsonl"):
        if case["answer"].isascii():
            assert estimate(case["answer"], encoder) <= 1.5 * case["tokens"][encoder] + 1


def test_a_prompt_of_the_advised_length_passes_by_estimate() -> None:
    """For every target, English of the most words advised is estimated within the limit."""
    words = " ".join(case["answer"] for case in _lines("good.jsonl") if case["answer"].isascii())
    for item in all_targets():
        prompt = " ".join(words.split()[: item.max_words])
        assert estimate_tokens(prompt, item) <= item.limit, item.name


_OWN = """
name = "studio"
encoder = "t5"
limit = 300
unit = "T5 tokens"
source = "our own service"
min_words = 20
max_words = 90
shot = true
"""


def test_a_users_own_target_is_read_from_a_file(tmp_path: Path) -> None:
    """A record tells it from others of that name, and it travels to other processes."""
    file = tmp_path / "studio.toml"
    file.write_text(_OWN)
    goal = read_target(file)
    assert (goal.name, goal.limit, goal.max_words, goal.shot) == ("studio", 300, 90, True)
    assert goal.label == f"studio@{goal.digest}"
    options = Options(target=file)
    assert pickle.loads(pickle.dumps(options)).target == goal
    assert options.model_dump(mode="json")["target"] == goal.label


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (_OWN.replace("limit = 300", "limit = 'many'"), "limit"),
        (_OWN + "colour = 1", "colour"),
        (_OWN.replace("min_words = 20", "min_words = 200"), "min_words is 200"),
        (_OWN.replace("name =", "name ="[:-1]), "line 2"),
    ],
)
def test_a_wrong_contract_is_one_line(text: str, named: str, tmp_path: Path) -> None:
    """The message names the field or the line."""
    file = tmp_path / "studio.toml"
    file.write_text(text)
    with pytest.raises(OptionError, match=named):
        read_target(file)
