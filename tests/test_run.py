"""run.py is the first thing a stranger starts: it must work, or say plainly why it cannot."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import run

# A package that builds itself, so that a real pip can install it without any network.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1"

[project.optional-dependencies]
server = []
scanner = []
demo = []
dev = []
"""
BACKEND = """
import zipfile

FILES = {
    "tiny.py": [],
    "tiny-1.dist-info/METADATA": [
        "Metadata-Version: 2.1", "Name: tiny", "Version: 1",
        *(f"Provides-Extra: {extra}" for extra in ("server", "scanner", "demo", "dev")),
    ],
    "tiny-1.dist-info/WHEEL": ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any"],
}
RECORD = "tiny-1.dist-info/RECORD"

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    files = {**FILES, RECORD: [f"{file},," for file in (*FILES, RECORD)]}
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for file, lines in files.items():
            wheel.writestr(file, "".join(f"{line}\\n" for line in lines))
    return name
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "constraints.txt").write_text("")
    return tmp_path


def test_the_first_run_installs_and_the_second_has_nothing_to_do(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.prepare(house)
    subprocess.run([run.python_of(house), "-c", "import tiny"], check=True)
    assert "Preparing .venv" in capsys.readouterr().err

    run.prepare(house)
    assert capsys.readouterr().err == ""

    mine = house / ".venv" / "mine"
    mine.touch()
    (house / "constraints.txt").write_text("# newer\n")
    run.prepare(house)
    assert "Preparing .venv" in capsys.readouterr().err
    assert mine.exists()  # a newer lock is installed into the environment there is


def test_a_failed_install_is_explained_and_the_next_run_starts_anew(house: Path) -> None:
    whole = (house / "pyproject.toml").read_text()
    (house / "pyproject.toml").write_text("[project\n")
    with pytest.raises(run.CannotRun, match=r"(?s)pyproject.toml.*start again: nothing is lost"):
        run.prepare(house)
    assert run.read_stamp(run.stamp_file(house)) == []
    half_installed = house / ".venv" / "half-installed"
    half_installed.touch()

    (house / "pyproject.toml").write_text(whole)
    run.prepare(house)

    assert not half_installed.exists()
    assert run.read_stamp(run.stamp_file(house)) == [run.identity(house), run.digest(house)]


def test_a_moved_house_needs_a_new_environment(house: Path, tmp_path: Path) -> None:
    assert run.identity(house) != run.identity(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_whatever_decides_the_packages_decides_the_stamp(house: Path, name: str) -> None:
    before = run.digest(house)

    (house / name).write_text("# something else")

    assert run.digest(house) != before


def test_each_word_runs_its_command_in_the_environment(house: Path) -> None:
    python = str(run.python_of(house))

    assert run.command_line(house, ["demo", "--fast"])[::3] == [python, "--fast"]
    assert run.command_line(house, ["test"])[-1] == "check"
    assert run.command_line(house, ["test", "-k", "offline"])[-3:] == ["test", "-k", "offline"]
    assert run.command_line(house, ["serve", "--port", "1"])[-3:] == ["serve", "--port", "1"]


@pytest.mark.parametrize("word", ["demo", "serve"])
def test_help_shows_the_words_that_were_typed(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, option, program, *rest = run.command_line(run.HOUSE, [word, "--help"])
    monkeypatch.setattr(sys, "argv", [option, *rest])
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # no package is run

    with pytest.raises(SystemExit) as ended:
        exec(program, {})  # noqa: S102 as Python would, where all that it imports is there already

    assert (option, ended.value.code or 0) == ("-c", 0)
    assert f"Usage: run.py {word} " in capsys.readouterr().out


def test_the_readme_tells_how_much_room_is_needed_as_run_py_does() -> None:
    (needed,) = re.findall(r"needs (about [\d.]+ GB)", run.explain("No space left"))

    assert f"it fills `.venv` and `node_modules`, {needed}." in (run.HOUSE / "README.md").read_text(
        encoding="utf-8"
    )


def test_an_old_python_can_read_the_file_and_is_told_its_age() -> None:
    ast.parse(Path(run.__file__).read_text(), feature_version=(3, 7))

    with pytest.raises(run.CannotRun, match=r"this is Python 3\.8, and Counterfoil needs 3\.11"):
        run.check_python((3, 8))


def test_the_oldest_welcome_python_is_the_one_the_package_names() -> None:
    wanted = 'requires-python = ">={}.{}"'.format(*run.OLDEST)

    assert wanted in (run.HOUSE / "pyproject.toml").read_text()


def test_a_python_without_venv_is_told_which_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # as Debian ships it

    with pytest.raises(run.CannotRun, match=r"sudo apt install python3\.\d+-venv"):
        run.check_venv_can_be_made()


def test_a_missing_network_is_named_as_such() -> None:
    said = "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution"

    assert "is there a network?" in run.explain(said)


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [([], 0, "python3 run.py demo"), (["dmeo"], 1, "there is no command 'dmeo'")],
)
def test_a_stranger_gets_an_answer(words: list[str], status: int, answer: str) -> None:
    done = subprocess.run(
        [sys.executable, run.__file__, *words], check=False, capture_output=True, text=True
    )

    assert done.returncode == status
    assert answer in done.stdout + done.stderr
