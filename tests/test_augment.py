"""Laws of all augmentations, and each transform against an independent reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation
from torch import nn
from torch._subclasses import FakeTensorMode

from equipoise import augment, penalties, spec
from equipoise.augment import colour, geometry

ALL = spec.names(augment)
RANDOM = [
    *("diffaug", "diffaug('color')", "diffaug('translation')", "diffaug('cutout')"),
    *("ada", "ada('blit')", "ada('geometry')", "ada('color')"),
]
EVERY = ["none", *RANDOM]
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 17), st.integers(1, 17))


def build(string, p=1.0):
    """A component by its name; 'ada' with a fixed p."""
    name, _, part = string.partition("(")
    parameter = "pipe" if name == "ada" else "policy"
    made = spec.build(f"{name}({parameter}={part}" if part else name, augment)
    if hasattr(made, "p"):
        made.p.fill_(p)
    return made


def seeded(function):
    """The same draws at every call."""

    def call(images):
        torch.manual_seed(5)
        return function(images)

    return call


def bits(images):
    return images.view(torch.int32)


def test_names():
    assert ALL == ["ada", "diffaug", "none", "transforms"]


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=15, deadline=None)
@given(shape=SHAPES, dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_any_shape_and_precision(name, shape, dtype):
    images = torch.rand(shape).to(dtype) * 2 - 1
    shown = build(name, p=0.8)(images)
    assert shown.shape == images.shape
    assert shown.dtype == dtype
    assert shown.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_one_seed_is_one_affine_map_whatever_the_images(name, channels):
    """T(a x + (1 - a) y) = a T(x) + (1 - a) T(y): T does not look at the images, real or fake."""
    x, y = torch.randn(2, 6, channels, 7, 10, dtype=torch.float64)
    T = seeded(build(name, p=0.7))
    torch.testing.assert_close(T(0.3 * x + 0.7 * y), 0.3 * T(x) + 0.7 * T(y))


@pytest.mark.parametrize("name", ["diffaug", "ada"])
def test_one_seed_is_one_map_in_every_precision(name):
    x = torch.randn(4, 3, 9, 8)
    T = seeded(build(name))
    torch.testing.assert_close(T(x.double()).float(), T(x), rtol=1e-4, atol=1e-4)


def test_images_of_half_precision_are_rounded_once():
    x, T = torch.randn(4, 3, 9, 8).bfloat16(), seeded(build("ada"))
    assert torch.equal(T(x), T(x.float()).bfloat16())


@pytest.mark.parametrize("name", EVERY)
def test_a_sample_depends_on_no_other(name):
    images, T = torch.randn(5, 3, 8, 8), seeded(build(name))
    others = torch.randn_like(images)
    others[2] = images[2]
    assert torch.equal(bits(T(others)[2]), bits(T(images)[2]))


@pytest.mark.parametrize("name", RANDOM)
def test_every_sample_draws_its_own(name):
    images = torch.rand(1, 3, 32, 32).expand(64, -1, -1, -1)
    shown = build(name)(images)
    assert shown.flatten(1).unique(dim=0).shape[0] > 35  # some of the whole-pixel shifts coincide


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (1, 2, 5, 3)])
def test_first_and_second_derivatives(name, shape):
    T = seeded(build(name, p=0.9))
    images = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(T, images)
    assert torch.autograd.gradgradcheck(lambda x: T(x) ** 3, images, fast_mode=True)


@pytest.mark.parametrize("name", ["none", "diffaug", "ada"])
def test_r1_at_the_images_before_augmentation_reaches_the_critic(name):
    D = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(48, 1), nn.Flatten(0)).double()
    T, images = build(name), torch.randn(3, 3, 6, 5, dtype=torch.float64)
    weight = D[0].weight

    def value():
        torch.manual_seed(1)
        return penalties.r1()(lambda x: D(T(x)), images, images)

    (slope,) = torch.autograd.grad(value(), weight)
    direction = torch.randn_like(weight)
    weight.data += 1e-5 * direction
    above = value()
    weight.data -= 2e-5 * direction
    below = value()
    torch.testing.assert_close(((above - below) / 2e-5).detach(), (slope * direction).sum(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("make", [augment.none, lambda: augment.diffaug(strength=0.0), augment.ada])
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_done_to_the_bit(make, channels):
    images = torch.randn(8, channels, 9, 14)
    images[0, 0, 0, 0], images[0, 0, 0, 1] = -0.0, float("inf")
    assert torch.equal(bits(make()(images)), bits(images))


@pytest.mark.parametrize("part", ["color", "translation", "cutout"])
def test_a_small_strength_does_little(part):
    images = torch.ones(64, 3, 32, 32)
    change = [(augment.diffaug(part, strength=s)(images) - images).square().mean().item() for s in (0.1, 0.5, 1.0)]
    assert change[0] < change[1] / 4 < change[1] < change[2]


@pytest.mark.parametrize("name", RANDOM)
def test_there_is_no_branch_on_values(name):
    """Fake tensors have no values: a branch on one raises."""
    with FakeTensorMode():
        made = build(name)
        if hasattr(made, "observe_reals"):
            made.observe_reals(torch.ones(2))
        assert made(torch.empty(2, 3, 8, 8)).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("name", ["diffaug", "ada"])
def test_autocast_changes_nothing(name):
    images, T = torch.randn(8, 3, 16, 16), seeded(build(name))
    plain = T(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(T(images), plain)


# Differentiable augmentation


def test_brightness_is_uniform():
    shown = augment.diffaug("color")(torch.zeros(4000, 2, 2, 3)).flatten(1)
    torch.testing.assert_close(shown, shown[:, :1].expand_as(shown))
    assert shown.abs().max() <= 0.5
    quartiles = np.quantile(shown[:, 0].numpy(), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [-0.25, 0, 0.25], atol=0.03)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_contrast_and_saturation_scale_distances(channels):
    """Contrast scales the grey part and saturation, of three channels alone, the distance from grey besides."""
    image = torch.randn(1, channels, 5, 4)
    shown = augment.diffaug("color")(image.expand(4000, -1, -1, -1))
    grey, shown_grey = image.mean(dim=1), shown.mean(dim=1)
    contrast = (shown_grey - shown_grey.mean(dim=(1, 2), keepdim=True)).std(dim=(1, 2)) / grey.std()
    assert 0.5 <= contrast.min() < 0.51
    assert 1.49 < contrast.max() <= 1.5 + 1e-5
    assert abs(contrast.mean() - 1) < 0.02
    if channels == 1:
        return
    chroma = (shown - shown_grey[:, None]).square().mean(dim=(1, 2, 3)).sqrt()
    saturation = chroma / (image - grey).square().mean().sqrt() / contrast
    if channels == 3:
        np.testing.assert_allclose(np.quantile(saturation.numpy(), [0.25, 0.5, 0.75]), [0.5, 1, 1.5], atol=0.06)
        assert saturation.max() <= 2 + 1e-5
    else:
        torch.testing.assert_close(saturation, torch.ones_like(saturation), rtol=1e-4, atol=1e-4)


def shifted(image, down, right):
    """By numpy: zeros move in."""
    height, width = image.shape[-2:]
    padded = np.pad(image, ((0, 0), (height, height), (width, width)))
    return padded[:, height - down : 2 * height - down, width - right : 2 * width - right]


def test_translation_is_a_uniform_whole_shift_with_zeros():
    image = torch.rand(2, 16, 25) + 1
    shown = augment.diffaug("translation")(image.expand(1050, -1, -1, -1)).numpy()
    table = {shifted(image.numpy(), u, v).tobytes(): (u, v) for u in range(-2, 3) for v in range(-3, 4)}
    shifts = [table[np.ascontiguousarray(one).tobytes()] for one in shown]  # a KeyError is a shift out of range
    counts = [shifts.count(shift) for shift in table.values()]
    assert min(counts) > 10  # of 30 on average
    assert max(counts) < 60


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (9, 5)])
def test_cutout_is_a_rectangle_around_a_uniform_point(height, width):
    shown = augment.diffaug("cutout")(torch.ones(3000, 3, height, width))
    cut = (shown == 0)[:, 0]
    assert torch.equal(shown, 1 - cut[:, None].float().expand_as(shown))
    rows, columns = cut.any(dim=2), cut.any(dim=1)
    assert torch.equal(cut, rows[:, :, None] & columns[:, None, :])
    for line, size in ((rows, height), (columns, width)):
        side = int(size / 2 + 0.5)
        starts = {tuple(one.nonzero().flatten().tolist()) for one in line}
        windows = [range(middle - side // 2, middle - side // 2 + side) for middle in range(size + 1 - side % 2)]
        assert starts == {tuple(i for i in window if 0 <= i < size) for window in windows}
        share = sum(i in window for window in windows for i in range(size)) / len(windows) / size
        assert abs(line.float().mean().item() - share) < 0.02


def test_parts_are_applied_in_the_order_of_the_policy():
    images = torch.ones(32, 1, 16, 16)
    first, last = augment.diffaug(("color", "cutout")), augment.diffaug(("cutout", "color"))
    assert (first(images) == 0).flatten(1).any(dim=1).all()  # what is cut stays zero
    assert not (last(images) == 0).flatten(1).any(dim=1).any()


@pytest.mark.parametrize(
    ("string", "message"),
    [
        ("diffaug(policy='colour')", r"policy has no 'colour' \(did you mean 'color'\?\); choices: color, t"),
        ("diffaug(policy='')", r"policy has no ''; choices: color, translation, cutout"),
        ("diffaug(strength=-1.0)", r"strength must be at least 0, not -1.0"),
        ("ada(pipe=('blit', 'filter'))", r"pipe has no 'filter'.*; choices: blit, geometry, color"),
        ("ada(target=2.0)", r"target must be at least -1 and at most 1, not 2.0"),
        ("ada(every=0)", r"every must be at least 1, not 0"),
        ("ada(images=0)", r"images must be at least 1, not 0"),
    ],
)
def test_errors_say_what_is_wrong(string, message):
    with pytest.raises(ValueError, match=message):
        spec.build(string, augment)


# The geometry of ADA


def is_identity(maps):
    return (maps == torch.eye(3)).flatten(1).all(dim=1)


def share(condition):
    return condition.float().mean().item()


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_blits_happen_with_their_probabilities(p):
    maps = geometry.blits(torch.empty(6000, 1, 20, 80), torch.tensor(p))
    assert torch.equal(maps, maps.round())
    assert torch.equal(maps[:, 2], torch.tensor([0.0, 0.0, 1.0]).expand(6000, 3))
    linear, offset = maps[:, :2, :2], maps[:, :2, 2].abs()
    assert abs(share(linear.det() < 0) - p / 2) < 0.025  # mirrored
    trace = linear.diagonal(dim1=1, dim2=2).sum(dim=1)[linear.det() > 0]
    for value, expected in ((2, 1 - 3 * p / 4), (0, p / 2), (-2, p / 4)):
        assert abs(share(trace == value) - expected) < 0.03  # turned by 0, by a quarter either way, by a half
    assert offset.max() <= 10
    assert abs(share((offset > 0).any(dim=1)) - p) < 0.08  # some shifts round to nothing
    if p == 0:
        assert is_identity(maps).all()


def read_last(maps):
    """The shift that a product of linear maps and, last, a shift ends with."""
    return torch.linalg.solve(maps[:, :2, :2], maps[:, :2, 2])


def test_whole_pixel_shifts_are_uniform_to_an_eighth_of_the_size():
    shift = read_last(geometry.blits(torch.empty(6000, 1, 40, 80), torch.tensor(1.0)))
    np.testing.assert_allclose(shift.abs().max(dim=0).values, [10, 5], rtol=1e-5)
    np.testing.assert_allclose(shift.std(dim=0), [20 / 12**0.5, 10 / 12**0.5], rtol=0.05)


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_deformations_happen_with_their_probabilities(p):
    maps = geometry.deformations(torch.empty(8000, 1, 40, 80), torch.tensor(p))
    linear = maps[:, :2, :2]
    assert abs(share(is_identity(maps)) - (1 - p) ** 4) < 0.02
    assert (linear.det() > 0).all()
    assert abs(share((linear.det() - 1).abs() > 1e-4) - p) < 0.02  # scaled
    values = torch.linalg.svdvals(linear)
    assert abs(share(values[:, 0] / values[:, 1] > 1 + 1e-4) - p) < 0.02  # stretched
    assert abs(share((maps[:, :2, 2] != 0).any(dim=1)) - p) < 0.02
    if p == 1:
        assert abs(linear.det().log2().std().item() - 2 * 0.2) < 0.02
        assert abs((values[:, 0] / values[:, 1]).log2().square().mean().sqrt().item() - 2 * 0.2) < 0.02
        assert abs((linear[:, 1, 0] / linear[:, 0, 0]).atan().mean().item()) < 0.05  # every direction alike


def test_rotations_happen_with_their_probability():
    p = 0.6
    maps = geometry.deformations(torch.empty(8000, 1, 8, 8), torch.tensor(p))
    turned = (maps[:, 0, 1] != 0) | (maps[:, 1, 0] != 0)
    assert abs(share(turned) - p) < 0.02


def test_fractional_shifts_are_of_an_eighth_of_the_size():
    maps = geometry.deformations(torch.empty(20000, 1, 40, 80), torch.tensor(1.0))
    np.testing.assert_allclose(read_last(maps).std(dim=0), [10, 5], rtol=0.05)


@pytest.mark.parametrize("size", [(9, 14), (8, 8), (1, 6), (5, 1)])
def test_warp_agrees_with_scipy(size):
    images = torch.randn(8, 2, *size, dtype=torch.float64)
    maps = geometry.deformations(images, torch.tensor(1.0))
    shown = geometry.warp(images, maps).numpy()
    middle = (np.array(size) - 1) / 2
    for image, matrix, result in zip(images.numpy(), maps.double().numpy(), shown, strict=True):
        linear, offset = matrix[1::-1, 1::-1], matrix[1::-1, 2]  # scipy's points are (down, right)
        for channel, expected in zip(image, result, strict=True):
            start = middle - linear @ middle + offset
            reference = affine_transform(channel, linear, start, order=1, mode="reflect")
            np.testing.assert_allclose(expected, reference, atol=2e-5)


def test_warp_of_blits_moves_pixels_without_mixing_them():
    images = torch.randn(4, 1, 6, 6)
    zero, one = torch.zeros(4), torch.ones(4)
    mirror, quarter = geometry.stretch(-one, one), geometry.turn(torch.full((4,), torch.pi / 2)).round()
    cases = {
        "mirror": (mirror, images.flip(3)),
        "quarter": (quarter, images.rot90(1, (2, 3))),
        "shift": (geometry.shift(2 * one, zero), torch.cat([images[..., 2:], images[..., 4:].flip(3)], dim=3)),
        "both": (geometry.through(mirror, quarter), images.flip(3).rot90(1, (2, 3))),
    }
    for name, (maps, expected) in cases.items():
        torch.testing.assert_close(geometry.warp(images, maps), expected, msg=name)


def test_samples_that_no_transform_chose_are_the_same_to_the_bit():
    images = torch.randn(400, 3, 9, 7)
    same = (bits(build("ada", p=0.1)(images)) == bits(images)).flatten(1).all(dim=1)
    expected = (1 - 0.05) * (1 - 0.075) * 0.9 * 0.9**4 * 0.9**4 * (1 - 0.05)  # of mirror, turn, shift; ...; luma flip
    assert abs(share(same) - expected) < 0.1


# The colours of ADA


def test_mixing_is_the_product_of_luma_hue_and_saturation():
    luma, hue, saturation = torch.tensor([[1.0, -1.0, 1.0], [0.0, 0.4, -2.0], [1.0, 0.3, 2.0]])
    axis = np.ones(3) / 3**0.5
    grey = np.outer(axis, axis)
    for row, (ell, angle, s) in enumerate(zip(luma.tolist(), hue.tolist(), saturation.tolist(), strict=True)):
        flip = np.eye(3) - (1 - ell) * grey
        turn = Rotation.from_rotvec(angle * axis).as_matrix()
        expected = (grey + s * (np.eye(3) - grey)) @ turn @ flip
        np.testing.assert_allclose(colour.mixing(luma, hue, saturation)[row], expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_without_three_channels_there_are_brightness_and_contrast_alone(channels):
    x = torch.randn(1, channels, 3, 4)
    shown = colour.recolour(x.expand(5000, -1, -1, -1), torch.tensor(1.0))
    contrast = shown.flatten(1).std(dim=1) / x.std()
    brightness = shown.flatten(1).mean(dim=1) / contrast - x.mean()
    expected = contrast[:, None, None, None] * (x + brightness[:, None, None, None])
    torch.testing.assert_close(shown, expected, rtol=1e-3, atol=1e-4)
    assert abs(contrast.log2().std() - 0.5) < 0.02
    assert abs(contrast.log2().mean()) < 0.03
    assert abs(brightness.std() - 0.2) < 0.02


def test_three_channels_keep_grey_on_its_axis_and_turn_the_rest():
    images = torch.zeros(5000, 3, 1, 2)
    images[:, 0, 0, 1] = 1.0  # black and red
    black, red = colour.recolour(images, torch.tensor(1.0))[:, :, 0].unbind(dim=2)
    torch.testing.assert_close(black, black[:, :1].expand_as(black))
    luma, chroma = (red - black).mean(dim=1), red - red.mean(dim=1, keepdim=True)
    assert abs(share(luma < 0) - 0.5) < 0.03  # flipped
    saturation = (chroma.norm(dim=1) / luma.abs()).log2()
    assert abs(saturation.std() - 1) < 0.05
    angle = torch.atan2(chroma[:, 1] - chroma[:, 2], chroma[:, 0] * 3**0.5)
    np.testing.assert_allclose(np.quantile(angle.numpy(), [0.25, 0.75]), [-np.pi / 2, np.pi / 2], atol=0.15)


@pytest.mark.parametrize(("channels", "power"), [(1, 2), (3, 4)])
def test_each_change_of_colour_has_the_probability_p(channels, power):
    p, images = 0.4, torch.randn(5000, channels, 2, 2)
    same = (colour.recolour(images, torch.tensor(p)) == images).flatten(1).all(dim=1)
    assert abs(share(same) - (1 - p) ** power * (1 - p / 2 if channels == 3 else 1)) < 0.03


# The control of p


def test_p_goes_from_0_to_1_in_so_many_images():
    control, trajectory = augment.ada(images=1000, every=2), []
    for _ in range(24):
        control.observe_reals(torch.ones(50))
        trajectory.append(control.p.item())
    expected = [min(1.0, 0.1 * (calls // 2)) for calls in range(1, 25)]
    np.testing.assert_allclose(trajectory, expected, atol=1e-6)
    assert trajectory[-1] == 1.0


def test_p_falls_but_not_below_0():
    control = augment.ada(images=1000, every=1)
    control.p.fill_(0.15)
    trajectory = []
    for _ in range(3):
        control.observe_reals(-torch.ones(100))
        trajectory.append(control.p.item())
    np.testing.assert_allclose(trajectory, [0.05, 0, 0], atol=1e-7)


@pytest.mark.parametrize(("positive", "direction"), [(79, -1), (80, 0), (81, 1)])
def test_p_follows_the_mean_sign_of_all_calls_together(positive, direction):
    """A mean sign of 0.6 is 80 of 100 logits that are positive, however large they are."""
    control = augment.ada(images=1000, every=2, target=0.6)
    control.p.fill_(0.5)
    logits = torch.where(torch.arange(100) < positive, 0.01, -50.0)
    control.observe_reals(logits[:30])
    assert control.p == 0.5
    control.observe_reals(logits[30:])
    assert control.p.item() == pytest.approx(0.5 + direction * 0.1)


def test_nothing_is_observed_in_eval_mode():
    control = augment.ada(every=1).eval()
    control.observe_reals(torch.ones(1000))
    assert not any(buffer.any() for buffer in control.buffers())
    control.train().observe_reals(torch.ones(1000))
    assert control.p > 0


def test_no_gradient_is_kept_of_what_is_observed():
    control = augment.ada(every=1)
    control.observe_reals(torch.ones(4, requires_grad=True))
    assert not control.p.requires_grad


def test_a_saved_control_goes_on_where_it_was():
    first, second = augment.ada(every=3, images=100), augment.ada(every=3, images=100)
    for _ in range(4):
        first.observe_reals(torch.ones(5))
    second.load_state_dict(first.state_dict())
    for control in (first, second):
        control.observe_reals(torch.ones(5))
        control.observe_reals(torch.ones(5))
    assert first.p == second.p
    assert first.p.item() == pytest.approx(0.3)


def test_the_groups_are_those_of_pipe():
    x = torch.rand(32, 3, 8, 8).sort(dim=3).values
    for pipe, keeps in (("blit", True), ("geometry", False), ("color", False)):
        shown = seeded(build(f"ada('{pipe}')"))(x)
        values = set(x.round(decimals=4).flatten().tolist())
        kept = np.mean([value in values for value in shown.round(decimals=4).flatten().tolist()])
        assert (kept > 0.99) == keeps, pipe
    assert torch.equal(build("ada('color')")(torch.zeros(9, 1, 4, 4)).flatten(1).std(dim=1), torch.zeros(9))
