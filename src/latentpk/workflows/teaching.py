"""Patients that an encoder learns a population from: routine records, and records of any kind."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.inference.posterior import in_blocks
from latentpk.library.card import LibraryModel
from latentpk.library.design import Design, Interval, Sampling
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, stack_records
from latentpk.records.nonmem import read_nonmem
from latentpk.records.subject import Cohort, LevelTable, Subject
from latentpk.workflows.simulate import simulate

Progress = Callable[[int, int, str], None]
MOST = 8  # levels of a patient whose record is drawn at random
STRIDES = (0.5, 1.0, 2.0)  # of a random record's dosing interval, and of its amounts
BEYOND = 1.25  # random levels reach this far past a local patient's last one
TRIES = 60  # to draw a measurement above 0, as a laboratory reports it


def teaching_cohort(
    card: LibraryModel, subjects: int, seed: int, *, progress: Progress | None = None
) -> Cohort:
    """Simulate patients of a published model: half by its routine design, half by random ones.

    A random design draws one to eight levels at any time of the course, and doses at half, once
    or twice the routine interval, with amounts to match; so an encoder sees any number of levels.

    Args:
        card: The published model.
        subjects: How many in all.
        seed: Of every draw.
        progress: Called with (done, total, label).

    Returns:
        One cohort; doses are mass of the measured molecule (the salt factor is applied).
    """
    designs = (card.design, *random_designs(card.design))
    routine = (subjects + 1) // 2
    rest = [len(part) for part in np.array_split(np.arange(subjects - routine), len(STRIDES))]
    parts: list[Cohort] = []
    done = 0
    for k, (design, count) in enumerate(zip(designs, (routine, *rest), strict=True)):
        if count == 0:
            continue
        # a seed of its own: by one seed, patient n would be the same in every design
        own = int(np.random.SeedSequence([seed, k, 0xD157]).generate_state(1)[0])
        frame = simulate(card, count, own, design=design)
        names = list(card.population.covariates)
        parts.append(read_nonmem(frame, covariates=names, purpose="forecast"))
        done += count
        if progress is not None:
            progress(done, subjects, "patients simulated")
    joined = hashlib.sha256("".join(part.source_hash for part in parts).encode()).hexdigest()
    salt = card.salt_factor
    everyone = tuple(salted(one, salt) for part in parts for one in part)
    kinds = tuple(known.kind for known in card.required)  # a small part may lack a code
    return replace(parts[0], subjects=everyone, covariate_kinds=kinds, source_hash=joined)


def salted(subject: Subject, factor: float) -> Subject:
    """The subject with doses as mass of the measured molecule."""
    doses = subject.doses
    amount, rate = doses.amount * factor, doses.rate * factor
    return replace(subject, doses=replace(doses, amount=amount, rate=rate))


def random_designs(design: Design) -> tuple[Design, ...]:
    """Designs with one to eight levels at any time, doses more often and more rarely."""
    return tuple(_random_design(design, stride) for stride in STRIDES)


def _random_design(design: Design, stride: float) -> Design:
    dosing, old = design.dosing, design.sampling
    intervals = tuple(
        Interval(at_least=one.at_least, hours=stride * one.hours) for one in dosing.intervals
    )
    dosing = dosing.model_copy(
        update={
            "intervals": intervals,
            "amounts": tuple(stride * amount for amount in dosing.amounts),
            "low": min(stride, 1.0) * dosing.low,
            "high": max(stride, 1.0) * dosing.high,
        }
    )
    sampling = Sampling(
        first=(1 / MOST,) * MOST,
        until=24 * dosing.days[1],
        begin=0.0,
        later=(1.0,),
        trough=0.0,
        peak=0.0,
        trough_before=old.trough_before,
        peak_after=old.peak_after,
        gap=min(old.gap, min(one.hours for one in intervals) / 4),
    )
    return design.model_copy(update={"dosing": dosing, "sampling": sampling})


def scattered(subjects: Sequence[Subject], count: int, seed: int) -> tuple[Subject, ...]:
    """`count` subjects like these in turn, every second one with levels at random times.

    Args:
        subjects: Patients whose doses and covariates are kept.
        count: How many to make.
        seed: Of the times.

    Returns:
        Subjects whose level values are still to be drawn; see `redrawn`.
    """
    rng = np.random.Generator(np.random.Philox([seed, 0xD157]))
    chosen = [subjects[i % len(subjects)] for i in range(count)]
    every_second = [(i // len(subjects)) % 2 == 1 for i in range(count)]
    return tuple(
        _scattered(one, rng) if moved and len(one.doses) > 0 else one
        for one, moved in zip(chosen, every_second, strict=True)
    )


def _scattered(subject: Subject, rng: np.random.Generator) -> Subject:
    first = float(subject.doses.time[0])
    last = np.concatenate([subject.levels.time, subject.outputs.time, subject.doses.time]).max()
    count = int(rng.integers(1, MOST + 1))
    end = first + BEYOND * max(float(last) - first, 1.0)
    time = np.sort(rng.uniform(first, end, count))
    levels = LevelTable(
        time=time,
        order=np.full(count, np.inf),
        value=np.ones(count),
        lloq=np.full(count, np.nan),
        censored=np.zeros(count, bool),
        row=np.zeros(count, np.int64),
    )
    return replace(subject, levels=levels)


def redrawn(model: LatentModel, subjects: Sequence[Subject], undecided: float, seed: int) -> Record:
    """Records of new patients: these doses, times and covariates, levels drawn from the model.

    Args:
        model: The population.
        subjects: Whose designs are used.
        undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
        seed: Of effects and measurement errors.

    Returns:
        Stacked records; a level below its subject's limit of quantification is censored.
    """
    records = stack_records(subjects, undecided=undecided, tight=True)
    rng = np.random.Generator(np.random.Philox([seed, 0x5EED]))
    eps = rng.standard_normal((len(subjects), model.effects))
    if model.groups > 1:
        rank = jnp.asarray(rng.random(len(subjects)))
        eps = np.asarray(model.prior_draws(jnp.asarray(eps), rank))
    clean = in_blocks(lambda block: _curves(model, *block), (records, eps), None, "levels")
    noise = rng.standard_normal((TRIES, *clean.shape))
    value = np.asarray(model.residual.perturb(jnp.asarray(clean), jnp.asarray(noise[0])))
    for more in noise[1:]:
        if (value > 0).all():
            break
        again = np.asarray(model.residual.perturb(jnp.asarray(clean), jnp.asarray(more)))
        value = np.where(value > 0, value, again)
    lloq = np.full(value.shape, np.nan)
    for i, subject in enumerate(subjects):
        lloq[i, : len(subject.levels)] = subject.levels.lloq
    censored = value < lloq  # False where there is no limit
    value = np.where(records.mask, np.where(censored, lloq, value), 1.0)
    return eqx.tree_at(lambda r: (r.value, r.censored), records, (value, censored & records.mask))


@eqx.filter_jit
def _curves(
    model: LatentModel, records: Record, eps: Float[Array, "subject effect"]
) -> Float[Array, "subject level"]:
    def one(record: Record, e: Array) -> Array:
        return model.concentration(e, model.location(record), record, record.time, record.order)

    return jax.vmap(one)(records, eps)
