"""The sections of MiniMax-H3: read from answers, set where code decides, and each fault named."""

from __future__ import annotations

import pytest

import promptlift
from promptlift.targets import target
from promptlift.targets.documents import VideoFormat, VideoParameters, video_format
from promptlift.targets.minimax_h3 import MiniMaxH3Form
from promptlift.types import Size

GOAL = target("minimax-h3")
EXAMPLE = GOAL.examples[0]
FORM = MiniMaxH3Form(GOAL)
VIDEO = VideoFormat(Size(1280, 720), 24.0, 243, first_frame=True, last_frame=True)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("At 00:06.500", "At 00:26.500", "late_end"),
        ("[Shot 2]", "[Shot 3]", "unordered"),
        ("[Shot 2] At 00:06.500,", "[Shot 2]", "wrong_time"),
        ("[Shot 1]", "[Shot 1] At 00:01.000,", "wrong_time"),
        ("[Shot 1] ", "", "unordered"),
        ("overall_soundscape:", "sounds:", "missing_key"),
        ("non_diegetic_music:", "overall_soundscape: hum\n\nnon_diegetic_music:", "unknown_key"),
        ("[English] ", "", "syntax"),
        ("integrated_", "Here it is:\n\nintegrated_", "syntax"),
        ("moved the statue</d>", "moved the vase</d>", "quote"),
        ('"HALL 3"', '"HALL 4"', "quote"),
    ],
)
def test_one_defect_is_one_finding(old: str, new: str, named: str) -> None:
    """The example passes, and with one thing wrong it is rejected for that."""
    for text, errors in ((EXAMPLE.prompt, set()), (EXAMPLE.prompt.replace(old, new, 1), {named})):
        review = promptlift.check(text, short_prompt=EXAMPLE.short, target="minimax-h3")
        assert {one.name for one in review.findings if one.severity == "error"} == errors


def test_sections_in_another_order_are_a_fault() -> None:
    """The generator was trained on one."""
    first, second, third = EXAMPLE.prompt.strip().split("\n\n")
    review = promptlift.check(f"{first}\n\n{third}\n\n{second}", target="minimax-h3")
    assert [one.name for one in review.findings if one.severity == "error"] == ["unordered"]


def test_an_answer_is_laid_out_and_aligned_with_the_pictures() -> None:
    """Remarks and fences go, times are written in full, and the pictures' line is made by code."""
    answer = EXAMPLE.prompt.replace("[Shot 1]", "[Shot 1] At 0:00.0,").replace("00:06.500", "0:6.5")
    made = FORM.parse(f"Sure!\n```\n{answer}```", VIDEO)
    assert made.findings == ()
    assert made.removed == ("other text", "a code fence", "the time of the first shot")
    line, *sections = made.text.split("\n\n")
    assert line.endswith(
        "Picture 2 (from Shot 2) aligns with the 10.12-second mark of the target video."
    )
    assert "\n\n".join(sections) == EXAMPLE.prompt.strip()
    assert 'says: "somebody moved the statue"' in made.prose
    for at, letter in enumerate(made.prose):
        assert letter in '"\n' or made.text[made.places[at]] == letter
    late = FORM.check(made.text, VideoParameters(seconds=8.0))
    assert [one.name for one in late.findings] == ["video_format"]


def test_a_video_is_on_the_grid_of_frames() -> None:
    """17 k + 5 frames at 24 a second: ten seconds are 243 frames."""
    assert video_format(GOAL, VideoParameters(seconds=10)).frames == 243
