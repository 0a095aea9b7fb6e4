"""All checks, each in an environment of its own: ``nox`` runs them, ``nox --list`` tells of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
# What a daemon, a state machine or a hostile server does to us for minutes, and what takes the measure of a process.
LONG = (
    *(
        f"tests/daemons/test_{name}.py"
        for name in ("bulk_add", "crashes", "differential", "faults", "hybrids", "magnets")
    ),
    *(
        f"tests/daemons/test_{name}.py"
        for name in ("forks", "logins", "mixed_sources", "odd_answers", "random_histories")
    ),
    *(f"tests/property/test_{name}.py" for name in ("hostile_urls", "malformed_answers", "promise")),
    *(
        f"tests/unit/test_{name}.py"
        for name in ("client_bounds", "connecting", "fetch_bounds", "memory", "parser_bounds")
    ),
)
DOCUMENTS = "tests/documents"
SITE_TESTS = "tests/documents/test_site.py"
COVERAGE_FLOOR = 98  # percent of lines and branches, over all Pythons

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.error_on_external_run = True


def _found() -> list[str]:
    """Return the Pythons that we support and that this machine has."""
    supported = nox.project.python_versions(PROJECT)
    if shutil.which("pyenv"):
        # Its commands fail for a version that is installed but not switched on: switch on all of ours.
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True)
        ours = [name for name in listed.stdout.split() if name.rpartition(".")[0] in supported]
        os.environ.setdefault("PYENV_VERSION", ":".join([*ours, "system"]))
    commands = {version: shutil.which(f"python{version}") for version in supported}
    return [
        version
        for version, command in commands.items()
        if command and subprocess.run([command, "--version"], capture_output=True, check=False).returncode == 0
    ]


PYTHONS = _found()


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def mypy(session: nox.Session) -> None:
    """Check the types, of the tests too."""
    session.install(".[libtorrent,progress]", *_group("typing"))
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests against the installed package; those that need a daemon skip without it."""
    session.install(".[libtorrent,progress]", *_group("tests"))
    # That does not depend on the Python: the newest one is enough for it.
    left_out = (DOCUMENTS,) if session.python == PYTHONS[-1] else (DOCUMENTS, *LONG)
    ignored = [f"--ignore={path}" for path in left_out]
    session.run("coverage", "run", "-m", "pytest", *ignored, *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests that need no daemon on the lowest version of every package that we say will do."""
    session.install("uv")
    lowest = ("--resolution", "lowest-direct", "--python", f"{session.bin}/python")
    session.run("uv", "pip", "install", "-q", *lowest, ".[libtorrent,progress]", "--group", "tests")
    ignored = [f"--ignore={path}" for path in LONG]
    session.run("python", "-m", "pytest", "tests/unit", "tests/contract", "tests/embedded", *ignored, *session.posargs)


@nox.session
def documents(session: nox.Session) -> None:
    """Run everything that the documents show: snippets, recipes, the notebook, the examples of servers."""
    session.install(".[libtorrent,progress]", *_group("documents"))
    left_out = f"--ignore={SITE_TESTS}"
    session.run("pytest", DOCUMENTS, "docs/examples", left_out, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, with warnings as errors, and check what was built."""
    session.install(".[libtorrent,progress]", *_group("docs"))
    site = "docs/_build/html"
    shutil.rmtree("docs/_build", ignore_errors=True)
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-q", "-d", "docs/_build/doctrees", "docs", site)
    session.run("pytest", SITE_TESTS, env={"AUDIOBATCH_SITE": site})


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Attack the promise for longer: random histories by the thousand, and 70 kills on each generation."""
    session.install(".[libtorrent,progress]", *_group("tests"))
    long = {"HYPOTHESIS_PROFILE": "thorough", "AUDIOBATCH_KILLS": "70"}
    histories = ["tests/property", "tests/daemons/test_crashes.py", "tests/daemons/test_random_histories.py"]
    session.run("pytest", *histories, *session.posargs, env=long)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure against what people use today, on a real qBittorrent, and write docs/performance.md."""
    session.install(".", *_group("benchmarks"))
    session.run("python", "-m", "benchmarks.run", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(default=False)
def pictures(session: nox.Session) -> None:
    """Run the notebook of the docs anew, and take its pictures in JupyterLab; needs Chromium and qBittorrent."""
    session.install(".[progress]", *_group("pictures"))
    session.run("python", "-m", "documents.screenshots", env={"PYTHONPATH": "tests"})


@nox.session(default=False)
def neighbour(session: nox.Session) -> None:
    """Measure what other routes of the FastAPI example feel of thirty batches; needs qBittorrent."""
    session.install(".", *_group("benchmarks"), *_group("documents"))
    session.run("python", "-m", "benchmarks.neighbour", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def coverage(session: nox.Session) -> None:
    """Tell what the tests of all Pythons together did not reach."""
    session.install("coverage[toml]")
    session.run("coverage", "combine")
    session.run("coverage", "report", f"--fail-under={COVERAGE_FLOOR}")


@nox.session
def wheel(session: nox.Session) -> None:
    """Install the built wheel without any extra, and see that it works away from the source."""
    session.install("build")
    dist = Path(session.create_tmp()).absolute() / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    (built,) = dist.glob("*.whl")
    session.install(str(built))
    session.chdir(session.create_tmp())
    session.run("python", "-W", "error", "-c", "import audiobatch; print(audiobatch.BatchDownloader)")
    # Without the extra the demo cannot run, and says what to install.
    session.run("audiobatch", "demo", success_codes=[2])
    session.install(f"{built}[libtorrent]")
    session.run("audiobatch", "demo", env={"PYTHONWARNINGS": "error"})
    session.run("python", "-W", "error", "-m", "audiobatch", "demo")
