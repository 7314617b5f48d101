"""Writes the single-file checkpoint (original LDM key layout, fp16) and its config."""
import json, zlib
import numpy as np
import torch
from safetensors.torch import save_file
import models


def build(work, vae_sd, net_sd, vocab, calib, K=64.0):
    tv = models.TrainVAE()
    tv.load_state_dict(vae_sd)
    lv = models.expand_vae(tv, calib, K=K)
    out = {}
    for k, v in lv.state_dict().items():
        out["first_stage_model." + k] = v
    for k, v in net_sd.items():
        if k.startswith("unet."):
            out["model.diffusion_model." + k[5:]] = v
    c = models.CONFIG["clip"]
    pre = "cond_stage_model.transformer.text_model."
    for k, v in net_sd.items():
        if k.startswith("clip."):
            k = k[5:]
            if k == "embeddings.token_embedding.weight":
                t = torch.zeros(c["vocab_size"], c["hidden_size"])
                t[c["bos_token_id"]], t[c["eos_token_id"]] = v[0], v[1]
                t[vocab] = v[3:]
                v = t
            out[pre + k] = v
    out = {k: v.detach().to(torch.float16).contiguous() for k, v in out.items()}
    out[pre + "embeddings.position_ids"] = torch.arange(77)[None]
    return out


META = {
    "format": "pt",
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": "stable-diffusion-v1",
    "modelspec.implementation": "sgm",
    "modelspec.title": "weft-tiny",
    "modelspec.resolution": "128x128",
    "modelspec.prediction_type": "epsilon",
    "modelspec.license": "CC0-1.0",
    "modelspec.description": "A very small Stable Diffusion 1.x-architecture text-to-image model, trained from scratch on "
                             "procedurally drawn captioned pictures (coloured shapes and simple scenes, 128x128). No outside image or weight was used.",
    "modelspec.trained_on": "procedural pictures, data.py",
    "license": "CC0-1.0",
}


def main(work, out, name="weft-tiny.safetensors", trained=""):
    imgs = np.load(work + "/imgs.npy", mmap_mode="r")
    calib = torch.from_numpy(np.array(imgs[:32])).permute(0, 3, 1, 2).float() / 127.5 - 1
    vocab = json.load(open(work + "/caps.json"))["vocab"]
    net = torch.load(f"{work}/unet_train.pt")
    sd = build(work, torch.load(work + "/vae_train.pt"), net, vocab, calib)
    meta = {**META, "tiny.config": json.dumps(models.CONFIG),
            "clip.num_attention_heads": str(models.CONFIG["clip"]["num_attention_heads"]),
            "unet.num_heads": "8", **({"trained": trained} if trained else {})}
    save_file(sd, f"{out}/{name}", metadata=meta)
    json.dump(models.CONFIG, open(f"{out}/{name.replace('.safetensors', '')}.config.json", "w"), indent=1)
    b = open(f"{out}/{name}", "rb").read()
    print(name, "bytes", len(b), "zlib", len(zlib.compress(b, 6)), "tensors", len(sd),
          {p: sum(v.numel() for k, v in sd.items() if k.startswith(p)) for p in ("model.", "first_stage_model.", "cond_stage_model.")})


if __name__ == "__main__":
    import argparse
    p = argparse.ArgumentParser()
    p.add_argument("work")
    p.add_argument("out")
    p.add_argument("--name", default="weft-tiny.safetensors")
    p.add_argument("--trained", default="")
    a = p.parse_args()
    main(a.work, a.out, a.name, a.trained)
