"""One small ward of patients and one model fitted to it, for every test that needs a fitted one."""

import numpy as np
import polars as pl
import pytest

# The package is imported inside the fixtures: this file is read before the hook that checks types.

DOSES = (0.0, 12.0, 24.0)
LEVELS = (2.0, 11.0, 26.0, 35.0)


def infusion(time, dose, cl, v, *, hours=1.0):
    """Concentrations of one-hour infusions into one compartment [mg/L]; nothing of the package."""
    k = cl / v
    since = time[:, None] - np.asarray(DOSES)[None, :]
    during = np.clip(since, 0.0, hours)
    after = np.maximum(since - hours, 0.0)
    return np.sum(dose / hours / cl * (1 - np.exp(-k * during)) * np.exp(-k * after), axis=1)


def make_ward(subjects, seed):
    """Patients with three infusions and four levels, clearance and volume by weight."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, subjects + 1):
        weight = float(np.round(70 * np.exp(0.25 * rng.standard_normal()), 1))
        cl = 4.0 * (weight / 70) ** 0.75 * np.exp(0.3 * rng.standard_normal())
        v = 40.0 * weight / 70 * np.exp(0.2 * rng.standard_normal())
        dose = float(rng.choice([200.0, 300.0, 400.0]))
        time = np.asarray(LEVELS) + np.round(rng.uniform(-0.5, 0.5, len(LEVELS)), 2)
        level = infusion(time, dose, cl, v) * np.exp(0.1 * rng.standard_normal(len(LEVELS)))
        rows += [(number, t, 1, 1, 1, dose, dose, None, weight) for t in DOSES]
        values = zip(time, level, strict=True)
        rows += [(number, t, 0, 0, 1, 0.0, 0.0, float(f"{y:.4g}"), weight) for t, y in values]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "RATE", "DV", "WT"]
    return pl.DataFrame(rows, schema=names, orient="row").sort("ID", "TIME", maintain_order=True)


SETTINGS = {"decoder": "compartment", "structure": "1c-iv", "prior": "linear", "epochs": 60}


@pytest.fixture(scope="session")
def ward():
    """Training patients, as a frame."""
    return make_ward(24, seed=5)


@pytest.fixture(scope="session")
def patients():
    """Six other patients of the ward, IDs 1 to 6."""
    return make_ward(6, seed=11)


@pytest.fixture(scope="session")
def fitted(ward):
    """A model of the ward; never change it."""
    from latentpk import ProfileVAE, read_nonmem

    return ProfileVAE(**SETTINGS).fit(read_nonmem(ward))


@pytest.fixture(scope="session")
def fitted_folder(fitted, tmp_path_factory):
    """That model on disk; never change it."""
    folder = tmp_path_factory.mktemp("models") / "ward.model"
    fitted.save(folder)
    return folder


@pytest.fixture
def forecast(fitted):
    """Read a frame as the fitted model asks for, and forecast it."""
    from latentpk import read_nonmem

    def _forecast(frame, *, draws=1024, seed=0, **options):
        reading = fitted.reading() | {"purpose": "forecast"} | options
        return fitted.forecast(read_nonmem(frame, **reading), draws=draws, seed=seed)

    return _forecast
