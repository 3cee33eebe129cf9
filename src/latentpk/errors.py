"""Errors and warnings of LatentPK: each says where, what was found, the rule and the mend."""

from collections.abc import Sequence
from dataclasses import dataclass


class LatentPKError(Exception):
    """Anything LatentPK raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input.

    Attributes:
        where: The place, such as "subject 12, record 4" or "column WT".
        found: What was found there.
        rule: The rule it breaks.
        mend: What the user can do about it.
    """

    where: str
    found: str
    rule: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}. {self.rule}. {self.mend}."


class InputError(LatentPKError, ValueError):
    """A file or argument that breaks a rule; the command line exits with 2.

    Carries every problem of the input at once.

    Example:
        >>> print(InputError([Problem("column DV", "absent", "A table needs DV", "Add it")]))
        1 problem in the input:
          column DV: absent. A table needs DV. Add it.
    """

    shown = 50  # problems printed; all stay in `problems`

    def __init__(self, problems: Sequence[Problem] | str, *, source: str = "the input") -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else self._message(source))

    def _message(self, source: str) -> str:
        count = len(self.problems)
        lines = [f"{count} problem{'s' if count != 1 else ''} in {source}:"]
        lines += [f"  {problem}" for problem in self.problems[: self.shown]]
        if count > self.shown:
            lines.append(f"  ... and {count - self.shown} more.")
        return "\n".join(lines)


class NotFittedError(LatentPKError):
    """A model was asked for an answer before it was fitted."""


class ConvergenceError(LatentPKError):
    """A computation did not reach a usable answer."""


class ArtifactError(LatentPKError):
    """A stored model is damaged, foreign or of another version."""


class ExtrapolationWarning(UserWarning):
    """An input lies outside what the model was built on."""


class PosteriorWarning(UserWarning):
    """A posterior's computation did not pass gate A."""


class DoseLimitWarning(UserWarning):
    """A dose limit was hit."""
