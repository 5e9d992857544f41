"""A Ray that isthmus starts does nothing for who does not have its token."""

import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from closed_ray import WRONG, LocalRay, grpc_refusals, http_status, local_ray
from job_cluster import PROGRAMS, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

DRIVER_SECONDS, END_SECONDS = 180.0, 30.0
_LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
# What changes nothing and tells no more than that something runs: the page's own files, and health.
_OPEN = {"/", "/api/gcs_healthz"}
_ASKED = (
    ("POST", "/api/jobs/"),
    ("GET", "/api/jobs/"),
    ("GET", "/api/version"),
    ("GET", "/nodes?view=summary"),
    ("GET", "/logical/actors"),
    ("GET", "/api/v0/nodes"),
    ("GET", "/api/v0/logs"),
    ("GET", "/api/cluster_status"),
    ("PUT", "/api/packages/gcs/_ray_pkg_0123456789abcdef.zip"),
    ("PUT", "/api/serve/applications/"),
)


@pytest.fixture(scope="module")
def ray() -> Iterator[LocalRay]:
    with local_ray() as started:
        yield started


@pytest.fixture(scope="module")
def refused_drivers(ray: LocalRay) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Begun early, beside the other tests: Ray tries for some 20 s before it gives up."""
    script = f"import ray; ray.init(address={ray.address!r}); print('joined')"
    keys = {
        "no token": {"RAY_AUTH_MODE": "disabled"},
        "wrong token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": WRONG},
    }
    begun = {
        name: subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**ray.environment, **given},
        )
        for name, given in keys.items()
    }
    try:
        yield begun
    finally:
        for driver in begun.values():
            driver.kill()
        for name, driver in begun.items():
            try:
                driver.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                pytest.fail(f"the driver with {name} was killed: not over after {END_SECONDS:g} s")


@pytest.mark.usefixtures("refused_drivers")
@pytest.mark.parametrize(("method", "path"), _ASKED)
def test_the_dashboard_answers_nobody_without_the_token(ray, method, path):
    assert http_status(ray.dashboard + path, method) == 401
    assert http_status(ray.dashboard + path, method, token=WRONG) == 403


def test_who_has_the_token_is_answered(ray):
    """Or the refusals above would show nothing."""
    token = ray.token_file.read_text()
    assert http_status(f"{ray.dashboard}/api/version", token=token) == 200
    assert http_status(f"{ray.dashboard}/api/jobs/", token=token) == 200


def test_what_is_open_is_the_page_and_its_health(ray):
    assert {path for path in _OPEN if http_status(ray.dashboard + path) == 200} == _OPEN


@pytest.mark.parametrize("given", [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": WRONG}])
def test_a_job_is_not_taken_without_the_token(ray, given, tmp_path):
    trace = tmp_path / "ran"
    done = subprocess.run(
        [PROGRAMS / "ray", "job", "submit", "--address", ray.dashboard, "--", "touch", trace],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        env={**ray.environment, "RAY_AUTH_MODE": "token", **given},
    )
    assert done.returncode != 0
    assert re.search("401|403|[Tt]oken", done.stdout), done.stdout
    assert "submitted successfully" not in done.stdout
    assert not trace.exists()


def test_token_and_session_are_their_owner_s_alone(ray):
    assert stat.S_IMODE(ray.token_file.stat().st_mode) == 0o600
    assert re.fullmatch("[0-9a-f]{64}", ray.token_file.read_text())
    # Ray lets everybody into its own folder; the one around it is closed.
    around = ray.session.parents[1]
    assert around.name.startswith("is-")
    assert stat.S_IMODE(around.stat().st_mode) == 0o700


def test_the_token_is_on_no_command_line_and_in_no_log(ray):
    token = ray.token_file.read_text()
    told = [" ".join(process.cmdline()) for process in ray.process.children(recursive=True)]
    assert not [line for line in told if token in line]
    logs = [path for path in (ray.session / "logs").rglob("*") if path.is_file()]
    assert logs
    assert not [path for path in logs if token in path.read_text(errors="replace")]


def only_measures(url: str, status_of_post: int) -> bool:
    """Whether a port gives measurements for Prometheus to read, and takes nothing."""
    changes = {http_status(url + path, "PUT") for path in ("/", "/metrics", "/api/jobs/")}
    return status_of_post == 405 and changes == {405} and http_status(f"{url}/metrics") == 200


def test_each_port_beyond_loopback_asks_for_the_token(ray):
    """Ray binds to the node's address, or to all: docs/security.md says which port is whose."""
    wait_until(
        lambda: any(
            "RuntimeEnv" in name or "DashboardAgent" in name for name in ray.listening().values()
        ),
        60,
        lambda: f"the agents of Ray must listen, got {ray.listening()}",
    )
    node = ray.address.rpartition(":")[0].strip("[]")
    open_ports, n_asked = {}, 0
    for (host, port), name in ray.listening().items():
        if host in _LOOPBACK:
            continue
        n_asked += 1
        at = node if host in ("::", "0.0.0.0") else host
        status = http_status(f"http://{at}:{port}/", "POST")
        if status is None:  # it speaks gRPC
            answers = set(grpc_refusals(at, port, None)) | set(grpc_refusals(at, port, WRONG))
            if answers != {"UNIMPLEMENTED", "UNAUTHENTICATED"}:
                open_ports[name, port] = answers
        elif status != 401 and not only_measures(f"http://{at}:{port}", status):
            open_ports[name, port] = status
    assert n_asked >= 4
    assert open_ports == {}


