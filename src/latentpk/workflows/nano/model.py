"""`NanoModel`: a trained model of nanoparticles, and its predictions as tables."""

import platform
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from latentpk import __version__
from latentpk.errors import ArtifactError
from latentpk.evaluate.scores import r2
from latentpk.inference.ensemble import EnsembleSettings, Inner, fit_ensemble
from latentpk.models.descriptors import Properties, properties
from latentpk.models.ensemble import MEMBERS, Ensemble, Prediction, from_parts, to_parts
from latentpk.models.joint import Joint
from latentpk.models.tumor import Mouse, TumorModel
from latentpk.records.particles import Particles, read_particles
from latentpk.storage import read_bundle, write_bundle
from latentpk.workflows.nano.table import (
    TARGETS,
    Library,
    physiology,
    read_library,
    training_rows,
)
from latentpk.workflows.nano.tumor import Joined, expected_delivery, join, measure

Progress = Callable[[int, int, str], None]
KIND, SCHEMA = "nano-model", 1
ALONE = "ensemble without latent"  # where courses let a latent model join
CARD = {"hashes": dict, "notices": list, "warnings": list}  # of a card, at least
MOST = {"DE24": 100.0, "DE168": 100.0, "DEmax": 100.0}  # %ID
GAP = 0.15  # of R2 between inner and outer folds, above which tuning has fooled itself
EVEN = 0.95  # of the largest entropy, above which attention tells features apart no more


