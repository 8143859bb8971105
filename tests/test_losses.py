"""Laws of all losses, whether of logits or of (critic, images), each played by a small discriminator."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equipoise import losses, spec
from equipoise.critic import Critic
from equipoise.losses import CriticLoss, Loss, of_critic

ALL = spec.names(losses)
VARIANTS = [
    *("non_saturating(real_target=0.9)", "least_squares(a=-1.0, b=1.0, c=0.0)", "hinge(margin=0.5)"),
    *(f"f_gan(divergence='{name}')" for name in losses.divergences.FORMS if name != "gan"),
    *("f_gan(divergence='kl', saturating=True)", "loss_sensitive(real_weight=1.0, margin=0.1, slope=0.2)"),
    *("feature_matching(norm='l2')", "auxiliary_classifier(loss=hinge, fakes=False, g_weight=0.1)"),
    *("auxiliary_classifier(loss=relativistic)", "multi_hinge(margin=2.0)", "energy(margin=1.0)"),
]
EVERY = ALL + VARIANTS
over_all = pytest.mark.parametrize("name", EVERY)

SHAPES = st.one_of(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
)


class Judge(nn.Module):
    """A small smooth discriminator with features and class logits."""

    def __init__(self, values, classes=3):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(values, 5), nn.Tanh())
        self.class_logits = nn.Linear(5, classes)
        self.out = nn.Linear(5, 1)

    def forward(self, images, labels=None):
        seen = self.features(images)
        self.class_logits(seen)
        return self.out(seen)[:, 0]


class Mean(nn.Module):
    """The logit is the mean of the image, the features are the image, and no class is preferred."""

    def __init__(self):
        super().__init__()
        self.features, self.class_logits = nn.Flatten(), nn.Linear(1, 3)
        nn.init.zeros_(self.class_logits.weight), nn.init.zeros_(self.class_logits.bias)

    def forward(self, images, labels=None):
        means = self.features(images).mean(1)
        self.class_logits(means[:, None])
        return means


def play(name):
    """The loss of (critic, real, fake), remembering nothing: BEGAN's k is in the midst of its range."""
    loss = of_critic(spec.build(name, losses))
    if loss.state is not None:
        loss.state.k.fill_(0.4)
        loss.state.eval()
    return loss


def critic_of(D, count):
    return Critic(D, torch.arange(count) % 3, seen=1_000_000)  # pretraining is over


def scene(shape=(5, 2, 3, 2), dtype=torch.float64):
    """A discriminator, reals and fakes."""
    D = Judge(torch.Size(shape[1:]).numel()).to(dtype)
    return D, *torch.randn(2, *shape, dtype=torch.float64).to(dtype)


def directional(value, at, step=1e-6):
    """The derivative of value() when the tensors `at` move together in a random direction: autograd's and measured."""
    ways = [torch.randn_like(x) for x in at]
    slopes = torch.autograd.grad(value(), at)
    exact = sum((slope * way).sum() for slope, way in zip(slopes, ways, strict=True))
    values = []
    with torch.no_grad():
        for size in (step, -2 * step):
            for x, way in zip(at, ways, strict=True):
                x += size * way
            values.append(value())
        for x, way in zip(at, ways, strict=True):
            x += step * way
    return exact, (values[0] - values[1]) / (2 * step)


def test_the_public_losses():
    assert set(ALL) == {
        *("auxiliary_classifier", "boundary_equilibrium", "dual_contrastive", "energy", "f_gan", "feature_matching"),
        *("hinge", "least_squares", "loss_sensitive", "minimax", "multi_hinge", "non_saturating", "pretrained"),
        *("relativistic", "relativistic_average", "wasserstein"),
    }


@over_all
def test_the_right_order_of_logits_is_preferred(name):
    game, critic = play(name), critic_of(Mean(), 4)
    high, low = torch.full((4, 6), 0.5), torch.full((4, 6), -1.0)
    assert game.d(critic, high, low) < game.d(critic, low, high)
    assert game.g(critic, high, high.clone()) < game.g(critic, high, low)


@over_all
def test_the_discriminators_gradient_agrees_with_finite_differences(name):
    game, (D, real, fake) = play(name), scene()
    weights = [*D.features.parameters(), *D.out.parameters()]
    exact, measured = directional(lambda: game.d(critic_of(D, 5), real, fake), weights)
    torch.testing.assert_close(exact, measured, rtol=1e-5, atol=1e-8)
    assert exact.abs() > 1e-8


@over_all
def test_the_generators_gradient_agrees_with_finite_differences(name):
    game, (D, real, fake) = play(name), scene()
    fake.requires_grad_()
    exact, measured = directional(lambda: game.g(critic_of(D, 5), real, fake), [fake])
    torch.testing.assert_close(exact, measured, rtol=1e-5, atol=1e-8)
    assert exact.abs() > 1e-8


@pytest.mark.parametrize("name", [n for n in EVERY if isinstance(spec.build(n, losses), Loss)])
@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_in_logits_agree_with_finite_differences(name, batch):
    loss = spec.build(name, losses)
    if loss.state is not None:
        loss.state.k.fill_(0.4)
        loss.state.eval()
    real, fake = torch.randn(2, batch, dtype=torch.float64).requires_grad_().unbind()
    assert torch.autograd.gradcheck(loss.d, (real, fake))
    assert torch.autograd.gradcheck(loss.g, (real, fake))


@over_all
def test_only_paired_losses_read_the_reals_for_the_generator(name):
    game, (D, real, fake) = play(name), scene()
    differs = game.g(critic_of(D, 5), real, fake) != game.g(critic_of(D, 5), real + 1, fake)
    assert differs == game.paired


@over_all
def test_unpaired_losses_do_not_run_the_discriminator_on_reals_for_the_generator(name):
    game, (D, real, fake), asked = play(name), scene(), []
    D.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[0]))
    game.g(critic_of(D, 5), real, fake)
    assert any(x is fake for x in asked)
    assert any(x is real for x in asked) == game.paired


@over_all
def test_the_discriminator_runs_once_on_each_batch(name):
    game, (D, real, fake), asked = play(name), scene(), []
    D.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[0]))
    game.d(critic_of(D, 5), real, fake)
    assert [any(x is y for x in asked) for y in (real, fake)] == [True, True]
    assert len(asked) == 2


NOT_A_MEAN = ("dual_contrastive",)  # each logit competes with all of the other side


@over_all
def test_twice_the_samples_is_the_same_mean(name):
    game, (D, real, fake) = play(name), scene((3, 4))
    for player in (game.d, game.g):
        once, twice = (player(critic_of(D, 3 * n), real.repeat(n, 1), fake.repeat(n, 1)) for n in (1, 2))
        assert torch.isclose(once, twice) == (name not in NOT_A_MEAN)


@over_all
def test_the_order_of_pairs_does_not_matter(name):
    game, (D, real, fake) = play(name), scene((6, 4))
    labels, order = torch.arange(6) % 3, torch.randperm(6)
    for player in (game.d, game.g):
        value = player(Critic(D, labels, seen=1_000_000), real, fake)
        shuffled = player(Critic(D, labels[order], seen=1_000_000), real[order], fake[order])
        torch.testing.assert_close(value, shuffled)


