import warnings

import pytest
import typer

from latentpk.cli.console import Console, reported
from latentpk.errors import ArtifactError, InputError, PosteriorWarning


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a bad file"), 2),
        (ArtifactError("a full disk"), 1),
        (PermissionError(13, "Permission denied", "x.csv"), 1),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
    ],
)
def test_errors_become_exit_codes_with_a_sentence(error, code, capsys):
    @reported
    def verb():
        raise error

    with pytest.raises(typer.Exit) as left:
        verb()
    assert left.value.exit_code == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err) > 15


def test_a_defect_keeps_its_traceback():
    @reported
    def verb():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verb()


def test_warnings_are_heard_during_a_verb_only():
    hook = warnings.showwarning

    @reported
    def verb():
        warnings.showwarning = lambda *_: None

    verb()
    assert warnings.showwarning is hook


def test_quiet_hides_everything_but_errors(capsys):
    console = Console(quiet=True)
    console.say("a result")
    console.warn("a doubt")
    console.notices(("a choice",))
    with console.progress() as report:
        report(1, 2, "work")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress_shows_a_bar_for_each_piece_of_work(capsys):
    with Console(quiet=False).progress() as report:
        for step, label in enumerate(("reading", "checking", "read"), start=1):
            report(step, 3, label)
        report(1, 8, "choosing")
        report(3, 8, "choosing")
        report(200, 200, "training")
    shown = capsys.readouterr().err
    assert "reading" not in shown  # its bar went on under the name of the next step
    assert [line.split()[0] for line in shown.splitlines() if line.strip()] == [
        "read",
        "choosing",
        "training",
    ]
    assert "3/3" in shown
    assert "3/8" not in shown  # chosen after three trials: that work is done
    assert "200/200" in shown


def test_work_in_chunks_goes_on_with_its_bars(capsys):
    with Console(quiet=False).progress() as report:
        for chunk in (0, 512):
            report(chunk, 1000, "posteriors")
            report(chunk + 400, 1000, "posteriors")
            report(chunk, 1000, "predictions")
            report(chunk + 488, 1000, "predictions")
    shown = [line.split() for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert [line[0] for line in shown] == ["posteriors", "predictions"]
    assert "1000/1000" in shown[1]


def test_warnings_of_the_package_are_said_as_sentences(capsys):
    from latentpk.cli.console import start

    @reported
    def verb():
        start(quiet=False, threads=1)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the posterior is wide", PosteriorWarning, stacklevel=1)

    verb()
    assert "Warning: the posterior is wide" in capsys.readouterr().err
