"""A model adapted to local data: as far as the data insist, and told on the card."""

import jax.numpy as jnp
import numpy as np
import pytest

from latentpk import InputError, ProfileVAE, read_nonmem
from latentpk.inference.departure import nowhere
from latentpk.library.catalog import read_model
from latentpk.models.bundle import to_arrays
from latentpk.workflows import checkpoint
from latentpk.workflows.adapt import AdaptSettings, Source, adapt, ascent
from latentpk.workflows.adapt_card import Local
from latentpk.workflows.predictor import open_predictor
from latentpk.workflows.simulate import simulate, simulate_truth

NAME = "vancomycin-buelga-2005"
QUICK = AdaptSettings(subjects=40, epochs=1)


def shifted(factor):
    """The published model with another typical clearance."""
    card = read_model(NAME)
    cl, v1 = card.population.parameters
    cl = cl.model_copy(update={"value": cl.value * factor})
    population = card.population.model_copy(update={"parameters": (cl, v1)})
    return card.model_copy(update={"population": population})


def local(source, factor, subjects, seed):
    frame = simulate(shifted(factor), subjects, seed=seed)
    return read_nonmem(frame, **source.predictor.reading, purpose="adapt")


def factor_of(model):
    """On typical clearance."""
    return float(np.exp(model.model.prior.shift[0]))


@pytest.fixture(scope="module")
def source():
    return Source.open(NAME)


@pytest.fixture(scope="module")
def ten(source):
    return local(source, 1.5, 10, seed=3)


@pytest.fixture(scope="module")
def adapted(source, ten):
    return adapt(source, ten, QUICK)


@pytest.fixture(scope="module")
def folder(adapted, tmp_path_factory):
    place = tmp_path_factory.mktemp("adapted") / "ours.model"
    adapted.save(place)
    return place


@pytest.mark.long
def test_ten_patients_move_it_part_of_the_way(adapted):
    assert 1.15 < factor_of(adapted) < 1.5


def test_covariate_effects_stay(adapted, source):
    """The whole population moves by the same factors, whatever the covariates."""
    x, y = jnp.array([60.0, 55.0]), jnp.array([130.0, 90.0])
    gaps = [np.asarray(m.prior.location(v)) for m in (adapted.model, source.model) for v in (x, y)]
    np.testing.assert_allclose(gaps[0] - gaps[2], gaps[1] - gaps[3], atol=1e-12)


@pytest.mark.long
def test_local_patients_it_has_not_seen_are_forecast_better(folder, source):
    truth = simulate_truth(shifted(1.5), 60, seed=21)
    ward = read_nonmem(
        truth.records, **source.predictor.reading, purpose="forecast", condition_until=24
    )
    conc = truth.concentrations["CONC"].to_numpy()

    def error(predictor):
        table = predictor.forecast(ward)
        later = table["TIME"].to_numpy() > 24
        return np.sqrt(np.mean(np.log(table["IPRED"].to_numpy() / conc)[later] ** 2))

    assert error(open_predictor(folder)) < 0.97 * error(source.predictor)


def test_the_card_tells_what_moved_and_what_it_gained(folder):
    card = ProfileVAE.load(folder).card()
    assert card["origin"]["adapted from"] == NAME
    told = card["adaptation"]
    assert told["local patients"] == 10
    assert told["between-site SD of log typical values"] == 0.3
    before = told["log likelihood per local level, source [nats]"]
    assert told["log likelihood per local level, adapted [nats]"] > before + 0.02
    assert told["population used"] == "adapted"
    assert card["what adapting moved"]["cl"].startswith("x 1.")
    assert "residual b" not in card["what adapting moved"]  # this model has no b
    assert ", all x 1." in card["decoder"]["cl"]


def test_the_library_card_comes_over(folder, source):
    ours = open_predictor(folder)
    assert ours.domain.ranges == source.predictor.domain.ranges
    assert ours.design == source.predictor.design
    # cleared half as fast again, so a level is stale earlier
    assert ours.domain.half_life < 0.95 * source.predictor.domain.half_life


@pytest.mark.long
def test_an_interrupted_adaptation_ends_with_the_same_bits(
    source, ten, adapted, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)

    class CutOffError(Exception):
        pass

    def cut_off(done, total, label):
        if done == 2 and label == "adapting the population":
            raise CutOffError

    place = tmp_path / "m.partial"
    with pytest.raises(CutOffError):
        adapt(source, ten, QUICK, progress=cut_off, checkpoint=place)
    resumed = adapt(source, ten, QUICK, checkpoint=place)
    assert "resuming" in resumed.notices[0]
    first, second = to_arrays(adapted.model), to_arrays(resumed.model)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.long
def test_an_adapted_model_can_be_adapted_again(folder, source):
    again = adapt(Source.open(folder), local(source, 1.5, 12, seed=8), QUICK)
    assert again.fitted.origin.source == str(folder)
    assert again.fitted.origin.published == read_model(NAME)
    assert factor_of(again) > 1.1


def test_another_cohort_is_refused(source):
    frame = simulate(NAME, 4, seed=1)
    with pytest.raises(InputError, match="CRCL"):
        adapt(source, read_nonmem(frame, covariates=["WT"], purpose="adapt"), QUICK)
    with pytest.raises(InputError, match="CRCL"):
        read_nonmem(frame.drop("CRCL"), **source.predictor.reading, purpose="adapt")


def test_few_patients_get_more_draws_each():
    draws = [ascent(n, 0).draws for n in (50, 150, 5000)]
    assert draws == sorted(draws, reverse=True)
    assert draws[0] > draws[1] > draws[2] > 0
    assert ascent(10, 7).seed == 7


@pytest.mark.parametrize(
    ("gains", "kept"),
    [([1.0, 2.0, 0.5], True), ([-0.1, 0.3, -0.25], True), ([-1.0, -1.2, -0.9], False)],
)
def test_patients_left_out_may_veto(adapted, gains, kept):
    found = Local(
        source=adapted.model,
        adapted=adapted.model,
        departure=nowhere(adapted.model),
        sites=QUICK.sites,
        levels=np.array([2]),
        before=np.zeros(1),
        after=np.zeros(1),
        gains=np.array(gains),
    )
    assert found.kept is kept


@pytest.mark.long
def test_a_fitted_model_is_a_source_too(fitted, ward, tmp_path):
    """Its encoder is tuned, its ranges stay."""
    fitted.save(tmp_path / "fit")
    mine = Source.open(tmp_path / "fit")
    cohort = read_nonmem(ward, **(mine.predictor.reading | {"purpose": "adapt"}))
    found = adapt(mine, cohort, QUICK)
    assert found.fitted.config == fitted.fitted.config
    assert found.fitted.chosen == fitted.fitted.chosen
    # the same patients it was fitted to: there is nowhere to go
    shift = np.asarray(found.model.prior.typical - fitted.model.prior.typical)
    assert np.abs(shift).max() < 0.05
    found.save(tmp_path / "again")
    assert open_predictor(tmp_path / "again").domain.ranges == mine.predictor.domain.ranges


@pytest.mark.long
def test_a_hundred_patients_move_it_to_the_truth(source):
    found = adapt(source, local(source, 1.5, 100, seed=3), QUICK)
    assert factor_of(found) == pytest.approx(1.5, rel=0.08)


@pytest.mark.long
def test_patients_of_the_source_move_it_within_noise(source):
    """SD of log clearance is 0.28: the mean of thirty is known to 0.06 or so."""
    found = adapt(source, local(source, 1.0, 30, seed=5), QUICK)
    assert abs(np.log(factor_of(found))) < 3 * 0.28 / np.sqrt(30)
