"""A cohort made ready: what every candidate of a fit is configured, begun and trained by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from latentpk.inference.beginning import begin
from latentpk.inference.initial import (
    Scales,
    absent,
    absorption_of,
    largest,
    measure,
    place,
    place_at,
    search,
)
from latentpk.inference.training import Freedom, Trainer, TrainingSettings
from latentpk.kinetics.structure import Structure
from latentpk.kinetics.system import System
from latentpk.models.config import CovariateConfig, ModelConfig, ResidualKind
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.latent import LatentModel, build
from latentpk.models.record import Record, stack_records
from latentpk.records.subject import Cohort
from latentpk.views.patient import available
from latentpk.workflows.mechanism import starting_values
from latentpk.workflows.setup import (
    covariate_configs,
    decoder_config,
    dose_covariate_configs,
    model_config,
)
from latentpk.workflows.trials import (
    Candidate,
    PriorKind,
    is_closed,
)

FOLLOWED = ("neural_ode", "mechanistic")  # decoders whose doses are followed step by step
FOLLOWED_SAMPLES = 4  # draws of the bound for these
MULTIVIEW_FROM = 100  # subjects below which the prior stays linear
START_SPREAD = float(np.log(0.4))  # of log parameters


@dataclass(frozen=True, eq=False)
class Family:
    """Candidates that one compiled program can train.

    Attributes:
        trainer: The program.
        config: Of its models: the largest structure, with the multi-view network where it is
            worth trying.
    """

    trainer: Trainer
    config: ModelConfig


@dataclass(frozen=True, eq=False)
class Ground:
    """A cohort made ready for candidates.

    Attributes:
        cohort: The cohort.
        covariates: Its covariates.
        scales: Its sizes.
        residual: Kind of residual error.
        training: Settings that every program is built with.
        initial: Where parameters of stated equations begin, by name.
        dose_covariates: What is said of its doses.
    """

    cohort: Cohort
    covariates: tuple[CovariateConfig, ...]
    scales: Scales
    residual: ResidualKind
    training: TrainingSettings
    initial: Mapping[str, float] = field(default_factory=dict)
    dose_covariates: tuple[CovariateConfig, ...] = ()
    stacked: dict[str, Record] = field(default_factory=dict)
    families: dict[tuple[str, str, int], Family] = field(default_factory=dict)
    begun: dict[str, np.ndarray] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    @property
    def worth_views(self) -> bool:
        """Whether there are subjects and knowledge enough to try the multi-view prior."""
        known = available([c.name for c in self.covariates])
        return len(self.cohort) >= MULTIVIEW_FROM and len(known) > 0

    def records(self, route: str) -> Record:
        """Stacked records with undecided doses sent this way."""
        if route not in self.stacked:
            self.stacked[route] = stack_records(
                self.cohort.subjects, undecided=float(route == "oral"), tight=True
            )
        return self.stacked[route]

    def oral(self, route: str) -> bool:
        """Whether some dose is extravascular."""
        return self.records(route).paths.depot

    def both(self, route: str) -> bool:
        """Whether doses of either kind occur, so that F can be told."""
        paths = self.records(route).paths
        return paths.depot and paths.central

    def config(self, decoder: str, route: str, prior: PriorKind) -> ModelConfig:
        """A model's configuration."""
        made = decoder_config(
            decoder,
            self.scales,
            oral=self.oral(route),
            both=self.both(route),
            covariates=[c.name for c in self.covariates if c.kind != "categorical"],
        )
        return model_config(
            self.covariates,
            made,
            self.scales,
            prior=prior,
            residual=self.residual,
            dose_covariates=self.dose_covariates,
        )

    def effort(self, config: ModelConfig) -> TrainingSettings:
        """How a model is trained: a course that is followed costs too much for many draws."""
        if config.decoder.name not in FOLLOWED:
            return self.training
        return self.training.model_copy(update={"samples": FOLLOWED_SAMPLES})

    def beginning(self, system: System, records: Record) -> dict[str, float]:
        """Where the parameters of stated equations begin, natural scale; what lacks is searched."""
        known = starting_values(system, self.initial)
        if len(known) == len(system.names):
            return known
        if (name := str(system)) not in self.begun:
            found = begin(system, records, self.scales, self.training.seed, known)
            self.begun[name] = np.exp(found)
        return dict(zip(system.names, self.begun[name].tolist(), strict=True))

    def family(self, candidate: Candidate) -> Family:
        """The program that trains this candidate, made once."""
        name = candidate.decoder
        if is_closed(name):
            name = str(largest(Structure.parse(name)))
        key = (name, candidate.route, candidate.components)
        with self.lock:
            if key not in self.families:
                views = self.worth_views or candidate.prior == "multiview"
                config = self.config(name, candidate.route, "multiview" if views else "linear")
                config = config.model_copy(update={"components": candidate.components})
                trainer = Trainer(build(config), self.records(candidate.route), self.effort(config))
                self.families[key] = Family(trainer, config)
            return self.families[key]

    def start(self, candidate: Candidate, config: ModelConfig) -> tuple[LatentModel, Freedom]:
        """An untrained model of this configuration near the data, and what of it may move."""
        model, records = build(config), self.records(candidate.route)
        network = candidate.prior == "multiview"
        decoder = model.decoder
        with self.lock:  # programs of the search are shared: compile each once
            if not isinstance(decoder, CompartmentDecoder):
                if isinstance(decoder, MechanisticDecoder):
                    placed = place_at(model, self.beginning(decoder.structure, records))
                else:
                    placed = place(model, records, self.scales, self.training.seed)
                return placed, Freedom(np.ones(decoder.latent, bool), network)
            structure = Structure.parse(candidate.decoder)
            found = search(structure, records, self.scales, self.training.seed)
        names = decoder.structure.names
        active = np.isin(names, structure.names)
        typical = absent(names, self.scales)
        typical[active] = found
        factor = np.diag(np.where(active, START_SPREAD, np.log(1e-3)))
        placed = eqx.tree_at(
            lambda m: (m.prior.typical, m.prior.factor),
            model,
            (jnp.asarray(typical), jnp.asarray(factor)),
        )
        return placed, Freedom(active, network, absorption_of(structure))


def make_ground(
    cohort: Cohort, residual: ResidualKind, seed: int, initial: Mapping[str, float] | None = None
) -> Ground:
    """Prepare a cohort for candidates."""
    scales = measure(stack_records(cohort.subjects, tight=True))
    training = TrainingSettings(seed=seed)
    covariates = covariate_configs(cohort)
    said = dose_covariate_configs(cohort)
    return Ground(cohort, covariates, scales, residual, training, initial or {}, said)
