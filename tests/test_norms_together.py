"""Spectral normalisation of whole networks: all layers together, memory used again, and in company."""

import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from elsewhere import ranks
from torch import nn
from torch.nn.utils import parametrize

from equipoise import norms, spec
from equipoise.norms.fast import Together
from equipoise.norms.parametrization import unhook


def net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, groups=2),
        nn.Flatten(),
        nn.Linear(4 * 14 * 14, 1),
    )


def trained(module):
    return {name: weight for name, weight in module.named_parameters() if name.endswith("original")}


def spectrals(module):
    return [layer.parametrizations.weight[0] for _, layer in norms.layers(module)]


def alone(module):
    """The same network without the path that treats all layers together."""
    module = deepcopy(module)
    unhook(module, Together)
    return module


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", ["", "iterations=3", "scale='learned'"])
def test_layers_together_are_what_they_are_one_by_one(training, options):
    together = norms.apply(spec.build(f"spectral({options})", norms), net()).train(training)
    apart, x = alone(together), torch.randn(2, 3, 8, 8)
    for _ in range(2):
        outputs = together(x), apart(x)
        assert torch.equal(*outputs)
        [output.square().sum().backward() for output in outputs]
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    for one, other in zip(together.buffers(), apart.buffers(), strict=True):
        assert torch.equal(one, other)


def test_one_iteration_a_forward_together_and_one_a_reading_alone():
    D = norms.apply(norms.spectral(), nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 30)))
    with torch.no_grad():
        [weight.normal_() for weight in trained(D).values()]
    expected = deepcopy(D)
    D(torch.randn(2, 30))
    for layer in expected:
        assert layer.weight is not None  # one reading, one iteration
    for one, other in zip(D.buffers(), expected.buffers(), strict=True):
        assert torch.equal(one, other)


def test_a_weight_read_twice_in_a_forward_is_the_same_and_another_one_afterwards():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(9, 9), nn.Linear(9, 9)

        def forward(self, x):
            self.read = self.a.weight, self.a.weight
            return self.b(self.a(x))

    D = norms.apply(norms.spectral(), Twice())
    D.a.parametrizations.weight.original.data.normal_()  # far from convergence
    D(torch.randn(2, 9))
    assert D.read[0] is D.read[1]
    assert not torch.equal(D.a.weight, D.read[0])


def test_a_forward_that_fails_leaves_nothing_behind():
    D = norms.apply(norms.spectral(), net())
    with pytest.raises(RuntimeError):
        D(torch.randn(2, 5, 8, 8))
    assert all(spectral.ready is None for spectral in spectrals(D))


def test_a_part_of_the_network_can_be_called_by_itself_and_frozen():
    D = norms.apply(norms.spectral(), nn.Sequential(nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4)), nn.Linear(4, 1)))
    before = deepcopy(D.state_dict())
    D[0].eval()
    D(D[0](torch.randn(2, 6)).new_zeros(2, 6))
    moved = {name for name, value in D.state_dict().items() if not torch.equal(value, before[name])}
    assert moved <= {"1.parametrizations.weight.0.u", "1.parametrizations.weight.0.v"}


def test_another_parametrization_on_top_is_not_passed_over():
    class Zero(nn.Module):
        def forward(self, weight):
            return 0 * weight

    D = norms.apply(norms.spectral(), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1, bias=False)))
    parametrize.register_parametrization(D[1], "weight", Zero())
    assert not D(torch.randn(2, 4)).any()


def test_a_cached_weight_stays_while_it_is_cached():
    D, x = norms.apply(norms.spectral(), net()), torch.randn(2, 3, 8, 8)
    with parametrize.cached():
        assert torch.equal(D(x), D(x))


def test_a_weight_that_somebody_holds_is_never_written_over():
    layer = norms.spectral()(nn.Linear(1024, 640))  # large enough for memory to be used again
    held = [layer.weight.detach(), layer.weight.detach().numpy(), layer.weight.view(-1)[:3], layer.weight]
    kept = [torch.as_tensor(x).detach().clone() for x in held]
    for _ in range(5):
        layer(torch.randn(2, 1024)).sum().backward()
        with torch.no_grad():
            layer.parametrizations.weight.original.add_(torch.randn(640, 1024))
    for now, then in zip(held, kept, strict=True):
        assert torch.equal(torch.as_tensor(now), then)


def test_a_gradient_that_somebody_holds_is_never_written_over():
    layer = norms.spectral()(nn.Linear(1024, 640))
    layer(torch.randn(2, 1024)).sum().backward()
    held = layer.parametrizations.weight.original.grad
    kept = held.clone()
    layer.zero_grad(set_to_none=True)
    for _ in range(3):
        layer(torch.randn(2, 1024)).sum().backward()
        layer.zero_grad(set_to_none=True)
    assert torch.equal(held, kept)


