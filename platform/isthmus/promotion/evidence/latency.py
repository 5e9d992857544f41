"""How long one subject takes: measured, and so apart from everything else that gates are told."""

import statistics
import time
from pathlib import Path

import numpy as np
import torch

from isthmus.core.seeds import generator
from isthmus.promotion.evidence.record import LatencyEvidence
from isthmus.training.encoder import load_encoder
from isthmus.trial.provenance import describe_machine


def measure_latency(encoder_directory: Path, n: int = 10, device: str = "auto") -> LatencyEvidence:
    """Measure how long an encoder takes for one subject.

    Parameters
    ----------
    encoder_directory : Path
        Folder of a finished training.
    n : int
        Runs that are counted, at least 1; one more before them is not.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute.

    Returns
    -------
    LatencyEvidence
        Embedding and reconstruction of one subject's normalised images, a random volume of the
        encoder's grid: what images show does not change the time. Reading and resampling of files
        is not in it.

    Raises
    ------
    ConfigError
        If the folder holds no complete encoder.
    """
    encoder = load_encoder(encoder_directory, device)
    shape = (len(encoder.card.modalities), *encoder.card.grid)
    x_MDHW = generator(0, "latency").random(shape, dtype=np.float32)
    seconds = []
    for _ in range(n + 1):
        begun = time.perf_counter()
        encoder.embed_volume(x_MDHW)
        encoder.reconstruct_volume(x_MDHW)  # both come back to the CPU, so they are over
        seconds.append(time.perf_counter() - begun)
    counted = tuple(seconds[1:])
    return LatencyEvidence(
        counted, statistics.median(counted), str(encoder.device), _machine(encoder.device)
    )


def _machine(device: torch.device) -> str:
    """Name what computes."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{describe_machine()}, {torch.get_num_threads()} threads"
