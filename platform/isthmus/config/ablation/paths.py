"""Which settings an ablation may vary, and which its arms may have in common."""

from pydantic.fields import FieldInfo

from isthmus.config.paths import settings_paths, why_unusable

VARIED = ("model.", "training.", "volumes.normalisation.", "stratification.")
MONITOR = "training.early_stopping.monitor_share"
IN_COMMON = (MONITOR, "controls.")
"""What arms may share beside the settings that they may differ in."""
WHY_NOT = {
    MONITOR: "it changes who is trained on, and arms would no longer be compared on the same "
    "subjects; set it for all arms under settings",
    "preset": "it stands for many settings; name those",
    "seed": "every arm is run at the same seeds; n_seeds says how many",
    "cohort": "it changes who is studied, and with that the question",
    "volumes": "it changes the stored images, which all arms share; only volumes.normalisation is "
    "fitted anew in each of them",
    "cross_validation": "it changes the folds, and arms would no longer be compared on the same",
    "controls": "it changes what an arm is compared with, not the arm; set it for all arms under "
    "settings",
    "execution": "it changes no result",
}


def ablated_paths() -> dict[str, FieldInfo]:
    """List the settings that an ablation may vary.

    Returns
    -------
    dict of str to FieldInfo
        By dotted path, in the order of declaration.

    Examples
    --------
    >>> "model.skips" in ablated_paths(), "seed" in ablated_paths()
    (True, False)
    """
    return {
        path: field
        for path, field in settings_paths().items()
        if path.startswith(VARIED) and path not in WHY_NOT
    }


def why_not_ablated(path: str) -> str | None:
    """Say why arms cannot differ in a path.

    Parameters
    ----------
    path : str
        Dotted path, as it was written.

    Returns
    -------
    str or None
        The reason as a sentence, with what was probably meant; None if they can.

    Examples
    --------
    >>> why_not_ablated("model.skip")
    "no such setting. Did you mean 'model.skips'?"
    >>> why_not_ablated("seed")
    'arms cannot differ in this: every arm is run at the same seeds; n_seeds says how many.'
    """
    if path in ablated_paths():
        return None
    return why_unusable(path, "arms cannot differ in this", WHY_NOT)


def why_not_in_common(path: str) -> str | None:
    """Say why a path cannot be set for all arms.

    Parameters
    ----------
    path : str
        Dotted path, as it was written.

    Returns
    -------
    str or None
        The reason as a sentence; None if it can.

    Examples
    --------
    >>> why_not_in_common("controls.probe_targets") is None
    True
    """
    if path in ablated_paths() or (path in settings_paths() and path.startswith(IN_COMMON)):
        return None
    return why_unusable(path, "an ablation cannot set this, set it in the experiment", WHY_NOT)
