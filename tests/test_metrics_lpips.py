"""LPIPS against its formula written out, and its files."""

import pytest
import torch
from torch.nn.functional import conv2d, max_pool2d

from equipoise.metrics import lpips, lpips_diversity
from equipoise.metrics.lpips import BACKBONES, LPIPS


def network(name: str) -> LPIPS:
    torch.manual_seed(0)
    net = LPIPS(BACKBONES[name]).eval()
    for head in net.heads:
        torch.nn.init.uniform_(head)
    return net.requires_grad_(False)


def written_out(net: LPIPS, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """AlexNet's five layers, one after the other, in float64."""
    weights = [(w.double(), b.double()) for w, b in zip(*[iter(net.features.parameters())] * 2, strict=True)]
    steps = [{"stride": 4, "padding": 2}, {"padding": 2}, {"padding": 1}, {"padding": 1}, {"padding": 1}]

    def activations(images: torch.Tensor) -> list[torch.Tensor]:
        shift, scale = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (lpips.MEAN, lpips.DEVIATION))
        z, found = (images.double() / 127.5 - 1 - shift) / scale, []
        for number, ((weight, bias), how) in enumerate(zip(weights, steps, strict=True)):
            z = conv2d(z, weight, bias, **how).clamp_min(0)
            found.append(z / (z.norm(dim=1, keepdim=True) + 1e-10))
            z = max_pool2d(z, 3, 2) if number < 2 else z
        return found

    parts = zip(net.heads, activations(x), activations(y), strict=True)
    return sum(((a - b).square() * head.double()[:, None, None]).sum(1).mean((1, 2)) for head, a, b in parts)


def images(count: int, size: int = 64, channels: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


def test_it_is_the_formula() -> None:
    net, x, y = network("alex"), images(3), images(3, seed=1)
    torch.testing.assert_close(net(x, y).double(), written_out(net, x, y), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [*BACKBONES])
def test_it_is_a_symmetric_distance_of_images_of_any_size(name: str) -> None:
    net = network(name)
    for size, channels in ((28, 1), (70, 4)):
        x, y = images(1, size, channels), images(1, size, channels, seed=1)
        assert net(x, x).abs().max() < 1e-10
        assert net(x, y) > 0
        torch.testing.assert_close(net(x, y), net(y, x))


def test_states_are_those_of_torchvision() -> None:
    names = {name for name in network("alex").state_dict() if name.startswith("features.")}
    assert names == {f"features.{at}.{part}" for at in (0, 3, 6, 8, 10) for part in ("weight", "bias")}
    assert [len(head) for head in network("vgg").heads] == [64, 128, 256, 512, 512]


def test_diversity_is_the_mean_over_consecutive_pairs(monkeypatch) -> None:
    net = network("alex")
    monkeypatch.setattr(lpips, "load", lambda name: net)
    x, metric = images(7), lpips_diversity()
    for part in x.split(3):
        metric.update(part, real=False)
    expected = net(x[0:6:2], x[1:6:2]).mean().item()
    assert metric.compute()["lpips_diversity"] == pytest.approx(expected, rel=1e-5)
    low, high = metric.intervals()["lpips_diversity"]
    assert low < expected < high


def test_files_are_found_by_their_variables(monkeypatch, tmp_path) -> None:
    net = network("alex")
    torch.save({**net.features.state_dict(prefix="features."), "classifier.1.weight": torch.zeros(2)}, tmp_path / "a")
    torch.save({f"lin{k}.model.1.weight": head.view(1, -1, 1, 1) for k, head in enumerate(net.heads)}, tmp_path / "b")
    monkeypatch.setenv("EQUIPOISE_ALEXNET", str(tmp_path / "a"))
    monkeypatch.setenv("EQUIPOISE_LPIPS_ALEX", str(tmp_path / "b"))
    with pytest.raises(ValueError, match=r"is not alexnet-owt-7be5be79.pth: its SHA-256 is"):
        lpips.load("alex")
    monkeypatch.setattr("equipoise.metrics.features.weight_files.WeightFile.check", lambda file, path, source: None)
    torch.testing.assert_close(lpips.load("alex")(images(2), images(2, seed=1)), net(images(2), images(2, seed=1)))
    lpips.load.cache_clear()


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="LPIPS has no network 'vg'"):
        lpips_diversity(net="vg")
