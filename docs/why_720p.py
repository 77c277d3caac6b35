"""Writes ``concepts/why-720p-fails.md`` and its picture: every number on the page comes from here.

``python docs/why_720p.py`` after a change of a formula, a default or the template. A test holds
the page up to date and the template free of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from promptlift.cosmos import transfer1_check as rules
from promptlift.engines.settings import VLLM_CONTEXT as OWN_CONTEXT
from promptlift.engines.vllm.checkpoint import KVCacheShape
from promptlift.planning import DEFAULT_CONTEXT, DEFAULT_RESERVE, plan
from promptlift.sweep import LADDER, SweepRow, predict
from promptlift.tokens import PIXTRAL
from promptlift.tokens.text import counter_for
from promptlift.types import Size, fit

FOLDER = Path(__file__).parent / "concepts"
TEMPLATE = FOLDER / "why-720p-fails.template"
PAGE = FOLDER / "why-720p-fails.md"
PICTURE = FOLDER / "why-720p-fails.svg"
NOTE = "<!-- Written by docs/why_720p.py from why-720p-fails.template; do not edit. -->\n"

PROMPT = "Test prompt"
# NVIDIA's examples/inference_cosmos_transfer1_7b.md:177.
EXAMPLE = "Robotic arms hand over a coffee cup to a woman in a modern office."
SMALL, VGA, HD = Size(320, 180), Size(640, 480), Size(1280, 720)
TALL, SQUARE = Size(704, 1280), Size(1024, 1024)
FRAMES = 2
KIB, MIB, GIB = 2**10, 2**20, 2**30
# params.json of Pixtral-12B, and of the fine-tune: 40 layers, 8 key-value heads of 128.
PIXTRAL_12B = KVCacheShape(bytes_per_token=2 * 2 * 40 * 8 * 128, longest=128_000)


def page() -> str:
    """The whole page."""
    values = facts()
    text = TEMPLATE.read_text(encoding="utf-8")
    return NOTE + re.sub(r"{{(\w+)}}", lambda match: values[match[1]], text)


def facts() -> dict[str, str]:
    """Every number and every generated part, by the name that the template has for it."""
    return _sizes() | _limits() | _rules() | {"errors": _errors(), "table": _table()}


def _tokens(size: Size, prompt: str = PROMPT) -> int:
    chat = PIXTRAL.chat("", prompt, FRAMES, counter_for(PIXTRAL))
    return PIXTRAL.prompt(size, FRAMES, chat)


def _number(value: float) -> str:
    return f"{value:,}"


def _sizes() -> dict[str, str]:
    count = counter_for(PIXTRAL)
    planned = plan(HD, PROMPT).chosen
    assert PIXTRAL.max_side is not None
    widest, roomy = _widest(1), _widest(DEFAULT_RESERVE)
    almost = DEFAULT_CONTEXT - 50
    return {
        "patch": str(PIXTRAL.unit),
        "side": str(PIXTRAL.max_side),
        "markers": str(PIXTRAL.chat("", "", FRAMES, count)),
        "prompt": PROMPT,
        "prompt_tokens": str(count(PROMPT)),
        "example_prompt_tokens": str(count(EXAMPLE)),
        "hd_tokens": _number(_tokens(HD)),
        "hd_plain": str(_tokens(HD)),
        "hd_example": _number(_tokens(HD, EXAMPLE)),
        "hd_example_plain": str(_tokens(HD, EXAMPLE)),
        "hd_plan": str(planned.size),
        "hd_plan_tokens": _number(planned.prompt_tokens),
        "vga_tokens": _number(_tokens(VGA)),
        "vga_example": _number(_tokens(VGA, EXAMPLE)),
        "vga_example_room": _number(DEFAULT_CONTEXT - _tokens(VGA, EXAMPLE)),
        "small_tokens": _number(_tokens(SMALL)),
        "gain": f"{planned.size.pixels / SMALL.pixels:.0f}",
        "widest": str(widest),
        "widest_roomy": str(roomy),
        "square": _number(FRAMES * PIXTRAL.image(SQUARE)),
        "almost": _number(almost),
        "almost_room": str(DEFAULT_CONTEXT - almost),
        "worked": "\n".join(_worked(size) for size in (HD, VGA)),
    }


def _widest(room: int) -> Size:
    """The largest frame of 16:9 below the side that leaves so much of the context."""
    passing = [
        size
        for width in range(320, 1025)
        for size in [fit(Size(3840, 2160), Size(width, width))]
        if _tokens(size) + room <= DEFAULT_CONTEXT
    ]
    return max(passing)


def _worked(size: Size) -> str:
    assert PIXTRAL.max_side is not None
    shrunk = fit(size, Size(PIXTRAL.max_side, PIXTRAL.max_side))
    columns, rows = -(-shrunk.width // PIXTRAL.unit), -(-shrunk.height // PIXTRAL.unit)
    each = rows * (columns + 1)
    assert each == PIXTRAL.image(size)
    whole = _tokens(size)
    text = whole - FRAMES * each
    first = f"{size} is shrunk to {shrunk}" if shrunk != size else f"{size} stays as it is"
    return (
        f"- {first}: {columns} columns and {rows} rows, {rows} × ({columns} + 1) = {each:,} tokens "
        f'a frame. Two frames and "{PROMPT}": 2 × {each:,} + {text} = **{whole:,}**.'
    )


def _limits() -> dict[str, str]:
    assert rules.CONTEXT == DEFAULT_CONTEXT
    assert rules.RESERVE == DEFAULT_RESERVE
    return {
        "context": _number(DEFAULT_CONTEXT),
        "context_plain": str(DEFAULT_CONTEXT),
        "reserve": str(DEFAULT_RESERVE),
        "own": _number(OWN_CONTEXT),
        "longest": _number(PIXTRAL_12B.longest),
        "per_token": f"{PIXTRAL_12B.bytes_per_token // KIB} KiB",
        "memory": _memory(),
    }


def _memory() -> str:
    lines = ["| context | GPU memory for it | 16:9 is shown at |", "|---:|---:|---:|"]
    for context in (DEFAULT_CONTEXT, OWN_CONTEXT):
        taken = context * PIXTRAL_12B.bytes_per_token
        size = plan(HD, PROMPT, context=context).size
        amount = f"{taken / GIB:.2f} GiB" if taken >= GIB else f"{taken // MIB} MiB"
        lines.append(f"| {context:,} | {amount} | {size} |")
    return "\n".join(lines)


def _rules() -> dict[str, str]:
    def cited(file: str, lines: str) -> str:
        return f"`{file.rpartition('/')[2]}:{lines}`"

    made = rules.control_size(HD)
    assert _tokens(made) == _tokens(HD)
    try:
        rules.control_size(TALL)
    except rules.CheckEnd as end:
        odd = re.search(r"is (\d+x\d+),", end.finding.text)
    assert odd is not None
    return {
        "box": str(rules.BOX),
        "made_hd": str(made),
        "made_tall": odd[1],
        "rule_choice": cited(rules.PIPELINE, "264-271"),
        "rule_made": cited(rules.AUGMENTORS, "104-125"),
        "rule_none": cited(rules.UPSAMPLER, "96-105"),
        "rule_ignored": cited(rules.PIPELINE, "264-277"),
        "rule_rank": cited(rules.PIPELINE, "217"),
        "rule_blind": cited(rules.MISC, "45-48"),
        "pipeline": rules.PIPELINE,
        "upsampler": rules.UPSAMPLER,
        "commit": rules.COMMIT,
    }


def _errors() -> str:
    """What vLLM says, by version, with NVIDIA's own prompt and 720p."""
    prompt, context, answer = _tokens(HD, EXAMPLE), DEFAULT_CONTEXT, DEFAULT_RESERVE
    limit = f"This model's maximum context length is {context} tokens. However,"
    texts = {
        "vLLM 0.9.2, in-process (what Cosmos-Transfer1 runs), a `ValueError`": (
            f"The decoder prompt (length {prompt}) is longer than the maximum model length of "
            f"{context}. Make sure that `max_model_len` is no smaller than the number of text "
            "tokens plus multimodal tokens. For image inputs, the number of image tokens depends "
            "on the number of images, and possibly their aspect ratios as well."
        ),
        "vLLM 0.9.2, server": (
            f"{limit} you requested {prompt + answer} tokens ({prompt} in the messages, {answer} "
            "in the completion). Please reduce the length of the messages or completion."
        ),
        "vLLM 0.18 to 0.31, server": (
            f"{limit} you requested {answer} output tokens and your prompt contains at least "
            f"{prompt} input tokens, for a total of at least {prompt + answer} tokens. Please "
            "reduce the length of the input prompt or the number of requested output tokens."
        ),
        "vLLM 0.32, in-process (`VLLMValidationError`) and server": (
            f"{limit} your prompt contains {prompt} input tokens, which exceeds this limit even "
            "without any output tokens. Please reduce the length of the input prompt. "
            f"(parameter=input_tokens, value={prompt})"
        ),
    }
    return "\n\n".join(f"{name}:\n\n```text\n{text}\n```" for name, text in texts.items())


