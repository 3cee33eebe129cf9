"""Simulate a routine-monitoring cohort from a published model, as NONMEM records."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.library.card import Covariate, LibraryModel
from latentpk.library.catalog import open_model
from latentpk.library.design import Design, LogNormal, is_whole
from latentpk.models.published import PopulationModel, ResidualError, published_decoder
from latentpk.units import Units, parse_units
from latentpk.workflows.course import changes, kappa_shape, latent_in_course, occasion_at
from latentpk.workflows.schedule import Schedule, draw_schedule

Progress = Callable[[int, int, str], None]
_BLOCK = 256  # subjects computed at once
_SIZES = (4, 16, 64, 256)  # doses and levels are padded to these, so that few programs compile


@dataclass(frozen=True)
class Simulation:
    """A simulated cohort and the truth behind it.

    Attributes:
        records: NONMEM columns ID TIME EVID MDV CMT AMT RATE DV, then covariates; h, mg, mg/L.
            OCC where the model's patients vary between occasions.
        parameters: ID and each subject's true parameters (L/h, L, 1/h, h); where they change, one
            row for each TIME [h] from which they hold, with its OCC.
        concentrations: ID, TIME [h] and the noise-free CONC [mg/L] of every level.
    """

    records: pl.DataFrame
    parameters: pl.DataFrame
    concentrations: pl.DataFrame


@dataclass(frozen=True, eq=False)
class _Patient:
    """One virtual patient before any concentration is computed."""

    id: int
    covariates: dict[str, float]
    effects: np.ndarray  # (effect,), standard normal
    kappas: np.ndarray  # (occasion, kappa), standard normal
    schedule: Schedule
    noise: np.random.Generator


def simulate(
    model: str | LibraryModel,
    subjects: int,
    seed: int = 0,
    *,
    design: Design | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Simulate a routine-monitoring cohort.

    Subject n is the same whatever the number of subjects; the same seed gives the same bytes.
    A level is never negative: a measurement error that would make it so is drawn again, or,
    under an assay's limit, the level is marked CENS = 1 with DV = LLOQ.

    Args:
        model: Library name, or a published model.
        subjects: Number of subjects, at least 1.
        seed: Seed of every draw, 0 or more.
        design: Doses and sampling times; the model's own by default.
        progress: Called with (done, total, label).

    Returns:
        NONMEM records: ID TIME EVID MDV CMT AMT RATE DV and the covariates; h, mg, mg/L.

    Raises:
        InputError: An unknown model, no subjects, a negative seed.

    Example:
        >>> simulate("theophylline", 2, seed=1)["ID"].unique().to_list()
        [1, 2]
    """
    return simulate_truth(model, subjects, seed, design=design, progress=progress).records


