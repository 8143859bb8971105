import pytest
import torch

from equipoise import losses, penalties, schedules, spec
from equipoise.checks import check_range
from equipoise.critic import Critic


def test_a_string_is_a_call():
    assert spec.parse("r1(weight=5, sided='two')") == ("r1", (), {"weight": 5, "sided": "two"})
    assert spec.build("hinge(2.0)", losses).d(torch.zeros(1), torch.zeros(1)) == 4
    assert spec.build("hinge(margin=2.0)", losses).d(torch.zeros(1), torch.zeros(1)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "hing",
            r"losses has no 'hing' \(did you mean 'hinge'\?\); choices: auxiliary_classifier, .*, hinge, least_squares",
        ),
        ("hinge(marginn=1)", "'hinge\\(marginn=1\\)': got an unexpected keyword argument 'marginn'; .* margin=1.0"),
        ("hinge(1, 2)", "too many positional arguments; its hyper-parameters: margin=1.0"),
        (
            "hinge(margin=open('x'))",
            r"there is no 'open' to call, and text stands in quotes",
        ),
        ("hinge(margin=x.y)", "not of the form"),
        ("hinge(margin=[print])", r"there is no 'print'"),
        ("auxiliary_classifier(loss=hing)", r"there is no 'hing' to call, .* \(did you mean 'hinge'\?\)"),
        ("hinge(margin=1if 1else 2)", "not of the form"),
        ("hinge(**{'margin': 1})", "unexpected keyword"),
        ("__import__('os')", "losses has no '__import__'"),
        ("Loss", "losses has no 'Loss'"),
        ("", "not of the form"),
    ],
)
def test_bad_strings_are_refused_with_the_choices(text, message):
    with pytest.raises(ValueError, match=message):
        spec.build(text, losses)


def test_a_wrong_value_keeps_its_own_message():
    with pytest.raises(ValueError, match="real_target must be at least"):
        spec.build("non_saturating(real_target=2.0)", losses)


def test_a_users_own_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from equipoise.losses import Loss\n\n"
        "def scaled(a=1.0):\n"
        "    return Loss(d=lambda real, fake: a * (fake - real).mean(), g=lambda real, fake: -fake.mean())\n\n"
        "def helper(required):\n"
        "    return required\n"
    )
    loss = spec.build(f"{file}:scaled(a=3.0)", losses)
    assert loss.d(torch.zeros(2), torch.ones(2)) == 3
    with pytest.raises(
        ValueError, match=r"mine.py has no 'helper' that can be called without arguments; choices: scaled"
    ):
        spec.build(f"{file}:helper", losses)
    with pytest.raises(ValueError, match="no such file"):
        spec.build(f"{tmp_path}/other.py:scaled", losses)


def test_values_of_a_wrong_type_and_broken_files_get_one_line(tmp_path):
    for name, text in (("syntax", "def ("), ("missing", "import nothing_of_this_name"), ("raises", "1 / 0")):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(
            ValueError, match=rf"{name}.py cannot be imported: (Syntax|ModuleNotFound|ZeroDivision)Error"
        ):
            spec.build(f"{tmp_path}/{name}.py:f", losses)
    (tmp_path / "wrong.py").write_text("def f(a=1):\n    return a + 1\n")
    with pytest.raises(ValueError, match=r"wrong.py:f\(a='x'\).*: can only concatenate .*; its hyper-parameters: a=1"):
        spec.build(f"{tmp_path}/wrong.py:f(a='x')", losses)


def test_arguments_may_be_calls():
    """A loss of another loss, a weight that is a schedule: resolved in the module, and in what is offered besides."""
    loss = spec.build("auxiliary_classifier(loss=least_squares(a=-1.0), d_weight=0.5)", losses)
    assert not loss.relative
    assert spec.build("auxiliary_classifier(loss=relativistic)", losses).relative
    weights = []
    penalty = spec.build("r1(weight=linear(2.0, 0.0, images=8))", penalties, schedules.lasting(100))
    for seen in (0, 4, 8):
        D = Critic(lambda x: x.square().sum(1) / 2, seen=seen)
        weights.append(penalty(D, torch.ones(3, 1), torch.ones(3, 1)).item())
    assert weights == [1.0, 0.5, 0.0]


def test_odd_strings_give_no_warnings():
    """Of "1if" Python's parser says that it is a deprecated way to write; warnings are errors here."""
    with pytest.raises(ValueError, match="not of the form"):
        spec.parse("hinge(margin=0x1for x in 'a')")
    with pytest.raises(ValueError, match="not of the form"):
        spec.parse("hinge(margin='\\d' is 3)")


def test_what_is_no_number_is_named():
    with pytest.raises(ValueError, match="lr must be a number, not 'a'"):
        check_range(at_least=0, lr="a")
