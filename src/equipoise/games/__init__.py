"""Games: who plays in a training run, and what each player minimises.

A game is a function that returns players by name, for `training.steps`. One of your own is a function in a file,
`--game mine.py:my_game`: the arguments that it has in common with `adversarial` are what the recipe says of them.
"""

from .adversarial import adversarial as adversarial
from .balance import adaptive_weight as adaptive_weight
from .between_domains import cycle as cycle
from .between_domains import paired as paired
from .buffer import ImageBuffer as ImageBuffer
from .pyramid import pyramid as pyramid