def test_the_dashboard_is_on_loopback(ray):
    port = int(ray.dashboard.rpartition(":")[2])
    assert {host for host, at in ray.listening() if at == port} <= set(_LOOPBACK)


@pytest.mark.parametrize("key", ["no token", "wrong token"])
def test_no_driver_joins_without_the_token(refused_drivers, key):
    driver = refused_drivers[key]
    said, _ = driver.communicate(timeout=DRIVER_SECONDS)
    assert driver.returncode != 0
    assert "joined" not in said.splitlines()
    assert re.search(r"ConnectionError|AuthenticationError|InvalidAuthToken", said), said


# On a command line, as words in Python, YAML and shell, by Python, and as Kubernetes' resource.
_STARTS = re.compile(
    r"\bray start --head|\"--head\"|^\s+- --head\b|options\+=\(--head"
    r"|ray\.init\(\s*(address=\"local\"|num_cpus)|cluster_utils|^\s+headGroupSpec:",
    re.MULTILINE,
)
# Where a token is given and no mode, Ray 2.60 takes it. backends/__init__ sets the mode for whoever
# imports a module of it.
_CLOSES = re.compile(
    r"RAY_AUTH_MODE\"?\s*[=:]\s*\"?token\b|RAY_AUTH_TOKEN_PATH\"?\s*[=:]"
    r"|authOptions:\s+mode: token\b|^\s*from isthmus\.backends",
    re.MULTILINE,
)
_OPENS = re.compile(r"RAY_AUTH_MODE\W{1,6}disabled|authOptions:\s+mode: disabled")
_COMMENTS = re.compile(r"(^|\s)#.*")
_STARTERS = {
    "deploy/compose.yaml",
    "deploy/kuberay/cluster/raycluster.yaml",
    "deploy/kuberay/rayjob.yaml",
    "deploy/slurm/isthmus.sbatch",
    "docs/cluster.md",
    "platform/isthmus/backends/ray_session.py",
    "tests/job_cluster.py",
    "tests/node_cluster.py",
}
# They only name the option, or the field.
_NAMERS = {"tests/deploy/test_images.py", "tests/deploy/test_kuberay.py"}
# Here is seen what Ray without a token, or who has none, is refused; the page says what it costs.
_OPENERS = {"docs/security.md", "tests/security/test_ray_token.py"}
_HERE = "tests/security/test_ray_is_closed.py"


def test_every_place_that_starts_ray_asks_for_the_token():
    """Scripts, pages, tests and what is deployed: who starts a head says how it is closed."""
    texts = tracked_texts()
    assert {name for name, text in texts.items() if _STARTS.search(text)} == _STARTERS | _NAMERS
    said = {name: _COMMENTS.sub("", texts[name]) for name in _STARTERS}
    assert [name for name, text in said.items() if not _CLOSES.search(text)] == []
    assert {name for name, text in texts.items() if _OPENS.search(text)} == _OPENERS


def test_places_that_leave_ray_open_are_seen():
    """The expressions above, on what they are to tell apart."""
    for text in ('role = ["--head"]', '"start", "--head"', "  - --head\n", "ray start --head"):
        assert _STARTS.search(text), text
    for text in ("RAY_AUTH_MODE: token", '"RAY_AUTH_MODE": "token"', "export RAY_AUTH_MODE=token"):
        assert _CLOSES.search(_COMMENTS.sub("", text)), text
    for text in ("RAY_AUTH_MODE=disabled", "# RAY_AUTH_MODE=token", "RAY_AUTH_MODE is read"):
        assert not _CLOSES.search(_COMMENTS.sub("", text)), text
    for text in (
        '"RAY_AUTH_MODE": "disabled"',
        "RAY_AUTH_MODE=disabled",
        "RAY_AUTH_MODE: disabled",
    ):
        assert _OPENS.search(text), text


def tracked_texts() -> dict[str, str]:
    """Read what git knows or would take, but this file, tables, images and the log of changes."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    return {
        name: (root / name).read_text(encoding="utf-8", errors="replace")
        for name in listed.stdout.split("\0")
        if (root / name).is_file()
        and Path(name).suffix not in {".png", ".tsv"}
        and name not in {"CHANGELOG.md", _HERE}
    }


def test_the_switch_is_set_before_ray_can_be_imported():
    """Ray reads it once; backends/__init__ is run before any module of it that imports ray."""
    root = Path(__file__).resolve().parents[2]
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    importers = next(
        contract["allowed_importers"]
        for contract in contracts["contracts"]
        if contract.get("protected_modules") == ["ray"]
    )
    assert importers
    assert all(name.startswith("isthmus.backends.") for name in importers)
    script = (
        "import os, sys; import isthmus.backends; assert 'ray' not in sys.modules;"
        "print(os.environ['RAY_AUTH_MODE'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root / "platform")},
    )
    assert done.stdout.strip() == "token"
