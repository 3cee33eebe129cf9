"""Drugs that bind their target and leave with it, as systems of amounts."""

from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.system import Differential, Inputs, Named, Site

State = Float[Array, " state"]


@dataclass(frozen=True)
class TargetMediated(Differential):
    r"""Full target-mediated disposition: drug L, target R and complex RC, a depot, a periphery.

    .. math:: \dot L = \dots - (k_{on} L R - k_{off} RC),\quad
              \dot R = k_{syn} - k_{deg} R - k_{on} L R + k_{off} RC,\quad
              \dot{RC} = k_{on} L R - (k_{off} + k_{int}) RC

    Concentrations of the target are counted in mg of drug that it binds; the free drug is measured.
    """

    oral = True
    size = 5  # central, periphery, depot, target, complex (amounts in the central volume)
    central = 0
    names = ("cl", "v1", "q2", "v2", "ka", "f", "kon", "koff", "ksyn", "kdeg", "kint")

    def __str__(self) -> str:
        return "tmdd"

    def start(self, p: Named) -> State:
        """The target at its turnover, nothing else."""
        zero = jnp.zeros_like(p["v1"])
        return jnp.stack([zero, zero, zero, p["v1"] * p["ksyn"] / p["kdeg"], zero])

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        drug, outside, depot, target, bound = state
        v1 = p["v1"]
        binding = p["kon"] * drug * target / v1 - p["koff"] * bound
        out = p["q2"] * (drug / v1 - outside / p["v2"])
        absorbed = p["ka"] * depot
        return jnp.stack(
            [
                absorbed - p["cl"] * drug / v1 - out - binding,
                out,
                -absorbed,
                p["ksyn"] * v1 - p["kdeg"] * target - binding,
                binding - p["kint"] * bound,
            ]
        )

    def concentration(self, state: State, p: Named) -> Scalar:
        """Free drug [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot."""
        return (Site(2, p["f"], jnp.zeros_like(p["f"])),)


