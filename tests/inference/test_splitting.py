import numpy as np
import pytest
from scipy.stats import multivariate_normal

from latentpk.inference.splitting import Split, Told, _round, divide, split, told

SHARE, MEAN = np.array([0.7, 0.3]), np.array([[0.4, 0.1], [-1.6, 0.3]])
WITHIN = np.array([[0.3, 0.1], [0.1, 0.5]])


@pytest.fixture(scope="module")
def known():
    """What levels say of 400 subjects of two groups; some say nothing of a direction."""
    rng = np.random.default_rng(4)
    group = (rng.random(400) < SHARE[1]).astype(int)
    eps = MEAN[group] + rng.standard_normal((400, 2)) @ np.linalg.cholesky(WITHIN).T
    slope = rng.standard_normal((400, 2, 2)) * np.array([3.0, 2.0])
    slope[:100, 1] = 0.0
    seen = np.einsum("sij,sj->si", slope, eps) + rng.standard_normal((400, 2))
    return Told(np.einsum("sji,sjk->sik", slope, slope), np.einsum("sji,sj->si", slope, seen))


def test_groups_that_there_are_are_found(known):
    found = split(known, 2)
    np.testing.assert_allclose(found.share, SHARE, atol=0.06)
    np.testing.assert_allclose(found.mean, MEAN, atol=0.25)
    np.testing.assert_allclose(found.within, WITHIN, atol=0.2)


def test_the_largest_group_comes_first(known):
    mirrored = Told(known.precision, -known.pull)
    for one in (known, mirrored):
        assert split(one, 2).share[0] == pytest.approx(0.7, abs=0.06)


def test_every_round_is_at_least_as_likely(known):
    here = Split(np.array([0.5, 0.5]), np.array([[0.0, 0.5], [0.0, -0.5]]), np.eye(2), -np.inf)
    scores = []
    for _ in range(30):
        here = _round(known, here)
        scores.append(here.score)
    assert (np.diff(scores) > -1e-9).all()
    assert scores[-1] > scores[0] + 0.05


def test_the_score_is_the_mixtures_likelihood(known):
    axis = np.linspace(-9, 9, 361)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    prior = sum(
        s * multivariate_normal(m, WITHIN).pdf(grid) for s, m in zip(SHARE, MEAN, strict=True)
    )
    few = Told(known.precision[98:103], known.pull[98:103])
    quadratic = grid @ few.pull.T - 0.5 * np.einsum("gi,sij,gj->gs", grid, few.precision, grid)
    direct = np.log(prior @ np.exp(quadratic) * (axis[1] - axis[0]) ** 2)
    found = _round(few, Split(SHARE, MEAN, WITHIN, 0.0)).score
    assert found == pytest.approx(direct.mean(), abs=1e-6)


def test_levels_say_what_the_posterior_has_beyond_the_prior():
    rng = np.random.default_rng(2)
    slope, truth = rng.standard_normal((3, 2)), np.array([0.3, -0.8])
    seen = slope @ truth
    curvature = slope.T @ slope + np.eye(2)
    mode = np.linalg.solve(curvature, slope.T @ seen)
    root = np.linalg.cholesky(curvature).T
    found = told(mode[None], root[None])
    np.testing.assert_allclose(found.precision[0], slope.T @ slope, atol=1e-12)
    np.testing.assert_allclose(found.pull[0], slope.T @ seen, atol=1e-12)


@pytest.mark.long
def test_a_divided_population_explains_bimodal_levels_better(divided, ward_of, evidence):
    """A ward of two groups by the divided start, explained by one Gaussian and by two."""
    import jax
    import jax.numpy as jnp

    ward = jax.tree_util.tree_map(np.asarray, ward_of(80, seed=9))
    rng = np.random.default_rng(1)
    normal, rank = rng.standard_normal((80, 2)), rng.random(80)
    eps = divided.prior_draws(jnp.asarray(normal), jnp.asarray(rank))

    def level(record, e):
        location = divided.location(record)
        return divided.concentration(e, location, record, record.time, record.order)

    clean = np.asarray(jax.jit(jax.vmap(level))(ward, eps))
    value = np.where(ward.mask, clean * np.exp(0.1 * rng.standard_normal(clean.shape)), 1.0)
    records = type(ward)(**{**vars(ward), "value": value})
    wide = divided.of_group(0)
    mean = np.log([3.0, 50.0]) + 0.3 * np.log([0.25, 0.9])
    gaussian = wide.with_prior(
        wide.prior.shifted(jnp.asarray(mean) - wide.prior.typical).spread_by(
            jnp.diag(jnp.array([0.68, 0.25]))
        )
    )
    two = divide(gaussian, records, 2)
    assert two.groups == 2
    shares = np.exp(np.asarray(two.prior.log_shares()))
    assert shares[1] == pytest.approx(0.3, abs=0.12)
    ratio = np.exp(float(two.prior.groups.shifts[1, 0]))
    assert ratio == pytest.approx(0.25, abs=0.1)
    gain = evidence(records, two) - evidence(records, gaussian)
    assert gain.mean() > 0.05
