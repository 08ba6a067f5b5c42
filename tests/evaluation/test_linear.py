"""The two linear classifiers on data whose answer is known."""

import numpy as np

from heartlib.evaluation.linear import Choice, Classifier, fit_choice, fit_classifier


def test_three_clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0]])
    labels = rng.integers(0, 3, 300)
    features = centres[labels] + rng.standard_normal((300, 3)) * 0.5
    model = fit_classifier(features, labels, ("a", "b", "c"))
    log = model.log_probabilities(features)
    assert np.mean(log.argmax(axis=1) == labels) > 0.98
    assert np.allclose(np.exp(log).sum(axis=1), 1)
    again = Classifier.from_dict(model.to_dict())
    assert again.classes == ("a", "b", "c")
    assert np.allclose(again.log_probabilities(features), log, atol=1e-3)


def test_weights_balance_a_rare_class():
    rng = np.random.default_rng(1)
    labels = (rng.random(500) < 0.05).astype(int)
    features = labels[:, None] + rng.standard_normal((500, 1))
    plain = fit_classifier(features, labels, ("no", "yes"))
    counts = np.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    fair = fit_classifier(features, labels, ("no", "yes"), weights=counts)
    found = [
        np.mean(m.log_probabilities(features).argmax(axis=1)[labels == 1]) for m in (plain, fair)
    ]
    assert found[1] > found[0] + 0.3


def test_choice_learns_which_feature_counts():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((200, 6, 4))
    chosen = features[:, :, 2].argmax(axis=1)
    model = fit_choice(features, chosen)
    assert np.mean(model.log_probabilities(features).argmax(axis=1) == chosen) > 0.95
    assert np.abs(model.weights).argmax() == 2
    again = Choice.from_dict(model.to_dict())
    assert np.allclose(again.weights, model.weights, atol=1e-4)
