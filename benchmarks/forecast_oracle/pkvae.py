"""The published PKVAE in PyTorch: fixed 24-point grid, 64-32 encoder, 32-64 decoder, beta 0.1.

As in its blog (encoder 27-64-32-16, latent 8, decoder 9-32-64-24, ReLU, N(0, I) prior, squared
error), with the mends that README.md lists. Written anew from that description.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.forecast_oracle.cohorts import Patients

Floats = NDArray[np.float64]

POINTS, CONTEXT, LATENT, BETA = 24, 3, 8, 0.1


@dataclass(frozen=True)
class Training:
    """Choices the blog leaves open.

    Attributes:
        rate: Adam's learning rate.
        batch: Subjects in a step.
        epochs: At most.
        patience: Epochs without a better held-out loss before training stops.
        held_out: Share of training subjects that decide when to stop.
    """

    rate: float = 1e-3
    batch: int = 32
    epochs: int = 1000
    patience: int = 100
    held_out: float = 0.1


class PKVAE(nn.Module):
    """Profile and covariates on a grid to z; z and dose to the profile on the grid."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(POINTS + CONTEXT, 64),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, 2 * LATENT),
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT + 1, 32),
            nn.ReLU(),
            nn.Linear(32, 64),
            nn.ReLU(),
            nn.Linear(64, POINTS),
            nn.Softplus(),
        )

    def encode(self, profile: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Mean and log variance of z, each (subject, latent)."""
        mean, log_variance = self.encoder(torch.cat([profile, context], dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 8)

    def decode(self, z: torch.Tensor, dose: torch.Tensor) -> torch.Tensor:
        """Scaled concentrations on the grid, (subject, point)."""
        return self.decoder(torch.cat([z, dose], dim=1))


@dataclass(frozen=True)
class Table:
    """A cohort as the network reads it.

    Attributes:
        profiles: Grid profile from the first k + 1 levels, (subject, k, point).
        choices: Number of levels, hence of profiles, (subject,).
        context: Standardized covariates and dosing interval, (subject, 3).
        dose: Standardized daily dose, (subject, 1).
        target: Scaled levels, (subject, level).
        mask: 1 where a level is one, (subject, level).
        basis: Linear interpolation from the grid to the levels, (subject, level, point).
    """

    profiles: torch.Tensor
    choices: torch.Tensor
    context: torch.Tensor
    dose: torch.Tensor
    target: torch.Tensor
    mask: torch.Tensor
    basis: torch.Tensor

    def take(self, index: torch.Tensor) -> "Table":
        """The chosen subjects."""
        return Table(*(value[index] for value in vars(self).values()))


@dataclass(frozen=True)
class Scales:
    """Means and deviations of the training subjects, used for unseen ones too."""

    level: float
    context: tuple[Floats, Floats]
    dose: tuple[Floats, Floats]


@dataclass(frozen=True)
class Fitted:
    """A trained network with its scales."""

    network: PKVAE
    scales: Scales
    epochs: int


def fit(patients: Patients, *, seed: int, training: Training = Training()) -> Fitted:
    """Train on a cohort's levels; one thread, the best held-out epoch is kept."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    scales = _scales(patients)
    table = _table(patients, scales)
    order = torch.randperm(len(patients))
    size = max(1, int(training.held_out * len(patients)))
    stop, learn = table.take(order[:size]), table.take(order[size:])
    network = PKVAE()
    optimizer = torch.optim.Adam(network.parameters(), lr=training.rate)
    best, kept, since, epochs = np.inf, network.state_dict(), 0, 0
    while epochs < training.epochs and since < training.patience:
        epochs += 1
        for part in torch.randperm(len(learn.dose)).split(training.batch):
            optimizer.zero_grad()
            _loss(network, learn.take(part)).backward()
            optimizer.step()
        held_out = _held_out(network, stop)
        since = 0 if held_out < best else since + 1
        if held_out < best:
            best = held_out
            kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return Fitted(network, scales, epochs)


@torch.no_grad()
def forecast(fitted: Fitted, patients: Patients) -> Floats:
    """Concentrations [mg/L] at the later times from all early levels, z at its mean."""
    table = _table(patients, fitted.scales)
    whole = table.profiles[torch.arange(len(patients)), table.choices - 1]
    mean, _ = fitted.network.encode(whole, table.context)
    profile = fitted.network.decode(mean, table.dose).double().numpy() * fitted.scales.level
    grid = _grid(patients)
    rows = zip(patients.later, profile, strict=True)
    return np.stack([np.interp(times, grid, values) for times, values in rows])


def _loss(network: PKVAE, table: Table) -> torch.Tensor:
    """Squared error at the measured times summed over them + beta KL, mean over subjects."""
    pick = (torch.rand(len(table.dose)) * table.choices).long()
    mean, log_variance = network.encode(
        table.profiles[torch.arange(len(pick)), pick], table.context
    )
    z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1)
    return (_error(network, table, z) + BETA * kl).mean()


@torch.no_grad()
def _held_out(network: PKVAE, table: Table) -> float:
    """Squared error at all levels from the first half of them, z at its mean."""
    half = (table.choices + 1) // 2 - 1
    mean, _ = network.encode(table.profiles[torch.arange(len(half)), half], table.context)
    return float(_error(network, table, mean).mean())


def _error(network: PKVAE, table: Table, z: torch.Tensor) -> torch.Tensor:
    grid = network.decode(z, table.dose)
    at_levels = torch.einsum("slp,sp->sl", table.basis, grid)
    return (table.mask * (at_levels - table.target) ** 2).sum(dim=1)


def _grid(patients: Patients) -> Floats:
    return np.linspace(0.0, patients.population.design.end, POINTS)


def _context(patients: Patients) -> tuple[Floats, Floats]:
    """Up to two covariates and the dosing interval [h]; daily dose [mg]."""
    end = patients.population.design.end
    count = (patients.doses.amount > 0).sum(axis=1)
    interval = end / count
    daily = patients.doses.amount.sum(axis=1) * 24 / end
    filler = np.zeros((len(patients), CONTEXT - 1 - patients.covariates.shape[1]))
    return np.column_stack([patients.covariates, filler, interval]), daily[:, None]


def _scales(patients: Patients) -> Scales:
    context, daily = _context(patients)
    spread = context.std(axis=0)
    return Scales(
        level=float(patients.level[patients.measured].std()),
        context=(context.mean(axis=0), np.where(spread > 0, spread, 1.0)),
        dose=(daily.mean(axis=0), daily.std(axis=0)),
    )


def _table(patients: Patients, scales: Scales) -> Table:
    grid, width = _grid(patients), patients.measured.shape[1]
    context, daily = _context(patients)
    profiles = np.zeros((len(patients), width, POINTS))
    basis = np.zeros((len(patients), width, POINTS))
    for subject, measured in enumerate(patients.measured):
        time, level = patients.level_time[subject, measured], patients.level[subject, measured]
        for last in range(len(time)):
            profiles[subject, last] = np.interp(grid, time[: last + 1], level[: last + 1])
            basis[subject, last] = [np.interp(time[last], grid, unit) for unit in np.eye(POINTS)]
    arrays = (
        profiles / scales.level,
        patients.measured.sum(axis=1),
        (context - scales.context[0]) / scales.context[1],
        (daily - scales.dose[0]) / scales.dose[1],
        patients.level / scales.level,
        patients.measured.astype(float),
        basis,
    )
    tensors = [torch.as_tensor(array) for array in arrays]
    return Table(*(t if t.dtype == torch.int64 else t.float() for t in tensors))
