"""Writes small.safetensors: a GLIGEN file with small random weights, and what PyTorch makes of it.

The module follows section 3.2 of Li et al. 2023, "GLIGEN": equation 5 for the objects, equation 8 for the gated
self-attention, and the gated MLP that their released models have after it. Golden tensors begin with `golden.`
"""

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

torch.manual_seed(7)
TEXT, HIDDEN, KEY, MOST = 16, 24, 768, 30
weights = {}


def random(name, *shape, scale=None):
    scale = scale or shape[-1] ** -0.5
    weights[name] = (torch.randn(shape) * scale).half().float()
    return weights[name]


def linear(x, name):
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(x, name):
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def make_linear(name, inputs, outputs, bias=True):
    random(f"{name}.weight", outputs, inputs)
    if bias:
        random(f"{name}.bias", outputs, scale=0.1)


def make_fuser(name, channels):
    make_linear(f"{name}.linear", KEY, channels)
    for part in ["to_q", "to_k", "to_v"]:
        make_linear(f"{name}.attn.{part}", channels, channels, bias=False)
    make_linear(f"{name}.attn.to_out.0", channels, channels)
    make_linear(f"{name}.ff.net.0.proj", channels, 8 * channels)
    make_linear(f"{name}.ff.net.2", 4 * channels, channels)
    for part in ["norm1", "norm2"]:
        weights[f"{name}.{part}.weight"] = (1 + 0.1 * torch.randn(channels)).half().float()
        random(f"{name}.{part}.bias", channels, scale=0.1)
    weights[f"{name}.alpha_attn"] = torch.tensor(0.7)
    weights[f"{name}.alpha_dense"] = torch.tensor(-0.4)


def objects(texts, boxes):
    """[1, MOST, KEY]; places without a box have the learned null features."""
    angles = [100 ** (i / 8) * boxes for i in range(8)]
    place = torch.cat([part for a in angles for part in (a.sin(), a.cos())], dim=-1)
    given = torch.cat([texts, place], dim=-1)
    null = torch.cat([weights["position_net.null_positive_feature"], weights["position_net.null_position_feature"]])
    x = torch.cat([given, null.expand(MOST - len(texts), -1)])[None]
    h = F.silu(linear(x, "position_net.linears.0"))
    return linear(F.silu(linear(h, "position_net.linears.2")), "position_net.linears.4")


def fuse(x, objs, name, heads=8):
    tokens = x.shape[1]
    h = norm(torch.cat([x, linear(objs, f"{name}.linear").expand(len(x), -1, -1)], dim=1), f"{name}.norm1")
    q, k, v = (linear(h, f"{name}.attn.{part}").unflatten(-1, (heads, -1)).transpose(1, 2) for part in ["to_q", "to_k", "to_v"])
    h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)[:, :tokens]
    x = x + torch.tanh(weights[f"{name}.alpha_attn"]) * linear(h, f"{name}.attn.to_out.0")
    a, gate = linear(norm(x, f"{name}.norm2"), f"{name}.ff.net.0.proj").chunk(2, dim=-1)
    return x + torch.tanh(weights[f"{name}.alpha_dense"]) * linear(a * F.gelu(gate), f"{name}.ff.net.2")


make_linear("position_net.linears.0", TEXT + 64, HIDDEN)
make_linear("position_net.linears.2", HIDDEN, HIDDEN)
make_linear("position_net.linears.4", HIDDEN, KEY)
random("position_net.null_positive_feature", TEXT, scale=1.0)
random("position_net.null_position_feature", 64, scale=1.0)
# By number of the block, not in the order of the file.
places = ["output_blocks.3.1.transformer_blocks.0", "input_blocks.11.1.transformer_blocks.0", "input_blocks.2.1.transformer_blocks.0"]
channels = dict(zip(places, [16, 24, 32]))
for place in places:
    make_fuser(f"{place}.fuser", channels[place])

texts, boxes = torch.randn(3, TEXT), torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], [0.25, 0.5, 0.75, 1.25]])
golden = {"texts": texts, "boxes": boxes}
with torch.no_grad():
    objs = objects(texts, boxes)
    for i, place in enumerate(reversed(places)):
        x = torch.randn(2, 20, channels[place])
        golden |= {f"{i}.x": x, f"{i}.y": fuse(x, objs, f"{place}.fuser")}
stored = {name: x.half() for name, x in weights.items()}
save_file(stored | {f"golden.{name}": x.contiguous() for name, x in golden.items()}, "small.safetensors")
