"""A distilled model answers as the published one does, and its encoder is near the posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk import InputError, ProfileVAE, read_nonmem
from latentpk.inference.posterior import PosteriorSettings, posteriors
from latentpk.library.catalog import read_model
from latentpk.models.bundle import to_arrays
from latentpk.models.record import stack_records
from latentpk.workflows import checkpoint
from latentpk.workflows.distill import DistillSettings, distill
from latentpk.workflows.predictor import open_predictor, published_predictor
from latentpk.workflows.simulate import simulate

NAME = "vancomycin-buelga-2005"
QUICK = DistillSettings(subjects=64, epochs=3, seed=1)


@pytest.fixture(scope="module")
def quick():
    return distill(NAME, QUICK)


@pytest.fixture(scope="module")
def folder(quick, tmp_path_factory):
    place = tmp_path_factory.mktemp("distilled") / "buelga.model"
    quick.save(place)
    return place


@pytest.fixture(scope="module")
def published():
    return published_predictor(read_model(NAME))


@pytest.fixture(scope="module")
def ward(published):
    return read_nonmem(simulate(NAME, 12, seed=9), **published.reading, purpose="forecast")


def test_the_population_stays_as_published(quick, published):
    ours, theirs = (
        jax.tree_util.tree_leaves((m.prior, m.residual)) for m in (quick.model, published.model)
    )
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_answers_are_the_published_ones(folder, published, ward):
    """From the folder on disk: another place to begin refinement, the same posterior."""
    distilled = open_predictor(folder)
    ours, theirs = distilled.forecast(ward), published.forecast(ward)
    for name in ("PRED", "PRED_MEDIAN"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9)
    for name in ("IPRED", "LO", "HI"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0.02)
    assert ours["VERDICT"].to_list() == theirs["VERDICT"].to_list()


def test_the_card_of_the_library_comes_over(folder, published):
    distilled = open_predictor(folder)
    assert distilled.domain == published.domain
    assert distilled.salt_factor == published.salt_factor
    assert distilled.design == published.design
    assert distilled.undecided == published.undecided
    assert distilled.reading == published.reading
    assert NAME in distilled.about["citation"]
    assert read_model(NAME).source.citation in distilled.about["citation"]
    assert len(distilled.about["sha256"]) == 64


def test_the_model_card_tells_where_it_came_from(folder):
    card = ProfileVAE.load(folder).card()
    assert card["origin"]["distilled from"] == NAME
    assert card["origin"]["simulated patients"] == 64
    assert card["origin"]["seed"] == 1
    assert len(card["origin"]["sha256"]) == 64
    assert card["decoder"]["cl"].startswith("1.08 x (CRCL/16.6667)")
    assert {known["name"] for known in card["covariates"]} == {"CRCL", "WT"}


def test_the_same_seed_gives_the_same_bits_also_after_an_interruption(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)

    class CutOffError(Exception):
        pass

    def cut_off(done, total, label):
        if (done, label) == (2, "training the encoder"):
            raise CutOffError

    place = tmp_path / "m.partial"
    with pytest.raises(CutOffError):
        distill(NAME, QUICK, progress=cut_off, checkpoint=place)
    resumed = distill(NAME, QUICK, checkpoint=place)
    assert any("resuming" in notice for notice in resumed.notices)
    first, second = to_arrays(quick.model), to_arrays(resumed.model)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    resumed.save(tmp_path / "m")
    assert not place.exists()


def test_units_of_later_files_are_kept(tmp_path):
    settings = QUICK.model_copy(update={"epochs": 1, "units": "DV=ug/mL,TIME=min"})
    assert distill(NAME, settings).reading()["units"] == "DV=ug/mL,TIME=min"
    with pytest.raises(InputError, match="furlong"):
        distill(NAME, settings.model_copy(update={"units": "TIME=furlong"}))


def test_only_a_published_model_can_be_distilled(folder):
    with pytest.raises(InputError, match="published model"):
        distill(str(folder), QUICK)
    with pytest.raises(InputError, match="vancomicin"):
        distill("vancomicin", QUICK)


@pytest.mark.long
def test_a_kernel_is_refused_for_what_is_not_linear():
    with pytest.raises(InputError, match="a kernel superposes doses"):
        distill("voriconazole-friberg-2012", DistillSettings(decoder="kernel"))


def test_a_model_with_occasions_is_refused():
    with pytest.raises(InputError, match="vary between occasions"):
        distill("busulfan-mccune-2014", DistillSettings(subjects=20, epochs=1))


@pytest.mark.long
def test_the_encoder_alone_is_near_the_posterior():
    """As trained by default: within a third of a posterior SD, and as wide within a fifth."""
    name = "vancomycin-goti-2018"
    model = distill(name).model
    cohort = read_nonmem(
        simulate(name, 100, seed=77),
        covariates=list(read_model(name).population.covariates),
        purpose="forecast",
    )
    records = stack_records(cohort.subjects)
    found = posteriors(model, records, PosteriorSettings())
    weight = found.weight[..., None]
    mean = np.sum(found.eps * weight, axis=1)
    sd = np.sqrt(np.sum(found.eps**2 * weight, axis=1) - mean**2)
    encoded = jax.vmap(model.encode)(jax.tree_util.tree_map(jnp.asarray, records))
    apart = np.sqrt(np.mean(((np.asarray(encoded.mean) - mean) / sd) ** 2, axis=0))
    assert (apart < 0.35).all(), apart
    width = np.mean(np.linalg.norm(np.asarray(encoded.chol), axis=-1) / sd, axis=0)
    np.testing.assert_allclose(width, 1.0, atol=0.2)


@pytest.mark.long
def test_a_kernel_learns_the_published_curves(tmp_path):
    """The whole VAE from simulation, through a salt factor: forecasts near the published ones."""
    name = "aminophylline"
    distill(name, DistillSettings(subjects=300, decoder="kernel", epochs=80)).save(tmp_path / "k")
    kernel, published = open_predictor(tmp_path / "k"), published_predictor(read_model(name))
    assert kernel.salt_factor == published.salt_factor == 0.79
    ward = read_nonmem(simulate(name, 40, seed=5), **published.reading, purpose="forecast")
    ours, theirs = kernel.forecast(ward), published.forecast(ward)
    ratio = np.log(ours["IPRED"].to_numpy() / theirs["IPRED"].to_numpy())
    assert abs(float(np.median(ratio))) < 0.1
    assert float(np.sqrt(np.mean(ratio**2))) < 0.3
    assert ours["IPRED"].dtype == pl.Float64
