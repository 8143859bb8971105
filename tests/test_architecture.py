"""The layers of the package, and its public names."""

import ast
import re
from pathlib import Path

import pytest

import equipoise
from equipoise import (
    activations,
    augment,
    constraints,
    games,
    growth,
    instruments,
    losses,
    metrics,
    networks,
    norms,
    optimizers,
    penalties,
    presets,
    schedules,
    spec,
)
from equipoise.data import toys
from equipoise.metrics import features

SRC = Path(equipoise.__file__).parent
SHARED = {
    "cache",
    "spec",
    "checks",
    "calls",
    "critic",
    "growth",
    "interpolation",
    "labels",
    "numerics",
    "parts",
    "problems",
    "processes",
    "profiling",
    "randomness",
    "ranges",
    "schedules",
    "themes",
    "trees",
    "watching",
    "weights",
    "writing",
}  # what several kinds are written in
LAYERS = [  # a module imports only from layers above its own
    {
        *("losses", "penalties", "norms", "constraints", "layers", "activations", "augment"),
        *("optimizers", "metrics", "instruments"),
        *SHARED,
    },
    {"networks"},
    {"training", "games"},
    {"recipe", "presets", "data"},
    {"runs"},
    {"study", "report"},
    {"cli"},
]
WITHIN_A_LAYER = {
    # a preset is a recipe, a game is players, instruments measure what norms and metrics define, a page shows a study
    ("presets", "recipe"),
    ("games", "training"),
    ("instruments", "norms"),
    ("instruments", "metrics"),
    ("report", "study"),
}


def part_of(path):
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imported_parts(path):
    """The parts of the package that a file imports."""
    depth = len(path.relative_to(SRC).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("equipoise"):
            yield from node.module.split(".")[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("equipoise."))


MODULES = sorted(path for path in SRC.rglob("*.py") if part_of(path) not in ("__init__", "__main__"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_down(path):
    own = part_of(path)
    level = next(number for number, layer in enumerate(LAYERS) if own in layer)
    allowed = set().union(*LAYERS[:level]) | {own, "__version__"} | SHARED
    allowed |= {other for part, other in WITHIN_A_LAYER if part == own}
    assert set(imported_parts(path)) <= allowed


def test_every_module_has_a_layer():
    assert {part_of(path) for path in MODULES} == set().union(*LAYERS)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (
            losses,
            "auxiliary_classifier boundary_equilibrium dual_contrastive energy f_gan feature_matching hinge "
            "least_squares loss_sensitive minimax multi_hinge non_saturating pretrained relativistic "
            "relativistic_average wasserstein",
        ),
        (
            penalties,
            "approximate_r1 approximate_r2 consistency consistency_term dragan drift historical_averaging lecam "
            "max_gradient orthogonal_offdiagonal orthonormal path_length pulling_away r1 r2 spectral_regularization "
            "wgan_gp zero_centered",
        ),
        (norms, "equalized frobenius none orthogonal spectral standardized strict_weight weight"),
        (constraints, "clip clip_singular_values none"),
        (augment, "ada diffaug none transforms"),
        (games, "adversarial cycle paired pyramid"),
        (growth, "progressive"),
        (schedules, "constant cosine decay linear steps warmup"),
        (
            networks,
            "began biggan biggan_deep cyclegan dcgan ebgan growing_cyclegan improved_gan infogan lapgan mlp pggan "
            "pix2pix r3 sagan sn_cnn sn_resnet wgan_gp_cnn wgan_gp_resnet wn_gan wn_resnet",
        ),
        (activations, "elu gelu leaky_relu relu silu smooth_elu tanh"),
        (optimizers, "adam rmsprop sgd"),
        (
            metrics,
            "cas classifier_scores density_coverage fd fd_infinity fid inception_score intra_fd kid lpips_diversity "
            "memorization modes ms_ssim polygon ppl precision_recall reconstruction sliced_wasserstein wasserstein",
        ),
        (
            instruments,
            "effective_rank gradient_norms js_estimate lipschitz_bound lipschitz_estimate sigma_error spectrum "
            "transport_gap",
        ),
        (toys, "gaussians_1d grid ring spiral stacked swiss_roll triangles"),
        (features, "builtin clip dinov2 inception mobilenet pixels random resnet56"),
        (
            presets,
            "acgan began biggan biggan_deep ct_gan cyclegan dcgan default dragan ebgan f_gan gan improved_gan "
            "infogan_study lapgan ls_gan lsgan pggan pix2pix r3gan sagan sn_regularization sngan sngan_projection "
            "sngan_resnet wgan wgan_gp wn_gan",
        ),
    ],
)
def test_public_components(module, expected):
    assert spec.names(module) == expected.split()


FILES = ("clip", "dinov2", "inception", "resnet56")  # features whose weights may have to be downloaded
KINDS = [
    *(losses, penalties, norms, constraints, augment, networks, activations, optimizers),
    *(metrics, features, presets, games, schedules, growth, instruments, toys),
]


@pytest.mark.parametrize("module", KINDS)
def test_every_component_can_be_called_without_arguments_and_says_what_it_is(module):
    for name in spec.names(module):
        assert getattr(module, name).__doc__.splitlines()[0].endswith((".", ")"))
        if module is not features or name not in FILES:
            spec.build(name, module)


def test_parts_have_types_before_they_are_imported():
    assert re.findall(r"    from \. import (\w+) as \1\n", Path(equipoise.__file__).read_text()) == equipoise.PARTS
    assert all(getattr(equipoise, name).__name__ == f"equipoise.{name}" for name in equipoise.PARTS)
