"""The critic: one run a batch, what can be asked of it, and what it says where there is no answer."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.functional import dropout

from equipoise import penalties
from equipoise.calls import generate
from equipoise.critic import Critic, per_sample


class Judge(nn.Module):
    """Counts its runs; features are twice the image, class logits thrice."""

    def __init__(self, p=0.0):
        super().__init__()
        self.features, self.class_logits, self.p = nn.Identity(), nn.Identity(), p
        self.seen = []

    def forward(self, images, labels=None):
        images = dropout(images, self.p, self.training)
        self.seen.append((images, labels))
        self.features(2 * images)
        self.class_logits(3 * images.flatten(1))
        logits = images.flatten(1).sum(1)
        return logits if labels is None else logits + 100 * labels


def hooks(D):
    return sum(len(module._forward_hooks) for module in D.modules())


def test_all_questions_about_a_batch_are_answered_by_one_run():
    D = Judge()
    critic, images = Critic(D), torch.randn(3, 2, 2)
    first = critic(images)
    torch.testing.assert_close(critic.features(images)[0], 2 * images.flatten(1))
    torch.testing.assert_close(critic.class_logits(images)[0], 3 * images.flatten(1))
    assert critic(images) is first
    assert len(D.seen) == 1


def test_each_batch_has_its_own_run():
    D, (a, b) = Judge(), torch.randn(2, 3, 4)
    critic = Critic(D)
    assert not torch.equal(critic(a), critic(b))
    torch.testing.assert_close(critic.features(a)[0], 2 * a)
    torch.testing.assert_close(critic.features(b)[0], 2 * b)
    assert len(D.seen) == 2


def test_equal_but_distinct_batches_are_not_taken_for_one_another():
    """Memory is of the very tensor: a copy may require a gradient where the original does not."""
    D, images = Judge(), torch.randn(3, 4)
    critic = Critic(D)
    critic(images), critic(images.clone().requires_grad_())
    assert len(D.seen) == 2


def test_again_is_an_independent_run_with_all_else_alike():
    D, images, labels = Judge(p=0.5), torch.ones(64, 4), torch.zeros(64, dtype=torch.long)
    G, z = nn.Linear(2, 4), torch.zeros(64, 2)
    critic = Critic(D, labels, lambda x: x + 1, G, z, learner=G, features="class_logits", class_logits="features")
    again = critic.again()
    assert not torch.equal(critic(images), again(images))
    assert len(D.seen) == 2
    assert (again.D, again.labels, again.generator, again.latents, again.learner) == (D, labels, G, z, G)
    assert (again.augment, again.names) == (critic.augment, critic.names)
    torch.testing.assert_close(again.features(images)[0], 3 * D.seen[1][0])
    assert len(D.seen) == 2


def test_the_gradient_flows_through_all_that_is_remembered():
    images = torch.randn(3, 4, requires_grad=True)
    critic = Critic(Judge())
    critic(images)
    (slope,) = torch.autograd.grad(critic(images).sum() + critic.features(images)[0].sum(), images)
    torch.testing.assert_close(slope, torch.full((3, 4), 3.0))


def test_labels_are_closed_over():
    D, images, labels = Judge(), torch.zeros(3, 4), torch.tensor([0, 1, 2])
    assert Critic(D, labels)(images).tolist() == [0, 100, 200]
    assert D.seen[0][1] is labels
    G = lambda z, labels: z + labels[:, None]
    assert Critic(D, labels, generator=None).labels is labels
    made = Critic(D, labels, generator=AsModule(G), latents=images).generate(images)
    torch.testing.assert_close(made, labels[:, None].expand(3, 4).float())


class AsModule(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def test_augmentation_is_applied_once_a_run():
    D, images, calls = Judge(), torch.ones(2, 3), []
    augment = lambda x: calls.append(x) or 10 * x
    critic = Critic(D, augment=augment)
    assert critic(images).tolist() == [30, 30]
    assert critic.features(images)[0].tolist() == [[20.0] * 3] * 2
    assert len(calls) == 1


def test_gradients_are_taken_in_the_image_before_augmentation():
    """As in StyleGAN2-ADA: R1 through an augmentation that multiplies by 10."""
    critic = Critic(lambda x: x.sum(1), augment=lambda x: 10 * x)
    value = penalties.r1(weight=2.0)(critic, torch.ones(2, 3), torch.ones(2, 3))
    assert value.item() == 100 * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_answers_have_at_least_single_precision(dtype):
    images, least = torch.ones(2, 3, dtype=dtype), torch.promote_types(dtype, torch.float32)
    critic = Critic(Judge(), generator=nn.Identity(), latents=images)
    answers = critic(images), critic.features(images)[0], critic.class_logits(images)[0], critic.generate(images)
    assert [answer.dtype for answer in answers] == [least] * 4


def test_hooks_are_removed_after_each_run_even_a_failed_one():
    D, images = Judge(), torch.randn(3, 4)
    critic = Critic(D)
    critic(images)
    assert hooks(D) == 0
    D.class_logits = AsModule(lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Critic(D)(images)
    assert hooks(D) == 0
    assert critic.class_logits(images)[0].shape == (3, 4)


def test_hooks_of_others_stay():
    D, calls = Judge(), []
    D.features.register_forward_hook(lambda *_: calls.append(1))
    Critic(D)(torch.randn(3, 4))
    assert hooks(D) == len(calls) == 1


def test_other_networks_name_the_submodules():
    D = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 6), nn.ReLU()), nn.Linear(6, 1), nn.Flatten(0))
    images = torch.randn(3, 2, 2)
    critic = Critic(D, features="1.1", class_logits="1")
    torch.testing.assert_close(critic.features(images)[0], D[1](D[0](images)))
    assert torch.equal(critic.class_logits(images)[0], critic.features(images)[0])


def test_of_makes_a_critic_of_anything_and_leaves_critics_alone():
    critic = Critic(Judge())
    assert Critic.of(critic) is critic
    assert isinstance(Critic.of(torch.sum), Critic)
    assert Critic.of(Judge())(torch.ones(2, 3)).tolist() == [3, 3]


def test_the_discriminator_learns_unless_told_otherwise():
    D, G = Judge(), nn.Linear(2, 2)
    assert Critic(D).learner is D
    assert Critic(D, generator=G, learner=G).learner is G
    assert not Critic(D, generator=G).generator_learns
    assert not Critic(D, generator=G, learner=D).generator_learns
    assert not Critic(lambda x: x).generator_learns
    assert Critic(D, generator=G, learner=G).generator_learns
    with pytest.raises(ValueError, match="needs the network itself, not a function"):
        _ = Critic(lambda x: x).learner


class Silent(nn.Module):
    """Has features that it does not run."""

    def __init__(self):
        super().__init__()
        self.features = nn.Identity()

    def forward(self, images):
        return images.flatten(1).sum(1)


@pytest.mark.parametrize(
    ("D", "ask", "problem"),
    [
        (nn.Flatten(0), "features", "discriminator's features, but Flatten has no submodule 'features'"),
        (nn.Flatten(0), "class_logits", "discriminator's class logits, but Flatten has no submodule 'class_logits'"),
        (lambda x: x[:, 0], "features", "discriminator's features, but function has no submodule 'features'"),
        (Silent(), "features", "Silent has no submodule 'features' that it runs"),
    ],
)
def test_a_discriminator_without_the_part_is_refused(D, ask, problem):
    with pytest.raises(ValueError, match=problem):
        getattr(Critic(D), ask)(torch.randn(3, 1))


def test_a_wrong_name_of_a_part_is_told():
    with pytest.raises(ValueError, match=r"no submodule 'body\.9'"):
        Critic(Judge(), features="body.9").features(torch.randn(3, 1))


def test_latents_and_the_generator_are_asked_for_by_name():
    with pytest.raises(ValueError, match=r"it needs Critic\(D, latents=z\)"):
        Critic(Judge()).made_from()
    with pytest.raises(ValueError, match=r"it needs Critic\(D, generator=G, latents=z\)"):
        Critic(Judge()).generate(torch.zeros(2, 2))


class Periods(nn.Module):
    """Returns what discriminators return: `form` puts logits and features together."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, images):
        logits = [images.sum(1), images[:, None] ** 2]
        features = [[images, 2 * images], [3 * images]]
        return self.form(logits, features)


