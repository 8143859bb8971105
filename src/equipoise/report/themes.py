"""The colours of the page and of its plots, for light and for dark surroundings."""

from typing import NamedTuple


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


def variables() -> str:
    """The themes as CSS variables."""
    light, dark = (
        ";".join(f"--{name}:{colour}" for name, colour in theme._asdict().items()) for theme in THEMES.values()
    )
    return f":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
