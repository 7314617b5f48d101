"""Writes a variant's UNet as fp16 safetensors, keys as in the base file."""
import os, json, argparse
import torch
from safetensors.torch import save_file
import basefile, models, export, train_variants

WHAT = {
    "instruct": ("weft-tiny-instruct", "InstructPix2Pix-style UNet for weft-tiny: input channels are 4 noisy latent, 4 source-picture latent "
                 "(not scaled by 0.18215). Follows instructions such as 'make it blue', 'turn the circle into a star', 'make the background green'."),
    "inpaint": ("weft-tiny-inpaint", "Inpainting UNet for weft-tiny, input channels as in SD-1.5-inpainting: 4 noisy latent, 1 mask (1 = repaint), "
                "4 latent of the picture with its masked pixels grey (scaled by 0.18215)."),
}


def main(name, work, out, trained=""):
    v = train_variants.VARIANTS[name]
    u = torch.load(f"{work}/{name}_train.pt")
    u["input_blocks.0.0.weight"] = v.fold(u["input_blocks.0.0.weight"])
    sd = {basefile.UNET + k: x.detach().to(torch.float16).contiguous() for k, x in u.items()}
    title, text = WHAT[name]
    cfg = {**models.CONFIG, "unet": {**models.CONFIG["unet"], "in_channels": 4 + v.extra}}
    meta = {**export.META, "modelspec.title": title, "modelspec.description": text + " UNet only: text encoder and VAE are those of weft-tiny.safetensors. "
            "Trained from weft-tiny on procedurally drawn pictures (128x128); no outside image or weight was used.",
            "modelspec.trained_on": "procedural pictures, data.py, edits.py, inpaint.py", "tiny.config": json.dumps(cfg), "base": "weft-tiny.safetensors",
            "clip.num_attention_heads": str(models.CONFIG["clip"]["num_attention_heads"]), "unet.num_heads": "8"}
    if trained:
        meta["trained"] = trained
    f = f"{out}/{title}.unet.safetensors"
    save_file(sd, f, metadata=meta)
    print(f, os.path.getsize(f), "bytes,", len(sd), "tensors, first kernel", tuple(sd[basefile.UNET + "input_blocks.0.0.weight"].shape))


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("name", choices=list(WHAT))
    p.add_argument("work")
    p.add_argument("out")
    p.add_argument("--trained", default="")
    a = p.parse_args()
    main(a.name, a.work, a.out, a.trained)
