"""The twelve reference patients under a published model, and a small simulated ward."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest

# The package is imported inside the fixtures: this file is read before the hook that checks types.

TABLES = Path(__file__).parents[1] / "reference"


class Reference:
    """Vancomycin patients of the reference tables: model, stacked records, expected figures."""

    def __init__(self):
        from latentpk.library.catalog import open_model
        from latentpk.models.published import build_published
        from latentpk.models.record import stack_records
        from latentpk.records import read_nonmem

        population = open_model("vancomycin-goti-2018").population
        patients = read_nonmem(
            TABLES / "map_patients.csv",
            covariates=list(population.covariates),
            purpose="forecast",
        )
        self.model = build_published(population)
        self.records = stack_records(patients.subjects)
        self.whole = stack_records(patients.subjects, until_last_level=False)
        # eta of CL, V1 and V2 [log], from eps: Q does not vary
        self.to_eta = np.asarray(self.model.prior.root)[[0, 1, 3]]

    @staticmethod
    def table(name):
        with (TABLES / name).open() as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def quick():
    """Compile a function that runs once or twice: it need not be fast."""
    import jax

    options = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    return lambda function: jax.jit(function, compiler_options=options)


@pytest.fixture(scope="session")
def reference():
    return Reference()


def simulate(subjects, seed, *, two_compartments=False):
    """Boluses of 100 mg, three levels with 15 % error; CL 4 L/h, V 40 L. One row per record."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, subjects + 1):
        cl, v = np.exp(np.log([4.0, 40.0]) + [0.4, 0.2] * rng.standard_normal(2))
        time = np.round(np.sort(rng.uniform([0.5, 3.0, 9.0], [3.0, 9.0, 24.0])), 2)
        level = 100 / v * np.exp(-cl / v * time)
        if two_compartments:
            level = 100 / v * (0.85 * np.exp(-0.9 * time) + 0.15 * np.exp(-0.03 * cl / 4 * time))
        level = level * np.exp(0.15 * rng.standard_normal(3))
        rows.append((number, 0.0, 100.0, None, 1))
        rows += [(number, t, 0.0, y, 0) for t, y in zip(time, level, strict=True)]
    schema = dict.fromkeys(["ID", "TIME", "AMT", "DV", "EVID"], pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(scope="session")
def ward_of():
    """Stacked records of simulated patients."""
    from latentpk.models.record import stack_records
    from latentpk.records import read_nonmem

    def _ward_of(subjects, seed, **options):
        cohort = read_nonmem(simulate(subjects, seed, **options), covariates=[], route="iv")
        return stack_records(cohort.subjects, tight=True)

    return _ward_of


@pytest.fixture(scope="session")
def ward(ward_of):
    return ward_of(24, seed=3)


@pytest.fixture(scope="session")
def start():
    """An untrained one-compartment model placed near the ward's typical patient."""
    import equinox as eqx
    import jax.numpy as jnp

    from latentpk.models.config import CompartmentConfig, EncoderConfig, ModelConfig
    from latentpk.models.latent import build

    scales = EncoderConfig(hidden=6, dose_scale=100.0)
    config = ModelConfig(decoder=CompartmentConfig(structure="1c-iv"), encoder=scales)
    place = jnp.log(jnp.array([3.0, 50.0]))
    return eqx.tree_at(lambda m: m.prior.typical, build(config), place)


@pytest.fixture(scope="session")
def divided(start):
    """The start as a population of two groups: three people in ten clear a quarter as fast."""
    import jax.numpy as jnp

    from latentpk.models.groups import Groups

    odds, shift = jnp.log(jnp.array([0.3 / 0.7])), jnp.log(jnp.array([[0.25, 0.9]]))
    spread = jnp.array([[0.25, 0.0], [0.05, 0.2]])
    prior = start.prior.spread_by(spread).divided(Groups(odds, shift, jnp.log(jnp.array([0.8]))))
    return start.with_prior(prior)


@pytest.fixture(scope="session")
def evidence(start):
    """Marginal log likelihood of each stacked record under the start or a model like it."""
    from latentpk.inference.posterior import PosteriorSettings, posteriors

    settings = PosteriorSettings(ladder=False)
    return lambda records, model=start: posteriors(model, records, settings).log_evidence
