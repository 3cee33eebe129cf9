"""What a population fit is asked for, as text, and what that means for a cohort."""

import re
from collections.abc import Mapping
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from latentpk.errors import InputError, Problem
from latentpk.kinetics.naming import canonical
from latentpk.models.population import Shape, Term
from latentpk.records.subject import Cohort, Kind

_EFFECT = re.compile(r"([A-Za-z]\w*)~([A-Za-z]\w*)(?::([a-z]+))?(?:/([-+0-9.eE]+))?")
_MEND = "Write for instance ka~WT, v~WT:power/70 or cl~SEX:category"
MOST_CODES = 10  # of a category
SHAPES: tuple[Shape, ...] = get_args(Shape)


class Asked(NamedTuple):
    """One effect as it was written.

    Attributes:
        parameter: In the code's writing.
        covariate: Column name.
        shape: None: what suits the covariate.
        reference: None: the subjects' mean, or the first code.
    """

    parameter: str
    covariate: str
    shape: Shape | None
    reference: float | None


def parse_effects(text: str | None) -> tuple[Asked, ...]:
    """Read covariate effects.

    Args:
        text: Such as "ka~WT,v~WT:power/70,cl~SEX"; None or empty for none.

    Returns:
        One for each.

    Raises:
        InputError: Every part that is no effect, or twice there.

    Example:
        >>> parse_effects("v~WT:power/70")
        (Asked(parameter='v1', covariate='WT', shape='power', reference=70.0),)
    """
    found: list[Asked] = []
    problems = []
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        match = _EFFECT.fullmatch(part)
        rule = "An effect is PARAMETER~COVARIATE, then perhaps :SHAPE and /REFERENCE"
        if match is None:
            problems.append(Problem("--effects", repr(part), rule, _MEND))
            continue
        shape = match[3]
        if shape is not None and shape not in SHAPES:
            known = f"A shape is one of {', '.join(SHAPES)}"
            problems.append(Problem(f"--effects {part}", repr(shape), known, _MEND))
            continue
        reference = _number(match[4])
        if match[4] is not None and reference is None:
            known = "A reference is a finite number"
            problems.append(Problem(f"--effects {part}", repr(match[4]), known, _MEND))
            continue
        one = Asked(canonical(match[1]), match[2], shape, reference)
        if any((one.parameter, one.covariate) == other[:2] for other in found):
            again = f"{one.parameter}~{one.covariate} is there twice"
            problems.append(Problem("--effects", again, "An effect is named once", "Drop one"))
            continue
        found.append(one)
    if problems:
        raise InputError(problems, source="the effects")
    return tuple(found)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def terms_for(
    effects: tuple[Asked, ...], parameters: tuple[str, ...], cohort: Cohort
) -> tuple[Term, ...]:
    """The effects' terms: shapes and references that suit the cohort's covariates.

    A positive covariate has a power by default, another continuous one an exponential, codes a
    category; the reference is the mean over subjects of their first value, or the smallest code.

    Raises:
        InputError: Every effect on an unknown parameter, or that the covariate cannot have.
    """
    names = [*cohort.covariate_names, *cohort.dose_covariates]
    kinds: tuple[Kind, ...] = (*cohort.covariate_kinds, *cohort.dose_kinds)
    own = len(cohort.covariate_names)
    problems, terms = [], []
    for one in effects:
        where = f"--effects {one.parameter}~{one.covariate}"
        if one.parameter not in parameters:
            rule = f"The parameters are {', '.join(parameters)}"
            found = f"{one.parameter} is not among them"
            problems.append(Problem(where, found, rule, "Name one of these"))
            continue
        if one.covariate not in names:
            rule, mend = (
                f"The table's covariates are {', '.join(names) or 'none'}",
                "Add the column",
            )
            problems.append(Problem(where, f"{one.covariate} is not there", rule, mend))
            continue
        place = names.index(one.covariate)
        if place < own:
            columns = [subject.covariates[:, place] for subject in cohort]
        else:
            columns = [subject.doses.state[:, place - own] for subject in cohort]
        first = np.array([values[0] for values in columns if values.size])
        term = _term(one, kinds[place], np.concatenate(columns), first)
        (problems if isinstance(term, Problem) else terms).append(term)
    if problems:
        raise InputError(problems, source="the effects")
    return tuple(terms)


def _term(
    one: Asked,
    kind: Kind,
    values: Float[np.ndarray, " value"],
    first: Float[np.ndarray, " subject"],
) -> Term | Problem:
    where = f"--effects {one.parameter}~{one.covariate}"
    usual: Shape = "category"
    if kind == "continuous":
        usual = "power" if values.min() > 0 else "exponential"
    shape = one.shape or usual
    codes = tuple(sorted(set(values.tolist())))
    if shape == "category":
        if len(codes) > MOST_CODES:
            rule = f"A category has at most {MOST_CODES} codes"
            found = f"{one.covariate} has {len(codes)} values"
            return Problem(where, found, rule, "Use power, exponential or linear")
        reference = codes[0] if one.reference is None else one.reference
        if reference not in codes:
            rule = f"The codes are {', '.join(f'{code:g}' for code in codes)}"
            return Problem(where, f"reference {reference:g}", rule, "Name one of these")
    else:
        codes, reference = (), float(first.mean()) if one.reference is None else one.reference
        if shape == "power" and (values.min() <= 0 or reference <= 0):
            rule = "A power needs a covariate and a reference above 0"
            found = f"the least is {min(values.min(), reference):g}"
            return Problem(where, found, rule, "Use exponential or linear")
    return Term(
        parameter=one.parameter,
        covariate=one.covariate,
        shape=shape,
        reference=reference,
        codes=tuple(code for code in codes if code != reference),
    )


def parse_initial(text: str | None) -> dict[str, float]:
    """Read starting values.

    Args:
        text: Such as "ka=1.5,cl=2.8,v=32"; also om_ka (SD of its random effect), sigma_add,
            sigma_prop, and effects such as ka~WT=0.5.

    Returns:
        By name, in the code's writing.

    Raises:
        InputError: Every part that is no name and number.

    Example:
        >>> parse_initial("V=32, om_ka=0.6")
        {'v1': 32.0, 'om_ka': 0.6}
    """
    found: dict[str, float] = {}
    problems = []
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        name, _, value = part.rpartition("=")
        number = _number(value)
        if not name or number is None:
            rule, mend = "A start is NAME=NUMBER", "Write for instance ka=1.5,cl=2.8,v=32"
            problems.append(Problem("--initial", repr(part), rule, mend))
            continue
        found[_start_name(name)] = number
    if problems:
        raise InputError(problems, source="the starting values")
    return found


def _start_name(name: str) -> str:
    if name.lower().startswith("om_"):
        return f"om_{canonical(name[3:])}"
    if "~" in name:
        parameter, _, rest = name.partition("~")
        return f"{canonical(parameter)}~{rest}"
    return canonical(name)


def check_initial(
    initial: Mapping[str, float], parameters: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    """Refuse starting values of unknown names, or that are not positive where they must be.

    Raises:
        InputError: Every such value.
    """
    problems = []
    for name, value in initial.items():
        if name not in (*parameters, *allowed):
            rule = f"Known are {', '.join((*parameters, *allowed))}"
            problems.append(Problem("--initial", name, rule, "Correct or drop it"))
        elif "~" not in name and value <= 0:
            rule, mend = "A starting value is above 0", "Give a positive one"
            problems.append(Problem(f"--initial {name}", f"{value:g}", rule, mend))
    if problems:
        raise InputError(problems, source="the starting values")
