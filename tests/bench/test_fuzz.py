"""The fuzzing of the readers, always the same few inputs; `python -m bench.fuzz` tries others."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from bench.readers import PLANTED, TARGETS

pytestmark = pytest.mark.skipif(find_spec("atheris") is None, reason="no atheris on this system")


def fuzz(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bench.fuzz", "--json", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_nothing_breaks_a_reader_in_a_moment() -> None:
    done = fuzz("--inputs", "2000", "--seed", "1")

    assert done.returncode == 0, done.stderr
    inputs = json.loads(done.stdout)["inputs"]
    assert set(inputs) == set(TARGETS)
    assert min(inputs.values()) > 10, inputs


def test_a_mistake_that_is_three_letters_deep_is_found() -> None:
    done = fuzz("--seconds", "60", "--seed", "1", "--target", "planted")

    assert done.returncode == 1
    assert "Broken" in done.stderr
    assert "planted: broken" in done.stderr


def test_every_true_example_is_read_as_it_should_be() -> None:
    for target in TARGETS.values():
        for example in target.examples():
            target.read(example)
    assert set(PLANTED) == {"planted"}