@dataclass
class Named:
    logits: list
    features: list


FORMS = {
    "a list": lambda logits, features: logits,
    "a pair": lambda logits, features: (logits, features),
    "a list of pairs": lambda logits, features: [*zip(logits, features, strict=True)],
    "a mapping": lambda logits, features: {"logits": logits, "features": features},
    "an object": lambda logits, features: Named(logits, features),
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_and_features_are_read_as_discriminators_return_them(form):
    images = torch.randn(4, 3)
    critic = Critic(Periods(FORMS[form]))
    logits = critic(images)
    assert [head.shape for head in logits] == [(4,), (4, 1, 3)]
    torch.testing.assert_close(logits[0], images.sum(1))
    if form != "a list":
        torch.testing.assert_close(critic.features(images), [images, 2 * images, 3 * images])
    else:
        with pytest.raises(ValueError, match="no submodule 'features' that it runs, and returns none"):
            critic.features(images)
    assert hooks(critic.D) == 0


@pytest.mark.parametrize("output", [(1, 2, 3), {"scores": 1}, None, "text", []])
def test_what_is_no_output_of_a_discriminator_is_refused(output):
    with pytest.raises(ValueError, match="a discriminator returns logits, a list of them, or logits with features"):
        Critic(lambda x: output)(torch.ones(2, 3))


def test_features_of_every_head_are_heard():
    """Submodules called `features` at any depth, but the outermost alone where one holds another."""
    inner = nn.Sequential()
    inner.add_module("features", nn.Identity())
    heads = nn.ModuleList(nn.Module() for _ in range(2))
    for head in heads:
        head.features = inner if head is heads[0] else nn.Identity()
    D = AsModule(lambda x: [head.features(x).sum(1) for head in heads])
    D.heads = heads
    assert len(Critic(D).features(torch.ones(2, 3))) == 2


def test_an_output_without_a_graph_is_not_handed_out_as_if_it_had_one():
    D, images = Judge(), torch.randn(3, 4, requires_grad=True)
    critic = Critic(D)
    with torch.no_grad():
        critic(images)
    logits = critic(images)
    assert logits.requires_grad
    assert len(D.seen) == 2
    with torch.no_grad():
        assert not critic(images).requires_grad
    assert critic(images) is logits
    assert len(D.seen) == 2


def test_changed_images_are_run_again():
    D, images = Judge(), torch.randn(3, 4)
    critic = Critic(D)
    before = critic(images).clone()
    images += 1
    torch.testing.assert_close(critic(images), before + 4)
    assert len(D.seen) == 2


def test_per_sample_sums_heads_and_averages_maps():
    logits = [torch.tensor([1.0, 2.0]), torch.tensor([[[2.0, 4.0]], [[0.0, 10.0]]])]
    assert per_sample(logits, 2).tolist() == [4.0, 7.0]
    with pytest.raises(ValueError, match=r"logits of shape \[3\] for 2 images: the first dimension of a head must"):
        per_sample(torch.zeros(3), 2)


def test_latents_are_w_of_a_generator_that_has_some():
    class Style(nn.Module):
        z_dim = 2

        def __init__(self):
            super().__init__()
            self.mapping, self.synthesis = nn.Linear(2, 3), nn.Linear(3, 4)

        def forward(self, z):
            return self.synthesis(self.mapping(z))

    G, z = Style(), torch.randn(5, 2)
    fake, w = generate(G, z, None)
    torch.testing.assert_close(fake, G(z))
    torch.testing.assert_close(w, G.mapping(z))
    torch.testing.assert_close(Critic(Judge(), generator=G, latents=w).generate(w), fake)
    plain, same = generate(G.synthesis, w, None)
    assert same is w
    torch.testing.assert_close(plain, fake)
