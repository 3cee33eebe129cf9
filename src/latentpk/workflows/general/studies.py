"""Simulated small studies, each of another drug: what the general model learns from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float

from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.systems import is_system, parse_system
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.decoder import Decoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.records.nonmem import read_nonmem
from latentpk.records.subject import Cohort
from latentpk.workflows.general.designs import (
    MOST_DOSES,
    MOST_LEVELS,
    Schedule,
    draw_plan,
    draw_schedule,
)
from latentpk.workflows.general.drugs import Drug, draw_drug

Progress = Callable[[int, int, str], None]
SUBJECTS = (6, 10)  # of a study
BLOCK = 64  # subjects whose courses are computed at once
FAINT = 1e-3  # of the study's highest level: below it no assay reaches
TRIES = 60  # to draw a measurement above 0


@dataclass(frozen=True, eq=False)
class Study:
    """A small study of a drug that does not exist.

    Attributes:
        drug: What was given.
        records: NONMEM columns ID TIME EVID MDV CMT AMT RATE DV WT CRCL; h, mg, mg/L.
        concentrations: Noise-free concentration of every level [mg/L], in the records' order.
    """

    drug: Drug
    records: pl.DataFrame
    concentrations: Float[np.ndarray, " level"]

    @property
    def cohort(self) -> Cohort:
        """Its subjects, read as any table is, without covariates."""
        return read_nonmem(self.records, covariates=[], route=self.drug.route)


@dataclass(frozen=True, eq=False)
class _Person:
    """One subject before any concentration is computed."""

    schedule: Schedule
    parameters: np.ndarray
    weight: float
    clearance: float


def simulate_studies(
    count: int, seed: int = 0, *, progress: Progress | None = None
) -> tuple[Study, ...]:
    """Simulate small studies, each of a drug of its own.

    Study n is the same whatever their number; a study whose levels no assay would reach is left
    out.

    Args:
        count: How many to draw.
        seed: Of every draw.
        progress: Called with (done, total, label).

    Example:
        >>> [study.drug.structure for study in simulate_studies(2, seed=3)]
        ['dual-absorption', 'transit2']
    """
    drugs, people, noise = [], [], []
    for number in range(count):
        rng = np.random.Generator(np.random.Philox([seed, number, 0x9E4]))
        drug = draw_drug(rng)
        drugs.append(drug)
        people.append(_people(drug, rng))
        noise.append(rng)
    clean = _courses(drugs, people, progress)
    studies = [_study(*parts) for parts in zip(drugs, people, clean, noise, strict=True)]
    return tuple(study for study in studies if study.concentrations.size > 0)


def _people(drug: Drug, rng: np.random.Generator) -> list[_Person]:
    plan, times = draw_plan(drug, rng), int(rng.integers(2**31))
    names = drug.names
    typical = np.log([drug.typical[name] for name in names])
    spread = np.array([drug.spread[name] * (name != "f") for name in names])
    heavier = np.array([drug.weight.get(name, 0.0) for name in names])
    cleared = np.array([drug.renal.get(name, 0.0) for name in names])
    found = []
    for _ in range(int(rng.integers(SUBJECTS[0], SUBJECTS[1] + 1))):
        weight = float(np.clip(70 * np.exp(0.2 * rng.standard_normal()), 35, 150))
        clearance = float(np.clip(100 * np.exp(0.3 * rng.standard_normal()), 15, 200))
        known = heavier * np.log(weight / 70) + cleared * np.log(clearance / 100)
        log = typical + known + spread * rng.standard_normal(len(names))
        schedule = draw_schedule(drug, plan, rng, times)
        found.append(_Person(schedule, np.minimum(log, _most(names)), weight, clearance))
    return found


def _most(names: Sequence[str]) -> np.ndarray:
    """Largest logarithm of each parameter: a share stays one."""
    return np.array([np.log(0.95) if name == "fa" else np.inf for name in names])


def _courses(
    drugs: Sequence[Drug], people: Sequence[list[_Person]], progress: Progress | None
) -> list[list[np.ndarray]]:
    """Concentrations of everyone's levels; drugs of one structure go through one program."""
    found: list[list[np.ndarray]] = [[] for _ in drugs]
    kinds = sorted({(drug.structure, drug.route) for drug in drugs})
    for done, (structure, route) in enumerate(kinds):
        mine = [
            i for i, drug in enumerate(drugs) if (drug.structure, drug.route) == (structure, route)
        ]
        everyone = [person for i in mine for person in people[i]]
        levels = follow(structure, [(p.schedule, p.parameters) for p in everyone], route)
        rows = iter(levels)
        for i in mine:
            found[i] = [next(rows)[: len(p.schedule.drawn)] for p in people[i]]
        if progress is not None:
            progress(done + 1, len(kinds), "mechanisms simulated")
    return found


