"""Trains UNet and text encoder jointly on the latents; writes unet_train.pt"""
import os, time, json, copy, argparse
import numpy as np
import torch
import torch.nn.functional as F
import models, tok, evaluate
from muon import Muon

UNKNOWN = 2


def encode_all(work, vae, n):
    imgs = np.load(work + "/imgs.npy", mmap_mode="r")[:n]
    out = []
    with torch.no_grad():
        for i in range(0, len(imgs), 32):
            x = torch.from_numpy(np.array(imgs[i:i + 32])).permute(0, 3, 1, 2).float() / 127.5 - 1
            out.append(vae.encode(x.contiguous(memory_format=torch.channels_last)).contiguous())
    return torch.cat(out)


class Captions:
    """Compact token ids: 0 = BOS, 1 = EOS / pad, 2 = any unseen word (a zero row), 3.. = vocabulary"""

    def __init__(s, work, merges):
        d = json.load(open(work + "/caps.json"))
        s.T = tok.Tokenizer(merges)
        s.vocab = d["vocab"]
        s.map = {v: i + 3 for i, v in enumerate(s.vocab)}
        s.caps = [[[s.map[w] for w in s.T.words(c)] for c in cs] for cs in d["caps"]]
        s.n = len(s.vocab) + 3

    def ids(s, words):
        w = words[:75]
        return [0] + w + [1] * (76 - len(w))

    def encode(s, text):
        return s.ids([s.map.get(w, UNKNOWN) for w in s.T.words(text)])

    def sample(s, i, rng):
        if rng.random() < 0.12:
            return s.ids([])
        w = list(s.caps[i][rng.integers(0, 4)])
        if rng.random() < 0.12:
            for _ in range(rng.integers(1, 4)):
                w.insert(rng.integers(0, len(w) + 1), UNKNOWN)
        return s.ids(w)


def main(work, stages, merges, lr=1e-3, mlr=0.01, threads=2, time_limit=None, images=12000, first_stage_share=0.25):
    """stages: (steps, picture size, batch). With a time limit (seconds) the learning rate follows the clock and the
    first of several stages ends after its share of it."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    vae = models.TrainVAE()
    vae.load_state_dict(torch.load(work + "/vae_train.pt"))
    vae.eval().to(memory_format=torch.channels_last)
    f = work + "/lat128.pt"
    if not os.path.exists(f):
        torch.save(encode_all(work, vae, images), f)
    lat = {128: torch.load(f)}
    lat[64] = F.avg_pool2d(lat[128], 2)  # the VAE was trained to keep pooled latents meaningful
    print("latents", lat[128].shape, "mean", lat[128].mean((0, 2, 3)), "std", lat[128].std((0, 2, 3)), flush=True)
    cap = Captions(work, merges)
    net = torch.nn.ModuleDict({"unet": models.UNet(), "clip": models.ClipText(cap.n)})
    table = net["clip"].embeddings["token_embedding"].weight
    table.data[UNKNOWN] = 0
    big, small = [], []
    for n, p in net.named_parameters():
        m = p.dim() >= 2 and "embedding" not in n and "input_blocks.0." not in n and "unet.out." not in n and "time_embed" not in n
        (big if m else small).append(p)
    opts = [torch.optim.AdamW(small, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True), Muon(big, mlr, 0.95, 0.01)]
    ema = copy.deepcopy(net).eval()
    acp = models.alphas_cumprod()
    snr = acp / (1 - acp)
    weight = snr.clamp(max=5) / snr
    total = sum(s[0] for s in stages)
    it, t0, run, saved = 0, time.time(), [], time.time()
    for si, (n, size, B) in enumerate(stages):
        L = lat[size]
        perm = []
        for k in range(n):
            if len(perm) < B:
                perm = list(rng.permutation(len(L)))
            idx = [perm.pop() for _ in range(B)]
            x0 = L[idx]
            ids = torch.tensor([cap.sample(i, rng) for i in idx])
            t = ((torch.arange(B) + torch.rand(B)) * (1000 / B)).long().clamp(0, 999)  # stratified
            eps = torch.randn_like(x0)
            a = acp[t][:, None, None, None]
            xt = a.sqrt() * x0 + (1 - a).sqrt() * eps
            done = max(it / total, (time.time() - t0) / time_limit if time_limit else 0)
            rate = min(1, (it + 1) / 150) * min(1, max(0, 1 - done) / 0.35 + 0.003)
            for o, b in zip(opts, (lr, mlr)):
                o.param_groups[0]["lr"] = b * rate
            pred = net["unet"](xt, t, net["clip"](ids))
            loss = ((pred - eps).square().mean((1, 2, 3)) * weight[t]).mean()
            for o in opts:
                o.zero_grad(set_to_none=True)
            loss.backward()
            table.grad[UNKNOWN] = 0
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            for o in opts:
                o.step()
            with torch.no_grad():
                d = min(0.996, (it + 1) / (it + 15))
                for x, y in zip(ema.parameters(), net.parameters()):
                    x.lerp_(y, 1 - d)
            run.append(loss.item())
            if it % 50 == 0 or it == total - 1:
                print(f"unet {it} size {size} loss {np.mean(run[-50:]):.4f} gnorm {norm:.3f} t {time.time() - t0:.0f}", flush=True)
            switch = k == n - 1 or (time_limit and si == 0 and len(stages) > 1 and done >= first_stage_share)
            if time.time() - saved > 700 or switch or done >= 1:
                torch.save(ema.state_dict(), f"{work}/unet_train.pt")
                evaluate.quick(work, ema, vae, cap, f"unet_{it}", size // 8)
                saved = time.time()
            it += 1
            if done >= 1:
                return
            if switch:
                break


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("work")
    p.add_argument("--stages", default="780:64:96,1950:128:48", help="steps:picture size:batch,...")
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--mlr", type=float, default=0.015)
    p.add_argument("--time-limit", type=float)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    main(a.work, [tuple(int(v) for v in s.split(":")) for s in a.stages.split(",")], a.work + "/merges.txt",
         lr=a.lr, mlr=a.mlr, time_limit=a.time_limit, threads=a.threads)
