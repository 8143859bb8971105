"""The game of a pyramid: at every level a pair of its own, which looks at one band of the images (Denton 2015)."""

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from ..augment import Augmentation
from ..labels import Labels
from ..losses import CriticLoss, Loss, non_saturating
from ..networks.lapgan import doubled_smoothly, halved_smoothly
from ..penalties import Penalty
from ..penalties.lazy import Remembering
from ..training import Player, Turn, role
from ..training.state import stateful
from .adversarial import adversarial, images_and_labels

TWO_LEVELS = ("level_0", "D_0", "level_1", "D_1")
NAMES = {"g": "level", "d": "D"}  # of the networks that the players move


def pyramid(
    loss: Loss | CriticLoss | None = None,
    penalties: Sequence[Penalty] = (),
    g_penalties: Sequence[Penalty] = (),
    augment: Augmentation | None = None,
    nets: Sequence[str] = TWO_LEVELS,
) -> dict[str, Player]:
    """The usual game at every level of a pyramid: l_k + G_k(z, l_k) against I_k (Denton 2015, arXiv:1506.05751).

    I_k are the real images, halved to the level; l_k is I_(k-1), doubled, and at the coarsest level nothing. `nets` are
    the names of the networks there are: level_0 and D_0 of the coarsest level, level_1... The players of level k are
    "dk" and "gk", and all see the same images. Levels share no weight, so that each learns as if it were alone;
    therefore the loss, the penalties and the augmentation may have no state. `loss` None is `non_saturating()`.
    """
    usual = adversarial(loss or non_saturating(), penalties, g_penalties, augment=augment)
    if kept := [n for n, part in stateful(usual).items() if part.state_dict() or isinstance(part, Remembering)]:
        raise ValueError(
            f"levels of a pyramid share their parts, so that none may have a state, as {kept[0]} and all that is lazy "
            f"have: every=1"
        )
    count = [role(net) for net in nets].count("D")
    return {
        f"{name}{level}": at_level(player, f"{NAMES[name]}_{level}", level, count)
        for level in range(count)
        for name, player in usual.items()
    }


def at_level(player: Player, net: str, level: int, count: int) -> Player:
    """A player of the usual game, moved to one of so many levels. The first of all takes the batch for all."""
    return replace(
        player,
        nets=(net,),
        objective=lambda turn: player.objective(turn_of(turn, level, count)),
        after=lambda turn: player.after(turn_of(turn, level, count)),
        fresh=player.fresh and level == 0,
    )


def turn_of(turn: Turn, level: int, count: int) -> Turn:
    """What a player of the usual game sees at a level."""
    images, labels = images_and_labels(turn.batch)
    for _ in range(count - 1 - level):
        images = halved_smoothly(images)
    G, D = turn.nets[f"level_{level}"], turn.nets[f"D_{level}"]
    if level:
        G = GivenCoarse(G, doubled_smoothly(halved_smoothly(images), (images.shape[2], images.shape[3])))
    return replace(turn, batch=(images, labels), nets=nn.ModuleDict({"G": G, "D": D}))


class GivenCoarse(nn.Module):
    """(z, labels) -> l + G(z, l): images whose finest band is generated, for given coarser images l."""

    def __init__(self, G: nn.Module, coarse: Float[Tensor, "b c h w"]) -> None:
        super().__init__()
        self.G, self.coarse, self.z_dim = G, coarse, G.z_dim

    def forward(self, z: Float[Tensor, "b z"], labels: Labels | None = None) -> Float[Tensor, "b c h w"]:
        """As many images as there are coarser ones."""
        images: Tensor = self.coarse + self.G(z, self.coarse, labels)
        return images
