"""Metrics of a generator itself: closed forms of linear generators."""

import numpy as np
import pytest
import torch
from test_metrics import held
from torch import Tensor, nn

from equipoise.metrics import Subject, features, polygon, ppl, reconstruction
from equipoise.metrics.path_length import great_circle, trimmed
from equipoise.metrics.polygon import distances, triangles
from equipoise.metrics.reconstruction import descent


class Linear(nn.Module):
    """x = A z / 8 as images of [-1, 1]."""

    def __init__(self, z_dim: int = 4, shape: tuple[int, int, int] = (1, 8, 8)) -> None:
        super().__init__()
        self.z_dim, self.shape = z_dim, shape
        generator = torch.Generator().manual_seed(0)
        size = shape[0] * shape[1] * shape[2]
        self.A = nn.Parameter(torch.linalg.qr(torch.randn(size, z_dim, generator=generator))[0])

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.A.T / 8).unflatten(1, self.shape)


class Labelled(Linear):
    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return super().forward(z) + 0.5 * labels[:, None, None, None]


class Mapped(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Linear(4, 4)

    def synthesis(self, w: Tensor) -> Tensor:
        return super().forward(w)

    def forward(self, z: Tensor) -> Tensor:
        return self.synthesis(self.mapping(z))


def bytes_of(images: Tensor) -> Tensor:
    return (images * 127.5 + 127.5).round().clamp(0, 255).byte()


def linear_pixels() -> features.Features:
    """The pixels as features, in [-1, 1]."""
    flat = lambda images: images.flatten(1) / 127.5 - 1
    return features.Features("flat", 64, "flat", "none", flat)


def held_out(count: int, seed: int = 1) -> Tensor:
    return bytes_of(Linear()(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))).detach())


class TestReconstruction:
    def test_images_that_can_be_made_are_found_to_the_grey_level(self) -> None:
        images = held_out(20)
        metric = reconstruction(steps=600, images=20)
        metric.measure(Subject(Linear(), held_out=lambda count: (images[:count], None)), linear_pixels())
        assert metric.compute()["reconstruction"] < (1 / 255) ** 2

    def test_the_error_is_that_of_the_orthogonal_projection(self) -> None:
        G = Linear()
        images = torch.randint(96, 160, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
        x = images.flatten(1) / 127.5 - 1
        rest = (x - x @ G.A @ G.A.T) / 2
        metric = reconstruction(steps=600, images=12, lr=0.05)
        metric.measure(Subject(G, held_out=lambda count: (images, None)), linear_pixels())
        assert metric.compute()["reconstruction"] == pytest.approx(rest.square().mean().item(), rel=1e-3)
        low, high = metric.intervals()["reconstruction"]
        assert low < metric.compute()["reconstruction"] < high

    def test_it_starts_from_zeros_and_steps_as_rmsprop_does(self) -> None:
        G, target = Linear(), torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(3))
        z = torch.zeros(3, 4, requires_grad=True)
        optimizer = torch.optim.RMSprop([z], lr=0.01, alpha=0.9, eps=1e-6)
        expected = []
        for _ in range(4):
            errors = ((G(z) + 1) / 2 - target).square().mean((1, 2, 3))
            expected.append(errors.detach())
            optimizer.zero_grad()
            errors.sum().backward()
            optimizer.step()
        found = [*descent(G, torch.zeros(3, 4), target, None, 3, 0.01)]
        torch.testing.assert_close(torch.stack(found), torch.stack(expected))
        assert G.A.grad is not None  # of the loop above: the search itself leaves none
        G.A.grad = None
        list(descent(G, torch.zeros(3, 4), target, None, 2, 0.01))
        assert G.A.grad is None

    def test_more_restarts_and_more_steps_are_never_worse(self) -> None:
        images = held_out(8)
        subject = Subject(Linear(), held_out=lambda count: (images, None))
        errors = []
        for steps, restarts in ((5, 1), (5, 3), (40, 3)):
            metric = reconstruction(steps=steps, images=8, restarts=restarts)
            metric.measure(subject, linear_pixels())
            errors.append(metric.errors)
        assert all(b <= a for a, b in zip(errors[0], errors[1], strict=True))
        assert sum(errors[2]) < sum(errors[1])

    def test_images_come_with_their_labels(self) -> None:
        images, labels = held_out(6), torch.ones(6)
        shifted = bytes_of(images / 127.5 - 1 + 0.5)
        subject = Subject(Labelled(), held_out=lambda count: (shifted, labels))
        metric = reconstruction(steps=600, images=6)
        metric.measure(subject, linear_pixels())
        assert metric.compute()["reconstruction"] < 1e-4

    def test_without_held_out_images_it_says_so(self) -> None:
        with pytest.raises(ValueError, match="needs held-out images, and these data have none"):
            reconstruction().measure(Subject(Linear()), linear_pixels())


