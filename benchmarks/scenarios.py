"""Studies on clusters of GPUs, simulated: what is assumed of them stands in the tables' heading."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from cost_model import Link, Network
from machine import markdown
from study_simulation import Cluster, Forecast, Kind, Study, best, without

GRID = (128, 128, 96)
"""The published grid."""

SUBJECTS = (1_000, 40_000)
DEVICES = (8, 64, 512)
BATCHES = (1, 32)
SPEEDS = (30.0, 100.0, 300.0)
"""How many times as fast as one core here a GPU may be; none was at hand."""

# 419 unexpected interruptions in 54 days of 16,384 GPUs, eight a node: The Llama 3 herd of models,
# arXiv 2407.21783, section 3.3.4.
NODE_HOURS = 2048 * 54 * 24 / 419
FABRIC = Link(latency_s=20e-6, bytes_per_s=12.5e9)
STORE_BYTES_PER_S = 2e9
# On one core here: docs/load.md (an epoch told, the ending of a trial; 5.4 s a trial of two folds
# drawn and published) and docs/reliability.md (a node lost, its trial begun again elsewhere).
EVENT_S = 0.05
PUBLISH_S = 2.7
RESTART_S = 60.0


def scenario_tables(network: Network, compressed: float) -> list[str]:
    """Simulate studies of one network; a section of Markdown.

    Parameters
    ----------
    network : Network
        As measured.
    compressed : float
        Bytes in the store over bytes of the images.
    """
    study = Study(
        kind="search",
        n_subjects=SUBJECTS[0],
        n_trials=60,
        n_folds=5,
        n_epochs=50,
        n_voxels=prod(GRID),
        subject_bytes=round(compressed * 4 * 2 * prod(GRID)),
        global_batch_size=1,
    )
    cluster = Cluster(
        n_devices=DEVICES[0],
        times=SPEEDS[1],
        link=FABRIC,
        store_bytes_per_s=STORE_BYTES_PER_S,
        event_s=EVENT_S,
        node_hours=NODE_HOURS,
        restart_s=RESTART_S,
        publish_s=PUBLISH_S,
    )
    return [
        "",
        f"`{network.preset}`, {'x'.join(map(str, GRID))}, two modalities "
        f"({study.subject_bytes / 1e6:.1f} MB a subject as stored); {study.n_trials} trials or "
        f"arms of {study.n_folds} folds of {study.n_epochs} epochs. Assumed: a GPU is "
        f"{cluster.times:.0f} times a core here, links of {8e-9 * FABRIC.bytes_per_s:.0f} Gbit/s "
        f"and {1e6 * FABRIC.latency_s:.0f} us, a store of {STORE_BYTES_PER_S / 1e9:.0f} GB/s for "
        f"all, {1e3 * EVENT_S:.0f} ms of the driver an event and {PUBLISH_S} s to draw and publish "
        f"a fold, a failure of a node each {NODE_HOURS:,.0f} hours, {RESTART_S:.0f} s to go on.",
        "",
        *_forecasts(study, cluster, network),
        "",
        "The same where each node reads from a disk or a memory of its own, fast enough:",
        "",
        *_forecasts(study, replace(cluster, store_bytes_per_s=float("inf")), network),
        "",
        "The first search of 40,000 subjects with a batch of 32, by the speed that is assumed:",
        "",
        *_speeds(
            replace(study, n_subjects=SUBJECTS[1], global_batch_size=BATCHES[1]), cluster, network
        ),
        "",
    ]


def _forecasts(study: Study, cluster: Cluster, network: Network) -> list[str]:
    """Write a row for each cohort, batch, kind of study and number of GPUs."""
    kinds: Sequence[Kind] = ("search", "ablation")
    rows = []
    for n_subjects in SUBJECTS:
        for batch in BATCHES:
            for kind in kinds:
                asked = replace(study, kind=kind, n_subjects=n_subjects, global_batch_size=batch)
                for n_devices in DEVICES:
                    at = replace(cluster, n_devices=n_devices)
                    rows.append(
                        [
                            f"{n_subjects:,}",
                            str(batch),
                            kind,
                            str(n_devices),
                            *_described(asked, at, network),
                        ]
                    )
    header = ["subjects", "batch", "study", "GPUs", "takes", "GPUs used", "GPUs a trial"]
    header += ["messages", "waits for the store", "driver busy", "lost", "what helps most"]
    return markdown(header, rows)


def _speeds(study: Study, cluster: Cluster, network: Network) -> list[str]:
    """Write how the forecast depends on what was not measured."""
    rows = []
    for n_devices in DEVICES:
        told = [
            best(study, replace(cluster, n_devices=n_devices, times=times), network)
            for times in SPEEDS
        ]
        rows.append([str(n_devices), *(f"{_time(one)}, store {one.waiting:.0%}" for one in told)])
    return markdown(["GPUs", *(f"{times:.0f} times" for times in SPEEDS)], rows)


def _described(study: Study, cluster: Cluster, network: Network) -> list[str]:
    """Write a forecast, and which limit by itself costs most."""
    told = best(study, cluster, network)
    name, times = max(without(study, cluster, network).items(), key=lambda item: item[1])
    return [
        _time(told),
        f"{told.used:.0%}",
        str(told.n_workers),
        f"{told.messages:.0%}",
        f"{told.waiting:.0%}",
        f"{told.driver:.0%}",
        f"{told.lost:.1%}",
        f"{name}: {times:.1f} times sooner" if times > 1.05 else "more trials",
    ]


def _time(told: Forecast) -> str:
    """Write hours as a person says them."""
    if told.hours < 48:
        return f"{told.hours:.1f} h"
    return f"{told.hours / 24:,.0f} days"
