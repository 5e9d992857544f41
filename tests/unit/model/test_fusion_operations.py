"""Each operation by itself: what is given counts, what is not does not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus.config.architecture import MASKED_OPERATIONS, ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.convolution import initialise
from isthmus.model.fusion_operations import make_operation

CHANNELS = 8
OPERATIONS = ("concat", *MASKED_OPERATIONS)


def operation(name: str, n_inputs: int, channels: int = CHANNELS, **settings: Any) -> nn.Module:
    """An operation with seeded weights, biases among them."""
    made = make_operation(ModelConfig(fusion={"operation": name, **settings}), n_inputs, channels)
    stream = torch.Generator().manual_seed(0)
    initialise(made, stream)
    for parameter in made.parameters():
        if parameter.dim() == 1:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=stream)
    return made


def maps(n: int, seed: int = 1) -> list[Tensor]:
    """Seeded maps of three subjects."""
    stream = torch.Generator().manual_seed(seed)
    return [torch.randn(3, CHANNELS, 2, 3, 2, generator=stream) for _ in range(n)]


def mask(*rows: str) -> Tensor:
    """A mask (B, N): 1 where an input is given."""
    return torch.tensor([[digit == "1" for digit in row] for row in rows])


EVERY, SOME = mask("111", "111", "111"), mask("111", "101", "010")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("n", [1, 2, 4])
def test_shape_and_gradient_for_any_number(name: str, n: int) -> None:
    joint = operation(name, n)
    inputs = [x.requires_grad_() for x in maps(n)]
    y = joint(inputs, torch.ones(3, n, dtype=torch.bool))
    width = n * CHANNELS if name == "concat" else CHANNELS
    assert y.shape == (3, width, 2, 3, 2)
    y.square().sum().backward()
    for x in inputs:
        assert x.grad is not None
        assert x.grad.flatten(1).abs().amax(dim=1).min() > 0
    for label, parameter in joint.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.isfinite().all(), label


@pytest.mark.parametrize("name", MASKED_OPERATIONS)
def test_what_is_not_given_is_not_looked_at(name: str) -> None:
    joint, results = operation(name, 3), []
    for filler in (torch.nan, 7.0, torch.inf):
        inputs = [x.requires_grad_() for x in maps(3)]
        held = [
            torch.where(SOME[:, n, None, None, None, None], x, filler) for n, x in enumerate(inputs)
        ]
        y = joint(held, SOME)
        gradients = torch.autograd.grad(y.square().sum(), [*inputs, *joint.parameters()])
        results.append([y.detach(), *gradients])
        assert all(found.isfinite().all() for found in results[-1])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("name", MASKED_OPERATIONS)
def test_gradient_reaches_what_is_given_and_nothing_else(name: str) -> None:
    inputs = [x.requires_grad_() for x in maps(3)]
    operation(name, 3)(inputs, SOME).square().sum().backward()
    for n, x in enumerate(inputs):
        assert x.grad is not None
        reached = x.grad.flatten(1).abs().amax(dim=1) > 0
        assert torch.equal(reached, SOME[:, n])


@pytest.mark.parametrize("name", MASKED_OPERATIONS)
def test_a_subject_is_fused_by_itself(name: str) -> None:
    joint, inputs = operation(name, 3), maps(3)
    together = joint(inputs, SOME)
    for row in range(3):
        alone = joint([x[row : row + 1] for x in inputs], SOME[row : row + 1])
        torch.testing.assert_close(alone, together[row : row + 1])


@pytest.mark.parametrize("name", ["sum", "mean", "max", "attention"])
def test_without_an_input_as_if_there_were_none(name: str) -> None:
    inputs = maps(3)
    y = operation(name, 3)(inputs, mask("101", "101", "101"))
    fewer = operation(name, 2)([inputs[0], inputs[2]], EVERY[:, :2])
    torch.testing.assert_close(y, fewer)


def test_gates_without_an_input_as_if_there_were_none() -> None:
    inputs, whole, part = maps(3), operation("gated", 3), operation("gated", 2)
    kept = torch.cat([torch.arange(CHANNELS), 2 * CHANNELS + torch.arange(CHANNELS)])
    for n, source in enumerate((0, 2)):
        part.candidates[n].load_state_dict(whole.candidates[source].state_dict())
    part.gates.weight.data = whole.gates.weight.data[kept][:, kept]
    part.gates.bias.data = whole.gates.bias.data[kept]
    y = whole(inputs, mask("101", "101", "101"))
    torch.testing.assert_close(y, part([inputs[0], inputs[2]], EVERY[:, :2]))


@pytest.mark.parametrize("name", ["sum", "mean", "max", "attention"])
def test_order_of_inputs_is_of_no_account(name: str) -> None:
    joint, inputs = operation(name, 3), maps(3)
    order = [2, 0, 1]
    turned = joint([inputs[n] for n in order], SOME[:, order])
    torch.testing.assert_close(turned, joint(inputs, SOME))


@pytest.mark.parametrize("name", ["gated", "tensor", "calibration"])
def test_each_input_has_weights_of_its_own(name: str) -> None:
    joint, inputs = operation(name, 2), maps(2)
    assert not torch.allclose(joint(inputs[::-1], EVERY[:, :2]), joint(inputs, EVERY[:, :2]))


def test_plain_operations_by_hand() -> None:
    a, b, c = maps(3)
    given = mask("111", "110", "001")
    expected = {
        "sum": [a[0] + b[0] + c[0], a[1] + b[1], c[2]],
        "mean": [(a[0] + b[0] + c[0]) / 3, (a[1] + b[1]) / 2, c[2]],
        "max": [torch.maximum(torch.maximum(a[0], b[0]), c[0]), torch.maximum(a[1], b[1]), c[2]],
    }
    for name, rows in expected.items():
        torch.testing.assert_close(operation(name, 3)([a, b, c], given), torch.stack(rows))
    assert torch.equal(operation("concat", 3)([a, b, c], EVERY), torch.cat([a, b, c], dim=1))


def voxel(x: Tensor) -> Tensor:
    """The channels of one voxel of the first subject."""
    return x[0, :, 1, 2, 0]


def linear(convolution: nn.Module, x: Tensor) -> Tensor:
    """What a 1x1x1 convolution makes of one voxel's channels."""
    weight = convolution.weight.flatten(1)
    return weight @ x + convolution.bias


