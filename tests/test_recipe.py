import json
from dataclasses import fields, replace

import pytest

from equipoise import presets, spec
from equipoise.recipe import Recipe, differences

PRESETS = [spec.build(name, presets) for name in spec.names(presets)]


@pytest.mark.parametrize("recipe", PRESETS)
def test_a_recipe_survives_json(recipe):
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"images": -5}, "images must be at least 1, not -5"),
        ({"lr_d": 0.0}, r"lr_d must be positive and finite, not 0.0"),
        ({"size": "big"}, "size must be pixels like 64 or, height x width, 48x96, and at least 8, not 'big'"),
        ({"size": "4"}, "size must be"),
        ({"seed": -1}, "seed must be at least 0 and below 2..63, not -1"),
        ({"score_images": 1}, "score_images must be at least 2, not 1"),
        ({"save_every": 0}, "save_every must be at least 1, not 0"),
        ({"g_batch": 0}, "g_batch must be at least 1, not 0"),
        ({"lr_g": float("inf")}, "lr_g must be positive and finite, not inf"),
        ({"decay": 1.5}, r"decay must be in \[0, 1\], not 1.5"),
        ({"g_condition": "batchnorm"}, r"g_condition cannot be 'batchnorm' \(did you mean 'batch_norm'"),
        (
            {"d_condition": "batch_norm"},
            "d_condition cannot be 'batch_norm'; choices: None, proj",
        ),
    ],
)
def test_impossible_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**change)


def test_an_unknown_field_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"a recipe has no field 'bacth' \(did you mean 'batch'\?\)"):
        Recipe.from_json({"bacth": 3})


def test_size_is_height_by_width():
    assert Recipe(size="48x96").height_width() == (48, 96)
    assert Recipe(size="64").height_width() == (64, 64)
    assert Recipe().height_width() is None


def test_differences_leave_open_fields_out():
    old = Recipe(size="64", batch=32)
    assert differences(Recipe(batch=32), old) == []
    assert differences(Recipe(size="32", batch=64), old) == ["size: '64' there, '32' here", "batch: 32 there, 64 here"]


def test_every_field_is_described():
    """The command line shows the text below each field."""
    source = __import__("inspect").getsource(Recipe)
    for field in fields(Recipe):
        after = source.split(f"\n    {field.name}: ", 1)[1].split("\n", 2)[1]
        assert after.strip().startswith('"""'), field.name


def test_recipes_cannot_be_changed_in_place():
    recipe = Recipe()
    with pytest.raises(AttributeError):
        recipe.batch = 2
    assert replace(recipe, batch=2).batch == 2


@pytest.mark.parametrize("name", spec.names(presets))
def test_every_preset_says_what_was_published(name):
    first, second = __import__("inspect").getdoc(getattr(presets, name)).split("\n\n")[:2]
    assert first.endswith(").")
    assert second.startswith("Published: ")


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("wgan_gp", 100_000 * 64 * 5),
        ("sngan", 100_000 * 64),
        ("sngan_resnet", 100_000 * 64 * 5),
        ("improved_gan", 1_200 * 50_000),
        ("infogan_study", 20 * 60_000),
        ("biggan", 500 * 50_000),
        ("acgan", 50_000 * 100),
    ],
)
def test_lengths_are_the_papers(name, images):
    """Updates times steps of the discriminator times batch, or epochs times images."""
    assert getattr(presets, name)().images == images


def test_averages_of_biggan_are_the_papers():
    """0.9999 a step of the generator."""
    for name in ("biggan", "biggan_deep"):
        recipe = getattr(presets, name)()
        assert 0.5 ** (recipe.batch * recipe.d_steps / recipe.ema_images) == pytest.approx(0.9999, abs=2e-6)
