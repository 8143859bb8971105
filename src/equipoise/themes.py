"""The colours and fonts of pages and plots, for light and for dark surroundings."""

from contextlib import AbstractContextManager
from typing import Any, NamedTuple


class Theme(NamedTuple):
    """Colours by what they are for.

    Blue, orange and teal stay apart for colour-blind readers; text has a contrast of 4.5 or more.
    """

    page: str
    card: str
    ink: str
    soft: str
    rule: str
    first: str
    second: str
    third: str
    fourth: str
    fifth: str
    sixth: str
    seventh: str
    eighth: str


THEMES = {
    "light": Theme(
        *("#faf9f6", "#ffffff", "#1c1e22", "#5c616b", "#e3e1da", "#1f63a6", "#b54d06", "#0e7569"),
        *("#8a3ea8", "#7a6a00", "#c2255c", "#4a5560", "#2b8a3e"),
    ),
    "dark": Theme(
        *("#131417", "#1b1d21", "#e9e9eb", "#a5aab4", "#31343b", "#7db5ee", "#f2a35e", "#5fcbb9"),
        *("#cf9be8", "#d8c752", "#ff8fb1", "#b4bfca", "#8ce29b"),
    ),
}
LINES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
"""The colours of lines, in the order in which they are taken."""


FONTS = {"font.family": "DejaVu Sans", "font.size": 8.5, "axes.unicode_minus": True}


def drawn_alike(style: dict[str, Any] | None = None) -> AbstractContextManager[None]:
    """Within it matplotlib draws in these fonts and this style, whatever the user's own settings are."""
    import matplotlib  # here, so that runs of images begin without it

    plain = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    settings: Any = {**plain, **FONTS, **(style or {})}
    return matplotlib.rc_context(settings)


def variables() -> str:
    """The themes as CSS variables."""
    light, dark = (
        ";".join(f"--{name}:{colour}" for name, colour in theme._asdict().items()) for theme in THEMES.values()
    )
    return f":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