@dataclass(frozen=True, eq=False)
class NanoModel:
    """Particles' tumor pharmacokinetics from their properties.

    Attributes:
        ensemble: Members, weights, intervals and domain.
        joint: The latent model and how it joins; None of a fit without courses.
        card: What it was trained on and how, as JSON values.
    """

    ensemble: Ensemble
    card: Mapping[str, Any]
    joint: Joint | None = None

    @staticmethod
    def fit(  # noqa: PLR0913  (three of them are the tables)
        table: str | Path | Any,
        *,
        timecourse: str | Path | Any | None = None,
        studies: str | Path | Any | None = None,
        settings: EnsembleSettings | None = None,
        seed: int = 0,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> "NanoModel":
        """Fit the ensemble to a table of particles, and the latent model to their courses.

        Intervals are calibrated on folds that keep studies together where studies are given, so
        that they hold for particles of a study never seen.

        Args:
            table: CSV file or data frame with the four KTRES parameters.
            timecourse: Table of ID, TIME [h] and TUMOR [%ID].
            studies: Table of ID, STUDY_ID and, as inputs, MAT and ZP_SIGNED.
            settings: How.
            seed: Of everything random.
            threads: CPU threads of the trees.
            progress: Called with (done, total, label).

        Returns:
            The model.

        Raises:
            InputError: Every problem of the tables.
        """
        settings = settings or EnsembleSettings()
        library = read_library(table, timecourse=timecourse, studies=studies)
        rows, whole, told = training_rows(library)
        fitted = fit_ensemble(rows, settings, seed=seed, threads=threads, progress=progress)
        joined = None
        if library.courses is not None:
            kept = np.flatnonzero(whole)
            measured = measure(library, kept, seed=seed, threads=threads, progress=progress)
            joined = join(fitted, rows, measured, settings.tumor, seed=seed, progress=progress)
        ensemble, inner = fitted
        scores = inner_scores(ensemble, inner)
        if joined is not None:
            scores[ALONE] = scores["ensemble"]
            scores["ensemble"] = r2(inner.truth, joined.found)
        card = _card(library, ensemble, scores, told, seed=seed, settings=settings)
        card["judged"] = len(inner.truth)
        if joined is None:
            return NanoModel(ensemble, card)
        joint = joined.joint
        return NanoModel(ensemble, card | {"latent": latent_card(joined, library)}, joint)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the fit has to say."""
        return tuple(self.card["notices"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """The signs of failure that the fit showed."""
        return tuple(self.card["warnings"])

    def prediction(self, particles: Particles) -> Prediction:
        """Predict particles on log10: by the ensemble, and the latent model where there is one."""
        return self.predict_known(properties(particles), physiology(particles))

    def predict_known(self, known: Properties, mouse: Mouse) -> Prediction:
        """The same of particles as numbers, each in its mouse."""
        if self.joint is None:
            return self.ensemble.predict(known)
        delivered = expected_delivery(self.joint.latent, known, mouse)
        return self.joint.predict(self.ensemble, known, delivered)

    def predict(self, table: str | Path | Particles | Any) -> pl.DataFrame:
        """Predict every particle of a table.

        Args:
            table: CSV file, data frame, or particles.

        Returns:
            ID; of each target its median on the natural scale, NAME_LO and NAME_HI (5 and 95 %,
            computed on log10); VERDICT and REASON, which also names what is not known of the
            particle and was in training.

        Raises:
            InputError: Every problem of the table.
        """
        particles = table if isinstance(table, Particles) else read_particles(table)
        known = properties(particles)
        found = self.prediction(particles)
        columns: dict[str, Any] = {"ID": list(particles.ids)}
        for k, name in enumerate(self.ensemble.targets):
            middle, (down, up) = found.median[:, k], found.reach[:, :, k]
            most = MOST.get(name, np.inf)
            columns[name] = np.minimum(10**middle, most)
            columns[f"{name}_LO"] = np.minimum(10 ** (middle - down), most)
            columns[f"{name}_HI"] = np.minimum(10 ** (middle + up), most)
        domain = self.ensemble.domain
        verdicts = domain.judge(known)
        unknown = [[f"{name} is not known" for name in names] for names in domain.unknown(known)]
        columns["VERDICT"] = [verdict for verdict, _ in verdicts]
        columns["REASON"] = [
            "; ".join([reason, *more] if reason else more)
            for (_, reason), more in zip(verdicts, unknown, strict=True)
        ]
        return pl.DataFrame(columns)

    def unknown(self, particles: Particles) -> dict[str, int]:
        """How many particles lack what the model was trained with, by column."""
        lacking = self.ensemble.domain.unknown(properties(particles))
        return dict(Counter(name for names in lacking for name in names))

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, whole or not at all."""
        manifest, arrays, parts = to_parts(self.ensemble)
        said: dict[str, Any] = {"ensemble": manifest, "card": dict(self.card)}
        if self.joint is not None:
            said["latent"], own = self.joint.latent.to_parts()
            arrays |= {f"latent.{name}": value for name, value in own.items()}
            arrays |= {f"joint.{name}": value for name, value in self.joint.to_arrays().items()}
        write_bundle(
            folder,
            kind=KIND,
            schema=SCHEMA,
            manifest=said,
            arrays=arrays,
            parts=parts,
        )

    @staticmethod
    def load(folder: str | Path) -> "NanoModel":
        """Read a model.

        Raises:
            ArtifactError: The folder is damaged, foreign or of another version.
        """
        bundle = read_bundle(folder, kind=KIND, schema=SCHEMA)
        said = bundle.manifest
        if not (isinstance(said.get("ensemble"), dict) and isinstance(said.get("card"), dict)):
            raise ArtifactError(f"{folder}: the manifest does not describe a model: fit it again.")
        of = {
            owner: {
                name.removeprefix(f"{owner}."): value
                for name, value in bundle.arrays.items()
                if name.startswith(f"{owner}.")
            }
            for owner in ("latent", "joint")
        }
        others = {
            name: value
            for name, value in bundle.arrays.items()
            if not name.startswith(("latent.", "joint."))
        }
        ensemble = from_parts(said["ensemble"], others, bundle.parts)
        joint = None
        if "latent" in said or of["latent"] or of["joint"]:
            latent = TumorModel.from_parts(said.get("latent"), of["latent"])
            joint = Joint.from_arrays(latent, of["joint"], targets=len(ensemble.targets))
        if not set(ensemble.targets) <= set(TARGETS):
            raise ArtifactError(f"{folder}: the model's targets are unknown: fit it again.")
        card = said["card"]
        if any(type(card.get(name)) is not kind for name, kind in CARD.items()):
            raise ArtifactError(f"{folder}: the card lacks {', '.join(CARD)}: fit it again.")
        hashes = {**card["hashes"], "model": bundle.seal}
        return NanoModel(ensemble, card | {"hashes": hashes}, joint)


def latent_card(joined: Joined, library: Library) -> dict[str, Any]:
    """What the card says of the latent model."""
    told, share = joined.told, joined.joint.share
    courses = library.courses
    return {
        "measured": f"{told.assay}, by the log likelihood of held-out courses: "
        + ", ".join(f"{name} {value:.3f}" for name, value in told.assays.items()),
        "sigma": rounded(told.sigma),
        "share_of_delivery": rounded(share[0]),
        "courses": 0 if courses is None else int(np.sum(courses.count > 0)),
        "measurements": 0 if courses is None else int(courses.count.sum()),
        "decay": told.decay,
        "fitted": "the tumor alone; plasma, liver, spleen, kidney and lung are the published "
        "PBPK model's, which was not fitted to them",
    }


def inner_scores(ensemble: Ensemble, inner: Inner) -> dict[str, Float[np.ndarray, " target"]]:
    """R2 of each member and of the ensemble on inner folds."""
    scores = {name: r2(inner.truth, inner.found[name]) for name in MEMBERS}
    return scores | {"ensemble": r2(inner.truth, inner.weighed)}


def attention_entropy(ensemble: Ensemble) -> float | None:
    """Mean entropy of the attention over knowledge features, of its largest value.

    The map of a target sums to 1 over raw and knowledge features; the entropy is of the shares of
    knowledge features within each raw feature. None where networks do not attend.
    """
    shares = []
    for learner in ensemble.learners:
        for networks in learner.networks:
            if not networks.config.readable:
                return None
            views = learner.descriptors.encode(ensemble.domain.known).views
            pooled = networks.attention(views)[0]  # row target raw knowledge
            within = pooled / np.maximum(pooled.sum(axis=-1, keepdims=True), 1e-30)
            entropy = -np.sum(within * np.log(np.maximum(within, 1e-30)), axis=-1)
            shares.append(np.mean(entropy) / np.log(within.shape[-1]))
    return float(np.mean(shares))


def failure_signs(
    scores: Mapping[str, Float[np.ndarray, " target"]],
    targets: tuple[str, ...],
    *,
    entropy: float | None,
) -> tuple[str, ...]:
    """Two of the signs that arXiv 2503.13798 names, where they show; `optimism` is the third.

    Args:
        scores: R2 of each member and of the ensemble on the same rows.
        targets: Names.
        entropy: Of attention, from 0 to 1; None where there is none.

    Returns:
        A sentence for each sign.
    """
    signs = []
    if entropy is not None and entropy > EVEN:
        signs.append(
            f"Attention is nearly uniform (entropy {entropy:.3f} of the largest): the network "
            "does not tell knowledge features apart."
        )
    own, members = scores["ensemble"], [one for one in scores if not one.startswith("ensemble")]
    for k, name in enumerate(targets):
        best = max(members, key=lambda one: scores[one][k])
        if scores[best][k] > own[k] + 0.01:
            signs.append(
                f"{name}: the ensemble (R2 {own[k]:.2f}) is under its best member "
                f"({best}, {scores[best][k]:.2f})."
            )
    return tuple(signs)


def optimism(
    inner: Float[np.ndarray, " target"],
    outer: Float[np.ndarray, " target"],
    targets: tuple[str, ...],
) -> tuple[str, ...]:
    """The third sign: inner cross-validation that promises what outer folds do not hold."""
    return tuple(
        f"{name}: R2 is {inner[k]:.2f} on inner and {outer[k]:.2f} on outer folds."
        for k, name in enumerate(targets)
        if inner[k] - outer[k] > GAP
    )


def rounded(value: float) -> float | None:
    """Three decimals, None where there is no number, such as R2 of a target that never varies."""
    return round(float(value), 3) if np.isfinite(value) else None


def _card(
    library: Library,
    ensemble: Ensemble,
    scores: Mapping[str, Float[np.ndarray, " target"]],
    told: tuple[str, ...],
    *,
    seed: int,
    settings: EnsembleSettings,
) -> dict[str, Any]:
    origin = library.studies
    entropy = attention_entropy(ensemble)
    grouped = origin is not None
    basis = (
        "folds that keep studies together: intervals hold for particles of unseen studies"
        if grouped
        else "random folds, since no studies were given: intervals hold for particles of the "
        "table's own studies, and are too narrow for others"
    )
    return {
        "what": "nanoparticles' tumor pharmacokinetics from their properties",
        "targets": dict(TARGETS),
        "rows": len(ensemble.domain.known),
        "studies": len(set(origin.groups.tolist())) if origin is not None else None,
        "calibrated": basis,
        "r2": {
            name: {t: rounded(v) for t, v in zip(ensemble.targets, own, strict=True)}
            for name, own in scores.items()
        },
        "weights": {
            name: {t: rounded(v) for t, v in zip(ensemble.targets, own, strict=True)}
            for name, own in zip(MEMBERS, ensemble.weights, strict=True)
        },
        "attention_entropy": entropy,
        "warnings": list(failure_signs(scores, ensemble.targets, entropy=entropy)),
        "notices": [*library.notices, *told, f"Intervals are calibrated on {basis}."],
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "hashes": {"data": library.particles.digest},
        "versions": {"latentpk": __version__, "python": platform.python_version()},
    }
