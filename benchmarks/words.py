"""How true the long prompts are: each engine on each clip, in numbers and on a page to be read.

``python benchmarks/words.py [-o words.html] [--engine NAME ...] [--base-url URL]``

The clips are NVIDIA's samples for Cosmos-Transfer1 where PROMPTLIFT_COSMOS_ASSETS names their
folder, and the drawn one. For the office clip a person's careful description is measured as well
(from NVIDIA's ``inference_cosmos_transfer1_uniform_weights.json``), to compare with.

Columns of the table: *kept* is the share of the content words of the short prompt that stand in
the long one, by stem; *contradicted* counts failed ``unfaithful`` checks; *distinct* is the share
of different words; *camera*, *light* and *moves* count the sentences that speak of them.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from PIL import Image

from clips import clips
from promptlift import Upsampler
from promptlift.review import review
from promptlift.review.faithful import read
from promptlift.targets import estimate_tokens, target
from promptlift.types import Frame

SCENES = {
    "example1_input_video.mp4": "a robotic arm hands a coffee cup to a woman in an office",
    "nurec2.mp4": "a car drives along a city street with parked cars",
    "sample_av_mv_input_rgb.mp4": "driving on a highway",
    "inference_upscaler_input_video.mp4": "a humanoid robot walks through a warehouse",
    "robot_augmentation_example/example1/input_video.mp4": "two robot arms at a counter",
}
DRAWN = "a hot-air balloon drifts over the hills"
HUMAN = "inference_cosmos_transfer1_uniform_weights.json"
TOPICS = {
    "camera": r"camera|viewpoint|view |shot|framing",
    "light": r"light|lit\b|bright|dark|exposure|shadow|glow",
    "moves": r"mov|motion|pan|walk|driv|hand(s|ing)|drift|turn",
}


@dataclass(frozen=True)
class Row:
    """One text about one clip."""

    clip: str
    engine: str
    short: str
    text: str
    frames: tuple[Frame, ...] = ()
    status: str = ""

    def numbers(self) -> dict[str, str]:
        """The figures of the table."""
        asked = {word.stem for word in read(self.short) if word.is_content}
        said = [word.stem for word in read(self.text) if word.text[0].isalnum()]
        sentences = re.split(r"(?<=[.!?])\s+", self.text)
        verdict = review(self.text, finish_reason="stop", short_prompt=self.short, target=target())
        return {
            "kept": f"{len(asked & set(said)) / max(1, len(asked)):.0%}",
            "contradicted": str(int("unfaithful" in verdict.failed)),
            "failed checks": ", ".join(verdict.failed) or "none",
            "words": str(len(self.text.split())),
            "T5 tokens (at most)": str(estimate_tokens(self.text, target())),
            "distinct": f"{len(set(said)) / max(1, len(said)):.0%}",
            **{
                topic: str(sum(bool(re.search(pattern, s.lower())) for s in sentences))
                for topic, pattern in TOPICS.items()
            },
        }


def main() -> None:
    """Print the table and write the page."""
    parser = argparse.ArgumentParser(description="Measure how true the long prompts are.")
    parser.add_argument("-o", "--output", type=Path, default=Path("words.html"))
    parser.add_argument("--engine", action="append", dest="engines")
    parser.add_argument("--base-url")
    given = parser.parse_args()
    rows = []
    for engine in given.engines or ["embedded"]:
        settings = {"base_url": given.base_url} if engine == "openai" else {}
        with Upsampler(engine=engine, engine_settings=settings, on_reject="best") as upsampler:
            rows += [row(upsampler, engine, path, short) for path, short in scenes()]
    rows += human(rows)
    print(table(rows))
    given.output.write_text(page(rows), encoding="utf-8")


def scenes() -> list[tuple[Path, str]]:
    """The clips that are there, with their short prompts."""
    assets = Path(os.environ.get("PROMPTLIFT_COSMOS_ASSETS") or "nowhere")
    found = [(assets / name, short) for name, short in SCENES.items() if (assets / name).exists()]
    return [*found, (clips()[0].path, DRAWN)]


def row(upsampler: Upsampler, engine: str, path: Path, short: str) -> Row:
    """What an engine says of a clip."""
    outcome = upsampler.attempt(path, short)
    record = outcome.record
    return Row(path.stem, engine, short, record.prompt or "", outcome.frames, record.status)


def human(rows: list[Row]) -> list[Row]:
    """The person's description of the office clip, beside the first engine's frames of it."""
    spec = Path(os.environ.get("PROMPTLIFT_COSMOS_ASSETS") or "nowhere") / HUMAN
    office = [row for row in rows if row.clip == "example1_input_video"][:1]
    if not spec.exists() or not office:
        return []
    text = json.loads(spec.read_text(encoding="utf-8"))["prompt"]
    return [Row(office[0].clip, "a person", office[0].short, text, office[0].frames)]


def table(rows: list[Row]) -> str:
    """The figures as Markdown."""
    names = list(rows[0].numbers())
    lines = [f"| clip | engine | {' | '.join(names)} |", "|---|---|" + "--:|" * len(names)]
    lines += [f"| {r.clip} | {r.engine} | {' | '.join(r.numbers().values())} |" for r in rows]
    return "\n".join(lines)


def page(rows: list[Row]) -> str:
    """Frames and texts side by side, for a person to read."""
    style = (
        "body{font:16px/1.5 system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "article{display:grid;grid-template-columns:20rem 1fr;gap:1.5rem;margin:2rem 0}"
        "img{width:100%;border-radius:6px;display:block;margin-bottom:.5rem}"
        "small{color:#667}@media(prefers-color-scheme:dark){body{background:#16171c;color:#ddd}}"
    )
    articles = "".join(map(article, rows))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Faithfulness</title>"
        f"<style>{style}</style><h1>Is it true?</h1>{articles}</html>"
    )


def article(row: Row) -> str:
    """One clip and one text."""
    images = "".join(f'<img alt="" src="{data_url(frame)}">' for frame in row.frames)
    figures = ", ".join(f"{name} {value}" for name, value in row.numbers().items())
    return (
        f"<article><div>{images}</div><div><h2>{html.escape(row.clip)}</h2>"
        f"<p><small>{html.escape(row.engine)} {row.status}</small></p>"
        f"<p><em>{html.escape(row.short)}</em></p><p>{html.escape(row.text)}</p>"
        f"<p><small>{html.escape(figures)}</small></p></div></article>"
    )


def data_url(frame: Frame) -> str:
    """A frame as a small JPEG inside the page."""
    picture = Image.fromarray(frame.image)
    picture.thumbnail((480, 480))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


if __name__ == "__main__":
    main()