def simulate_truth(
    model: str | LibraryModel,
    subjects: int,
    seed: int = 0,
    *,
    design: Design | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate a cohort and keep its true parameters and concentrations; see `simulate`."""
    if isinstance(model, str):
        model = open_model(model)
    if not isinstance(model, LibraryModel):
        raise InputError("Only a published model can be simulated from.")
    if subjects < 1 or seed < 0:
        raise InputError(
            f"subjects is {subjects} and seed is {seed}: give 1 subject or more, seed 0 or more."
        )
    design = design or model.design
    parts = []
    for start in range(0, subjects, _BLOCK):
        block = range(start, min(start + _BLOCK, subjects))
        parts.append(_simulate_block(model, design, [_draw(model, design, seed, i) for i in block]))
        if progress is not None:
            progress(block.stop, subjects, "subjects simulated")
    return Simulation(*(pl.concat(frames) for frames in zip(*parts, strict=True)))


def to_csv(records: pl.DataFrame, model: LibraryModel, units: str | Units | None = None) -> str:
    """Write simulated records as CSV text, in other units where asked.

    Args:
        records: What `simulate` gave.
        model: The model it came from; gives the molar mass where units count moles.
        units: Such as "AMT=g,DV=umol/L"; None for h, mg, mg/L and the covariates' own units.

    Returns:
        CSV text; units that were asked for stand in its first line, where `read_nonmem` looks.

    Raises:
        InputError: An unknown unit.
    """
    if units is None:
        return records.write_csv()
    if isinstance(units, str) and "MOLAR_MASS" not in units.upper():
        units = f"{units},MOLAR_MASS={model.molar_mass}"
    units = parse_units(units)
    factors = {name: units.factor(name) for name in records.columns}
    converted = records.with_columns(
        (pl.col(name) / factor).round_sig_figs(12)
        for name, factor in factors.items()
        if factor != 1
    )
    covariates = tuple(covariate.name for covariate in model.covariates)
    return f"# units: {units.describe(covariates)}\n{converted.write_csv()}"


def _simulate_block(
    model: LibraryModel, design: Design, patients: list[_Patient]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    parameters, curves = _concentrations(model, design, patients)
    records, truths = [], []
    for patient, curve in zip(patients, curves, strict=True):
        levels = _measure(curve, model.population.residual, design.lloq, patient.noise)
        records.append(_records(patient, design, levels, model.population))
        times = patient.schedule.levels
        truths.append({"ID": np.full(times.size, patient.id), "TIME": times, "CONC": curve})
    whole = [pl.col(c.name).cast(pl.Int64) for c in model.covariates if is_whole(c.sample)]
    return (
        pl.concat([pl.DataFrame(columns) for columns in records]).with_columns(whole),
        _truth(model.population, patients, parameters),
        pl.concat([pl.DataFrame(columns) for columns in truths]),
    )


def _truth(
    population: PopulationModel, patients: list[_Patient], parameters: np.ndarray
) -> pl.DataFrame:
    """The parameters that held in each patient's course, shape (subject, piece, parameter)."""
    change = changes(population)
    rows = [(i, k) for i, p in enumerate(patients) for k in np.flatnonzero(change < p.schedule.end)]
    subject, piece = np.array(rows).T
    columns: dict[str, np.ndarray] = {"ID": np.array([p.id for p in patients])[subject]}
    if len(change) > 1:
        columns["TIME"] = change[piece]
    if population.occasions is not None:
        columns["OCC"] = 1 + occasion_at(population, change)[piece]
    for k, name in enumerate(population.names):
        columns[name.upper()] = parameters[subject, piece, k]
    return pl.DataFrame(columns)


def _draw(model: LibraryModel, design: Design, seed: int, index: int) -> _Patient:
    # separate streams: another design leaves the patient's covariates and effects as they are
    streams = np.random.SeedSequence(seed, spawn_key=(index,)).spawn(5)
    covariate, effect, schedule, noise, kappa = map(np.random.default_rng, streams)
    covariates: dict[str, float] = {}
    for spec in model.covariates:
        covariates[spec.name] = _draw_covariate(spec, covariates, covariate)
    return _Patient(
        id=index + 1,
        covariates=covariates,
        effects=effect.standard_normal(len(model.population.variability.parameters)),
        kappas=kappa.standard_normal(kappa_shape(model.population)),
        schedule=draw_schedule(design, covariates, schedule),
        noise=noise,
    )


def _draw_covariate(spec: Covariate, known: dict[str, float], random: np.random.Generator) -> float:
    fitting = (given.sample for given in spec.given if known[given.covariate] == given.equals)
    sample = next(fitting, spec.sample)
    return (sample.at(known) if isinstance(sample, LogNormal) else sample).draw(random)


def _concentrations(
    model: LibraryModel, design: Design, patients: list[_Patient]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """True parameters (subject, piece, parameter) and each subject's noise-free levels [mg/L]."""
    latent = _latent(model, patients)
    doses = _doses(patients, model.salt_factor, oral=design.dosing.route == "oral")
    times = _stack([patient.schedule.levels for patient in patients])
    change = tuple(changes(model.population).tolist())
    program = _program(model.population.structure, Paths.of(doses), change)
    padding = _BLOCK - len(patients)  # one compiled program for every block
    curves = program(*jax.tree.map(lambda x: _fill(x, padding), (doses, times, latent)))
    values = np.maximum(np.asarray(curves), 0.0)  # rounding may leave -1e-18 before the lag
    sizes = [patient.schedule.levels.size for patient in patients]
    return np.exp(latent), [row[:size] for row, size in zip(values, sizes, strict=False)]


def _latent(model: LibraryModel, patients: list[_Patient]) -> np.ndarray:
    """Log parameters of each patient, shape (subject, piece, parameter)."""
    return latent_in_course(
        model.population,
        [patient.covariates for patient in patients],
        np.stack([patient.effects for patient in patients]),
        np.stack([patient.kappas for patient in patients]),
    )


@cache
def _program(
    structure: str, paths: Paths, change: tuple[float, ...]
) -> Callable[..., Float[Array, "subject time"]]:
    decoder = published_decoder(structure)

    def one(doses: Doses, time: Array, z: Array) -> Array:
        order = jnp.full_like(time, jnp.inf)
        return decoder.concentration(z, jnp.array(change), doses, time, order, paths=paths)

    return jax.jit(jax.vmap(one))


def _doses(patients: list[_Patient], salt: float, *, oral: bool) -> Doses:
    """Stack what enters the body, each field (subject, dose); padding has amount 0."""
    time = _stack([patient.schedule.times for patient in patients])
    nothing, never = jnp.zeros(time.shape), jnp.full(time.shape, jnp.inf)
    return Doses(
        time=jnp.asarray(time),
        order=jnp.broadcast_to(jnp.arange(time.shape[1], dtype=float), time.shape),
        amount=jnp.asarray(salt * _stack([patient.schedule.amounts for patient in patients])),
        rate=nothing,
        duration=jnp.asarray(_stack([patient.schedule.durations for patient in patients])),
        depot=jnp.full(time.shape, float(oral)),
        interval=nothing,
        steady=nothing,
        until=never,
        until_order=never,
    )


def _measure(
    truth: np.ndarray, residual: ResidualError, lloq: float | None, noise: np.random.Generator
) -> np.ndarray:
    """Add the measurement error [mg/L] and keep four significant digits."""
    values = [_measure_one(float(f), residual, noise, censored=lloq is not None) for f in truth]
    return np.array([float(f"{value:.4g}") for value in values])


def _measure_one(
    f: float, residual: ResidualError, noise: np.random.Generator, *, censored: bool
) -> float:
    a, b = residual.additive, residual.proportional
    if residual.kind == "lognormal":
        return f * float(np.exp(b * noise.standard_normal()))
    sd = np.hypot(a, b * f) if residual.kind == "combined2" else a + b * f
    if sd == 0:
        return f
    while True:  # at most a half of the draws are refused, since f >= 0
        value = f + sd * noise.standard_normal()
        if value > 0 or censored:
            return value


def _records(
    patient: _Patient, design: Design, levels: np.ndarray, population: PopulationModel
) -> dict[str, object]:
    plan = patient.schedule
    dose = np.r_[np.ones(plan.times.size, bool), np.zeros(plan.levels.size, bool)]
    time = np.r_[plan.times, plan.levels]
    rate = np.divide(
        plan.amounts, plan.durations, out=np.zeros_like(plan.amounts), where=plan.durations > 0
    )
    nothing = np.zeros(plan.levels.size)
    order = np.lexsort((~dose, time))
    dv = np.r_[np.full(plan.times.size, np.nan), levels]
    columns: dict[str, np.ndarray] = {
        "ID": np.full(time.size, patient.id),
        "TIME": time,
        "EVID": dose.astype(int),
        "MDV": dose.astype(int),
        "CMT": np.where(dose, 1, 2 if design.dosing.route == "oral" else 1),
        "AMT": np.r_[plan.amounts, nothing],
        "RATE": np.r_[rate, nothing],
    }
    if design.lloq is not None:
        columns["CENS"] = (dv < design.lloq).astype(int)
        columns["LLOQ"] = np.full(time.size, design.lloq)
        dv = np.where(dv < design.lloq, design.lloq, dv)
    columns["DV"] = dv
    if population.occasions is not None:
        columns["OCC"] = 1 + occasion_at(population, time)
    columns |= {name: np.full(time.size, value) for name, value in patient.covariates.items()}
    sorted_columns: dict[str, object] = {name: value[order] for name, value in columns.items()}
    sorted_columns["DV"] = pl.Series(columns["DV"][order], nan_to_null=True)
    if design.dosing.route == "iv" and not (plan.durations > 0).any():
        sorted_columns["ROUTE"] = ["iv"] * time.size  # a bolus says by no other column that it is
    return sorted_columns


def _stack(rows: list[np.ndarray]) -> np.ndarray:
    longest = max(row.size for row in rows)
    width = next((size for size in _SIZES if longest <= size), -(-longest // 256) * 256)
    return np.stack([np.r_[row, np.zeros(width - row.size)] for row in rows])


def _fill(values: Array | np.ndarray, count: int) -> Array:
    """Repeat the first row `count` times at the end."""
    values = jnp.asarray(values)
    return jnp.concatenate([values, jnp.repeat(values[:1], count, axis=0)])
