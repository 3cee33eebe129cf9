import os
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from latentpk import ProfileVAE, read_nonmem
from latentpk.inference.elbo import ElboTerms
from latentpk.inference.epochs import begin_at
from latentpk.inference.training import TrainingHistory
from latentpk.models.bundle import to_arrays
from latentpk.workflows import checkpoint
from latentpk.workflows.card import identity
from latentpk.workflows.checkpoint import Checkpoint
from latentpk.workflows.profile import ProfileSettings
from latentpk.workflows.trials import Candidate, Trial

IDENTITY = {"data": "abc", "settings": {"seed": 1}, "versions": {"jax": "1"}}
TRIAL = Trial(candidate=Candidate(decoder="1c-iv", route="iv"), scores=(-1.25, 0.1))


@pytest.fixture
def half_done(tmp_path):
    store = Checkpoint(tmp_path / "m.partial", IDENTITY)
    store.add(TRIAL)
    history = TrainingHistory([ElboTerms(*(np.float64(i) / 3 for i in range(5)))], 1)
    store.keep(begin_at(jnp.arange(4, dtype=jnp.float32) / 7), history)
    store.keep_grouped(begin_at(jnp.full(5, 0.3, jnp.float32)), TrainingHistory(history.terms * 2))
    store.keep_round(begin_at(jnp.full(3, 0.1, jnp.float32)), 2)
    store.write()
    return tmp_path / "m.partial"


class TestResuming:
    def test_everything_comes_back_bit_for_bit(self, half_done):
        again = Checkpoint(half_done, IDENTITY)
        assert again.trials == [TRIAL]
        assert [tuple(t) for t in again.history.terms] == [tuple(i / 3 for i in range(5))]
        assert again.history.annealed_from == 1
        assert again.rounds == 2
        np.testing.assert_array_equal(again.state.params, jnp.arange(4, dtype=jnp.float32) / 7)
        np.testing.assert_array_equal(again.grouped.params, np.full(5, 0.3, np.float32))
        assert len(again.grouped_history.terms) == 2
        assert again.grouped_history.annealed_from is None
        np.testing.assert_array_equal(again.polished.params, np.full(3, 0.1, np.float32))
        assert "resuming" in again.note

    @pytest.mark.parametrize("key", ["data", "settings", "versions"])
    def test_a_change_is_named_and_starts_anew(self, half_done, key):
        again = Checkpoint(half_done, IDENTITY | {key: "other"})
        assert key in again.note
        assert "starting anew" in again.note
        assert (again.trials, again.state, again.polished, again.rounds) == ([], None, None, 0)

    def test_damage_is_told_and_starts_anew(self, half_done):
        for path in half_done.iterdir():
            path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
        again = Checkpoint(half_done, IDENTITY)
        assert "cannot be read" in again.note
        assert again.state is None

    def test_no_folder_keeps_nothing(self):
        store = Checkpoint(None, IDENTITY)
        store.add(TRIAL)
        store.remove()
        assert store.note == ""

    def test_it_is_removed(self, half_done):
        Checkpoint(half_done, IDENTITY).remove()
        assert not half_done.exists()


def test_writing_is_no_more_frequent_than_promised(tmp_path, monkeypatch):
    assert checkpoint.EVERY <= 10
    written = []
    monkeypatch.setattr(Checkpoint, "write", lambda self: written.append(1))
    store = Checkpoint(tmp_path / "m.partial", IDENTITY)
    for _ in range(100):
        store.keep(begin_at(jnp.zeros(2, jnp.float32)), TrainingHistory())
    assert not written
    store._saved -= checkpoint.EVERY
    store.keep(begin_at(jnp.zeros(2, jnp.float32)), TrainingHistory())
    assert len(written) == 1


class CutOff(Exception):
    pass