@over_all
@settings(max_examples=8, deadline=None)
@given(shape=SHAPES, dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_any_shape_precision_and_size_of_batch(name, shape, dtype):
    torch.manual_seed(0)
    game, (D, real, fake) = play(name), scene(shape, dtype)
    for player in (game.d, game.g):
        value = player(critic_of(D, len(real)), real, fake)
        assert value.shape == ()
        assert value.isfinite()
        assert value.dtype == torch.promote_types(dtype, torch.float32)


@over_all
def test_finite_for_logits_of_thirty(name):
    """exp(30) is far from the largest float32; no form squares it or divides by its inverse."""
    game = play(name)
    for sign in (1, -1):
        real, fake = torch.full((2, 3), 30.0 * sign), torch.full((2, 3), -30.0 * sign, requires_grad=True)
        for player in (game.d, game.g):
            value = player(critic_of(Mean(), 2), real, fake)
            (slope,) = torch.autograd.grad(value, fake)
            assert value.isfinite()
            assert slope.isfinite().all()


def test_a_loss_of_logits_as_one_of_a_critic():
    loss, (D, real, fake) = losses.relativistic(), scene()
    lifted = of_critic(loss)
    assert lifted.d(D, real, fake) == loss.d(D(real), D(fake))
    assert lifted.g(D, real, fake) == loss.g(D(real), D(fake))
    assert of_critic(lifted) is lifted
    assert isinstance(of_critic(losses.hinge()), CriticLoss)


def test_a_lifted_loss_keeps_its_state():
    loss = losses.boundary_equilibrium()
    assert of_critic(loss).state is loss.state
    assert losses.auxiliary_classifier(loss).state is loss.state
    assert losses.feature_matching(loss).state is loss.state


def build(name):
    return of_critic(spec.build(name, losses))


def test_losses_of_energies_are_known():
    energies = [name for name in EVERY if build(name).energy]
    assert energies == ["boundary_equilibrium", "energy", "pretrained", "energy(margin=1.0)"]


@pytest.mark.parametrize("name", ["feature_matching", "auxiliary_classifier"])
@pytest.mark.parametrize("inner", ["energy", "hinge", "boundary_equilibrium"])
def test_losses_built_on_another_are_about_energies_where_that_is(name, inner):
    assert build(f"{name}(loss={inner})").energy == (inner != "hinge")


@over_all
def test_relative_losses_are_those_that_a_shift_of_all_logits_leaves_alone(name):
    """ADA must not look at the sign of logits there."""
    loss, (D, real, fake) = play(name), scene()
    values = []
    for shift in (0, 5, -40):
        D.out.bias.data += shift
        values.append(loss.d(critic_of(D, 5), real, fake).item())
    assert (values == pytest.approx([values[0]] * 3, rel=1e-9)) == loss.relative


class Heads(nn.Module):
    """Several discriminators, or one whose logits are a map; with features and class logits of each."""

    def __init__(self, values, heads, maps):
        super().__init__()
        self.nets, self.maps = nn.ModuleList(Judge(values) for _ in range(heads)), maps

    def forward(self, images, labels=None):
        outputs = []
        for net in self.nets:
            seen = net.features(images)
            logits = net.out(seen)[:, 0]
            if self.maps:
                logits = logits[:, None, None] * torch.tensor([0.5, 1.5], dtype=logits.dtype)
            outputs.append((logits, seen, net.class_logits(seen)))
        logits, features, class_logits = zip(*outputs, strict=True)
        return {"logits": [*logits], "features": [*features], "class_logits": [*class_logits]}


@over_all
@pytest.mark.parametrize("maps", [False, True], ids=["vectors", "maps"])
def test_several_heads_are_the_sum_of_each(name, maps):
    """But for those in which heads meet: loss-sensitive's max and the equilibrium's one k are of all heads at once."""
    (_, real, fake), D = scene(), Heads(12, 2, maps).double()
    values = []
    for nets in (D.nets, D.nets[:1], D.nets[1:]):
        part = Heads(12, 0, maps).double()
        part.nets = nn.ModuleList(nets)
        loss = play(name)
        values.append(torch.stack([loss.d(critic_of(part, 5), real, fake), loss.g(critic_of(part, 5), real, fake)]))
        assert values[-1].isfinite().all()
    meets = name.startswith("loss_sensitive")
    assert meets or torch.allclose(values[0], values[1] + values[2], rtol=1e-9)


AS_HEADS = {
    "a list of one": lambda logits: [logits],
    "a constant map": lambda logits: logits[:, None, None].expand(-1, 3, 2),
}


@over_all
@pytest.mark.parametrize("form", AS_HEADS)
def test_a_list_of_one_head_and_a_constant_map_are_that_head(name, form):
    if (name, form) == ("dual_contrastive", "a constant map"):
        pytest.skip("each logit competes with all of the other side")
    (D, real, fake), one = scene(), Heads(12, 1, False).double()
    one.nets[0].load_state_dict(D.state_dict())
    shaped = lambda x, labels: one(x) | {"logits": AS_HEADS[form](one(x)["logits"][0])}
    for player in ("d", "g"):
        expected = getattr(play(name), player)(critic_of(D, 5), real, fake)
        got = getattr(play(name), player)(critic_of(shaped, 5), real, fake)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


@over_all
def test_gradients_reach_all_heads(name):
    loss, (_, real, fake), D = play(name), scene(), Heads(12, 2, True).double()
    loss.d(critic_of(D, 5), real, fake).backward()
    assert all(net.features[1].weight.grad.any() for net in D.nets)


def test_different_heads_are_refused():
    with pytest.raises(ValueError, match="2 heads for reals and 1 for fakes cannot be compared"):
        losses.hinge().d([torch.zeros(3)] * 2, [torch.zeros(3)])


@pytest.mark.parametrize(
    "name", ["relativistic_average", "dual_contrastive", "boundary_equilibrium", "feature_matching"]
)
def test_losses_of_whole_batches_refuse_pieces(name):
    critic = Critic(Judge(4), seen=0, piece=(0, 2))
    with pytest.raises(ValueError, match="looks at a whole batch, which is in 2 pieces here: use pieces=1"):
        build(name).g(critic, torch.zeros(3, 4), torch.zeros(3, 4))


def test_features_are_matched_in_pairs():
    """As auto-encoders and codecs do: the mean over values of |f(x) - f(G(x))|, summed over layers."""
    (D, real, fake) = scene()
    features = lambda x: D.features(x)
    value = losses.feature_matching(of="pairs").g(Critic(D), real, fake)
    torch.testing.assert_close(value, (features(real) - features(fake)).abs().mean())
    squares = losses.feature_matching(norm="l2", of="pairs").g(Critic(D), real, fake)
    torch.testing.assert_close(squares, (features(real) - features(fake)).square().sum(1).mean())
