"""Trains the VAE on crops of the training pictures, writes vae_train.pt"""
import time, math, copy
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
import data, models
from muon import Muon


def crops(imgs, n, s, g):
    i = g.integers(0, len(imgs), n)
    o = np.empty((n, s, s, 3), np.uint8)
    for k in range(n):
        y, x = g.integers(0, 128 - s + 1, 2)
        o[k] = imgs[i[k], y:y + s, x:x + s]
    if g.random() < 0.5:
        o = o[:, :, ::-1]
    t = torch.from_numpy(np.ascontiguousarray(o)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return t.contiguous(memory_format=torch.channels_last)


def loss_fn(y, x):
    d = y - x
    l = d.abs().mean() + 2.0 * d.square().mean()
    l = l + 0.5 * ((d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean())
    return l + 0.5 * F.avg_pool2d(d, 4).abs().mean()


def psnr(y, x):
    return -10 * math.log10(((y.clamp(-1, 1) - x) / 2).square().mean().item())


def main(work, steps, lr=2e-3, mlr=0.02, batch=16, threads=2, time_limit=None):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    g = np.random.default_rng(0)
    imgs = np.load(work + "/imgs.npy", mmap_mode="r")
    vae = models.TrainVAE().to(memory_format=torch.channels_last)
    big = [p for n, p in vae.named_parameters() if p.dim() == 4 and "conv_in" not in n and "conv_out" not in n]
    ids = {id(p) for p in big}
    opts = [torch.optim.AdamW([p for p in vae.parameters() if id(p) not in ids], lr=lr, betas=(0.9, 0.99), weight_decay=0.0), Muon(big, mlr)]
    ema = copy.deepcopy(vae).eval()
    test = crops(imgs, 16, 128, np.random.default_rng(99))
    t0 = time.time()
    acc = 0
    for it in range(steps):
        f = it / steps
        if time_limit:
            f = max(f, min(1, (time.time() - t0) / time_limit))
        last = f >= 1 or it == steps - 1
        for o, b in zip(opts, (lr, mlr)):
            o.param_groups[0]["lr"] = b * (min(1, (it + 1) / 40) * (0.5 + 0.5 * math.cos(math.pi * f)) + 5e-4)
        x = crops(imgs, batch // 4, 128, g) if it % 4 == 3 else crops(imgs, batch, 64, g)
        z = vae.encode(x)
        loss = 1e-2 * F.relu(z.abs() - 3).square().mean()
        if it % 4 == 1:  # keep the latents meaningful at half size
            z = F.avg_pool2d(z, 2)
            x = F.avg_pool2d(x, 2)
            loss = loss + 0.3 * loss_fn(vae.decoder(z), x)
        else:
            z = z + torch.randn_like(z) * (0.12 * torch.rand(len(z), 1, 1, 1))
            loss = loss + loss_fn(vae.decoder(z), x)
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        gn = torch.nn.utils.clip_grad_norm_(vae.parameters(), 0.5)
        for o in opts:
            o.step()
        with torch.no_grad():
            d = min(0.998, (it + 1) / (it + 20))
            for a, b in zip(ema.parameters(), vae.parameters()):
                a.lerp_(b, 1 - d)
        acc = acc * 0.98 + loss.item() * 0.02
        if it % 50 == 0 or last:
            for a, b in zip(ema.buffers(), vae.buffers()):
                a.copy_(b)
            with torch.no_grad():
                y = ema.decoder(ema.encode(test))
            print(f"vae {it} loss {acc / (1 - 0.98 ** (it + 1)):.4f} gnorm {gn:.3f} psnr {psnr(y, test):.2f} t {time.time() - t0:.0f}", flush=True)
            if it % 500 == 0 or last:
                torch.save(ema.state_dict(), work + "/vae_train.pt")
                im = lambda t: list(((t.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
                Image.fromarray(data.grid(im(test[:8]) + im(y[:8]) + im(test[8:]) + im(y[8:]), 8)).save(work + "/vae.png")
        if last:
            break
    # exact latent statistics for the folded batch norm
    ema.bn.momentum = None
    ema.bn.reset_running_stats()
    ema.eval()
    ema.bn.train()
    with torch.no_grad():
        for _ in range(24):
            ema.encode(crops(imgs, 32, 128, g))
    ema.eval()
    torch.save(ema.state_dict(), work + "/vae_train.pt")


if __name__ == "__main__":
    import argparse
    p = argparse.ArgumentParser()
    p.add_argument("work")
    p.add_argument("--steps", type=int, default=4000)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--time-limit", type=float)
    a = p.parse_args()
    main(a.work, a.steps, threads=a.threads, time_limit=a.time_limit)