@pytest.mark.long
@pytest.mark.parametrize("moment", [(7, "training"), (3, "polishing the population")])
def test_a_resumed_fit_is_the_uninterrupted_one(fitted, ward, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    folder = tmp_path / "m.partial"

    def cut_off(done, total, label):
        if (done, label) == moment:
            raise CutOff

    model = ProfileVAE(**fitted.settings.model_dump())
    with pytest.raises(CutOff):
        model.fit(read_nonmem(ward), checkpoint=folder, progress=cut_off)
    assert folder.is_dir()

    resumed = ProfileVAE(**fitted.settings.model_dump())
    seen = []
    resumed.fit(
        read_nonmem(ward),
        checkpoint=folder,
        progress=lambda done, _, label: seen.append((label, done)),
    )
    assert any("resuming" in notice for notice in resumed.notices)
    # what was done is not done again, but for the step in which it was cut off
    assert min(done for label, done in seen if label == moment[1]) >= moment[0] - 1
    first, second = to_arrays(fitted.model), to_arrays(resumed.model)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    resumed.save(tmp_path / "m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


@pytest.fixture
def clinic(tmp_path):
    from latentpk.workflows.simulate import simulate

    path = tmp_path / "clinic.csv"
    simulate("vancomycin-buelga-2005", 150, seed=2).write_csv(path)
    return path


def fit_command(clinic, out, *options):
    words = ("fit", clinic, "--out", out, "--decoder", "compartment", "--epochs", "120", *options)
    code = "from latentpk.cli.main import main; main()"
    return [sys.executable, "-c", code, *map(str, words)]


def arrays_of(folder):
    return to_arrays(ProfileVAE.load(folder).model)


@pytest.mark.long
def test_kill_9_then_the_same_command(clinic, tmp_path):
    """Killed while choosing and again while training; the model is the uninterrupted one's bits."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(fit_command(clinic, whole), check=True, capture_output=True)
    cut.mkdir()  # an earlier model that must stay readable
    for path in whole.iterdir():
        (cut / path.name).write_bytes(path.read_bytes())
    partial = tmp_path / "cut.partial"
    for kill in range(2):
        process = subprocess.Popen(
            fit_command(clinic, cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = _stamp(partial)
        deadline = time.monotonic() + 240
        while _stamp(partial) == before and process.poll() is None:
            assert time.monotonic() < deadline, "no checkpoint was written"
            time.sleep(0.05)
        assert process.poll() is None, f"it ended before kill {kill + 1}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert ProfileVAE.load(cut).card()["data"]["subjects"] == 150
    result = subprocess.run(fit_command(clinic, cut), check=True, capture_output=True, text=True)
    assert "resuming" in result.stdout
    first, second = arrays_of(whole), arrays_of(cut)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert not partial.exists()
    assert not [
        path.name for path in tmp_path.iterdir() if path.name not in ("whole", "cut", "clinic.csv")
    ]


@pytest.mark.long
def test_a_changed_option_says_why_and_starts_anew(clinic, tmp_path):
    out, partial = tmp_path / "m", tmp_path / "m.partial"
    identity = {"data": "another file", "settings": {}, "versions": {}}
    Checkpoint(partial, identity).write()
    command = fit_command(clinic, out, "--structure", "1c-iv")
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "not resumed" in result.stdout
    assert "data" in result.stdout
    assert out.is_dir()
    assert not partial.exists()


def _stamp(folder):
    manifest = folder / "manifest.json"
    try:
        return manifest.read_bytes()
    except OSError:
        return None


def test_the_checkpoint_knows_the_reading(ward):
    """What changes the result changes the identity."""
    settings = ProfileSettings()
    cohort = read_nonmem(ward)
    other = read_nonmem(ward.with_columns(WT=pl.col("WT") + 1))
    lines = {
        "data": other,
        "interpolation": read_nonmem(ward, interpolation="nocb"),
        "covariates": read_nonmem(ward, covariates=[]),
    }
    for key, changed in lines.items():
        assert identity(changed, settings)[key] != identity(cohort, settings)[key]
    assert identity(cohort, settings) == identity(read_nonmem(ward), settings)
    assert identity(cohort, settings, "of another model") != identity(cohort, settings)