def rows() -> tuple[SweepRow, ...]:
    """The sweep that the table and the picture show."""
    sizes = sorted(LADDER, key=lambda size: (size.pixels, size))
    return predict(
        [PIXTRAL],
        [FRAMES],
        sizes,
        prompt=PROMPT,
        context=DEFAULT_CONTEXT,
        reserve=DEFAULT_RESERVE,
    )


def _table() -> str:
    return "\n".join(_table_lines())


def _table_lines() -> Iterator[str]:
    yield "| frame | tokens a frame | prompt | left for the answer | bare | as planned | then |"
    yield "|---:|---:|---:|---:|---|---:|---:|"
    for row in rows():
        assert row.tokens is not None
        assert row.room is not None
        assert row.plan is not None
        verdict = "**fails**" if row.verdict == "fails" else row.verdict
        left = f"{row.room:,}" if row.room > 0 else "none"
        each = PIXTRAL.image(row.size)
        yield (
            f"| {row.size} | {each:,} | {row.tokens:,} | {left} | {verdict} "
            f"| {row.plan.size} | {row.plan.prompt_tokens:,} |"
        )


def main() -> None:
    """Write the page and the picture."""
    from promptlift.sweep import plot

    PAGE.write_text(page(), encoding="utf-8")
    plot(rows(), [PICTURE])


if __name__ == "__main__":
    main()
