"""Posteriors of the reference patients against an exact sampler's 3,000,000 draws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from latentpk.inference.posterior import Posteriors, PosteriorSettings, in_blocks, posteriors
from latentpk.kinetics.superposition import auc
from latentpk.models.encoder import Gaussian
from latentpk.models.latent import LatentModel
from latentpk.models.record import take

FIRST_RUNG = PosteriorSettings(ladder=False)
QUANTITIES = ("ETA_CL", "ETA_V1", "ETA_V2", "AUC24_48", "C_48h", "C_54h", "C_60h")


class Guessing(LatentModel):
    """The published model with an encoder that says the same of everybody."""

    guess: Float[Array, " effect"] = eqx.field(kw_only=True)

    def encode(self, record):
        return Gaussian(self.guess, jnp.eye(self.guess.shape[0]))


def guessing(reference, guess=(0.0, 0.0, 0.0)):
    model = reference.model
    return Guessing(model.prior, model.decoder, model.residual, None, guess=jnp.array(guess))


@pytest.fixture(scope="module")
def first(reference):
    return posteriors(guessing(reference), reference.records, FIRST_RUNG)


@pytest.fixture(scope="module")
def quantities(reference, quick):
    """The tables' seven quantities of every draw, shape (subject, draw, 7)."""
    model, to_eta = reference.model, jnp.asarray(reference.to_eta)

    def every(record, draws):
        location, time = model.location(record), jnp.array([48.0, 54.0, 60.0])
        order = jnp.full(3, jnp.inf)

        def of(e):
            c = model.concentration(e, location, record, time, order)
            response = model.decoder.structure.response(
                jnp.exp(model.latent(e, location, record.occasion)[0])
            )
            start, end = jnp.array(24.0), jnp.array(48.0)
            area = auc(record.doses, start, end, response=response, paths=record.paths)
            return jnp.concatenate([to_eta @ e, area[None], c])

        return jax.vmap(of)(draws)

    program = quick(every)

    def _quantities(eps, index):
        records = [take(reference.whole, int(i)) for i in index]
        return [np.asarray(program(r, e)) for r, e in zip(records, eps, strict=True)]

    return _quantities


def expected_rows(reference, patient):
    rows = reference.table("posterior.csv")
    mine = [r for r in rows if r["METHOD"] == "ADAPTIVE_IS" and int(r["ID"]) == patient]
    return {row["QUANTITY"]: row for row in mine}


def misses(values, weight, log_evidence, ess, rows):
    """(difference, standard error) of each figure of one patient, by name.

    A quantile is compared as a probability: the share of draws below the table's quantile.
    """
    found = {}
    for name, x in zip(QUANTITIES, values.T, strict=True):
        row = rows[name]
        mean = weight @ x
        own = np.sqrt(np.sum((weight * (x - mean)) ** 2))
        found[name] = mean - float(row["MEAN"]), np.hypot(own, float(row["MEAN_MCSE"]))
        for level, column in ((0.05, "Q05"), (0.5, "MEDIAN"), (0.95, "Q95")):
            below = (x < float(row[column])).astype(float)
            own = np.sqrt(np.sum((weight * (below - level)) ** 2))
            found[f"{name} {column}"] = weight @ below - level, np.hypot(own, 3e-4)
    row = rows["LOG_MARGINAL_LIKELIHOOD"]
    # The evidence is that of all adaptive draws, of which at least half were effective; the draws
    # returned are fewer, and evenly weighted.
    adaptive = ess == weight.size
    own = np.sqrt(2e-4 - 1e-4) if adaptive else np.sqrt(1 / ess - 1 / weight.size)
    found["evidence"] = log_evidence - float(row["MEAN"]), np.hypot(own, float(row["MEAN_MCSE"]))
    return found


def judge(reference, posterior, quantities, patients):
    """Every figure of these patients within four combined standard errors."""
    index = np.array(patients) - 1
    values = quantities(posterior.eps, index)
    for place, patient in enumerate(patients):
        weight, ess = posterior.weight[place], posterior.ess[place]
        rows = expected_rows(reference, patient)
        found = misses(values[place], weight, posterior.log_evidence[place], ess, rows)
        assert len(found) == 29
        for name, (gap, error) in found.items():
            assert abs(gap) <= 4 * error, f"patient {patient}, {name}: {gap:.4g}, SE {error:.4g}"


