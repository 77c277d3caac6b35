"""The token formulas against what the real llama.cpp counts, on towers of random weights.

llama.cpp prepares pictures with its own code, so a formula of a model's own processor may be
wrong for it. Too high a prediction costs a little size; too low a one may overflow the context.
Real checkpoints were not run: their sizes and limits are what decides, and those are copied here.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction

import numpy as np
import pytest

from promptlift.engines import LlamaCppEngine, LlamaCppSettings, Request
from promptlift.tokens import family
from promptlift.types import Frame, Sampling, Size
from stubs.gguf_models import TEMPLATE_TOKENS, Pair, pair

pytest.importorskip("xllamacpp", exc_type=ImportError)

SIZES = (Size(640, 480), Size(1280, 720), Size(320, 180), Size(1024, 576), Size(333, 777))


def counted(files: Pair, sizes: tuple[Size, ...], **options: str) -> list[int]:
    """Tokens that llama.cpp takes for a picture of each size, its markers included."""

    async def session() -> list[int]:
        engine = LlamaCppEngine(
            LlamaCppSettings(model=files.model, mmproj=files.mmproj, threads=1, **options)  # type: ignore[arg-type]
        )
        try:
            return [await _tokens(engine, size) for size in sizes]
        finally:
            await engine.close()

    return asyncio.run(session())


async def _tokens(engine: LlamaCppEngine, size: Size) -> int:
    image = np.full((size.height, size.width, 3), 90, np.uint8)
    frame = Frame(Fraction(0), image, wanted=Fraction(0))
    answer = await engine.complete(Request("hi", (frame,), sampling=Sampling(max_tokens=1)))
    assert answer.prompt_tokens is not None
    return answer.prompt_tokens - TEMPLATE_TOKENS - len("hi")


def predicted(name: str, sizes: tuple[Size, ...]) -> list[int]:
    """What the family's formula says."""
    return [family(name).image(size) for size in sizes]


def test_pixtral_in_whole_patches_is_exact() -> None:
    """For sizes as they are planned (whole patches, up to 1024) nothing differs."""
    random = np.random.default_rng(5)
    sizes = tuple(Size(*(int(16 * n) for n in random.integers(1, 60, 2))) for _ in range(12))
    assert counted(pair(), sizes) == predicted("pixtral", sizes)


def test_mistral_small_in_whole_squares_is_exact() -> None:
    """Its squares of merged patches are of 28 pixels, and its side is 1540."""
    random = np.random.default_rng(6)
    sizes = tuple(Size(*(int(28 * n) for n in random.integers(1, 56, 2))) for _ in range(8))
    assert counted(pair(tower="pixtral merged"), sizes) == predicted("mistral-small", sizes)


def test_smolvlm_is_exact() -> None:
    """Its tiles, their markers and the line breaks between rows are counted as planned."""
    assert counted(pair(tower="idefics3"), SIZES) == predicted("smolvlm2-small", SIZES)


def test_gemma_is_a_little_less() -> None:
    """llama.cpp leaves out the line breaks around each picture."""
    assert counted(pair(tower="gemma3"), SIZES) == [most - 2 for most in predicted("gemma3", SIZES)]


@pytest.mark.parametrize(
    ("tower", "name"), [("qwen2vl_merger", "qwen2-vl"), ("qwen2.5vl_merger", "qwen2.5-vl")]
)
def test_qwen_is_exact_but_for_halves(tower: str, name: str) -> None:
    """Where a side is just between two steps of 28 pixels, llama.cpp rounds it up."""
    half = Size(854, 480)
    assert half.width % 28 == 14
    assert not any(side % 28 == 14 for size in SIZES for side in (size.width, size.height))
    *theirs, more = counted(pair(tower=tower), (*SIZES, half))
    *ours, fewer = predicted(name, (*SIZES, half))
    assert theirs == ours
    assert more - fewer == round(half.height / 28)


def test_qwen3_is_exact_but_for_halves_and_small_pictures() -> None:
    """Its steps are of 32 pixels; below 256 x 256 it is planned dearer than llama.cpp has it."""
    sizes = (Size(640, 480), Size(1000, 300), Size(333, 777))
    half, small = Size(1280, 720), Size(320, 180)
    *theirs, more, little = counted(pair(tower="qwen3vl_merger"), (*sizes, half, small))
    *ours, fewer, much = predicted("qwen3-vl", (*sizes, half, small))
    assert theirs == ours
    assert more - fewer == half.width / 32
    assert little < much


def test_small_pictures_cost_qwen_more_than_is_planned() -> None:
    """llama.cpp enlarges what is below 8 tokens; the difference is a few tokens a picture."""
    tiny = (Size(64, 48), Size(30, 30))
    theirs = counted(pair(tower="qwen2vl_merger"), tiny)
    ours = predicted("qwen2-vl", tiny)
    assert all(0 < more - few <= 8 for more, few in zip(theirs, ours, strict=True))


def test_internvl_is_planned_as_unknown() -> None:
    """llama.cpp cuts tiles otherwise than InternVL does; the formula for the unknown is enough."""
    ours = predicted("internvl3", SIZES)
    theirs = counted(pair(tower="internvl"), SIZES)
    assert any(more > few for more, few in zip(theirs, ours, strict=True))
    assert all(few <= many for few, many in zip(theirs, predicted("unknown", SIZES), strict=True))