@dataclass(frozen=True)
class EquilibriumBinding(Differential):
    r"""Drug and target that bind at once, with a dissociation constant that falls with excess.

    .. math:: K_D = k_{D0} (X/E)^\alpha,\quad
              X_C = \tfrac12\big(S - \sqrt{S^2 - 4 X E}\big),\quad S = X + E + K_D V_1^2 / V_c

    X and E are all drug and all target outside the depot, in mg of drug; the complex leaves by
    cl + dcl, free drug by cl, free target by clt; the target is made at `kin` and begins at
    `base`. All drug, free and bound, is measured.
    """

    oral = True
    size = 3  # drug, target, depot
    central = 0
    names = ("cl", "dcl", "clt", "v1", "vc", "ka", "kin", "kd0", "alpha", "base")

    def __str__(self) -> str:
        return "tmdd-equilibrium"

    def start(self, p: Named) -> State:
        """The target at its baseline."""
        zero = jnp.zeros_like(p["v1"])
        return jnp.stack([zero, p["base"] * p["v1"], zero])

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        free, target, bound = self._parts(state, p)
        leaving = (p["cl"] + p["dcl"]) * bound
        absorbed = p["ka"] * state[2]
        return jnp.stack(
            [
                absorbed - p["cl"] * free - leaving,
                p["kin"] - p["clt"] * target - leaving,
                -absorbed,
            ]
        )

    def concentration(self, state: State, p: Named) -> Scalar:
        """All drug, free and bound [mg/L]."""
        free, _, bound = self._parts(state, p)
        return free + bound

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot; volumes and clearances are apparent, F is 1."""
        return (Site(2, jnp.ones_like(p["ka"]), jnp.zeros_like(p["ka"])),)

    def _parts(self, state: State, p: Named) -> tuple[Scalar, Scalar, Scalar]:
        """Concentrations of free drug, free target and complex."""
        floor = 1e-6 * p["base"] * p["v1"] + jnp.finfo(state.dtype).tiny
        drug, target = jnp.maximum(state[0], 0.0), jnp.maximum(state[1], floor)
        ratio = jnp.clip(drug / target, 1e-6, 1e6)  # its power has no slope at 0
        kd = p["kd0"] * ratio ** jnp.minimum(p["alpha"], 2.0)
        total = drug + target + kd * p["v1"] ** 2 / p["vc"]
        root = jnp.sqrt(jnp.maximum(total**2 - 4 * drug * target, (1e-9 * total) ** 2))
        bound = 2 * drug * target / (total + root)  # no difference of large numbers
        return (drug - bound) / p["v1"], (target - bound) / p["v1"], bound / p["vc"]


@dataclass(frozen=True)
class QuasiSteadyTarget(Differential):
    r"""Target-mediated disposition whose binding is always in its (quasi-)steady state.

    .. math:: C = \tfrac12\big(T - R - K_{SS} + \sqrt{(T - R - K_{SS})^2 + 4 K_{SS} T}\big),
              \qquad B = \frac{R\,C}{K_{SS} + C}

    .. math:: \dot T = \dots - \frac{CL + Q_2}{V_1} C - k_{int} B,\quad
              \dot R = k_{syn} - k_{deg} (R - B) - k_{int} B

    T and R are all drug and all target in the central volume, B the complex; concentrations of the
    target are counted in mg of drug that it binds; the free drug C is measured. Behind a depot
    and, as most antibodies are, beside a periphery. Bioavailability is the odds F / (1 - F).

    References:
        Gibiansky et al., J Pharmacokinet Pharmacodyn 35:573, 2008.
    """

    oral: bool = False
    bioavailability: bool = False

    names: tuple[str, ...] = field(init=False)
    size: int = field(init=False)
    central = 0

    def __post_init__(self) -> None:
        names = ("cl", "v1", "q2", "v2", "kss", "ksyn", "kdeg", "kint")
        names += ("ka",) * self.oral + ("fodds",) * self.bioavailability
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "size", 3 + self.oral)  # drug, periphery, target, depot

    def __str__(self) -> str:
        return "tmdd-qss-" + ("oral" + "-f" * self.bioavailability if self.oral else "iv")

    def start(self, p: Named) -> State:
        """The target at its turnover, nothing else."""
        zero = jnp.zeros_like(p["v1"])
        target = p["v1"] * p["ksyn"] / p["kdeg"]
        return jnp.stack([zero, zero, target, *(zero,) * self.oral])

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        v1 = p["v1"]
        free, bound = self._parts(state, p)
        out = p["q2"] * (free - state[1] / p["v2"])
        internalized = p["kint"] * bound * v1
        drug = -p["cl"] * free - out - internalized
        lost = p["kdeg"] * (state[2] - bound * v1)
        moving = [out, p["ksyn"] * v1 - lost - internalized]
        if self.oral:
            absorbed = p["ka"] * state[3]
            drug, moving = drug + absorbed, [*moving, -absorbed]
        return jnp.stack([drug, *moving])

    def concentration(self, state: State, p: Named) -> Scalar:
        """Free drug [mg/L]."""
        return self._parts(state, p)[0]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot; without one, the central compartment."""
        one = jnp.ones_like(p["v1"])
        share = p["fodds"] / (1 + p["fodds"]) if self.bioavailability else one
        return (Site(3 if self.oral else 0, share, jnp.zeros_like(one)),)

    def _parts(self, state: State, p: Named) -> tuple[Scalar, Scalar]:
        """Concentrations of free drug and of the complex."""
        drug, target = (jnp.maximum(state[k], 0.0) / p["v1"] for k in (0, 2))
        constant = p["kss"]
        excess = drug - target - constant
        # the root has no slope where both vanish, which takes a constant of nothing
        least = jnp.finfo(state.dtype).tiny
        root = jnp.sqrt(jnp.maximum(excess**2 + 4 * constant * drug, least))
        # of the two forms of a root, the one that is no difference of large numbers
        small = 2 * constant * drug / jnp.where(excess > 0, 1.0, root - excess)
        free = jnp.where(excess > 0, 0.5 * (excess + root), small)
        return free, target * free / (constant + free)