def follow(
    structure: str, people: Sequence[tuple[Schedule, np.ndarray]], route: str
) -> Float[np.ndarray, "person level"]:
    """Noise-free concentrations [mg/L] of people with these schedules and log parameters."""
    decoder: Decoder = (
        MechanisticDecoder(parse_system(structure))
        if is_system(structure)
        else CompartmentDecoder(Structure.parse(structure))
    )
    paths = Paths(
        central=route == "iv",
        depot=route == "oral",
        infusion=route == "iv",
        steady=False,
        release=False,
        overlap=False,
        reset=False,
    )
    rows = [(p, *_padded(schedule, route)) for schedule, p in people]
    rows += [rows[-1]] * (-len(rows) % BLOCK)
    stacked = [np.stack([row[k] for row in rows]) for k in range(3)]
    parts = [
        np.asarray(
            _block(decoder, paths, *(jnp.asarray(part[at : at + BLOCK]) for part in stacked))
        )
        for at in range(0, len(rows), BLOCK)
    ]
    return np.maximum(np.nan_to_num(np.concatenate(parts)[: len(people)], posinf=0.0), 0.0)


def _padded(schedule: Schedule, route: str) -> tuple[np.ndarray, np.ndarray]:
    """Doses (time, amount, duration, depot) and times of levels, padded."""
    count = len(schedule.given)
    table = np.zeros((4, MOST_DOSES))
    table[0, :count], table[1, :count] = schedule.given, schedule.amount
    table[2, :count], table[3, :count] = schedule.duration, float(route == "oral")
    drawn = np.zeros(MOST_LEVELS)
    drawn[: len(schedule.drawn)] = schedule.drawn
    return table, drawn


@eqx.filter_jit
def _block(
    decoder: Decoder, paths: Paths, parameters: Array, table: Array, drawn: Array
) -> Float[Array, "person level"]:
    def one(z: Array, given: Array, time: Array) -> Array:
        doses = Doses.of(given[0], given[1], duration=given[2], depot=given[3])
        return decoder.concentration(
            z[None], jnp.zeros(1), doses, time, jnp.full(time.shape, jnp.inf), paths=paths
        )

    return jax.lax.map(lambda row: one(*row), (parameters, table, drawn), batch_size=32)


def _study(
    drug: Drug, people: list[_Person], clean: list[np.ndarray], rng: np.random.Generator
) -> Study:
    """Add measurement error, and write the records."""
    least = FAINT * max(float(rows.max(initial=0.0)) for rows in clean)
    additive = drug.additive * drug.dose / drug.typical["v1"]
    parts, kept = [], []
    for number, (person, rows) in enumerate(zip(people, clean, strict=True), start=1):
        seen = rows > max(least, 1e-12)
        value = _measured(rows[seen], additive, drug.proportional, rng)
        if value.size:
            parts.append(_records(number, person, person.schedule.drawn[seen], value))
            kept.append(rows[seen])
    records = pl.concat(parts) if parts else pl.DataFrame()
    return Study(drug, records, np.concatenate(kept) if kept else np.zeros(0))


def _measured(
    clean: np.ndarray, additive: float, proportional: float, rng: np.random.Generator
) -> np.ndarray:
    """Measurements, each drawn again while it is not above 0."""
    sd = np.sqrt(additive**2 + (proportional * clean) ** 2)
    value = clean + sd * rng.standard_normal(clean.shape)
    for _ in range(TRIES):
        if (value > 0).all():
            break
        value = np.where(value > 0, value, clean + sd * rng.standard_normal(clean.shape))
    return np.where(value > 0, value, clean)


def _records(number: int, person: _Person, drawn: np.ndarray, value: np.ndarray) -> pl.DataFrame:
    """One subject's rows in order of time, doses first."""
    schedule = person.schedule
    count, levels = len(schedule.given), len(drawn)
    rate = schedule.amount / schedule.duration if schedule.duration > 0 else 0 * schedule.amount
    time = np.concatenate([schedule.given, drawn])
    dose = np.arange(count + levels) < count
    none, empty = np.zeros(levels), np.full(count, np.nan)
    columns = {
        "ID": np.full(time.size, number),
        "TIME": time,
        "EVID": dose.astype(int),
        "MDV": dose.astype(int),
        "CMT": np.ones(time.size, int),
        "AMT": np.concatenate([schedule.amount, none]),
        "RATE": np.concatenate([rate, none]),
        "DV": np.concatenate([empty, value]),
        "WT": np.full(time.size, round(person.weight, 1)),
        "CRCL": np.full(time.size, round(person.clearance, 1)),
    }
    order = np.lexsort((~dose, time))
    frame = pl.DataFrame({name: column[order] for name, column in columns.items()})
    return frame.with_columns(pl.col("DV").fill_nan(None))
