"""The colours that have a name, as sRGB: what a person would call so, at the centre of the name.

Names that cover more than one place stand several times.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COLOURS", "NEUTRALS"]

NEUTRALS: Final = frozenset({"black", "charcoal", "dark gray", "gray", "light gray", "white"})

COLOURS: Final[tuple[tuple[str, tuple[int, int, int]], ...]] = (
    ("black", (10, 10, 10)),
    ("charcoal", (48, 48, 50)),
    ("dark gray", (84, 84, 86)),
    ("gray", (128, 128, 130)),
    ("light gray", (190, 190, 190)),
    ("white", (246, 246, 246)),
    ("dark red", (120, 20, 24)),
    ("dark red", (139, 0, 0)),
    ("red", (212, 30, 34)),
    ("red", (176, 24, 30)),
    ("coral", (240, 110, 92)),
    ("pink", (242, 150, 180)),
    ("pale pink", (236, 206, 208)),
    ("magenta", (206, 30, 150)),
    ("dusty rose", (178, 112, 112)),
    ("burgundy", (84, 18, 36)),
    ("rust", (168, 66, 30)),
    ("orange", (244, 130, 24)),
    ("orange", (214, 104, 30)),
    ("peach", (246, 196, 158)),
    ("amber", (232, 168, 30)),
    ("yellow", (246, 222, 50)),
    ("pale yellow", (244, 236, 172)),
    ("gold", (200, 158, 62)),
    ("dark brown", (62, 40, 26)),
    ("dark brown", (40, 26, 18)),
    ("brown", (114, 72, 42)),
    ("brown", (140, 84, 44)),
    ("tan", (184, 148, 108)),
    ("beige", (222, 206, 178)),
    ("cream", (246, 238, 216)),
    ("grayish brown", (120, 106, 94)),
    ("olive", (110, 108, 40)),
    ("dark olive", (58, 58, 26)),
    ("lime green", (150, 214, 40)),
    ("green", (40, 150, 56)),
    ("green", (60, 120, 60)),
    ("dark green", (20, 70, 34)),
    ("dark green", (30, 58, 36)),
    ("sage green", (146, 166, 134)),
    ("pale green", (196, 226, 188)),
    ("mint", (150, 228, 190)),
    ("bright green", (30, 230, 60)),
    ("teal", (16, 120, 120)),
    ("dark teal", (16, 66, 70)),
    ("turquoise", (60, 204, 200)),
    ("cyan", (60, 226, 246)),
    ("sky blue", (120, 184, 232)),
    ("pale blue", (198, 220, 236)),
    ("blue", (40, 96, 206)),
    ("bright blue", (20, 40, 250)),
    ("navy blue", (22, 32, 86)),
    ("navy blue", (0, 0, 128)),
    ("navy blue", (14, 18, 50)),
    ("slate blue", (84, 104, 136)),
    ("dark blue gray", (52, 64, 82)),
    ("blue gray", (146, 162, 178)),
    ("lavender", (194, 176, 226)),
    ("purple", (118, 50, 150)),
    ("purple", (88, 24, 160)),
    ("dark purple", (56, 26, 76)),
    ("violet", (140, 92, 220)),
    ("violet", (140, 40, 250)),
    ("mauve", (150, 116, 146)),
)
