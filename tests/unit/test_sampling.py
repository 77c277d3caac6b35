"""What is changed when an answer has to be drawn again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptlift.types import Sampling, again

FIRST = Sampling(max_tokens=300, temperature=0.6, seed=7)


def test_seed_changes_first_then_the_temperature() -> None:
    """Second attempt: a new seed. Third: calmer. Fourth: livelier."""
    drawn = [again(FIRST, n, failed=("loop",), room=1000) for n in (1, 2, 3)]
    assert [s.temperature for s in drawn] == [0.6, 0.3, 0.9]
    assert [s.seed for s in drawn] == [8, 9, 10]


def test_cut_answer_gets_more_room_where_there_is_some() -> None:
    """Up to twice the reserve, never more than the context has, never less than before."""
    assert again(FIRST, 1, failed=("cut",), room=450).max_tokens == 450
    assert again(FIRST, 1, failed=("cut",), room=9000).max_tokens == 600
    assert again(FIRST, 1, failed=("cut",), room=100).max_tokens == 300
    assert again(FIRST, 1, failed=("loop",), room=9000).max_tokens == 300


@given(st.integers(1, 9), st.integers(0, 5000), st.sampled_from(["cut", "loop", "too_long"]))
def test_no_two_attempts_are_drawn_alike(attempt: int, room: int, failed: str) -> None:
    """Each attempt has a seed of its own and a temperature that an engine takes."""
    drawn = again(FIRST, attempt, failed=(failed,), room=room)
    assert drawn.seed == FIRST.seed + attempt
    assert 0 < drawn.temperature <= 1
    assert drawn.max_tokens >= FIRST.max_tokens
