"""The latent model in the workflows: fitted beside an ensemble, and what it says of a course."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latentpk.inference.ensemble import Inner, Rows
from latentpk.inference.joint import fit_joint
from latentpk.inference.tumor_bank import Bank, fill_bank
from latentpk.inference.tumor_training import Told, TumorSettings, train_tumor
from latentpk.models.descriptors import Properties
from latentpk.models.ensemble import Ensemble
from latentpk.models.joint import Joint
from latentpk.models.tumor import Mouse, TumorModel
from latentpk.records.courses import Courses
from latentpk.workflows.nano.table import Library, delivery_at, physiology

Progress = Callable[[int, int, str], None]


class Measured(NamedTuple):
    """The courses that go with an ensemble's rows.

    Attributes:
        courses: One for each row.
        mouse: Their mice.
        bank: Their points.
    """

    courses: Courses
    mouse: Mouse
    bank: Bank

    def take(self, rows: Int[np.ndarray, " kept"]) -> "Measured":
        """Some of the rows."""
        return Measured(self.courses.take(rows), self.mouse.take(rows), self.bank.take(rows))


def measure(
    library: Library,
    rows: Int[np.ndarray, " row"],
    *,
    seed: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> Measured:
    """Simulate the points of every particle; they know no fold and serve all.

    Args:
        library: With courses.
        rows: The particles that an ensemble is fitted to.
        seed: Of the points.
        threads: Particles at once.
        progress: Called with (done, total, label).

    Returns:
        Courses, mice and points.
    """
    if library.courses is None:
        raise ValueError("these particles have no courses: read them with `timecourse`")
    courses = library.courses.take(rows)
    mouse = physiology(library.particles).take(rows)
    bank = fill_bank(courses, mouse, seed=seed, threads=threads, progress=progress)
    return Measured(courses, mouse, bank)


class Joined(NamedTuple):
    """An ensemble joined by a latent model.

    Attributes:
        joint: How they join.
        told: What training chose.
        unseen: Where members that did not see a row place it, of the scored rows.
        delivered: log10 of the delivery there.
        found: The joined model's standardized predictions of those rows.
    """

    joint: Joint
    told: Told
    unseen: Float[np.ndarray, "row latent"]
    delivered: Float[np.ndarray, "row delivered"]
    found: Float[np.ndarray, "row target"]


def join(
    fitted: tuple[Ensemble, Inner],
    rows: Rows,
    measured: Measured,
    settings: TumorSettings,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Joined:
    """Train the latent model on the rows of a fitted ensemble and join them."""
    trained = train_tumor(
        rows.known, measured.bank, rows.groups, settings, seed=seed, progress=progress
    )
    unseen = trained.unseen_location(rows.known)
    delivered = delivery_at(unseen, measured.mouse)[rows.scored]
    joint, found = fit_joint(
        *fitted, trained.model, delivered, _excess(trained.model, rows, measured.mouse, settings)
    )
    return Joined(joint, trained.told, unseen[rows.scored], delivered, found)


def _excess(
    model: TumorModel, rows: Rows, mouse: Mouse, settings: TumorSettings
) -> Float[np.ndarray, " delivered"]:
    """Variance of a delivery by the members that did not see a row, over that by all."""
    each = np.stack([delivery_at(one, mouse)[rows.scored] for one in model.location(rows.known)])
    if len(each) == settings.networks:
        return np.zeros(each.shape[2])
    return np.var(each, axis=0, ddof=1).mean(axis=0) * (1 / settings.networks - 1 / len(each))


def expected_delivery(
    model: TumorModel, known: Properties, mouse: Mouse
) -> Float[np.ndarray, "row delivery"]:
    """log10 of the delivery at the prior's location."""
    return delivery_at(model.location(known).mean(axis=0), mouse)
