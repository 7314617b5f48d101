#!/usr/bin/env python3
"""Fits the linear map from latents to colours that previews use, by least squares.

    weft run GRAPH --dump dumps/0 --dump-nodes 3,8      (a sampler 3 and its VAEDecode 8; many prompts)
    python3 fit_preview.py dumps ../weights/weft-tiny.preview.safetensors

Writes `latent_to_rgb`, [5, 3]: colours of -1 to 1 for each channel of a scaled latent, then what is added.
Prints the share of the colours' variance that the map explains.
"""
import pathlib, sys
import numpy as np
from safetensors.numpy import load_file, save_file

SCALE = 0.18215


def pixels(folder):
    """Rows of latent channels and 1, and of the mean colours of the 8x8 pixels that each stands for."""
    latents = load_file(folder / "3.safetensors")["3.0.samples"] * SCALE
    picture = load_file(folder / "8.safetensors")["8.0"] * 2 - 1
    n, _, h, w = latents.shape
    colours = picture.reshape(n, h, 8, w, 8, 3).mean((2, 4)).reshape(-1, 3)
    rows = latents.transpose(0, 2, 3, 1).reshape(-1, 4)
    return np.hstack([rows, np.ones((len(rows), 1), np.float32)]), colours


def main(dumps, out):
    pairs = [pixels(folder) for folder in sorted(pathlib.Path(dumps).iterdir())]
    x, y = (np.concatenate(part).astype(np.float64) for part in zip(*pairs))
    fitted = np.linalg.lstsq(x, y, rcond=None)[0]
    print("explained:", 1 - ((x @ fitted - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum())
    save_file({"latent_to_rgb": fitted.astype(np.float32)}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
