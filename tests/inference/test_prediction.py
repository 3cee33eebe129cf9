from dataclasses import replace

import numpy as np
import pytest

from latentpk.inference.posterior import Posteriors
from latentpk.inference.prediction import predict, resample, shifts, with_untold
from latentpk.models.beyond import TOLERANCE, Beyond, Experience, Scale
from latentpk.models.record import Queries, take

TIMES = np.array([0.0, 1.0, 6.0, 20.0])
DRAWS = 1000


@pytest.fixture(scope="module")
def posterior(ward):
    """Draws that are not the prior's, unevenly weighted."""
    rng = np.random.default_rng(0)
    count = ward.mask.shape[0]
    eps = np.array([0.8, -0.5]) + 0.6 * rng.standard_normal((count, DRAWS, 2))
    weight = rng.gamma(0.5, size=(count, DRAWS))
    nothing = np.zeros(count)
    return Posteriors(
        eps=eps,
        weight=weight / weight.sum(axis=1, keepdims=True),
        mode=eps[:, 0],
        objective=nothing,
        residual=nothing[:, None],
        k=nothing,
        ess=nothing,
        log_evidence=nothing,
        log_evidence_wide=nothing,
        log_evidence_slow=nothing,
        method=("is",) * count,
        rhat=nothing,
    )


@pytest.fixture(scope="module")
def predicted(start, ward, posterior):
    count = ward.mask.shape[0]
    queries = Queries(np.tile(TIMES, (count, 1)), np.full((count, 4), np.inf))
    return predict(start, ward, queries, posterior)


def curves(model, eps):
    """The textbook's bolus of 100 mg, shape (draw, time)."""
    theta = np.exp(np.asarray(model.prior.typical) + eps @ np.asarray(model.prior.chol()).T)
    return 100 / theta[:, 1:] * np.exp(-theta[:, :1] / theta[:, 1:] * TIMES)


def test_resampling_gives_each_draw_its_weight_to_within_one(posterior):
    drawn = resample(posterior)
    assert drawn.shape == posterior.eps.shape
    for subject in (0, 17):
        own = posterior.eps[subject, :, 0]
        count = np.array([(drawn[subject, :, 0] == value).sum() for value in own])
        assert (np.abs(count - DRAWS * posterior.weight[subject]) <= 1.0).all()


def test_pred_is_the_priors_location(start, predicted):
    expected = curves(start, np.zeros((1, 2)))[0]
    assert predicted.pred.shape == (24, 4)
    np.testing.assert_allclose(predicted.pred, np.tile(expected, (24, 1)), rtol=1e-10)


def test_pred_median_is_the_median_of_the_prior_predictive(start, predicted):
    eps = np.random.default_rng(1).standard_normal((200_000, 2))
    expected = np.median(curves(start, eps), axis=0)
    np.testing.assert_allclose(predicted.pred_median[0], expected, rtol=0.02)


@pytest.mark.parametrize(("field", "level"), [("lo", 0.05), ("ipred", 0.5), ("hi", 0.95)])
def test_bands_are_quantiles_of_the_weighted_draws(start, posterior, predicted, field, level):
    for subject in (0, 23):
        every = curves(start, posterior.eps[subject])
        found = getattr(predicted, field)[subject]
        below = posterior.weight[subject] @ (every < found)
        # to within the weight of one draw
        largest = posterior.weight[subject].max()
        np.testing.assert_allclose(below, np.full(4, level), atol=largest)


@pytest.mark.parametrize(("field", "level"), [("pi_lo", 0.05), ("pi_hi", 0.95)])
def test_prediction_intervals_hold_a_new_measurement(start, posterior, predicted, field, level):
    rng = np.random.default_rng(2)
    index = rng.choice(DRAWS, 200_000, p=posterior.weight[3])
    f = curves(start, posterior.eps[3])[index]
    sd = np.hypot(np.exp(start.residual.log_a), np.exp(start.residual.log_b) * f)
    new = np.maximum(f + sd * rng.standard_normal(f.shape), 0.0)
    below = np.mean(new <= getattr(predicted, field)[3], axis=0)
    # one stratified noise per draw: 1,000 of them
    np.testing.assert_allclose(below, np.full(4, level), atol=0.025)


def test_bands_are_nested(predicted):
    for low, high in (("pi_lo", "lo"), ("lo", "ipred"), ("ipred", "hi"), ("hi", "pi_hi")):
        assert (getattr(predicted, low) <= getattr(predicted, high)).all()
    assert (predicted.pi_lo >= 0).all()


def test_occasions_no_level_tells_of_are_drawn_from_the_prior(posterior):
    wide = with_untold(posterior.eps, 4, seed=3)
    assert wide.shape == (24, DRAWS, 4)
    np.testing.assert_array_equal(wide[..., :2], posterior.eps)
    added = wide[5, :, 2:]
    np.testing.assert_allclose(added.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(added.std(axis=0), 1, atol=0.01)
    assert (
        abs(np.corrcoef(np.column_stack([wide[5], wide[6, :, 2]]).T)[2:4, :4] - np.eye(4)[2:]).max()
        < 0.12
    )
    # a column is the same however many follow it, and whoever else is there
    np.testing.assert_array_equal(with_untold(posterior.eps[5], 3, seed=3)[:, 2], added[:, 0])
    assert with_untold(posterior.eps, 2, seed=3) is posterior.eps


SEEN = Experience(amount=(25.0, 50.0), interval=None, length=0.0, doses=1, central=True, depot=True)


def test_intervals_widen_beyond_the_doses_trained_on_and_stay_the_same_within_them(
    start, ward, posterior, predicted
):
    """Every dose of the ward is 100 mg: within one range, twice the top of another."""
    count = ward.mask.shape[0]
    queries = Queries(np.tile(TIMES, (count, 1)), np.full((count, 4), np.inf))
    within = SEEN.model_copy(update={"amount": (50.0, 100.0)})

    def asked(seen):
        model = replace(start, beyond=Beyond(seen, Scale(0.5, 0.0, 0.0)))
        return predict(model, ward, queries, posterior)

    same, wider = asked(within), asked(SEEN)
    for name, values in vars(predicted).items():
        np.testing.assert_array_equal(getattr(same, name), values)
    assert all(np.isfinite(values).all() for values in vars(wider).values())
    assert wider.lo.min() >= 0
    np.testing.assert_array_equal(wider.ipred[:, 0], predicted.ipred[:, 0])  # nothing jumps
    np.testing.assert_allclose(wider.ipred[:, 1:], predicted.ipred[:, 1:], rtol=0.15)
    sd = Beyond(SEEN, Scale(0.5, 0.0, 0.0)).sd(take(ward.doses, 0), TIMES)[1]
    assert 0 < sd <= 0.5 * np.sqrt(np.log(2) - TOLERANCE)
    before, after = (
        np.log(one.hi[:, 1] / one.lo[:, 1]) / (2 * 1.645) for one in (predicted, wider)
    )
    np.testing.assert_allclose(after, np.hypot(before, sd), rtol=0.15)  # normals are added


def test_a_draw_keeps_its_shift_and_draws_are_spread_evenly():
    shift = shifts(1000, 3)
    np.testing.assert_array_equal(shift, shifts(1000, 3))
    assert not np.array_equal(shift, shifts(1000, 4))
    np.testing.assert_allclose([shift.mean(), shift.std()], [0.0, 1.0], atol=5e-3)
