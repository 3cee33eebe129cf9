import sys

import pytest
from benchmarks.speed.process import run

FILLED = "block = b'x' * 600_000_000"  # written to, hence resident


def test_memory_and_seconds_are_those_of_the_process(tmp_path):
    spent = run(
        (sys.executable, "-c", f"import time; {FILLED}; time.sleep(0.3); print('done')"),
        cache=tmp_path,
    )
    assert spent.output == "done\n"
    assert spent.seconds > 0.3
    assert 0.6 < spent.peak_gb < 0.7


def test_a_later_small_process_does_not_inherit_an_earlier_peak(tmp_path):
    run((sys.executable, "-c", FILLED), cache=tmp_path)
    assert run((sys.executable, "-c", ""), cache=tmp_path).peak_gb < 0.5


def test_a_failing_process_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="a wall"):
        run((sys.executable, "-c", "raise SystemExit('a wall')"), cache=tmp_path)