def test_first_rung_agrees_with_the_exact_posterior_of_all_patients(reference, first, quantities):
    assert first.method == ("is",) * 12
    assert (first.ess > 300).all()
    judge(reference, first, quantities, range(1, 13))


@pytest.mark.long
@pytest.mark.parametrize(
    "guess",
    [(0.0, 0.0, 0.0), (0.584, 1.866, 0.213)],
    ids=["from the prior's mean", "from the lesser mode"],
)
def test_two_modes_are_right_without_nuts_from_either_start(reference, quantities, guess):
    settings = PosteriorSettings(begin="encoder")
    records = take(reference.records, np.array([7, 7]))
    found = posteriors(guessing(reference, guess), records, settings)
    assert set(found.method) <= {"is", "adaptive"}
    np.testing.assert_array_equal(found.eps[0], found.eps[1])
    one = take_posterior(found, [0])
    judge(reference, one, quantities, [8])


def take_posterior(found, index):
    fields = (
        "eps",
        "weight",
        "mode",
        "objective",
        "residual",
        "k",
        "ess",
        "log_evidence",
        "log_evidence_wide",
        "log_evidence_slow",
        "rhat",
    )
    method = tuple(found.method[i] for i in index)
    return Posteriors(**{f: getattr(found, f)[np.array(index)] for f in fields}, method=method)


def test_a_patients_answer_depends_on_nobody_else(reference, first):
    model, order = guessing(reference), np.array([7, 2, 11, 0])
    fewer = posteriors(model, take(reference.records, order), FIRST_RUNG)
    for field in ("eps", "weight", "mode", "k", "log_evidence"):
        np.testing.assert_array_equal(getattr(fewer, field), getattr(first, field)[order])


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_draws(reference, first):
    again = posteriors(guessing(reference), reference.records, FIRST_RUNG)
    np.testing.assert_array_equal(again.eps, first.eps)
    np.testing.assert_array_equal(again.weight, first.weight)
    other = posteriors(
        guessing(reference), reference.records, PosteriorSettings(ladder=False, seed=1)
    )
    assert not np.isclose(other.eps, first.eps).all()
    np.testing.assert_allclose(other.log_evidence, first.log_evidence, atol=0.15)


def test_weights_are_normalized_and_the_best_mode_comes_first(reference, first):
    np.testing.assert_allclose(first.weight.sum(axis=1), np.ones(12), rtol=1e-12)
    assert np.isnan(first.rhat).all()
    ofv = [float(row["OFV"]) for row in reference.table("map.csv")]
    count = reference.records.mask.sum(axis=1)
    np.testing.assert_allclose(2 * first.objective - count * np.log(2 * np.pi), ofv, atol=0.01)


@pytest.mark.long
def test_every_rung_is_climbed_where_none_suffices_and_nuts_agrees(reference, quantities):
    impossible = PosteriorSettings(least_ess=2.0)  # no rung has twice as many effective draws
    patients = [1, 8]
    records = take(reference.records, np.array(patients) - 1)
    steps = []
    found = posteriors(
        guessing(reference), records, impossible, lambda done, total, label: steps.append(label)
    )
    assert found.method == ("nuts", "nuts")
    assert list(dict.fromkeys(steps)) == ["posteriors", "adaptive draws", "NUTS"]
    assert (found.rhat < 1.05).all()
    # 1,000 correlated draws, thinned: 300 effective ones are granted
    rough = Posteriors(**{**vars(found), "ess": np.full(2, 300.0)})
    values = quantities(rough.eps, np.array(patients) - 1)
    for place, patient in enumerate(patients):
        rows = expected_rows(reference, patient)
        for name, x in zip(QUANTITIES, values[place].T, strict=True):
            gap, spread = x.mean() - float(rows[name]["MEAN"]), x.std()
            assert abs(gap) < 4 * spread / np.sqrt(300), (patient, name)
            assert spread == pytest.approx(float(rows[name]["SD"]), rel=0.25), (patient, name)


def test_blocks_are_padded_with_the_last_row_and_cut_again():
    seen, steps = [], []

    def program(block):
        seen.append(block["x"].shape)
        return {"y": 2 * block["x"]}

    items = {"x": np.arange(35.0)}
    found = in_blocks(program, items, lambda *step: steps.append(step), "doubling")
    np.testing.assert_array_equal(found["y"], 2 * items["x"])
    assert seen == [(32,), (32,)]
    assert steps == [(0, 35, "doubling"), (32, 35, "doubling"), (35, 35, "doubling")]
