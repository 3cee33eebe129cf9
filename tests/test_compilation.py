"""Programs compiled once serve the next process; threads are set before jax starts."""

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from latentpk import compilation
from latentpk.compilation import (
    cache_programs,
    compile_quickly,
    count_programs,
    set_threads,
    threads,
)

PROGRAM = """
import sys
from latentpk.compilation import cache_programs, count_programs
place = cache_programs(sys.argv[1])
with count_programs() as programs:
    from latentpk import precision
    import jax, jax.numpy as jnp
    step = jax.jit(jax.grad(lambda x: jnp.sum(jnp.linalg.solve(jnp.eye(3) + x, jnp.sin(x)[0]))))
    assert step(jnp.ones((3, 3)) / 7).dtype == "float64"
print(place, programs.built, programs.compiled)
"""


def run(code, *arguments, **environment):
    """A fresh Python, without this process's own settings of jax."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    environment = {**clean, "JAX_PLATFORMS": "cpu", **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_a_second_process_compiles_nothing(tmp_path):
    first = run(PROGRAM, tmp_path)
    place, built, compiled = first.stdout.split()
    assert Path(place).parent == tmp_path
    assert int(built) == int(compiled) > 0
    second = run(PROGRAM, tmp_path)
    assert second.stdout.split() == [place, built, "0"]
    assert second.stderr == ""


def test_a_damaged_entry_is_compiled_again_in_silence(tmp_path):
    place, built, _ = run(PROGRAM, tmp_path).stdout.split()
    for entry in Path(place).iterdir():
        entry.write_bytes(entry.read_bytes()[:10])
    again = run(PROGRAM, tmp_path)
    assert again.stdout.split() == [place, built, built]
    assert again.stderr == ""


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run(PROGRAM, blocked).stdout.split()[0] == "None"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_place_others_may_write_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    place = tmp_path / compilation._machine()
    place.mkdir()
    place.chmod(0o777)
    assert cache_programs(tmp_path) is None


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_users_folder_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = compilation._user_cache() / compilation._machine()
    assert place.is_relative_to(tmp_path)
    assert compilation._prepared(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_the_hosts_choice_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "host"))
    with warnings.catch_warnings():
        assert cache_programs(tmp_path / "ours") == tmp_path / "host"
    assert not (tmp_path / "ours").exists()


def test_the_oldest_programs_go_first(tmp_path, monkeypatch):
    for age, name in enumerate(("new", "old", "oldest")):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(compilation, "_SIZE_LIMIT", 20)
    compilation._trim(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "old"}


def test_a_second_shape_is_a_second_program():
    import jax
    import jax.numpy as jnp

    inputs = jnp.ones(3), jnp.ones(4), jnp.ones(3)
    halve = jax.jit(lambda x: x / 2)
    with count_programs() as programs:
        for value in inputs:
            halve(value)
    assert programs.built == 2
    halve(jnp.ones(5))
    assert programs.built == 2  # the count ends with the block


def test_threads_are_set_before_jax():
    code = (
        "import os, sys\n"
        "from latentpk.compilation import set_threads\n"
        "assert 'jax' not in sys.modules\n"
        "set_threads(2)\n"
        "import jax\n"
        "set_threads(2)\n"
        "print(os.environ['NPROC'], os.environ['OMP_NUM_THREADS'])"
    )
    assert run(code, NPROC="7").stdout.split() == ["2", "2"]


def test_threads_too_late_or_too_few():
    import jax  # noqa: F401  (the test is about its presence)

    with pytest.raises(RuntimeError, match=r"jax is imported already.*NPROC=3"):
        set_threads(3)
    assert os.environ["NPROC"] != "3"
    with pytest.raises(ValueError, match="At least 1"):
        set_threads(0)


def test_quick_compilation_keeps_the_users_flags_last():
    code = (
        "import os, sys\n"
        "from latentpk.compilation import compile_quickly\n"
        "compile_quickly()\n"
        "compile_quickly()\n"
        "assert 'jax' not in sys.modules\n"
        "print(os.environ['XLA_FLAGS'])\n"
        "import jax\n"
        "jax.jit(lambda x: x + 1)(1.0)"  # XLA ends the process at a flag it does not know
    )
    flags = run(code, XLA_FLAGS="--xla_cpu_use_fusion_emitters=true").stdout.split()
    assert flags == [
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_backend_optimization_level=1",
        "--xla_cpu_use_fusion_emitters=true",
    ]


def test_flags_are_set_only_for_the_measured_jaxlib(monkeypatch):
    monkeypatch.setattr("latentpk.compilation.version", lambda _: "0.11.0")
    monkeypatch.setenv("XLA_FLAGS", "")
    compile_quickly()
    assert os.environ["XLA_FLAGS"] == ""


def test_these_tests_run_the_programs_of_the_commands(monkeypatch):
    before = os.environ["XLA_FLAGS"]
    monkeypatch.setenv("XLA_FLAGS", before)
    compile_quickly()
    assert os.environ["XLA_FLAGS"] == before


def test_threads_follow_nproc(monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    assert threads() == 3
    monkeypatch.delenv("NPROC")
    assert threads() == os.cpu_count()
