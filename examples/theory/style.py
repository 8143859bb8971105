"""What the pictures of the theory have in common: colours, a quiet frame, words at the things themselves."""

from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from equipoise.themes import THEMES

COLOURS = THEMES["light"]
INK, SOFT, RULE = COLOURS.ink, COLOURS.soft, COLOURS.rule
BLUE, ORANGE, TEAL = COLOURS.first, COLOURS.second, COLOURS.third
"""Real, or the discriminator; fake, or the generator; whatever is third."""
SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
}
DOCS = Path(__file__).parents[2] / "docs" / "theory"


@contextmanager
def picture(out, name, width=9.0, height=3.6):
    """A figure to draw on, which becomes out/name.png; matplotlib's settings are as before afterwards."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.06)
        yield figure
        out.mkdir(parents=True, exist_ok=True)
        figure.savefig(out / f"{name}.png", dpi=160, metadata={"Software": None})


def page(out, name, text):
    """Writes out/name.md, and says where it is."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text.strip() + "\n", encoding="utf-8")
    print(out / f"{name}.md")


def bare(axes):
    """Nothing but what is drawn."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def say(axes, x, y, text, colour=INK, **more):
    """A word at a place of the data."""
    axes.annotate(text, (x, y), color=colour, **more)