class TestPathLength:
    def test_the_speed_on_the_circle_of_a_linear_generator_is_its_angle(self) -> None:
        """|d/dt G(p)| = |A p'| / 8 = w |z| / 8, p on a circle of radius 2 through an angle w."""
        count, subject = 400, Subject(Linear())
        metric = ppl(count=count)
        metric.measure(subject, linear_pixels())
        a, b = (x / x.norm(dim=1, keepdim=True) for x in subject.latents(2 * count).double().chunk(2))
        angles = torch.acos((a * b).sum(1))
        expected = (angles * 2 / 8).square().tolist()
        assert metric.compute()["ppl"] == pytest.approx(sum(trimmed(expected)) / len(trimmed(expected)), rel=0.02)
        low, high = metric.intervals()["ppl"]
        assert low < metric.compute()["ppl"] < high

    def test_in_w_it_is_the_straight_line_between_mapped_points(self) -> None:
        G, count = Mapped(), 100
        subject, metric = Subject(G), ppl(count=count, space="w", epsilon=1e-3)
        metric.measure(subject, linear_pixels())
        first, second = (G.mapping(z) for z in subject.latents(2 * count).chunk(2))
        expected = ((second - first) / 8).square().sum(1).tolist()
        assert metric.compute()["ppl"] == pytest.approx(sum(trimmed(expected)) / len(trimmed(expected)), rel=0.02)

    def test_great_circles_end_where_they_should_and_keep_the_norm(self) -> None:
        a, b = torch.randn(2, 5, 6)
        ends = [great_circle(a, b, torch.full((5, 1), t)) for t in (0.0, 0.3, 1.0)]
        torch.testing.assert_close(ends[0], a / a.norm(dim=1, keepdim=True) * 6**0.5)
        torch.testing.assert_close(ends[2], b / b.norm(dim=1, keepdim=True) * 6**0.5)
        torch.testing.assert_close(ends[1].norm(dim=1), torch.full((5,), 6**0.5))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"space": "x"}, "no latent space is called 'x'"),
            ({"distance": "l2"}, "no distance is called 'l2'"),
            ({"epsilon": 0}, "epsilon must be above 0"),
        ],
    )
    def test_wrong_choices_are_refused(self, changes, message) -> None:
        with pytest.raises(ValueError, match=message):
            ppl(**changes)

    def test_w_needs_a_mapping(self) -> None:
        with pytest.raises(ValueError, match="needs a generator with `mapping` and `synthesis`"):
            ppl(space="w").measure(Subject(Linear()), linear_pixels())


class Triangles(nn.Module):
    """Makes the triangle whose number the first latent value is, or mist."""

    def __init__(self, spoiled: bool) -> None:
        super().__init__()
        self.z_dim, self.spoiled = 2, spoiled
        self.images = nn.Parameter(triangles(16, seed=3))

    def forward(self, z: Tensor) -> Tensor:
        weights = (z[:, :1] * 4 - torch.arange(16)).square().neg().mul(50).softmax(1)
        images = torch.einsum("nk,khw->nhw", weights, self.images)
        return (images if not self.spoiled else 0.5 + 0 * images)[:, None] * 2 - 1


class TestPolygon:
    def test_triangles_are_near_and_others_are_not(self) -> None:
        images = triangles(24, seed=9)
        assert images.shape == (24, 28, 28)
        assert images.min() == 0
        assert images.max() == 1
        near = distances(images)
        assert (near <= 0.75).double().mean() > 0.9
        assert distances(1 - images).min() > 10
        assert distances((images + 0.05 * torch.randn(24, 28, 28)).clamp(0, 1)).mean() > near.mean() + 0.5

    @pytest.mark.parametrize("spoiled", [False, True])
    def test_a_generator_of_triangles_is_precise_and_one_of_mist_is_not(self, spoiled: bool) -> None:
        metric = polygon(count=24, tests=4, steps=3, restarts=1)
        metric.measure(Subject(Triangles(spoiled)), linear_pixels())
        values = metric.compute()
        assert (values["polygon.precision"] > 0.5) == (not spoiled)
        assert values["polygon.recall"] == 0
        assert values["polygon"] == 0
        low, high = metric.intervals()["polygon.precision"]
        assert low <= values["polygon.precision"] <= high

    @staticmethod
    def of(precision: float, recall: float, count: int = 200, tests: int = 50):
        metric = polygon(count=count, tests=tests)
        metric.precision, metric.recall = precision, recall
        return metric

    @pytest.mark.parametrize(("precision", "recall"), [(0.8, 0.3), (0.95, 0.9), (0.5, 0.04)])
    def test_the_interval_of_f1_covers_its_mean_over_draws(self, precision: float, recall: float) -> None:
        draw = np.random.default_rng(0)
        shares = [(draw.binomial(200, precision) / 200, draw.binomial(50, recall) / 50) for _ in range(200)]
        share, width = held([self.of(*pair) for pair in shares], "polygon")
        assert share >= 0.88
        assert 0.8 <= width <= 1.3

    def test_the_interval_of_f1_ends_where_f1_does(self) -> None:
        for shares, expected in (((0.0, 0.0), 0), ((0.9, 0.0), 0), ((1.0, 1.0), 1)):
            low, high = self.of(*shares).intervals()["polygon"]
            assert expected in (low, high)
            assert 0 < high - low < 0.15
        assert self.of(0.8, 0.3).intervals() == self.of(0.8, 0.3).intervals()

    def test_what_the_generator_can_make_is_found(self) -> None:
        class Bank(nn.Module):
            """The first of the tests themselves, at z = 0."""

            def __init__(self) -> None:
                super().__init__()
                self.z_dim, self.image = 2, nn.Parameter(triangles(1, seed=1))

            def forward(self, z: Tensor) -> Tensor:
                return (self.image + 0.01 * z.sum(1)[:, None, None])[:, None] * 2 - 1

        metric = polygon(count=2, tests=4, steps=2, restarts=1)
        metric.measure(Subject(Bank()), linear_pixels())
        assert metric.compute()["polygon.recall"] == 0.25

    def test_other_sizes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="needs images of 28x28 pixels, as its triangles are, not 8x8"):
            polygon().measure(Subject(Linear()), linear_pixels())
