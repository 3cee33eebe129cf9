"""A user's equations tried before anything is fitted: on a grid of values, then along courses.

First the function is called with names and shapes alone, then with values: states at 0 and far
apart, every parameter smaller and larger, in turn and together, and what it gives must be finite,
its slopes too. Last, doses are followed with the same parameters, and no state may fall below 0.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk import precision  # noqa: F401  (float64 before any array)
from latentpk.errors import InputError, Problem
from latentpk.kinetics.boundary import emptied_further
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import BELOW, course
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.system import Inputs
from latentpk.kinetics.user_names import name_problems

if TYPE_CHECKING:
    from latentpk.kinetics.user import UserEquations, UserSystem

WIDE, NEAR = 10.0, 3.0  # by which parameters differ: from 1, or from typical values
TOGETHER = 8  # parameter sets in which all differ at once
AMOUNTS = (1.0, 100.0, 1e4)  # of the trial doses [mg]
HOURS = np.linspace(0.0, 72.0, 25)
POINTS = 16  # at which equations are compared
_FIX = "Write it in jax.numpy, without float(), if or math on its arguments"


class _Asked(dict):
    """Values by name that note which are read, and give one for a name that is not there."""

    def __init__(self, values: Mapping[str, Any], noted: set[str]) -> None:
        super().__init__(values)
        self.noted = noted

    def __getitem__(self, name: str) -> Any:
        self.noted.add(name)
        return super().__getitem__(name) if name in self else next(iter(super().values()))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name, noted where it is there."""
        if name not in self:
            return default
        return self[name]

    def values(self) -> Any:
        """All values, which reads them all."""
        self.noted.update(self)
        return super().values()

    def items(self) -> Any:
        """All pairs, which reads them all."""
        self.noted.update(self)
        return super().items()


class _Noted(NamedTuple):
    """Names that the functions asked for."""

    parameters: set[str]
    states: set[str]


def checked(model: "UserSystem") -> str:
    """Try a user's equations.

    Args:
        model: The system.

    Returns:
        A digest of what the equations give at fixed points, 8 characters.

    Raises:
        InputError: Every problem of the names, else of the shapes, else of the values, else of the
            courses.
    """
    for find in (name_problems, _shape_problems, _value_problems, _course_problems):
        if problems := find(model):
            raise InputError(problems, source=f"the equations of {model.name!r}")
    return _digest(model)


def written(model: "UserSystem") -> str:
    """The equations as JAX reads them, to tell whether two are written alike."""
    system = model.system

    def every(state: Array, row: Array, since: Array) -> tuple[Array, ...]:
        p, inputs = system.named(row), Inputs(since, jnp.ones_like(since))
        sites = [part for site in system.sites(p) for part in site[1:]]
        whole = system.slope(state, p, inputs), system.concentration(state, p), system.start(p)
        return (*whole, *sites)

    sizes = jnp.ones(system.size), jnp.ones(len(system.names)), jnp.ones(())
    closed = jax.make_jaxpr(every)(*sizes)
    text = re.sub(r" at 0x[0-9a-f]+", "", str(closed))  # where a function lies says nothing
    return f"{text} {[np.asarray(x).tolist() for x in closed.consts]}"


def _shape_problems(model: "UserSystem") -> list[Problem]:
    """What the functions ask for, and the shape of what they give, without values."""
    noted, told = _Noted(set(), set()), []
    one = jax.ShapeDtypeStruct((), jnp.float64)

    def called(what: str, function: Callable[..., Any], *groups: tuple[str, ...]) -> Any:
        def run(*values: Any) -> Any:
            rows = [
                _Asked(dict(zip(names, row, strict=True)), notes)
                for names, row, notes in zip(groups, values, order, strict=False)
            ]
            extra = (Inputs(values[-2], values[-1]),) if what == "slope" else ()
            return function(*rows, *extra)

        order = [noted.states, noted.parameters][2 - len(groups) :]
        rows = [tuple(one for _ in names) for names in groups]
        try:
            return jax.eval_shape(run, *rows, *((one, one) if what == "slope" else ()))
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            first = str(error).splitlines()[0][:160] if str(error) else ""
            found = f"{what} raised {type(error).__name__}: {first}".rstrip(": ")
            told.append(_problem(model, found, "It is called with traced arrays", _FIX))
            return None

    slope = called("slope", model.slope, model.states, model.parameters)
    if slope is not None:
        told += _rates_problems(model, slope)
    scalars = {}
    if model.concentration is None:
        noted.parameters.add("v1")
    else:
        scalars["concentration"] = called(
            "concentration", model.concentration, model.states, model.parameters
        )
    if model.start is not None:
        begun = called("start", model.start, model.parameters)
        if isinstance(begun, Mapping):
            scalars |= {f"start of {name}": value for name, value in begun.items()}
            unknown = sorted(set(begun) - set(model.states))
            told += [_unknown(model, "start gives state", name, model.states) for name in unknown]
        elif begun is not None:
            rule, mend = "It gives a dict of states", 'Return for instance {"target": ...}'
            told.append(_problem(model, "start gives no dict", rule, mend))
    for way in model.ways:
        for what, value in (("bioavailability", way.bioavailability), ("lag", way.lag)):
            if isinstance(value, str):
                noted.parameters.add(value)
            elif callable(value):
                scalars[f"{what} of {way.state}"] = called(what, value, model.parameters)
    told += [p for what, value in scalars.items() for p in _scalar_problems(model, what, value)]
    return told + _reading_problems(model, noted, traced=slope is not None)


