import numpy as np
from benchmarks.forecast_oracle import cohorts, oracle
from benchmarks.forecast_oracle.populations import VANCOMYCIN
from benchmarks.speed.peers import prior_importance_sampling, scipy_map

PATIENT = cohorts.unseen(VANCOMYCIN, 1, seed=4)


def test_prior_importance_sampling_agrees_with_the_oracle():
    normal = np.random.default_rng(1).standard_normal((40_000, 4))
    mean, size = prior_importance_sampling(PATIENT, normal)
    eps, log_weight = oracle.posterior_draws(
        oracle.level_likelihood(PATIENT), 4, 1, np.random.default_rng(2), oracle.Settings()
    )
    expected = np.exp(log_weight[0]) @ eps[0]
    np.testing.assert_allclose(mean, expected, atol=5 / np.sqrt(size))


def test_scipy_ends_where_no_nearby_point_is_better():
    mode = scipy_map(PATIENT)
    near = mode + 0.05 * np.random.default_rng(3).standard_normal((200, 4))

    def joint(eps):
        return oracle.level_likelihood(PATIENT)(eps[None])[0] - 0.5 * (eps**2).sum(-1)

    assert joint(mode[None])[0] >= joint(near).max() - 1e-6
