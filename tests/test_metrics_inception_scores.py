"""The Inception score: closed forms, and the definition written out in numpy."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor

from equipoise.metrics import inception_score
from equipoise.metrics.inception_scores import scores


def value(logits: Tensor, splits: int = 1) -> float:
    metric = inception_score(splits)
    metric.update(logits, real=False)
    return metric.compute()["inception_score"]


def test_sure_predictions_of_all_classes_score_their_number() -> None:
    assert value(1000 * torch.eye(10).repeat(7, 1)) == pytest.approx(10)


def test_one_class_alone_or_no_idea_scores_one() -> None:
    assert value(1000 * torch.eye(10)[:1].repeat(20, 1)) == pytest.approx(1)
    assert value(torch.zeros(20, 10)) == pytest.approx(1)


def test_it_is_the_definition_in_each_split() -> None:
    logits = torch.randn(103, 12, generator=torch.Generator().manual_seed(0)) * 3
    found = []
    for part in np.array_split(logits.double().numpy(), 5):
        p = softmax(part, axis=1)
        found.append(np.exp(rel_entr(p, p.mean(0)).sum(1).mean()))
    assert scores(logits, 5) == pytest.approx(found, rel=1e-12)
    assert value(logits, 5) == pytest.approx(np.mean(found), rel=1e-12)


def test_it_does_not_change_when_classes_are_renamed_or_logits_shifted() -> None:
    logits = torch.randn(60, 9, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    assert value(logits[:, order] + 1e3 * torch.rand(60, 1)) == pytest.approx(value(logits), rel=1e-4)


def test_the_interval_is_that_of_the_splits() -> None:
    logits, metric = torch.randn(200, 5, generator=torch.Generator().manual_seed(3)), inception_score()
    metric.update(logits, real=False)
    low, high = metric.intervals()["inception_score"]
    found = np.array(scores(logits, 10))
    assert (high - low) / 2 == pytest.approx(2.262157 * found.std(ddof=1) / np.sqrt(10), rel=1e-5)
    assert low < metric.compute()["inception_score"] < high


def test_a_split_too_many_is_a_split_of_one() -> None:
    with pytest.raises(ValueError, match="splits must be at least 1, not 0"):
        inception_score(splits=0)
    assert value(torch.randn(3, 4), splits=10) == pytest.approx(1)
