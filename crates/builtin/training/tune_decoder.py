"""Continues the decoder alone (encoder and latents frozen); updates vae_train.pt"""
import copy, time
import numpy as np
import torch
import models
from muon import Muon
from train_vae import crops, loss_fn, psnr


def main(work, steps, out, lr=1e-3, mlr=0.01, batch=16, threads=2, time_limit=None, noise=0.08):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    g = np.random.default_rng(1)
    imgs = np.load(work + "/imgs.npy", mmap_mode="r")
    vae = models.TrainVAE().to(memory_format=torch.channels_last)
    vae.load_state_dict(torch.load(work + "/vae_train.pt"))
    vae.eval()
    ema = copy.deepcopy(vae)
    big = [p for n, p in vae.decoder.named_parameters() if p.dim() == 4 and "conv_in" not in n and "conv_out" not in n]
    ids = {id(p) for p in big}
    opts = [torch.optim.AdamW([p for p in vae.decoder.parameters() if id(p) not in ids], lr=lr, betas=(0.9, 0.99), weight_decay=0.0), Muon(big, mlr)]
    test = crops(imgs, 16, 128, np.random.default_rng(99))
    t0 = time.time()
    for it in range(steps):
        f = it / steps
        if time_limit:
            f = max(f, min(1, (time.time() - t0) / time_limit))
        last = f >= 1 or it == steps - 1
        for o, b in zip(opts, (lr, mlr)):
            o.param_groups[0]["lr"] = b * (min(1, (it + 1) / 40) * (1 - f) + 5e-4)
        x = crops(imgs, batch // 4, 128, g) if it % 3 == 2 else crops(imgs, batch, 64, g)
        with torch.no_grad():
            z = vae.encode(x)
            z = z + torch.randn_like(z) * (noise * torch.rand(len(z), 1, 1, 1))
        loss = loss_fn(vae.decoder(z), x)
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        for o in opts:
            o.step()
        with torch.no_grad():
            d = min(0.998, (it + 1) / (it + 20))
            for a, b in zip(ema.parameters(), vae.parameters()):
                a.lerp_(b, 1 - d)
            if it % 100 == 0 or last:
                print(f"dec {it} loss {loss.item():.4f} psnr {psnr(ema.decoder(ema.encode(test)), test):.2f} t {time.time() - t0:.0f}", flush=True)
        if last:
            break
    torch.save(ema.state_dict(), out)


if __name__ == "__main__":
    import argparse
    p = argparse.ArgumentParser()
    p.add_argument("work")
    p.add_argument("out")
    p.add_argument("--steps", type=int, default=100000)
    p.add_argument("--time-limit", type=float)
    a = p.parse_args()
    main(a.work, a.steps, a.out, time_limit=a.time_limit)
