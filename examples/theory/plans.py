"""Moving plans between two histograms: a bad one and the best one.

python examples/theory/plans.py
"""

import numpy as np
from style import BLUE, DOCS, INK, ORANGE, RULE, SOFT, bare, page, picture, say

from equipoise.themes import THEMES

PAGE = """
# Moving earth

Two histograms of ten shovels of earth each. A plan says how many shovels go from each place to each other place; it costs the shovels times the
distance they are carried. The least cost of all plans is the earth mover's distance, W₁ (Kantorovich 1942).

![A bad and the best plan between two histograms](plans.png)

Above, each shovel lies where the plan puts it, in the colour of where it comes from. Below is the plan itself: a disc in the column of the place
that earth comes from and in the row of the place that it goes to, as large as what is moved.

* The **bad plan** carries the left heap to the far right and the right heap back to the left, each over the other: {bad:.1f} a shovel.
* The **best plan** keeps the order, so that what was left of other earth stays left of it: {best:.1f} a shovel. On a line nothing is better;
  its cost is the area between the two cumulative histograms, {area:.1f}.

Both plans make the same histogram of the same earth. Only the least cost says something about the histograms alone, and that is what makes it a
distance. A critic never sees a plan: by Kantorovich's duality the same number is the largest E f(x) - E f(y) over all functions f with gradients of norm 1 at most,
and `instruments.transport_gap` compares what a critic has found with the plan's cost, {best:.1f} here.

Made by `python examples/theory/plans.py`.
"""
SOURCE = np.array([2, 3, 0, 0, 0, 3, 2, 0])
TARGET = np.array([0, 0, 3, 2, 0, 0, 1, 4])
EARTH = {0: BLUE, 1: THEMES["dark"].first, 5: THEMES["dark"].second, 6: ORANGE}
"""A colour for each place that earth comes from."""
PLACES = np.arange(len(SOURCE))


def ordered(order):
    """The plan that hands out earth from the left to places in this order; left to right it is the best on a line."""
    plan, left, wanted = np.zeros((len(SOURCE), len(TARGET)), int), SOURCE.copy(), TARGET.copy()
    for start in PLACES:
        for end in order:
            moved = min(left[start], wanted[end])
            plan[start, end] += moved
            left[start] -= moved
            wanted[end] -= moved
    return plan


def cost(plan):
    """Shovels times distance, a shovel."""
    return float((plan * np.abs(PLACES[:, None] - PLACES)).sum() / plan.sum())


def piles(axes, plan, title):
    """Each shovel where it comes to lie, in the colour of where it comes from."""
    for end in PLACES:
        height = 0
        for start in PLACES:
            for _ in range(plan[start, end]):
                axes.bar(end, 0.86, 0.86, bottom=height, color=EARTH[start])
                height += 1
    axes.set(title=title, xlim=(-0.6, 7.6), ylim=(0, 5.2))
    axes.spines["left"].set_visible(False)
    axes.set(yticks=[], xticks=PLACES)


def discs(axes, plan):
    """How much goes from where (column) to where (row)."""
    axes.plot([-0.5, 7.5], [-0.5, 7.5], color=RULE, linewidth=1, zorder=0)
    for start, end in np.argwhere(plan):
        axes.scatter(start, end, s=75 * plan[start, end], color=EARTH[start], zorder=2)
        if plan[start, end] > 1:
            axes.annotate(str(plan[start, end]), (start, end), ha="center", va="center", color="white", fontsize=8)
    axes.set(xlim=(-0.6, 7.6), ylim=(-0.6, 7.6), aspect="equal", xlabel="from", xticks=PLACES, yticks=PLACES)


def draw(figure, plans):
    """The earth as it was, and for each plan where it lies and what was moved."""
    grid = figure.subplots(2, 3, height_ratios=(1, 1.7))
    piles(grid[0, 0], np.diag(SOURCE), "The earth")
    bare(grid[1, 0])
    lines = ("Ten shovels of earth are to be moved.", "Both plans make the same pile.", "The best keeps their order.")
    for number, text in enumerate(lines):
        say(grid[1, 0], 0, 0.7 - 0.14 * number, text, INK if number == 2 else SOFT, xycoords="axes fraction")
    for column, (name, plan) in enumerate(plans.items(), 1):
        piles(grid[0, column], plan, f"{name} plan: {cost(plan):.1f} a shovel")
        discs(grid[1, column], plan)
    grid[1, 1].set_ylabel("to")


def main(out=DOCS):
    """Draws the picture and writes the page; returns both costs and the area between the cumulative histograms."""
    plans = {"A bad": ordered(PLACES[::-1]), "The best": ordered(PLACES)}
    bad, best = (cost(plan) for plan in plans.values())
    area = float(np.abs(np.cumsum(SOURCE - TARGET)).sum() / SOURCE.sum())
    with picture(out, "plans", 9, 4.6) as figure:
        draw(figure, plans)
    page(out, "plans", PAGE.format(bad=bad, best=best, area=area))
    return bad, best, area


if __name__ == "__main__":
    main()
