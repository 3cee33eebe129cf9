"""Training that survives being cut off: MODEL.partial holds all that resuming needs."""

import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from latentpk.errors import ArtifactError
from latentpk.inference.elbo import ElboTerms
from latentpk.inference.epochs import TrainingState
from latentpk.inference.training import TrainingHistory
from latentpk.storage import read_bundle, remove_bundle, write_bundle
from latentpk.workflows.trials import Trial

KIND, SCHEMA = "fit-in-progress", 1
EVERY = 5.0  # seconds between checkpoints


class Checkpoint:
    """What has been done of one fit, kept in a folder beside the model to be.

    Attributes:
        trials: Candidates tried so far.
        state: Where training stands, None before it.
        history: Its past.
        grouped: Where training of several groups of people stands, which follows; None before it.
        grouped_history: Its past.
        rounds: Rounds of polishing done.
        polished: Where polishing stands, None before it.
        scores: Figures by name that were dear to compute, such as held-out likelihoods.
        note: Why an earlier checkpoint was not used, or that it was; empty if there was none.
    """

    def __init__(self, folder: Path | None, identity: dict[str, Any]) -> None:
        """Open or start a checkpoint.

        Args:
            folder: Where; None keeps nothing.
            identity: Data hash, options, seed and versions that must match to resume.
        """
        self.folder, self.identity = folder, identity
        self.trials: list[Trial] = []
        self.state: TrainingState | None = None
        self.history = TrainingHistory()
        self.grouped: TrainingState | None = None
        self.grouped_history = TrainingHistory()
        self.rounds = 0
        self.polished: TrainingState | None = None
        self.scores: dict[str, list[float]] = {}
        self.note = ""
        self._saved = time.monotonic()
        if folder is not None and folder.exists():
            self._resume(folder)

    def _resume(self, folder: Path) -> None:
        try:
            bundle = read_bundle(folder, kind=KIND, schema=SCHEMA)
            identity = bundle.manifest["identity"]
            differing = sorted(
                key
                for key in self.identity.keys() | identity.keys()
                if self.identity.get(key) != identity.get(key)
            )
            if differing:
                self.note = f"{folder}: not resumed, {', '.join(differing)} changed; starting anew."
                return
            self.trials = [Trial.model_validate(t) for t in bundle.manifest["trials"]]
            self.history = _history(bundle.manifest["terms"], bundle.manifest["annealed_from"])
            self.grouped_history = _history(*bundle.manifest["grouped"])
            self.rounds = int(bundle.manifest["rounds"])
            self.scores = {k: list(map(float, v)) for k, v in bundle.manifest["scores"].items()}
            self.state = _state(bundle.arrays, "training")
            self.grouped = _state(bundle.arrays, "groups")
            self.polished = _state(bundle.arrays, "polish")
        except (ArtifactError, AttributeError, KeyError, TypeError, ValueError) as error:
            self.trials, self.state, self.history = [], None, TrainingHistory()
            self.grouped, self.grouped_history = None, TrainingHistory()
            self.rounds, self.polished, self.scores = 0, None, {}
            self.note = f"{folder}: not resumed, it cannot be read ({error}); starting anew."
            return
        self.note = (
            f"{folder}: resuming after {len(self.trials)} trials, {len(self.history.terms)} epochs "
            f"and {self.rounds} rounds of polishing."
        )

    def add(self, trial: Trial) -> None:
        """Keep a finished trial."""
        self.trials.append(trial)
        self.write()

    def keep(self, state: TrainingState, history: TrainingHistory) -> None:
        """Keep the state of training, at most every few seconds."""
        self.state, self.history = state, history
        if time.monotonic() - self._saved >= EVERY:
            self.write()

    def keep_grouped(self, state: TrainingState, history: TrainingHistory) -> None:
        """Keep the state of training several groups, at most every few seconds."""
        self.grouped, self.grouped_history = state, history
        if time.monotonic() - self._saved >= EVERY:
            self.write()

    def keep_round(self, state: TrainingState, rounds: int) -> None:
        """Keep the state of polishing after a round."""
        self.polished, self.rounds = state, rounds
        if time.monotonic() - self._saved >= EVERY:
            self.write()

    def keep_scores(self, scores: dict[str, list[float]]) -> None:
        """Keep figures that were dear to compute."""
        self.scores = self.scores | scores
        self.write()

    def write(self) -> None:
        """Write what there is now."""
        if self.folder is None:
            return
        arrays = _arrays(self.state, "training") | _arrays(self.polished, "polish")
        arrays |= _arrays(self.grouped, "groups")
        manifest = {
            "identity": self.identity,
            "trials": [trial.model_dump(mode="json") for trial in self.trials],
            "terms": _terms(self.history),
            "annealed_from": self.history.annealed_from,
            "grouped": [_terms(self.grouped_history), self.grouped_history.annealed_from],
            "rounds": self.rounds,
            "scores": self.scores,
        }
        write_bundle(
            self.folder,
            kind=KIND,
            schema=SCHEMA,
            manifest=manifest,
            arrays=arrays,
        )
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Forget the checkpoint: the model is safe."""
        if self.folder is not None and self.folder.exists():
            remove_bundle(self.folder)


def _terms(history: TrainingHistory) -> list[list[float]]:
    return [list(map(float, terms)) for terms in history.terms]


def _history(terms: list[list[float]], annealed_from: int | None) -> TrainingHistory:
    rows = np.asarray(terms, float).reshape(-1, len(ElboTerms._fields))
    return TrainingHistory([ElboTerms(*map(float, row)) for row in rows], annealed_from)


def _arrays(state: TrainingState | None, stage: str) -> dict[str, np.ndarray]:
    if state is None:
        return {}
    return {f"{stage}.{name}": np.asarray(value) for name, value in state._asdict().items()}


def _state(arrays: dict[str, np.ndarray], stage: str) -> TrainingState | None:
    if f"{stage}.{TrainingState._fields[0]}" not in arrays:
        return None
    return TrainingState(
        *(jnp.asarray(arrays[f"{stage}.{name}"]) for name in TrainingState._fields)
    )
