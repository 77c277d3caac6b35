"""What a picture costs in every family: known counts, bounds, and shapes that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.errors import BudgetError, OptionError
from promptlift.tokens import (
    FAMILIES,
    PIXTRAL,
    Family,
    estimate_text_tokens,
    family,
    family_for_model,
)
from promptlift.types import Size

sides = st.integers(1, 8192)
every_family = pytest.mark.parametrize("name", FAMILIES)

# What the models' own code gives for these sizes, markers included.
TABLE: dict[str, dict[str, int]] = {
    "1280x720": {
        "pixtral": 2340,
        "pixtral-hf": 2340,
        "mistral-small": 1222,
        "mistral-small-hf": 1222,
        "qwen2-vl": 1198,
        "qwen2.5-vl": 1198,
        "cosmos-reason1": 1198,
        "qwen3-vl": 882,
        "cosmos-reason2": 882,
        "internvl3": 2306,
        "idefics3": 2227,
        "smolvlm2": 1083,
        "smolvlm2-small": 862,
        "gemma3": 260,
        "llava-next": 1948,
        "llava-onevision": 5967,
        "kimi-vl": 1079,
        "kimi-vl-2506": 1200,
        "glm-4v": 1198,
        "unknown": 5967,
    },
    "1x1": {
        "pixtral": 2,
        "qwen2.5-vl": 6,
        "qwen3-vl": 66,
        "internvl3": 258,
        "smolvlm2": 1416,
        "gemma3": 260,
        "kimi-vl": 5,
        "glm-4v": 11,
    },
    "16x2048": {
        "pixtral": 128,
        "mistral-small": 110,
        "qwen2.5-vl": 75,
        "internvl3": 3330,
        "idefics3": 860,
        "llava-next": 648,
        "kimi-vl": 78,
        "glm-4v": 130,
    },
    "8192x8192": {
        "pixtral": 4160,
        "mistral-small": 3080,
        "qwen2.5-vl": 16_386,
        "qwen3-vl": 16_386,
        "internvl3": 2562,
        "idefics3": 2912,
        "llava-onevision": 7371,
        "kimi-vl": 1028,
        "glm-4v": 7398,
    },
}
GOLDEN = [(size, name, count) for size, row in TABLE.items() for name, count in row.items()]


def tokens(counted: Family, width: int, height: int) -> int | None:
    """Tokens of an image; None where the family refuses the shape."""
    try:
        return counted.image(Size(width, height))
    except BudgetError:
        return None


@pytest.mark.parametrize(("size", "name", "count"), GOLDEN)
def test_the_table_of_known_counts(size: str, name: str, count: int) -> None:
    """Counts that were had from the models' own code."""
    width, height = map(int, size.split("x"))
    assert family(name).image(Size(width, height)) == count


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "glm-4v"])
@pytest.mark.parametrize("size", [Size(8000, 39), Size(39, 8000), Size(2010, 10)], ids=str)
def test_a_shape_that_the_processor_refuses_is_an_error_of_ours(name: str, size: Size) -> None:
    """More than 200 to 1 is refused with the size and a way out, as the model itself would."""
    with pytest.raises(BudgetError, match=rf"takes no picture of {size}: .*200 times.*Crop"):
        family(name).image(size)
    assert tokens(family(name), 8000, 40) is not None


@every_family
@pytest.mark.parametrize("system", ["", "Describe what you see."])
def test_a_turn_costs_its_text_and_a_little_more(name: str, system: str) -> None:
    """Longer text costs as much more, and markers never make up more than the template can."""
    counted = family(name)
    short = counted.chat(system, "a" * 10, 2, len)
    assert counted.chat(system, "a" * 50, 2, len) == short + 40
    assert short > 10 + len(system)
    assert short < 10 + len(system) + 720


def test_known_templates_come_to_the_known_counts() -> None:
    """ChatML with Qwen's own system text, counted by hand, and Gemma's turn."""
    assert family("qwen2.5-vl").chat("", "", 1, len) == 19
    assert family("qwen2.5-vl").chat("12345", "", 1, len) == 18
    assert family("gemma3").chat("", "", 1, len) == 9
    assert PIXTRAL.chat("", "", 1, len) == 3


@settings(max_examples=30)
@given(sides, sides)
def test_the_unknown_family_is_never_cheaper_than_a_known_one(width: int, height: int) -> None:
    """Nothing that is known costs more than what is taken for the unknown."""
    known = [tokens(each, width, height) or 0 for each in map(family, FAMILIES[:-1])]
    assert family("unknown").image(Size(width, height)) == max(known)
    chats = [
        family(name).chat("", "hi", 2, estimate_text_tokens)
        for name in FAMILIES
        if name != "mistral-small-hf"
    ]
    assert family("unknown").chat("", "hi", 2, estimate_text_tokens) == max(chats)


def test_a_family_that_nobody_knows_is_named() -> None:
    """The error lists what there is."""
    with pytest.raises(OptionError, match=r"'llama'.*pixtral, pixtral-hf, qwen2"):
        family("llama")


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("mistralai/Pixtral-12B-2409", "pixtral"),
        ("mistral-community/pixtral-12b", "pixtral-hf"),
        ("mistralai/Mistral-Small-3.1-24B-Instruct-2503", "mistral-small"),
        ("Qwen/Qwen2-VL-7B-Instruct", "qwen2-vl"),
        ("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", "qwen2.5-vl"),
        ("Qwen/Qwen2.5-7B-Instruct", None),
        ("nvidia/Cosmos-Reason1-7B", "cosmos-reason1"),
        ("/models/Cosmos-Reason2-8B", "cosmos-reason2"),
        ("Qwen/Qwen3-VL-30B-A3B-Instruct", "qwen3-vl"),
        ("OpenGVLab/InternVL3-8B", "internvl3"),
        ("HuggingFaceM4/Idefics3-8B-Llama3", "idefics3"),
        ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm2"),
        ("HuggingFaceTB/SmolVLM-256M-Instruct", "smolvlm2-small"),
        ("google/gemma-3-12b-it", "gemma3"),
        ("google/gemma-3n-E4B-it", None),
        ("llava-hf/llava-v1.6-mistral-7b-hf", "llava-next"),
        ("llava-hf/LLaVA-NeXT-Video-7B-hf", None),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava-onevision"),
        ("moonshotai/Kimi-VL-A3B-Instruct", "kimi-vl"),
        ("moonshotai/Kimi-VL-A3B-Thinking-2506", "kimi-vl-2506"),
        ("zai-org/GLM-4.1V-9B-Thinking", "glm-4v"),
        ("gpt-4o", None),
    ],
)
def test_a_model_is_known_by_its_name(model: str, known: str | None) -> None:
    """The usual names of checkpoints tell the family; look-alikes of another kind do not."""
    assert family_for_model(model) == known
    assert known is None or known in FAMILIES