def _reading_problems(model: "UserSystem", noted: _Noted, *, traced: bool) -> list[Problem]:
    """Names that are asked for and not there, or there and never asked for."""
    told = []
    for what, asked, known in (
        ("parameter", noted.parameters, model.parameters),
        ("state", noted.states, model.states),
    ):
        told += [
            _unknown(model, f"a function reads {what}", name, known)
            for name in sorted(asked - set(known))
        ]
        if what == "parameter" and traced:
            rule, mend = "Nothing could tell its value", "Use it, or leave it out"
            told += [
                _problem(model, f"parameter {name!r} is never read", rule, mend)
                for name in known
                if name not in asked
            ]
    return told


def _rates_problems(model: "UserSystem", slope: Any) -> list[Problem]:
    """Derivatives that are missing, too many, or no numbers."""
    rule = f"It gives a derivative for each of the states {', '.join(model.states)}"
    mend = "Return a dict by state, or a list in their order"
    if isinstance(slope, Mapping):
        missing = [name for name in model.states if name not in slope]
        told = [_problem(model, f"slope gives none of {name}", rule, mend) for name in missing]
        unknown = [name for name in slope if name not in model.states]
        told += [_unknown(model, "slope gives state", name, model.states) for name in unknown]
        pairs = slope.items()
    elif isinstance(slope, list | tuple):
        if len(slope) != len(model.states):
            found = f"slope gives {len(slope)} numbers for {len(model.states)} states"
            return [_problem(model, found, rule, mend)]
        told, pairs = [], zip(model.states, slope, strict=True)
    else:
        shape = getattr(slope, "shape", None)
        if shape != (len(model.states),):
            return [_problem(model, f"slope gives shape {shape}", rule, mend)]
        return [] if _real(slope) else [_problem(model, f"slope gives {slope.dtype}", rule, mend)]
    for name, one in pairs:
        told += _scalar_problems(model, f"slope of {name}", one)
    return told


def _scalar_problems(model: "UserSystem", what: str, value: Any) -> list[Problem]:
    if value is None or (value.shape == () and _real(value)):
        return []
    found = f"{what} has shape {value.shape} and dtype {value.dtype}"
    return [_problem(model, found, "It is one real number", "Reduce it to a scalar")]


def _real(value: Any) -> bool:
    kinds = (jnp.floating, jnp.integer)
    return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _value_problems(model: "UserSystem") -> list[Problem]:
    """What is not finite on the grid, each kind once, at the first values that show it."""
    system, rows = model.system, _candidates(model)
    states = _grid(system.size)

    def one(state: Array, row: Array, since: Array) -> dict[str, Array]:
        def slope(y: Array, p: Array) -> Array:
            return system.slope(y, system.named(p), Inputs(since, jnp.zeros_like(since)))

        def level(y: Array, p: Array) -> Array:
            return system.concentration(y, system.named(p))

        p = system.named(row)
        sites = system.sites(p)
        derivatives = *jax.jacfwd(slope, (0, 1))(state, row), *jax.grad(level, (0, 1))(state, row)
        return {
            "slope": slope(state, row),
            "the derivative of slope or concentration": jnp.concatenate(
                [part.reshape(-1) for part in derivatives]
            ),
            "concentration": level(state, row)[None],
            "start": system.start(p),
            "bioavailability": jnp.stack([site.share for site in sites]),
            "lag": jnp.stack([site.lag for site in sites]),
        }

    over = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (None, 0, None)), (0, None, None))
    found = jax.jit(over)(states, rows, jnp.array([0.0, 1.0, 50.0]))
    told = []
    for what, values in found.items():
        value = np.asarray(values)
        positive = what in ("concentration", "start", "bioavailability", "lag")
        sound = np.isfinite(value) & ((value >= -1e-12) | (not positive))
        if sound.all():
            continue
        i, j, k, part = (int(x) for x in np.argwhere(~sound)[0])
        at = _listed(model.states, states[i]) + ", " + _listed(model.parameters, rows[j])
        which = f" of {model.states[part]}" if what in ("slope", "start") else ""
        hour = [0, 1, 50][k]
        rule = "It is finite" + " and not below 0" * positive + " wherever amounts may be"
        mend = "Keep logarithms, roots and ratios from 0: jnp.maximum(x, 1e-12), in both branches"
        text = f"{what}{which} is {value[i, j, k, part]:g} at {at}, {hour} h after the first dose"
        told.append(_problem(model, text, rule, mend))
    return told


