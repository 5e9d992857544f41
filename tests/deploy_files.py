"""The files of deploy/ as tests read them: what compose makes of its files, and Ray's options."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
DEPLOY = REPOSITORY / "deploy"
KUBERAY = DEPLOY / "kuberay"
PROGRAMS = Path(sys.executable).parent
SECONDS = 120


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment, or of the machine; its errors are with its output."""
    program = PROGRAMS / command[0]
    found = program if program.exists() else shutil.which(command[0])
    if found is None:
        pytest.skip(f"{command[0]} is missing: `make setup` installs it with the extra `dev`")
    return subprocess.run(
        [found, *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
        **options,
    )


def compose(*files: str, **settings: str) -> dict[str, Any]:
    """Have compose read and check its files, and return what it makes of them."""
    named = [text for file in files or ("compose.yaml",) for text in ("-f", str(DEPLOY / file))]
    done = run(
        *("docker-compose", *named, "config", "--format", "json"),
        env={**_without_settings(os.environ), **settings},
    )
    assert done.returncode == 0, done.stdout
    made = json.loads(done.stdout)
    assert isinstance(made, dict)
    return made


def documents(file: Path) -> list[dict[str, Any]]:
    """Read all documents of a YAML file."""
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


def kustomized(folder: str) -> dict[str, dict[str, Any]]:
    """Have kubectl put a folder's manifests together; by kind."""
    done = run("kubectl", "kustomize", KUBERAY / folder)
    assert done.returncode == 0, done.stdout
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


def image_environment() -> dict[str, str]:
    """Read the variables that deploy/Dockerfile sets for what both images run, but PATH."""
    base = dockerfile_stages()["base"]
    block = next(line for line in base if line.startswith("ENV "))
    pairs = (text.split("=", 1) for text in block.removeprefix("ENV ").split())
    return {name: value for name, value in pairs if name != "PATH"}


def dockerfile_stages() -> dict[str, list[str]]:
    """Read deploy/Dockerfile: the instructions of each stage, each on one line."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    instructions = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    stages: dict[str, list[str]] = {"": []}
    for line in filter(None, instructions):
        if line.startswith("FROM "):
            stages[line.split()[-1]] = []
        stages[list(stages)[-1]].append(line)
    return stages


def texts(value: object) -> Iterator[str]:
    """Go through all text in what a YAML file holds, keys included."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from texts(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def parsed(command: Sequence[str]) -> dict[str, Any]:
    """Have `isthmus`, `ray` or `mlflow` read a command without running it; return its settings."""
    import click

    program, subcommand, *arguments = command
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of itself when it is imported
        group = _group(program)
    outer = click.Context(group, info_name=program)
    found = group.get_command(outer, subcommand)
    assert found is not None, f"{program} has no command {subcommand}"
    with found.make_context(subcommand, list(arguments), parent=outer) as context:
        return dict(context.params)


def _group(program: str) -> Any:
    """Import the commands of a program."""
    if program == "ray":
        from ray.scripts.scripts import cli

        return cli
    if program == "mlflow":
        from mlflow.cli import cli

        return cli
    import typer

    from isthmus.cli.main import app

    assert program == "isthmus", f"not a command of the image: {program}"
    return typer.main.get_command(app)


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what the machine's user may have set for compose."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("ISTHMUS_", "COMPOSE_"))
    }
