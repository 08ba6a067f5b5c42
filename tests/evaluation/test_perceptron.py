"""A classifier for what no straight line parts."""

import numpy as np
import pytest

from heartlib.evaluation.linear import fit_classifier
from heartlib.evaluation.perceptron import Perceptron, fit_perceptron


@pytest.fixture(scope="module")
def exclusive() -> tuple[np.ndarray, np.ndarray]:
    """Points of a plane, and whether exactly one of their coordinates is above 0."""
    points = np.random.default_rng(0).standard_normal((1200, 2))
    return points, ((points[:, 0] > 0) != (points[:, 1] > 0)).astype(int)


def test_it_learns_what_a_linear_one_cannot(exclusive: tuple[np.ndarray, np.ndarray]):
    points, labels = exclusive
    names = ("both", "one")
    model = fit_perceptron(points, labels, names, weights=np.ones(len(points)), epochs=60)
    right = (model.log_probabilities(points).argmax(axis=1) == labels).mean()
    linear = fit_classifier(points, labels, names)
    assert right > 0.9 > 0.7 > (linear.log_probabilities(points).argmax(axis=1) == labels).mean()
    assert np.allclose(np.exp(model.log_probabilities(points)).sum(axis=1), 1)


def test_the_same_seed_and_what_was_saved(exclusive: tuple[np.ndarray, np.ndarray]):
    points, labels = exclusive
    weights = np.ones(len(points))
    first, again, other = (
        fit_perceptron(points, labels, ("both", "one"), weights=weights, epochs=2, seed=seed)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first.inner, again.inner) and not np.array_equal(first.inner, other.inner)
    loaded = Perceptron.from_dict(first.to_dict())
    assert np.allclose(loaded.log_probabilities(points), first.log_probabilities(points), atol=5e-3)


def test_what_weighs_more_is_learned_more(exclusive: tuple[np.ndarray, np.ndarray]):
    points, labels = exclusive
    heavy = fit_perceptron(points, labels, ("both", "one"), weights=1.0 + 99 * labels, epochs=5)
    assert (heavy.log_probabilities(points).argmax(axis=1) == 1).mean() > 0.9
