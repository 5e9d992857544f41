"""compose.yaml as compose itself reads it: whole, closed to the outside, its commands exist."""

import re
import warnings
from typing import Any

import pytest
import yaml
from deploy_files import DEPLOY, compose, parsed, texts


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return compose()


def test_compose_reads_the_files(made: dict[str, Any]) -> None:
    assert set(made["services"]) == {"database", "mlflow", "head", "worker", "dashboard"}
    both = compose("compose.yaml", "compose.gpu.yaml", ISTHMUS_TARGET="cuda")
    devices = both["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]
    assert both["services"]["worker"]["build"]["target"] == "cuda"
    assert both["services"]["worker"]["deploy"]["resources"]["limits"]["memory"]


def test_ports_are_published_on_loopback_alone(made: dict[str, Any]) -> None:
    published = {
        int(port["published"]): (name, port["host_ip"])
        for name, service in made["services"].items()
        for port in service.get("ports", ())
    }
    assert published == {
        5000: ("mlflow", "127.0.0.1"),
        8265: ("head", "127.0.0.1"),
        8050: ("dashboard", "127.0.0.1"),
    }
    assert not any("network_mode" in service for service in made["services"].values())


def test_images_are_pinned(made: dict[str, Any]) -> None:
    for name, service in made["services"].items():
        assert "build" in service or re.search(r":\d+\.\d+", service["image"]), name
        assert "latest" not in service["image"]


def test_no_password_stands_in_a_file(made: dict[str, Any]) -> None:
    for service in made["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|TOKEN|SECRET", name) or value.startswith("/run/secrets/")
        assert not re.search(
            r"://[^/@ ]*:[^/@ ]*@", " ".join(map(str, service.get("command") or ()))
        )
    assert {name: secret["file"] for name, secret in made["secrets"].items()} == {
        name: str(DEPLOY / "secrets" / name)
        for name in ("ray_token", "database_password", "pgpass")
    }
    assert "/secrets/" in (DEPLOY / ".gitignore").read_text().split("\n")


def test_who_needs_a_secret_is_given_it(made: dict[str, Any]) -> None:
    for name, service in made["services"].items():
        given = {f"/run/secrets/{secret['source']}" for secret in service.get("secrets", ())}
        named = (
            {text for text in texts(service["environment"]) if text.startswith("/run/secrets/")}
            if "environment" in service
            else set()
        )
        assert given == named, name


def test_services_are_limited_checked_and_started_in_order(made: dict[str, Any]) -> None:
    for name, service in made["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits["cpus"], name
        assert limits["memory"], name
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for other in service.get("depends_on", {}).values():
            assert other["condition"] == "service_healthy", name
        if "build" in service:
            assert service["cap_drop"] == ["ALL"], name
    waits = {name: set(each.get("depends_on", ())) for name, each in made["services"].items()}
    assert waits == {
        "database": set(),
        "mlflow": {"database"},
        "head": {"database", "mlflow"},
        "worker": {"head"},
        "dashboard": {"mlflow"},
    }


def test_a_missing_shared_folder_is_an_error_and_not_made_by_root(made: dict[str, Any]) -> None:
    for name in ("mlflow", "head", "worker", "dashboard"):
        (mount,) = made["services"][name]["volumes"]
        assert mount["target"] == "/shared"
        assert mount["bind"] == {"create_host_path": False}
        assert mount.get("read_only", False) == (name == "dashboard")


def test_commands_are_read_by_their_programs(made: dict[str, Any]) -> None:
    services = made["services"]
    mlflow = parsed(services["mlflow"]["command"])
    assert mlflow["allowed_hosts"]
    assert "*" not in mlflow["allowed_hosts"].split(",")
    assert "*" not in mlflow["cors_allowed_origins"]
    assert not mlflow["disable_security_middleware"]
    head, worker = parsed(services["head"]["command"]), parsed(services["worker"]["command"])
    assert (head["head"], head["block"]) == (True, True)
    assert (worker["head"], worker["block"]) == (False, True)
    assert worker["address"] == f"head:{head['port']}"
    dashboard = parsed(services["dashboard"]["command"])
    assert dashboard["tracking_uri"] == f"http://mlflow:{mlflow['port']}"
    assert f"mlflow:{mlflow['port']}" in mlflow["allowed_hosts"].split(",")
    ports = {
        "mlflow": mlflow["port"],
        "head": head["dashboard_port"],
        "dashboard": dashboard["port"],
    }
    for name, port in ports.items():
        assert f":{port}/" in services[name]["healthcheck"]["test"][-1], name
        assert [each["target"] for each in services[name]["ports"]] == [port], name


def test_ray_has_no_more_of_the_memory_than_the_container(made: dict[str, Any]) -> None:
    for name in ("head", "worker"):
        service = made["services"][name]
        store = parsed(service["command"])["object_store_memory"]
        assert (
            store
            < int(service["shm_size"])
            < int(service["deploy"]["resources"]["limits"]["memory"])
        )


def test_the_databases_are_those_of_the_documents(made: dict[str, Any]) -> None:
    database = made["services"]["database"]
    assert database["environment"]["POSTGRES_DB"] == "mlflow"
    assert "CREATE DATABASE studies;" in (DEPLOY / "postgres" / "studies.sql").read_text()
    uri = parsed(made["services"]["mlflow"]["command"])["backend_store_uri"]
    # Without the driver's name SQLAlchemy takes another than the one in constraints.txt.
    user = database["environment"]["POSTGRES_USER"]
    assert uri == f"postgresql+psycopg2://{user}@database/mlflow"


def test_environment_variables_exist(made: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of itself when it is imported
        import mlflow.environment_variables

    for service in made["services"].values():
        for name in service.get("environment", {}):
            if name.startswith("MLFLOW_"):
                assert hasattr(mlflow.environment_variables, name), name


def test_settings_of_the_user_have_defaults() -> None:
    used = set(re.findall(r"\$\{(\w+)(:-)?", (DEPLOY / "compose.yaml").read_text()))
    assert all(default for _, default in used)
    assert yaml.safe_load((DEPLOY / "compose.yaml").read_text())["name"] == "isthmus"
