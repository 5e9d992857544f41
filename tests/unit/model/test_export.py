"""Models under `torch.export`: one course, that of subjects who have every image."""

import pytest
import torch

from isthmus.config.architecture import MASKED_OPERATIONS, ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.families import build_model

GRID = (10, 8, 8)


def make(operation, **fusion):
    config = ModelConfig(
        depth=2,
        base_channels=2,
        embedding_size=60,
        mid_flow_blocks=1,
        kernel_size=3,
        kernels="torch",
        fusion={"operation": operation, **fusion},
    )
    labels = ("T1w", "FA", "NDI")
    return build_model(config, labels, GRID, torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize(
    ("operation", "timing"),
    [*((name, "sudden") for name in ("concat", *MASKED_OPERATIONS)), ("mean", "gradual")],
)
def test_an_exported_model_computes_the_same(operation, timing):
    model = make(operation, timing=timing)
    x_BMDHW = torch.rand(1, 3, *GRID, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        program = torch.export.export(model, (x_BMDHW,)).module()
        for one, other in zip(program(x_BMDHW), model(x_BMDHW), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_model_is_not_exported_for_subjects_who_lack_an_image():
    x_BMDHW, given_BM = torch.rand(1, 3, *GRID), torch.tensor([[True, False, True]])
    with torch.no_grad(), pytest.raises(ConfigError, match="without a mask of given images"):
        torch.export.export(make("mean"), (x_BMDHW,), {"given_BM": given_BM})
