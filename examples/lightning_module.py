"""A GAN as a LightningModule, with gradients of several batches for one update, on one process or several.

Where such loops break: the gradients of the generator's loss reach the discriminator's weights too, and stay there for
its next update unless somebody clears them. `toggle_optimizer` holds that network still meanwhile, and each player
gathers the gradients of all its parts of a batch before it moves. The recipe is the relativistic loss with R1 and R2
(Huang 2024, arXiv:2501.05441). What is printed is the Frechet distance to held-out images on the built-in features.

    pip install lightning
    python examples/lightning_module.py
    python examples/lightning_module.py --processes 2
"""

import argparse

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

from equipoise import data, losses, networks, penalties
from equipoise.metrics import fd, features

BATCH, PARTS = 32, 2  # images of an update, and the parts that they come in


class Gan(lightning.LightningModule):
    """Two networks that take turns."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        networks_of = networks.dcgan(g_width=16, d_width=16, g_feature_norm="none", d_feature_norm="none", d_gain=1.0)
        self.G, self.D = networks_of(networks.ImageShape(1, 28, 28))
        self.loss, self.r1, self.r2 = losses.relativistic(), penalties.r1(weight=1.0), penalties.r2(weight=1.0)

    def configure_optimizers(self):
        """One optimizer for each player."""
        adam = lambda net: torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, 0.99))
        return adam(self.D), adam(self.G)

    def generate(self, count):
        """So many images."""
        return self.G(torch.randn(count, self.G.z_dim, device=self.device))

    def training_step(self, batch, index):
        """One update of each player, for which the batch comes in parts."""
        opt_d, opt_g = self.optimizers()
        parts = (batch[0] / 127.5 - 1).chunk(PARTS)

        self.toggle_optimizer(opt_d)
        for real in parts:
            fake = self.generate(len(real)).detach()
            loss_d = self.loss.d(self.D(real), self.D(fake)) + self.r1(self.D, real, fake) + self.r2(self.D, real, fake)
            self.manual_backward(loss_d / PARTS)
        opt_d.step()
        opt_d.zero_grad()
        self.untoggle_optimizer(opt_d)

        self.toggle_optimizer(opt_g)
        for real in parts:
            loss_g = self.loss.g(self.D(real), self.D(self.generate(len(real))))
            self.manual_backward(loss_g / PARTS)
        opt_g.step()
        opt_g.zero_grad()
        self.untoggle_optimizer(opt_g)


@torch.no_grad()
def score(gan, held_out, count=500):
    """The Frechet distance of samples to the held-out images."""
    look, metric = features.builtin(), fd()
    metric.update(look(held_out[:count]), real=True)
    metric.update(look(((gan.generate(count) + 1) * 127.5).round().to(torch.uint8)), real=False)
    return metric.compute()["fd"]


def main(steps=300, processes=1, seed=0):
    """Trains; prints and returns the distance before and after."""
    lightning.seed_everything(seed, verbose=False)
    images, gan = data.load("builtin", data.Format(1, 28, 28)), Gan()
    loader = DataLoader(TensorDataset(images.images), BATCH // processes, shuffle=True, drop_last=True)
    first = score(gan, images.held_out.images)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp_find_unused_parameters_true" if processes > 1 else "auto",  # one player moves at a time
        max_steps=2 * steps,  # Lightning counts the steps of each optimizer
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(gan, loader)
    last = score(gan.cpu(), images.held_out.images)
    if trainer.is_global_zero:
        print(f"Frechet distance {last:.1f} after {steps} updates of each player, at first {first:.1f}")
    return first, last


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    main(options.steps, options.processes)
