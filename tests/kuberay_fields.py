"""The fields of KubeRay's RayCluster and RayJob (ray.io/v1, KubeRay 1.6 and 1.7) that we may write.

No package brings KubeRay's schema, so this is a check by hand: of a field's name, of its kind and
of some of its values. What lies within a pod is left to Kubernetes' own schema (`pod_templates`
finds the pods), and what KubeRay makes of it all to a cluster.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Fields = Mapping[str, Any]
POD, ANY = "a pod's template", "anything"

CLUSTER: Fields = {
    "rayVersion": str,
    "authOptions": {"mode": {"token", "disabled"}, "secretName": str},
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {
        "idleTimeoutSeconds": int,
        "upscalingMode": {"Default", "Aggressive", "Conservative"},
        "version": {"v1", "v2"},
        "securityContext": ANY,
        "resources": ANY,
    },
    "gcsFaultToleranceOptions": {
        "redisAddress": str,
        "redisPassword": {"valueFrom": ANY},
        "externalStorageNamespace": str,
    },
    "headGroupSpec": {
        "serviceType": {"ClusterIP", "NodePort", "LoadBalancer"},
        "rayStartParams": {str: str},
        "template": POD,
    },
    "workerGroupSpecs": [
        {
            "groupName": str,
            "replicas": int,
            "minReplicas": int,
            "maxReplicas": int,
            "numOfHosts": int,
            "idleTimeoutSeconds": int,
            "rayStartParams": {str: str},
            "template": POD,
        }
    ],
}
JOB: Fields = {
    "entrypoint": str,
    "backoffLimit": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "activeDeadlineSeconds": int,
    "submissionMode": {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"},
    "submitterConfig": {"backoffLimit": int},
    "submitterPodTemplate": POD,
    "runtimeEnvYAML": str,
    "rayClusterSpec": CLUSTER,
}
NEEDED = {
    "spec": {"headGroupSpec", "entrypoint", "rayClusterSpec"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs[]": {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"},
}


def problems(manifest: Mapping[str, Any]) -> list[str]:
    """Say what in a RayCluster or a RayJob is no field of KubeRay's, or of another kind."""
    fields = {"RayCluster": CLUSTER, "RayJob": JOB}[manifest["kind"]]
    found = (
        [] if manifest["apiVersion"] == "ray.io/v1" else [f"apiVersion {manifest['apiVersion']}"]
    )
    found += [f"{key}: no such field" for key in manifest if key not in _OUTERMOST]
    found += _problems("spec", manifest["spec"], fields)
    needed = {name for name in NEEDED["spec"] if name in fields}
    found += [f"spec: needs {name}" for name in needed - set(manifest["spec"])]
    return found


def pod_templates(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Go through the pods that a manifest describes, wherever they stand."""
    if isinstance(manifest, Mapping):
        for key, value in manifest.items():
            if key in {"template", "submitterPodTemplate"}:
                yield value
            else:
                yield from pod_templates(value)
    elif isinstance(manifest, list):
        for value in manifest:
            yield from pod_templates(value)


_OUTERMOST = {"apiVersion", "kind", "metadata", "spec"}


def _problems(where: str, value: object, wanted: Any) -> Iterator[str]:
    """Compare one value with what its field takes, and go on below."""
    if wanted in (POD, ANY):
        if not isinstance(value, Mapping):
            yield f"{where}: must be a mapping, not {value!r}"
    elif isinstance(wanted, set):
        if value not in wanted:
            yield f"{where}: must be one of {sorted(wanted)}, not {value!r}"
    elif isinstance(wanted, type):
        if type(value) is not wanted:
            yield f"{where}: must be {wanted.__name__}, not {value!r}"
    elif isinstance(wanted, list):
        for each in value if isinstance(value, list) else [value]:
            yield from _problems(f"{where}[]", each, wanted[0])
    elif not isinstance(value, Mapping):
        yield f"{where}: must be a mapping, not {value!r}"
    elif str in wanted:
        for key, each in value.items():
            yield from _problems(f"{where}.{key}", each, str)
    else:
        yield from (f"{where}.{key}: no such field" for key in value if key not in wanted)
        needed = NEEDED.get(where.rpartition(".")[2], set())
        if where != "spec":
            yield from (f"{where}: needs {name}" for name in needed - set(value))
        for key in set(value) & set(wanted):
            yield from _problems(f"{where}.{key}", value[key], wanted[key])
