"""A stand-in for the trained model, so that the verbs are tested without training."""

import sys
import types
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from latentpk.cli.main import app
from latentpk.errors import ArtifactError
from latentpk.library.catalog import read_model
from latentpk.workflows.predictor import published_predictor
from latentpk.workflows.simulate import simulate

COLUMNS = ("PRED", "PRED_MEDIAN", "IPRED", "LO", "HI", "PI_LO", "PI_HI", "PARETO_K", "ESS")


class StandIn:
    """What the command line asks of a trained model, and a record of what it asked."""

    asked: ClassVar[dict] = {}

    def __init__(self, **settings):
        StandIn.asked = {"settings": settings}
        self.notices = ("decoder compartment chosen",)

    def fit(self, cohort, *, progress, checkpoint):
        StandIn.asked |= {"subjects": len(cohort), "checkpoint": checkpoint, "cohort": cohort}
        progress(1, 2, "epochs")
        progress(2, 2, "epochs")
        return self

    def save(self, folder):
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text("{}")

    @classmethod
    def load(cls, folder):
        if (folder / "manifest.json").read_text() != "{}":
            raise ArtifactError(f"{folder}: manifest.json is damaged. Fit the model again.")
        return cls()

    def predictor(self, name):
        reading = {"covariates": ("WT", "CRCL", "DIAL"), "interpolation": "locf"}
        published = published_predictor(read_model("vancomycin-goti-2018"))
        names = reading["covariates"]
        standing = replace(published, name=name, reading=reading, covariates=names)
        object.__setattr__(standing, "forecast", self.forecast)
        return standing

    def forecast(self, cohort, *, progress=None, seed=0, draws=None):
        StandIn.asked.setdefault("forecasts", []).append(
            {"subjects": len(cohort), "seed": seed, "draws": draws, "cohort": cohort}
        )
        size = sum(len(subject.outputs) for subject in cohort)
        ids = np.repeat([s.id for s in cohort], [len(s.outputs) for s in cohort])
        values = {name: np.full(size, 10.0) for name in COLUMNS}
        words = {"METHOD": "is", "VERDICT": "ok", "REASON": "=cmd"}
        return pl.DataFrame({"ID": ids} | values).with_columns(
            pl.lit(text).alias(name) for name, text in words.items()
        )

    def card(self):
        return {
            "trained": "yesterday",
            "data": {"subjects": 12, "hash": "ab[c]"},
            "covariates": [{"name": "WT", "range": [40.0, 120.0]}, {"name": "CRCL"}],
            "notes": ["one", "two"],
            "nothing": {},
        }


@pytest.fixture
def latentpk(monkeypatch):
    """Run the command line with the stand-in; the result has exit_code, stdout and stderr."""
    module = types.ModuleType("latentpk.workflows.profile")
    module.ProfileVAE = StandIn
    monkeypatch.setitem(sys.modules, "latentpk.workflows.profile", module)
    monkeypatch.setenv("COLUMNS", "120")
    StandIn.asked = {}

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    run.asked = lambda: StandIn.asked
    return run


@pytest.fixture
def clinic(tmp_path):
    path = tmp_path / "clinic.csv"
    simulate("vancomycin-goti-2018", 3, seed=1).write_csv(path)
    return path


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "clinic.model"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder
