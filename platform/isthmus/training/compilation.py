"""Compiling a model with torch.compile, where that is asked for and can be done."""

import logging
import warnings

import torch
from torch import nn

from isthmus.core.errors import ResourceError

_log = logging.getLogger("isthmus.training")


def compile_model(model: nn.Module, device: torch.device) -> None:
    """Let a model's calls be compiled, in place: its weights and their names stay as they are.

    Parameters
    ----------
    model : Module
        On its device.
    device : torch.device
        That device.

    Raises
    ------
    ResourceError
        If torch cannot compile here, which a small function shows before the first step would.

    Notes
    -----
    The model is compiled at its first calls, once for training and once for evaluation.
    """
    require_compiler(device)
    model.compile()
    _log.info("torch.compile: the first steps take longer, while the model is compiled")


def require_compiler(device: torch.device) -> None:
    """Compile a small function and call it.

    Parameters
    ----------
    device : torch.device
        For which to compile.

    Raises
    ------
    ResourceError
        If that fails, with the reason.
    """
    try:
        # What an earlier process compiled would hide that the compiler is gone.
        uncached = torch.compiler.config.patch(force_disable_caches=True)  # type: ignore[attr-defined]
        with uncached, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that caches are off
            torch.compile(_shifted)(torch.zeros(16, device=device))
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ResourceError(
            f"execution.compile: true needs torch.compile to work on '{device.type}', but it does "
            f"not ({lines[0].rstrip('.'):.200}). Install a C++ compiler (g++, or name one in CXX), "
            "for a GPU Triton too, or leave execution.compile out: nothing else needs it."
        ) from error
    finally:
        torch.compiler.reset()


def _shifted(x: torch.Tensor) -> torch.Tensor:
    """Do something that is worth a kernel."""
    return torch.sin(x) + 1.0
