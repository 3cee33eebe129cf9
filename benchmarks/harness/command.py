"""The command line that every benchmark has: which cells, how long, where results go."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """What a run was asked to do.

    Attributes:
        only: Words that all must occur among a cell's settings; empty = every cell.
        budget: Seconds after which no new cell starts.
        again: Run finished cells again.
    """

    only: tuple[str, ...] = ()
    budget: float = float("inf")
    again: bool = False

    def wants(self, settings: dict[str, object]) -> bool:
        """Whether a cell with these settings is chosen; "a,b" reads a or b."""
        values = {str(value) for value in settings.values()}
        return all(values & set(words.split(",")) for words in self.only)


EVERYTHING = Choice()


def parse(description: str, arguments: Sequence[str] | None = None) -> Choice:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--only", nargs="*", default=[], help="settings a cell must have, as: two-peaks 500 oracle"
    )
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--again", action="store_true", help="run finished cells again")
    found = parser.parse_args(arguments)
    return Choice(tuple(found.only), found.budget, found.again)


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
