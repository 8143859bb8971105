"""Losses of energies: the logit of an auto-encoding discriminator is minus its reconstruction error."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..checks import check_range
from ..critic import Scalar
from .objective import Loss


def energy(margin: float = 10.0) -> Loss:
    """L_D = E E(x) + E max(0, m - E(G)), L_G = E E(G), energy E = -D (Zhao 2017, arXiv:1609.03126, Eq. 1-2).

    What margin is good depends on the scale of the reconstruction error; the paper's 10 to 80 belong to sums over
    pixels. Add `penalties.pulling_away` to the generator for EBGAN-PT.

    >>> energy(margin=2.0).d(-torch.ones(4), -torch.full((4,), 3.0)).item()  # fakes above the margin are left alone
    1.0
    """
    check_range(above=0, margin=margin)  # without one the discriminator wins by any bad fake
    return Loss(
        d=lambda real, fake: relu(margin + fake).mean() - real.mean(),
        g=lambda real, fake: -fake.mean(),
        energy=True,
    )


def boundary_equilibrium(gamma: float = 0.5, rate: float = 1e-3) -> Loss:
    """L_D = E(x) - k E(G), L_G = E(G), k <- clip(k + rate (gamma E(x) - E(G))) (Berthelot 2017, arXiv:1703.10717).

    The energy E = -D is the mean absolute reconstruction error, of several heads the sum of theirs; k starts at 0 and
    is clipped to [0, 1]. `state` keeps k and `convergence`, the global measure M = E(x) + |gamma E(x) - E(G)|; both
    move when `g` is evaluated, unless `state.eval()`.

    >>> loss, real, fake = boundary_equilibrium(gamma=0.5, rate=0.1), -torch.ones(4), torch.full((4,), -0.25)
    >>> values = loss.d(real, fake), loss.g(real, fake)
    >>> round(loss.state.k.item(), 3)  # fakes are reconstructed too well: 0.1 (0.5 - 0.25)
    0.025
    """
    check_range(at_least=0, at_most=1, gamma=gamma)
    check_range(at_least=0, rate=rate)
    balance = Balance(gamma, rate)
    return Loss(balance.d, balance.g, energy=True, batchwise=True, together=True, state=balance)


class Balance(nn.Module):
    """The equilibrium between the energies of reals and of fakes: k, and how far the game is from converged."""

    k: Tensor
    real: Tensor
    convergence: Tensor

    def __init__(self, gamma: float, rate: float) -> None:
        super().__init__()
        self.gamma, self.rate = gamma, rate
        for name in ("k", "real", "convergence"):
            self.register_buffer(name, torch.zeros(()))

    def d(self, real: list[Tensor], fake: list[Tensor]) -> Scalar:
        """E(x) - k E(G); remembers E(x) for the update of k."""
        if self.training:
            self.real.copy_(energy_of(real).detach())
        return energy_of(real) - self.k.clone() * energy_of(fake)

    def g(self, real: list[Tensor], fake: list[Tensor]) -> Scalar:
        """E(G); then moves k by the energies of the last real batch and of these fakes."""
        if self.training:
            self.move(energy_of(fake).detach())
        return energy_of(fake)

    def move(self, fake: Scalar) -> None:
        """k up where fakes are reconstructed too well, that is where E(G) < gamma E(x)."""
        gap = self.gamma * self.real - fake
        self.k.add_(self.rate * gap).clamp_(0, 1)
        self.convergence.copy_(self.real + gap.abs())


def energy_of(logits: list[Tensor]) -> Scalar:
    """The mean energy of a batch, summed over heads."""
    return -torch.stack([head.mean() for head in logits]).sum()
