"""The manifests of deploy/kuberay: Kubernetes' schemas, KubeRay's fields, and what they promise."""

import copy
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from deploy_files import KUBERAY, REPOSITORY, documents, kustomized, parsed, texts
from kuberay_fields import pod_templates, problems

import isthmus

# The newest version that the package has the schemas of; what we use is older than all of them.
KUBERNETES = "1.37"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return kustomized("cluster")["RayCluster"]


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    (made,) = documents(KUBERAY / "rayjob.yaml")
    return made


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in ("cluster", "gpu", "redis"):
        for kind, manifest in kustomized(folder).items():
            yield f"{folder}: {kind}", manifest
    yield "rayjob.yaml", documents(KUBERAY / "rayjob.yaml")[0]


def validate(manifest: dict[str, Any]) -> None:
    validator = pytest.importorskip(
        "kubernetes_validate",
        reason="`make setup` installs kubernetes-validate, of the extra `dev`",
    )
    validator.validate(manifest, KUBERNETES, strict=True)


def test_kubernetes_reads_what_is_its_own() -> None:
    checked = 0
    for where, manifest in manifests():
        if manifest["apiVersion"] != "ray.io/v1":
            validate(manifest)
            checked += 1
            continue
        for template in pod_templates(manifest["spec"]):
            metadata = {"name": where.split()[0].strip(":")}
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata}
            validate({**pod, "template": template})
            checked += 1
    assert checked == 3 * (2 + 2) + 3


def test_a_field_that_kubernetes_does_not_know_is_seen(cluster: dict[str, Any]) -> None:
    template = copy.deepcopy(cluster["spec"]["headGroupSpec"]["template"])
    template["spec"]["containers"][0]["livenessProb"] = {}
    pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "wrong"}}
    with pytest.raises(Exception, match="livenessProb"):
        validate({**pod, "template": template})


def test_kuberay_has_all_fields() -> None:
    found = {
        where: told
        for where, manifest in manifests()
        if manifest["apiVersion"] == "ray.io/v1" and (told := problems(manifest))
    }
    assert not found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("authOption: {}", "spec.authOption: no such field"),
        ("rayVersion: 2.6", "spec.rayVersion: must be str, not 2.6"),
        ("authOptions: {mode: none}", "spec.authOptions.mode: must be one of"),
        ("workerGroupSpecs: [{groupName: a}]", "spec.workerGroupSpecs[]: needs maxReplicas"),
        ("headGroupSpec: {rayStartParams: {num-cpus: 0}}", "num-cpus: must be str, not 0"),
    ],
)
def test_a_wrong_field_is_seen(change: str, told: str, cluster: dict[str, Any]) -> None:
    wrong = {**cluster, "spec": {**cluster["spec"], **yaml.safe_load(change)}}
    assert told in "\n".join(problems(wrong))


def test_the_job_has_the_same_cluster(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]
    assert job["spec"]["submitterPodTemplate"]["spec"]["containers"][0]["image"] in set(
        texts(cluster["spec"])
    )


def test_the_overlays_change_what_they_say(cluster: dict[str, Any]) -> None:
    gpu = kustomized("gpu")["RayCluster"]["spec"]
    worker = gpu["workerGroupSpecs"][0]["template"]["spec"]
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    images = {text for text in texts(gpu) if "REGISTRY/" in text}
    assert images == {f"REGISTRY/isthmus:cuda-{isthmus.__version__}"}
    redis = kustomized("redis")["RayCluster"]["spec"]
    options = redis.pop("gcsFaultToleranceOptions")
    assert set(options["redisPassword"]["valueFrom"]) == {"secretKeyRef"}
    assert redis == cluster["spec"]


def test_versions_are_those_of_the_repository(cluster: dict[str, Any]) -> None:
    pinned = (REPOSITORY / "constraints.txt").read_text().split("\n")
    assert f"ray=={cluster['spec']['rayVersion']}" in pinned
    images = {text for text in texts(cluster) if "REGISTRY/" in text}
    assert images == {f"REGISTRY/isthmus:cpu-{isthmus.__version__}"}


def test_nothing_runs_as_root_or_is_open_to_the_outside(job: dict[str, Any]) -> None:
    assert job["spec"]["rayClusterSpec"]["authOptions"]["mode"] == "token"
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    templates = list(pod_templates(job["spec"]))
    assert len(templates) == 3
    for template in templates:
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 1000  # deploy/Dockerfile's ARG UID
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert container["resources"]["limits"]
            for variable in container.get("env", ()):
                secret = "PASSWORD" in variable["name"] or "TOKEN" in variable["name"]
                assert ("valueFrom" in variable) == secret, variable


def test_the_policy_is_about_ray_and_lets_the_submitter_in(job: dict[str, Any]) -> None:
    policy = kustomized("cluster")["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["podSelector"]["matchLabels"] == {"ray.io/is-ray-node": "yes"}
    submitter = job["spec"]["submitterPodTemplate"]["metadata"]["labels"]
    allowed = [each for rule in policy["ingress"] for each in rule["from"]]
    assert {"podSelector": {"matchLabels": submitter}} in allowed
    assert all("podSelector" in each for each in allowed), "nobody is let in by address alone"
    board = next(rule for rule in policy["ingress"] if "ports" in rule)
    assert [port["port"] for port in board["ports"]] == [8265]


def test_commands_are_read_by_their_programs(job: dict[str, Any]) -> None:
    entrypoint = shlex.split(job["spec"]["entrypoint"])
    assert parsed(entrypoint)
    assert (REPOSITORY / entrypoint[-1]).is_file()  # the image has it in its working folder
    spec = job["spec"]["rayClusterSpec"]
    for group, first in ((spec["headGroupSpec"], "--head"), (spec["workerGroupSpecs"][0], "")):
        given = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
        assert parsed(["ray", "start", *filter(None, [first]), *given])


@pytest.mark.parametrize("folder", ["cluster", "gpu", "redis"])
def test_ray_s_store_fits_into_its_volume_and_that_into_the_pod(folder: str) -> None:
    spec = kustomized(folder)["RayCluster"]["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        store = int(group["rayStartParams"]["object-store-memory"])
        pod = group["template"]["spec"]
        mounts = pod["containers"][0]["volumeMounts"]
        (name,) = (mount["name"] for mount in mounts if mount["mountPath"] == "/dev/shm")
        (memory,) = (each["emptyDir"] for each in pod["volumes"] if each["name"] == name)
        assert memory["medium"] == "Memory"
        limit = pod["containers"][0]["resources"]["limits"]["memory"]
        assert store < _bytes(memory["sizeLimit"]) < _bytes(limit)


def _bytes(quantity: str) -> int:
    """Read a size as the manifests write it."""
    number, unit = quantity[:-2], quantity[-2:]
    return int(number) * {"Mi": 2**20, "Gi": 2**30}[unit]


def test_claims_and_volumes_have_each_other(job: dict[str, Any]) -> None:
    claim = kustomized("cluster")["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for template in pod_templates(job["spec"]["rayClusterSpec"]):
        pod = template["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {
            mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]
        }
        assert set(mounts) == set(volumes)
        claimed = volumes["shared"]["persistentVolumeClaim"]["claimName"]
        assert (claimed, mounts["shared"]) == (claim["metadata"]["name"], "/shared")
