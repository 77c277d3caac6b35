"""Random JSON documents, written in random styles."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

SPACES = st.text(" \t\n\r", max_size=3)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def written(draw: st.DrawFn) -> tuple[Any, str]:
    """A value, and a text of it with white space wherever JSON allows it."""
    value = draw(VALUES)
    escaped = draw(st.booleans())

    def space() -> str:
        return draw(SPACES)

    def write(part: Any) -> str:
        if isinstance(part, dict):
            members = (
                f"{space()}{write(key)}{space()}:{space()}{write(item)}{space()}"
                for key, item in part.items()
            )
            return f"{{{','.join(members) or space()}}}"
        if isinstance(part, list):
            return f"[{','.join(f'{space()}{write(i)}{space()}' for i in part) or space()}]"
        return json.dumps(part, ensure_ascii=escaped)

    return value, f"{space()}{write(value)}{space()}"
