"""What a verb prints, its progress bars, and how errors become exit codes."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import typer

from latentpk.errors import InputError, LatentPKError

BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130

Progress = Callable[[int, int, str], None]


class Console:
    """Messages on stdout, progress and warnings on stderr; silent where asked.

    Attributes:
        quiet: Whether only errors are printed.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def say(self, text: str) -> None:
        """Print a line of result or a choice that was made."""
        if not self.quiet:
            typer.echo(text)

    def notices(self, notices: tuple[str, ...]) -> None:
        """Print every choice made, one line each."""
        for notice in notices:
            self.say(f"  {notice}")

    def warn(self, text: str) -> None:
        """Print a warning; it is no error, so quiet hides it."""
        if not self.quiet:
            typer.secho(f"Warning: {text}", fg="yellow", err=True)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Show a bar for each piece of work that is reported as (done, total, label)."""
        if self.quiet:
            yield lambda done, total, label: None
            return
        from rich.console import Console as Rich
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
        with Bars(*columns, TimeElapsedColumn(), console=Rich(stderr=True)) as bars:
            work = _Work(bars)
            yield work.report
            work.close()


class _Work:
    """The bars: one for each label, but the steps of one count share theirs.

    A label that comes back goes on with its bar: work done in chunks repeats its labels.
    """

    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.known: dict[str, tuple[Any, int, int]] = {}
        self.label: str | None = None

    def report(self, done: int, total: int, label: str) -> None:
        """Move a bar."""
        task = self._task(done, total, label)
        self.bars.update(task, completed=done, total=total, description=label)
        self.known[label], self.label = (task, done, total), label

    def _task(self, done: int, total: int, label: str) -> Any:
        task, before, whole = self.known.get(label, (None, 0, 0))
        if task is not None and whole == total and done >= before:
            if label != self.label:
                self.close()
            return task
        if self.label is not None and label not in self.known:
            task, before, whole = self.known[self.label]
            if whole == total and done > before:
                return self.known.pop(self.label)[0]  # the next step of the same work
        self.close()
        return self.bars.add_task(label, total=total)

    def close(self) -> None:
        """Fill the bar: work that ended early (a choice made, training that converged) is done."""
        if self.label is not None:
            task, done, _ = self.known[self.label]
            self.bars.update(task, total=max(done, 1), completed=max(done, 1))


def start(*, quiet: bool, threads: int, compiles: bool = True) -> Console:
    """Begin a verb: threads before jax is imported, programs from the disk, warnings as sentences.

    Args:
        quiet: Whether to print errors only.
        threads: CPU threads.
        compiles: Whether this verb runs programs worth keeping for the next process.

    Returns:
        Where the verb prints.
    """
    from latentpk.compilation import cache_programs, compile_quickly, set_threads

    set_threads(threads)
    compile_quickly()
    if compiles:
        cache_programs()
    console = Console(quiet)

    def heard(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        console.warn(str(message))

    warnings.showwarning = heard  # type: ignore[assignment]
    return console


def reported(verb: Callable[..., None]) -> Callable[..., None]:
    """Turn the package's errors into a message on stderr and an exit code.

    Bad input is 2, any other failure that has a name is 1; a traceback means a defect.
    """

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> None:
        hook = warnings.showwarning
        try:
            verb(*args, **kwargs)
        except InputError as error:
            fail(str(error), BAD_INPUT)
        except LatentPKError as error:
            fail(str(error), FAILURE)
        except OSError as error:
            fail(_disk_message(error), FAILURE)
        except MemoryError:
            fail("There is not enough memory for this. Use fewer draws or a smaller file.", FAILURE)
        except KeyboardInterrupt:
            fail("Interrupted; nothing half-written is left behind.", INTERRUPTED)
        finally:
            warnings.showwarning = hook

    return run


def fail(message: str, code: int) -> NoReturn:
    """Print an error and leave."""
    typer.secho(f"Error: {message}", fg="red", err=True)
    raise typer.Exit(code)


def check_output(path: Path, *sources: Path, option: str = "--out") -> None:
    """Refuse an output file that could not be written, before any work is done.

    Args:
        path: The file.
        *sources: Files it must not replace.
        option: What the user gave it with.

    Raises:
        InputError: It is a folder or an input, or its folder does not exist.
    """
    if path.is_dir():
        raise InputError(
            f"{option} {path} is a folder. Name a file in it, such as {path / 'out.csv'}."
        )
    if not path.parent.is_dir():
        raise InputError(
            f"{option} {path}: the folder {path.parent} does not exist. Make it first."
        )
    for source in sources:
        if source.exists() and path.exists() and path.samefile(source):
            raise InputError(f"{option} {path} is the input itself. Name another file.")


def _disk_message(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."