def test_gates_by_hand() -> None:
    inputs, joint = maps(2), operation("gated", 2)
    a, b = (voxel(x) for x in inputs)
    logits = linear(joint.gates, torch.cat([a, b])).view(2, CHANNELS)
    candidates = torch.stack(
        [torch.tanh(linear(net, x)) for net, x in zip(joint.candidates, (a, b), strict=True)]
    )
    expected = (logits.softmax(dim=0) * candidates).sum(dim=0)
    torch.testing.assert_close(voxel(joint(inputs, EVERY[:, :2])), expected)


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_attention_is_that_of_the_library(heads: int) -> None:
    inputs, joint = maps(3), operation("attention", 3, heads=heads)
    reference = nn.MultiheadAttention(CHANNELS, heads, batch_first=True)
    parts = (joint.queries, joint.keys, joint.values)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([part.weight.flatten(1) for part in parts]))
        reference.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        reference.out_proj.weight.copy_(joint.output.weight.flatten(1))
        reference.out_proj.bias.copy_(joint.output.bias)
    place = (slice(None), slice(None), 1, 2, 0)
    tokens_BNC = torch.stack([x[place] for x in inputs], dim=1)
    looked_BNC, _ = reference(tokens_BNC, tokens_BNC, tokens_BNC, key_padding_mask=~SOME)
    weights = SOME / SOME.sum(dim=1, keepdim=True)
    expected = ((tokens_BNC + looked_BNC) * weights[..., None]).sum(dim=1)
    torch.testing.assert_close(joint(inputs, SOME)[place], expected)


@pytest.mark.parametrize("rank", [1, 4])
def test_product_is_that_of_the_whole_tensor(rank: int) -> None:
    channels = 2
    inputs = [x[:, :channels] for x in maps(2)]
    joint = operation("tensor", 2, channels, rank=rank)
    a, b = (voxel(x) for x in inputs)
    # Each factor is a linear map of the channels and a constant; together they make a tensor.
    augmented = [torch.cat([x, torch.ones(1)]) for x in (a, b)]
    factors = []
    for net in joint.factors:
        weight = torch.cat([net.weight.flatten(1), net.bias[:, None]], dim=1) / 2**0.5
        weight[:, -1] += 1.0
        factors.append(weight.view(channels, rank, channels + 1))
    terms = joint.terms.weight.flatten(1)
    tensor = torch.einsum("cr,cri,crj->cij", terms, *factors)
    expected = torch.einsum("cij,i,j->c", tensor, *augmented) + joint.terms.bias
    torch.testing.assert_close(voxel(joint(inputs, EVERY[:, :2])), expected)


def test_product_without_an_input_is_the_product_of_the_others() -> None:
    inputs, joint = maps(3), operation("tensor", 3)
    y = joint(inputs, mask("100", "100", "100"))
    single = 1.0 + joint.factors[0](inputs[0]) / 3**0.5
    torch.testing.assert_close(y, joint.terms(single))


def test_product_stays_tame_with_many_inputs() -> None:
    spreads = []
    for n in (1, 4, 16):
        made = make_operation(ModelConfig(fusion={"operation": "tensor"}), n, CHANNELS)
        initialise(made, torch.Generator().manual_seed(0))
        y = made(maps(n), torch.ones(3, n, dtype=torch.bool)).detach()
        spreads.append(float(y.std()))
    # Variance 2 of each projection: at most exp(2) in all, not 3^16 as without the division.
    assert max(spreads) < 4.0 * spreads[0]


def test_calibration_by_hand() -> None:
    inputs, joint = maps(2), operation("calibration", 2)
    means = torch.cat([x[0].mean(dim=(1, 2, 3)) for x in inputs])
    described = torch.nn.functional.elu(linear(joint.squeeze, means))
    assert described.shape == (2 * CHANNELS // 4,)
    gates = 2.0 * torch.sigmoid(linear(joint.excite, described)).view(2, CHANNELS)
    expected = (gates[0] * voxel(inputs[0]) + gates[1] * voxel(inputs[1])) / 2
    torch.testing.assert_close(voxel(joint(inputs, EVERY[:, :2])), expected)


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ConfigError, match=r"heads must divide .* but 3 does not divide 8"):
        operation("attention", 2, heads=3)