def test_the_incoming_gradient_is_not_changed():
    layer = norms.spectral()(nn.Linear(1024, 640))
    gradient = torch.randn(640, 1024)
    kept = gradient.clone()
    layer.weight.backward(gradient)
    assert torch.equal(gradient, kept)


def test_memory_is_used_again():
    layer = norms.spectral()(nn.Linear(1024, 640))
    places = set()
    for _ in range(10):
        shown = layer.weight
        places.add(shown.data_ptr())
        del shown
    assert len(places) == 1


def test_copies_and_pickles():
    D, x = norms.apply(norms.spectral(), net()).eval(), torch.randn(2, 3, 8, 8)
    D(x)
    twin = deepcopy(D)
    assert torch.equal(twin(x), D(x))
    with torch.no_grad():
        [weight.zero_() for weight in trained(D).values()]
    assert twin(x).abs().sum() > 0
    (hook,) = twin._forward_pre_hooks.values()
    assert [*map(id, hook.__self__.layers)] == [id(layer) for _, layer in norms.layers(twin)]


COMPILED = """
import torch
from copy import deepcopy
from torch import nn
from equipoise import norms
for kind in ("reshaped", "operator"):
    D = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 6, 4, 2, 1), nn.Conv2d(6, 1, 3))
    x = torch.randn(2, 3, 8, 8)
    norms.apply(norms.spectral(kind=kind), D)(x)  # the operator now knows the size of its input
    twin = deepcopy(D)
    compiled = torch.compile(D, backend="aot_eager")
    for _ in range(2):
        a, b = compiled(x), twin(x)
        torch.testing.assert_close(a, b)
        a.square().sum().backward(), b.square().sum().backward()
    for one, other in zip(D.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close([*D.buffers()], [*twin.buffers()])
D = norms.apply(norms.spectral(), nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 5), nn.Linear(5, 4)))
twin, x = deepcopy(D), torch.randn(2, 6)
D[1].compile(backend="aot_eager")  # a part of a network whose layers are normalised together
for _ in range(3):
    torch.testing.assert_close(D(x), twin(x))
torch.testing.assert_close([*D.buffers()], [*twin.buffers()])
print("the same")
"""


def test_compiled_networks_compute_the_same():
    """In a process of its own, since checked types cannot be compiled."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert "the same" in done.stdout, done.stderr


def test_function_transforms_see_the_same_gradient():
    D, x = norms.apply(norms.spectral(), net()).eval(), torch.randn(2, 3, 8, 8)
    value = lambda parameters: torch.func.functional_call(D, parameters, (x,)).square().sum()
    got = torch.func.grad(value)(dict(D.named_parameters()))
    D(x).square().sum().backward()
    for name, weight in D.named_parameters():
        torch.testing.assert_close(got[name].detach(), weight.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # what torch.func.jvp uses
@pytest.mark.parametrize("kind", ["reshaped", "operator"])
def test_function_transforms_of_inputs(kind):
    D, x = norms.apply(norms.spectral(kind=kind), net()).eval(), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(torch.vmap(lambda image: D(image[None])[0])(x), D(x))
    rate = torch.func.jvp(D, (x,), (x,))[1]
    torch.testing.assert_close(torch.autograd.functional.jvp(D, x, x)[1], rate, rtol=1e-4, atol=1e-5)


def test_export_of_a_network_in_evaluation():
    D, x = norms.apply(norms.spectral(), net()).eval(), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(torch.export.export(D, (x,)).module()(x), D(x))


@pytest.mark.parametrize("kind", ["reshaped", "operator"])
def test_within_a_checkpoint(kind):
    D, x = norms.apply(norms.spectral(kind=kind, update="step"), net()), torch.randn(2, 3, 8, 8)
    D(x)
    torch.utils.checkpoint.checkpoint(D, x, use_reentrant=False).sum().backward()
    assert all(weight.grad.isfinite().all() for weight in D.parameters())


def several(rank, folder):
    """One of two processes: trains on images of its own and saves u."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    D = nn.parallel.DistributedDataParallel(norms.apply(norms.spectral(), net()))
    optimizer = torch.optim.SGD(D.parameters(), 0.01)
    torch.manual_seed(rank)
    for _ in range(3):
        optimizer.zero_grad()
        (D(torch.randn(2, 3, 8, 8)).sum() - D(torch.randn(2, 3, 8, 8)).sum()).backward()
        optimizer.step()
    torch.save(torch.cat([spectral.u for spectral in spectrals(D.module)]), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_the_vectors_are_the_same_in_all_processes(tmp_path):
    ranks(several, (str(tmp_path),), 2)
    a, b = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(a, b)
