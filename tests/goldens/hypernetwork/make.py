"""Writes NAME.safetensors for each activation: a small hypernetwork, and what PyTorch makes of it.

The layers are torch's own modules, built as A1111's web UI built them for training; golden tensors begin with
`golden.` In the files with layer norms the last linear layer has its activation too, as ComfyUI has it.
"""

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(3)
ACTIVATIONS = {
    "linear": nn.Identity, "relu": nn.ReLU, "leakyrelu": nn.LeakyReLU, "elu": nn.ELU, "swish": nn.Hardswish,
    "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softsign": nn.Softsign, "mish": nn.Mish,
}
STRENGTH = 0.8

for number, (name, activation) in enumerate(ACTIVATIONS.items()):
    norms, output = number % 3 == 1, number % 2 == 1
    tensors, golden = {}, {}
    for channels in [8, 12]:
        for part in ["0", "1"]:
            sizes = [channels, 2 * channels, channels]
            layers = []
            for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
                layers.append(nn.Linear(a, b))
                if i + 2 < len(sizes) or output or norms:
                    layers.append(activation())
                if norms:
                    layers.append(nn.LayerNorm(b))
            module = nn.Sequential(*layers)
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.7)
            tensors |= {f"{channels}.{part}.linear.{key}": x for key, x in module.state_dict().items()}
            x = torch.randn(5, channels)
            with torch.no_grad():
                golden |= {f"golden.{channels}.{part}.x": x, f"golden.{channels}.{part}.y": x + STRENGTH * module(x)}
    metadata = {"activation_func": name, "is_layer_norm": str(norms), "activate_output": str(output)}
    save_file(tensors | golden, f"{name}.safetensors", metadata)
