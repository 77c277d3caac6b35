"""How true the long prompts are: each engine on each clip, in numbers and to be read.

``python benchmarks/words.py [--engine NAME ...] [--base-url URL]`` prints Markdown.

The clips are NVIDIA's samples for Cosmos-Transfer1 where PROMPTLIFT_COSMOS_ASSETS names their
folder, and the drawn one.

Columns of the table: *kept* is the share of the content words of the short prompt that stand in
the long one, by stem; *contradicted* counts failed ``unfaithful`` checks; *distinct* is the share
of different words.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from clips import clips
from promptlift import Upsampler
from promptlift.review import review
from promptlift.review.faithful import read
from promptlift.targets import estimate_tokens, target

SCENES = {
    "example1_input_video.mp4": "a robotic arm hands a coffee cup to a woman in an office",
    "nurec2.mp4": "a car drives along a city street with parked cars",
    "sample_av_mv_input_rgb.mp4": "driving on a highway",
    "inference_upscaler_input_video.mp4": "a humanoid robot walks through a warehouse",
    "robot_augmentation_example/example1/input_video.mp4": "two robot arms at a counter",
}
DRAWN = "a hot-air balloon drifts over the hills"


def figures(short: str, text: str) -> dict[str, str]:
    """The figures of the table for one text."""
    asked = {word.stem for word in read(short) if word.is_content}
    said = [word.stem for word in read(text) if word.text[0].isalnum()]
    verdict = review(text, finish_reason="stop", short_prompt=short, target=target())
    return {
        "kept": f"{len(asked & set(said)) / max(1, len(asked)):.0%}",
        "contradicted": str(int("unfaithful" in verdict.failed)),
        "failed checks": ", ".join(verdict.failed) or "none",
        "words": str(len(text.split())),
        "T5 tokens (at most)": str(estimate_tokens(text, target())),
        "distinct": f"{len(set(said)) / max(1, len(said)):.0%}",
    }


def main() -> None:
    """Print the table, and below it each text to be read beside its clip."""
    parser = argparse.ArgumentParser(description="Measure how true the long prompts are.")
    parser.add_argument("--engine", action="append", dest="engines")
    parser.add_argument("--base-url")
    given = parser.parse_args()
    lines, texts = [], []
    for engine in given.engines or ["embedded"]:
        settings = {"base_url": given.base_url} if engine == "openai" else {}
        with Upsampler(engine=engine, engine_settings=settings, on_reject="best") as upsampler:
            for path, short in scenes():
                text = upsampler.attempt(path, short).record.prompt or ""
                found = figures(short, text)
                lines.append(f"| {path.stem} | {engine} | {' | '.join(found.values())} |")
                texts.append(f"- {path.stem}, {engine}: *{short}*: {text}")
    print(f"| clip | engine | {' | '.join(found)} |\n|---|---|{'--:|' * len(found)}")
    print("\n".join([*lines, "", *texts]))


def scenes() -> list[tuple[Path, str]]:
    """The clips that are there, with their short prompts."""
    assets = Path(os.environ.get("PROMPTLIFT_COSMOS_ASSETS") or "nowhere")
    found = [(assets / name, short) for name, short in SCENES.items() if (assets / name).exists()]
    return [*found, (clips()["640x360 4 s"], DRAWN)]


if __name__ == "__main__":
    main()
