"""A fusion in the review's terms: operation, count, timing, positions."""

from isthmus.config.architecture import FusionConfig

CLASSES = {
    "concat": "concatenation",
    "sum": "tensor operation (element-wise sum)",
    "mean": "tensor operation (element-wise mean)",
    "max": "tensor operation (element-wise maximum)",
    "tensor": "tensor operation (low-rank product)",
    "gated": "attention (gates)",
    "attention": "attention (across modalities)",
    "calibration": "calibration",
}
"""The review's class of each operation, and in brackets which of that class it is."""


def fusion_in_words(config: FusionConfig, modalities: tuple[str, ...]) -> str:
    """Write a fusion in the review's terms.

    Parameters
    ----------
    config : FusionConfig
        The fusion's settings.
    modalities : tuple of str
        What is fused, in order.

    Returns
    -------
    str
        ``operation; count; timing; positions``.

    Notes
    -----
    The review's classes are concatenation, tensor operation, attention, calibration and knowledge
    sharing. Where an operation stands is our reading of them: element-wise sum, mean and maximum
    and the low-rank product are computed on the maps as tensors, without weighing one modality
    by another; the gated unit shares weights out among the modalities that sum to one, as
    attention does, where squeeze and excitation rescales each modality for itself. Knowledge
    sharing, where modalities share weights or targets and no map is joined, is not offered. A
    fusion is single at one position and multi at several; sudden where all modalities join at
    once, and gradual where they join one after another.

    References
    ----------
    Guarrasi et al. 2025, A systematic review of intermediate fusion in multimodal deep learning
    for biomedical applications, Image and Vision Computing 158; arXiv 2408.02686.

    Examples
    --------
    >>> fusion_in_words(FusionConfig(), ("T1w", "FA"))
    'concatenation; single; sudden; at the bottleneck'
    >>> both = FusionConfig(operation="attention", positions=(2, "bottleneck"), timing="gradual")
    >>> fusion_in_words(both, ("T1w", "FA", "NDI"))
    'attention (across modalities); multi; gradual: T1w, FA, NDI; at level 2 and the bottleneck'
    """
    if len(modalities) == 1:
        return f"none: {modalities[0]} alone"
    count = "single" if len(config.positions) == 1 else "multi"
    timing = "sudden"
    if config.timing == "gradual":
        timing = f"gradual: {', '.join(modalities)}"
    return f"{CLASSES[config.operation]}; {count}; {timing}; at {_places(config.levels)}"


def _places(levels: tuple[int, ...]) -> str:
    """Name the positions."""
    if not levels:
        return "the bottleneck"
    named = "level" if len(levels) == 1 else "levels"
    return f"{named} {', '.join(map(str, levels))} and the bottleneck"