def _course_problems(model: "UserSystem") -> list[Problem]:
    """States that fall below 0 along trial courses, each once, where it is worst."""
    rows = _candidates(model)
    pairs = [(row, AMOUNTS[1]) for row in rows] + [(rows[0], a) for a in (AMOUNTS[0], AMOUNTS[2])]
    each = jnp.stack([row for row, _ in pairs]), jnp.array([amount for _, amount in pairs])
    below, at, error = map(np.asarray, _followed(model.system, *each))
    told = []
    for k, name in enumerate(model.states):
        worst = int(np.argmax(below[:, k]))
        if below[worst, k] > BELOW and np.isfinite(at[worst, k]):
            row, amount = pairs[worst]
            found = (
                f"state {name!r} falls below 0 at {at[worst, k]:.3g} h of a course of {amount:g} "
                f"mg with {_listed(model.parameters, row)}"
            )
            rule = "Amounts stay at 0 or above it"
            mend = (
                "Let what leaves a state vanish with it, as in vmax * c / (km + c), and limit "
                "shares, as in jnp.minimum(fa, 1)"
            )
            told.append(_problem(model, found, rule, mend))
    lost = np.flatnonzero(~np.isfinite(error))
    if lost.size:
        row, amount = pairs[int(lost[0])]
        found = (
            f"a course of {amount:g} mg with {_listed(model.parameters, row)} cannot be followed"
        )
        rule, mend = (
            "The derivatives stay finite along it",
            "Look for a ratio or a power that grows",
        )
        told.append(_problem(model, found, rule, mend))
    return told


@partial(jax.jit, static_argnums=0)
def _followed(
    system: "UserEquations", rows: Float[Array, "trial parameter"], amounts: Float[Array, " trial"]
) -> tuple[Array, Array, Array]:
    """Shares below 0 and their times, shape (trial, state), and errors, shape (trial,)."""
    doses = Doses.of([0.0, 24.0, 36.0], 1.0, depot=[1.0, 0.0, 0.0], duration=[0.0, 0.0, 2.0])
    paths = Paths(steady=False, release=False, overlap=False, reset=False)

    def one(row: Array, amount: Array) -> tuple[Array, Array, Array]:
        given = doses._replace(amount=amount * doses.amount)
        pieces = Pieces(jnp.zeros(1), row[None])
        hours = jnp.asarray(HOURS)
        found = course(given, hours, system=system, pieces=pieces, paths=paths)
        below = emptied_further(system, found, system.named(row), hours)
        return below, found.below_at, found.error

    return jax.vmap(one)(rows, amounts)


def _candidates(model: "UserSystem") -> Float[Array, "trial parameter"]:
    """Parameters to try: the middle, each smaller and larger in turn, some with all at once."""
    names, typical = model.parameters, model.typical
    middle = np.array([1.0 if typical is None else float(typical[name]) for name in names])
    apart = np.log(WIDE if typical is None else NEAR)
    turned = apart * np.concatenate([np.zeros((1, len(names))), np.eye(len(names))])
    mixed = np.random.default_rng(0).uniform(-apart, apart, (TOGETHER, len(names)))
    return jnp.asarray(middle * np.exp(np.concatenate([turned, -turned[1:], mixed])))


def _grid(size: int) -> Float[Array, "trial state"]:
    """States to try: all empty, all alike, and each alone."""
    alike = np.array([[0.0], [1e-3], [1.0], [100.0]]) * np.ones(size)
    return jnp.asarray(np.concatenate([alike, 100.0 * np.eye(size)]))


def _digest(model: "UserSystem") -> str:
    """Of what the equations give at fixed points; the same on every machine."""
    system, rng = model.system, np.random.Generator(np.random.Philox(20))
    states = np.exp(rng.uniform(-6.0, 6.0, (POINTS, system.size)))
    rows = np.exp(rng.uniform(-2.0, 2.0, (POINTS, len(system.names))))
    hours = rng.uniform(0.0, 100.0, POINTS)

    def one(state: Array, row: Array, since: Array) -> tuple[Array, ...]:
        p = system.named(row)
        slope = system.slope(state, p, Inputs(since, jnp.zeros_like(since)))
        parts = [x for site in system.sites(p) for x in site[1:]]
        return slope, system.concentration(state, p)[None], system.start(p), jnp.stack(parts)

    text = [model.name, *model.parameters, *model.states, model.into_central]
    text += [way.state for way in model.ways]
    for values in jax.jit(jax.vmap(one))(*map(jnp.asarray, (states, rows, hours))):
        value = np.nan_to_num(np.asarray(values))
        scale = np.maximum(np.abs(value).max(axis=1, keepdims=True), 1e-300)
        text.append(str(np.rint(1e6 * value / scale).astype(int).tolist()))
        text += [f"{x:.5e}" for x in scale.reshape(-1)]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:8]


def _listed(names: tuple[str, ...], values: Any) -> str:
    return ", ".join(f"{n}={float(x):.3g}" for n, x in zip(names, values, strict=True))


def _unknown(model: "UserSystem", what: str, name: str, known: tuple[str, ...]) -> Problem:
    rule = f"Known are {', '.join(known)}"
    return _problem(model, f"{what} {name!r}", rule, "Correct it, or declare it")


def _problem(model: "UserSystem", found: str, rule: str, mend: str) -> Problem:
    return Problem(f"UserSystem {model.name!r}", found, rule, mend)
