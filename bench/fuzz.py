"""Does anything that a stranger can send break a reader?

    python -m bench.fuzz --seconds 60
    python -m bench.fuzz --target code --seconds 600

Atheris grows inputs that reach new lines of ours, from true examples on, each target of
`readers.py` in a process of its own. A reader may say no in the ways that it documents. Anything
else that it raises, and a coupon or an entry that nobody has signed, ends the run with the input
that did it.
"""

import json
import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

SECONDS = 20
_TARGET, _CORPUS = "COUNTERFOIL_BENCH_TARGET", "COUNTERFOIL_BENCH_CORPUS"


def main(
    seconds: Annotated[int, typer.Option(help="For each target.")] = SECONDS,
    target: Annotated[list[str] | None, typer.Option(help="Only these; all if left out.")] = None,
    inputs: Annotated[int, typer.Option(help="At most, for each target; -1 for any.")] = -1,
    seed: Annotated[int, typer.Option(help="The same inputs again; 0 for others.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Try to break every reader."""
    from bench.readers import TARGETS  # noqa: PLC0415 (whoever fuzzes imports it otherwise)

    limits = (f"-max_total_time={seconds}", f"-runs={inputs}", f"-seed={seed}")
    told = {name: _inputs_of(name, limits) for name in target or TARGETS}
    if as_json:
        typer.echo(json.dumps({"inputs": told}))
        return
    for name, seen in told.items():
        typer.echo(f"{name:<12} {seen:>10,} inputs, none broke it")


def _inputs_of(name: str, limits: tuple[str, ...]) -> int:
    """Fuzz one target in a process of its own, and return how many inputs it has seen."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        environment = {**os.environ, _TARGET: name, _CORPUS: str(corpus), "PYTHONHASHSEED": "0"}
        options = (
            *limits,
            f"-artifact_prefix={folder}/",
            "-timeout=10",
            "-rss_limit_mb=4096",
            str(corpus),
        )
        said = subprocess.run(  # noqa: S603 (this very file)
            [sys.executable, "-m", "bench.fuzz", *options],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).resolve().parent.parent,
        )
    if said.returncode:
        typer.echo(said.stdout + said.stderr, err=True)
        typer.echo(f"{name}: broken; the input stands above", err=True)
        raise typer.Exit(1)
    return next(int(line.split()[1]) for line in said.stderr.splitlines() if "Done" in line)


def _fuzz(name: str, corpus: Path) -> None:
    """Never returns: the library ends the process."""
    import atheris  # noqa: PLC0415 (made for one system only)

    with atheris.instrument_imports(include=["bench", "coupon_engine", "schemas"]):  # pyright: ignore[reportAttributeAccessIssue]
        from bench.readers import PLANTED, TARGETS  # noqa: PLC0415 (it counts lines from here on)
    chosen = {**TARGETS, **PLANTED}[name]
    for example in chosen.examples():
        (corpus / sha256(example).hexdigest()).write_bytes(example)
    atheris.Setup(sys.argv, chosen.read)
    atheris.Fuzz()


if __name__ == "__main__":
    if _TARGET in os.environ:
        _fuzz(os.environ[_TARGET], Path(os.environ[_CORPUS]))
    typer.run(main)
