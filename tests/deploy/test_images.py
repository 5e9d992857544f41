"""deploy/Dockerfile: linted, at the versions of the repository, with nothing secret, not root."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from deploy_files import DEPLOY, REPOSITORY, dockerfile_stages, image_environment, run

from isthmus.backends import _SWITCHES


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    return dockerfile_stages()


def test_hadolint_finds_nothing() -> None:
    done = run("hadolint", "--no-color", DEPLOY / "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_python_is_the_one_that_the_project_asks_for(stages: dict[str, list[str]]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    image = re.fullmatch(r"ARG PYTHON_IMAGE=python:(\d+)\.(\d+)\.\d+-slim-\w+", stages[""][0])
    assert image, f"a version to the last digit must be named, not {stages[''][0]}"
    assert project["requires-python"] == f">=3.{image[2]},<3.{int(image[2]) + 1}"


def test_all_packages_are_installed_under_the_constraints(stages: dict[str, list[str]]) -> None:
    installs = [
        command
        for stage in stages.values()
        for line in stage
        for command in line.split("&&")
        if "pip install" in command
    ]
    assert len(installs) == 5
    for command in installs:
        assert "-c /constraints" in command or "--no-deps" in command, command
    assert re.search(r"^torch==\S+$", (REPOSITORY / "constraints.txt").read_text(), re.M)


def test_the_requirements_are_those_of_the_project(
    stages: dict[str, list[str]], tmp_path: Path
) -> None:
    # The program within the Dockerfile is run, on the project's own file.
    program = re.search(r"python -c '([^']+)'", "\n".join(stages["source"]))
    assert program
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = set(project["dependencies"])
    for extra in ("postgresql", "s3"):
        wanted |= set(project["optional-dependencies"].get(extra, ()))
    assert set(done.stdout.split("\n")) - {""} == wanted


@pytest.mark.parametrize("image", ["cpu", "cuda"])
def test_images_end_without_root(image: str, stages: dict[str, list[str]]) -> None:
    users = [line for line in stages[image] if line.startswith("USER ")]
    assert users == ["USER ${UID}"], "Kubernetes' runAsNonRoot needs a number"
    assert "ARG UID=1000" in stages[image]
    assert stages[image].index(users[0]) == len(stages[image]) - 2  # CMD comes after it


@pytest.mark.parametrize(("uid", "code"), [("0", 1), ("1000", 0)])
def test_an_image_for_root_is_refused_with_a_message(
    uid: str, code: int, stages: dict[str, list[str]]
) -> None:
    (made,) = (line for line in stages["base"] if "useradd" in line)
    first, *others = made.removeprefix("RUN ").split(" && ")
    done = subprocess.run(
        ["sh", "-c", first],
        env={"PATH": os.environ["PATH"], "UID": uid},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "UID must not be 0" in done.stderr) == (code, code == 1)
    # A user's own numbers may be in the base image already, as a Mac's group 20 is.
    assert [each.split()[:2] for each in others[:2]] == [
        ["groupadd", "--non-unique"],
        ["useradd", "--non-unique"],
    ]


def test_what_isthmus_sets_for_itself_is_set_alike() -> None:
    environment = image_environment()
    assert environment.pop("PYTHONUNBUFFERED") == "1"
    assert {name: _SWITCHES[name] for name in environment} == environment
    assert environment["RAY_AUTH_MODE"] == "token"


def test_the_context_is_what_is_copied(stages: dict[str, list[str]]) -> None:
    copied = {
        source
        for stage in stages.values()
        for line in stage
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    rules = (REPOSITORY / ".dockerignore").read_text().split("\n")
    assert next(rule for rule in rules if rule and rule[0] != "#") == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((REPOSITORY / source).exists() for source in copied)


def test_secrets_are_made_for_their_owner_alone_and_kept(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)

    def made() -> dict[str, str]:
        subprocess.run([tmp_path / "make-secrets"], check=True, timeout=30, capture_output=True)
        return {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}

    first = made()
    assert set(first) == {"ray_token", "database_password", "pgpass"}
    assert re.fullmatch("[0-9a-f]{64}", first["ray_token"])
    assert first["ray_token"] != first["database_password"]
    assert first["pgpass"] == f"*:*:*:isthmus:{first['database_password']}\n"
    assert made() == first
    for file in (tmp_path / "secrets").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_every_shell_script_passes_shellcheck() -> None:
    scripts = [
        Path(folder) / name
        for folder, below, names in os.walk(REPOSITORY)
        if not below.sort() and not _skip(below)
        for name in names
        if _is_shell(Path(folder) / name)
    ]
    assert {".ci/run", "deploy/make-secrets", "deploy/slurm/isthmus.sbatch"} <= {
        str(script.relative_to(REPOSITORY)) for script in scripts
    }
    done = run("shellcheck", *scripts)
    assert done.returncode == 0, done.stdout


def _skip(below: list[str]) -> bool:
    """Leave out what is not the repository's, in place; False, for use within a condition."""
    below[:] = [
        name
        for name in below
        if name in {".ci", ".githooks", ".github"}
        or not (name.startswith(".") or name in {"runs", "store", "demo", "shared", "__pycache__"})
    ]
    return False


def _is_shell(file: Path) -> bool:
    with file.open("rb") as opened:
        first = opened.readline(80)
    return first.startswith(b"#!") and first.rstrip().endswith((b"sh", b"bash"))


def test_options_that_slurm_s_script_gives_to_ray_exist() -> None:
    from ray.scripts.scripts import start

    text = (DEPLOY / "slurm" / "isthmus.sbatch").read_text()
    arrays = re.findall(r"options\+?=\((.*?)\)\n", text, re.DOTALL)
    used = set(re.findall(r"--[a-z-]+", " ".join(arrays)))
    known = {option for parameter in start.params for option in parameter.opts}
    assert {"--head", "--address", "--block", "--temp-dir", "--num-gpus"} <= used
    assert used <= known
