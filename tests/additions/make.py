"""Writes NAME.safetensors beside NAME.json: what PyTorch makes of the built-in checkpoint with a GLIGEN file and with
a hypernetwork, both of weights that `tests/additions.rs` makes by the same rule.

    python make.py path/to/weft

`weft` encodes the prompts; the UNet is that of crates/builtin/training/models.py.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
BUILTIN = HERE.parent.parent / "crates/builtin"
sys.path.insert(0, str(BUILTIN / "training"))
import models  # noqa: E402

KEY, HIDDEN, MOST = 768, 32, 30


def made(name, *shape):
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    h = (numpy.arange(math.prod(shape), dtype=numpy.uint64) * 2654435761 % 2**32) ^ seed
    for shift, factor in [(15, 2246822519), (13, 3266489917)]:
        h = (h ^ (h >> shift)) * factor % 2**32
    u = (h ^ (h >> 16)).astype(numpy.float64) / 2**31 - 1
    if name.endswith(("norm1.weight", "norm2.weight")):
        u = 1 + 0.1 * u
    elif name.endswith("bias"):
        u = 0.1 * u
    elif len(shape) == 2:
        u = u * math.sqrt(3 / shape[-1])
    return torch.from_numpy(u.astype(numpy.float32)).reshape(shape)


def linear(x, name, outputs, bias=True):
    return F.linear(x, made(f"{name}.weight", outputs, x.shape[-1]), made(f"{name}.bias", outputs) if bias else None)


def norm(x, name):
    c = x.shape[-1:]
    return F.layer_norm(x, c, made(f"{name}.weight", *c), made(f"{name}.bias", *c))


def objects(texts, boxes):
    """Li et al. 2023, equation 5; the null features stand in the places without a box."""
    angles = [100 ** (i / 8) * boxes for i in range(8)]
    place = torch.cat([part for a in angles for part in (a.sin(), a.cos())], dim=-1)
    null = [made("position_net.null_positive_feature", texts.shape[1]), made("position_net.null_position_feature", 64)]
    x = torch.cat([torch.cat([texts, place], dim=-1), torch.cat(null).expand(MOST - len(texts), -1)])[None]
    h = F.silu(linear(x, "position_net.linears.0", HIDDEN))
    return linear(F.silu(linear(h, "position_net.linears.2", HIDDEN)), "position_net.linears.4", KEY)


def fuse(x, objs, name):
    """Equation 8, and the gated MLP."""
    tokens, c = x.shape[1:]
    h = norm(torch.cat([x, linear(objs, f"{name}.linear", c).expand(len(x), -1, -1)], dim=1), f"{name}.norm1")
    q, k, v = (linear(h, f"{name}.attn.{part}", c, bias=False).unflatten(-1, (8, -1)).transpose(1, 2) for part in ["to_q", "to_k", "to_v"])
    h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)[:, :tokens]
    x = x + math.tanh(0.5) * linear(h, f"{name}.attn.to_out.0", c)
    a, gate = linear(norm(x, f"{name}.norm2"), f"{name}.ff.net.0.proj", 8 * c).chunk(2, dim=-1)
    return x + math.tanh(0.3) * linear(a * F.gelu(gate), f"{name}.ff.net.2", c)


def changed(x, part, strength):
    d = x.shape[-1]
    h = F.mish(linear(x, f"{d}.{part}.linear.0", 2 * d))
    return x + strength * linear(h, f"{d}.{part}.linear.2", d)


def encoded(weft, graph, nodes):
    """The prompts' tokens and pooled vectors, by node."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = {id: node for id, node in graph.items() if node["class_type"] in ["CheckpointLoaderSimple", "CLIPTextEncode"]}
        Path(folder, "graph.json").write_text(json.dumps(prompts))
        subprocess.run([weft, "run", "graph.json", "--device", "cpu", "--dump", ".", "--dump-nodes", ",".join(nodes)], cwd=folder, check=True)
        files = {id: load_file(f"{folder}/{id}.safetensors") for id in nodes}
    return {id: (file[f"{id}.0.0.0"], file[f"{id}.0.0.1.pooled_output"]) for id, file in files.items()}


def sample(unet, positive, negative):
    """One step of Euler's method from pure noise to nothing: what KSampler does with these graphs."""
    sigma, scale = 14.614641, 0.18215
    noise = torch.randn(2, 4, 12, 16, generator=torch.manual_seed(5))
    x = noise * math.sqrt(1 + sigma**2)
    context = torch.cat([negative, positive]).repeat_interleave(2, 0)
    with torch.no_grad():
        away, towards = unet(noise.repeat(2, 1, 1, 1), torch.full((4,), 999.0), context).chunk(2)
    return (x - sigma * (away + (towards - away) * 4.0)) / scale


def changed_unet(grounding, strength):
    unet = models.UNet()
    prefix = "model.diffusion_model."
    file = load_file(BUILTIN / "weights/weft-tiny.safetensors")
    unet.load_state_dict({key.removeprefix(prefix): x.float() for key, x in file.items() if key.startswith(prefix)})

    def attend(module, x, context):
        heads = lambda x: x.unflatten(-1, (module.h, -1)).transpose(1, 2)  # noqa: E731
        k, v = (changed(context, part, strength) if strength else context for part in "01")
        h = F.scaled_dot_product_attention(heads(module.to_q(x)), heads(module.to_k(k)), heads(module.to_v(v)))
        return module.to_out(h.transpose(1, 2).flatten(2))

    for name, block in unet.named_modules():
        if not isinstance(block, models.TBlock):
            continue

        def forward(x, context, block=block, name=name):
            n = block.norm1(x)
            x = x + attend(block.attn1, n, n)
            if grounding is not None:
                x = fuse(x, grounding, f"{name}.fuser")
            x = x + attend(block.attn2, block.norm2(x), context)
            return x + block.ff(block.norm3(x))

        block.forward = forward
    return unet


for name in ["gligen", "hypernetwork"]:
    graph = json.loads((HERE / f"{name}.json").read_text())
    texts = encoded(sys.argv[1], graph, ["6", "7", "8", "9"])
    # In units of the latent, 16 wide and 12 high: as the graph has them in pixels.
    boxes = torch.tensor([[2 / 16, 1 / 12, 10 / 16, 7 / 12], [10 / 16, 6 / 12, 15 / 16, 11 / 12]])
    with torch.no_grad():
        grounding = objects(torch.cat([texts["8"][1], texts["9"][1]]), boxes) if name == "gligen" else None
    unet = changed_unet(grounding, 0.7 if name == "hypernetwork" else None)
    save_file({"3.0.samples": sample(unet, texts["6"][0], texts["7"][0]).contiguous()}, HERE / f"{name}.safetensors")
