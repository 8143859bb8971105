import inspect
import json
from dataclasses import fields, replace

import pytest

from equipoise import presets, recipe, spec
from equipoise.recipe import Recipe, differences

PRESETS = [spec.build(name, presets) for name in spec.names(presets)]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_recipe_survives_json(preset):
    assert Recipe.from_json(json.loads(json.dumps(preset.to_json()))) == preset


def test_a_recipe_is_made_of_its_groups():
    groups = [cls for cls in Recipe.__mro__ if cls not in (Recipe, object)]
    assert len(groups) == 7
    parts = {name: value for group in groups for name, value in vars(PRESETS[0].part(group)).items()}
    assert Recipe(**parts) == PRESETS[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"images": -5}, "images must be at least 1, not -5"),
        ({"lr_d": 0.0}, "lr_d must be above 0, not 0.0"),
        ({"size": "big"}, "pixels like 64 or, height x width, 48x96, and at least 8, or 1 of points, not 'big'"),
        ({"range": "3"}, "range must be 'bytes' or, for floats, .* like 0:1 or -3:5, not '3'"),
        ({"range": "5:1"}, "range must be 'bytes' or"),
        ({"size": "4"}, "size must be"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"score_images": 1}, "score_images must be at least 2, not 1"),
        ({"save_every": 0}, "save_every must be at least 1, not 0"),
        ({"g_batch": 0}, "g_batch must be at least 1, not 0"),
        ({"lr_g": float("inf")}, "lr_g must be above 0 and finite, not inf"),
        ({"lr_g": "cosin(1e-3)"}, r"schedules has no 'cosin' \(did you mean 'cosine'\?\)"),
        ({"lr_g": "decay(1e-3, share=1.5)"}, "share must be at least 0 and at most 1, not 1.5"),
        ({"lr_g": "decay(1e-3, images=0)"}, "images must be at least 1, not 0"),
        ({"d_steps": 0}, "d_steps must be at least 1, not 0"),
        ({"d_steps": "steps((5, 0), at=(9,))"}, "d_steps must be at least 1, not 0"),
        ({"pieces": 0}, "pieces must be at least 1, not 0"),
        ({"score": ()}, "score must name at least one metric"),
        ({"g_condition": "batchnorm"}, r"g_condition cannot be 'batchnorm' \(did you mean 'batch_norm'"),
        (
            {"d_condition": "batch_norm"},
            "d_condition cannot be 'batch_norm'; choices: proj",
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
    source = inspect.getsource(recipe)
    for field in fields(Recipe):
        after = source.split(f"\n    {field.name}: ", 1)[1].split("\n", 2)[1]
        assert after.strip().startswith('"""'), field.name


def test_recipes_cannot_be_changed_in_place():
    recipe = Recipe()
    with pytest.raises(AttributeError):
        recipe.batch = 2
    assert replace(recipe, batch=2).batch == 2


def test_there_is_one_set_of_defaults():
    """A preset says what differs; the default preset says nothing."""
    assert presets.default() == Recipe()


def test_lengths_of_schedules_are_those_of_the_run_unless_they_say():
    recipe = Recipe(images=1000, lr_g="decay(1.0, share=0.5)", lr_d="cosine(1.0, 0.0, images=10)")
    assert recipe.rate("lr_g")(750) == 0.5
    assert replace(recipe, images=100).rate("lr_g")(75) == 0.5
    assert recipe.rate("lr_d")(10) == 0
    assert Recipe(d_steps=5).rate("d_steps") == 5


def test_r3gan_has_the_schedules_of_its_paper():
    """Half way through the 20 million images of annealing everything is in the middle; then it rests."""
    recipe = presets.r3gan()
    for name, start, end in (("lr_g", 2e-4, 5e-5), ("lr_d", 2e-4, 5e-5), ("ema_images", 0, 5e6)):
        rate = recipe.rate(name)
        assert [rate(0), rate(10e6), rate(20e6), rate(200e6)] == pytest.approx([start, (start + end) / 2, end, end])
    assert recipe.penalties[0] == "r1(weight=cosine(0.05, 0.005, images=20000000))"
    assert recipe.augment == "transforms(p=cosine(0.0, 0.55, images=20000000))"
    assert "beta2=cosine(0.9, 0.99, images=20000000)" in recipe.optimizer


def test_wgan_begins_with_a_hundred_steps_of_the_critic():
    """For each of the generator's first 25 updates."""
    recipe, seen, updates = presets.wgan(), 0, []
    for _ in range(30):
        updates.append(recipe.rate("d_steps")(seen))
        seen += recipe.batch * updates[-1]
    assert updates == [100] * 25 + [5] * 5


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


def test_what_an_older_version_did_not_know_is_left_as_usual():
    older = {name: value for name, value in Recipe(batch=8).to_json().items() if name != "shard"}
    assert Recipe.from_json(older) == Recipe(batch=8)
    with pytest.raises(ValueError, match="a complete recipe has also batch"):
        Recipe.from_json({name: value for name, value in older.items() if name != "batch"})
