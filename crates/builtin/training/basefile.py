"""Loads weft-tiny.safetensors into the modules of models.py.

The file's VAE is 96 channels wide but only 16 or 32 of them hold data (models.expand_vae wrote it so);
compact_vae() undoes that, which makes encoding the training pictures about ten times cheaper."""
import torch
from safetensors.torch import load_file
import models

UNET, VAE, CLIP = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."


def load(path):
    return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}


def part(sd, prefix):
    return {k[len(prefix):]: v for k, v in sd.items() if k.startswith(prefix)}


def unet(u):
    m = models.UNet(in_channels=u["input_blocks.0.0.weight"].shape[1])
    m.load_state_dict(u)
    return m.eval()


def vae(sd):
    m = models.LdmVAE()
    m.load_state_dict(part(sd, VAE))
    return m.eval()


def clip(sd):
    c = part(sd, CLIP)
    c.pop("embeddings.position_ids")
    m = models.ClipText(models.CONFIG["clip"]["vocab_size"])
    m.load_state_dict(c)
    return m.eval()


def widen(u, extra, std=0.1):
    """The same UNet with extra input channels, their weights small random numbers.  (Zero weights leave the network
    blind to the new channels for many hundred steps.)"""
    u = dict(u)
    w = u["input_blocks.0.0.weight"]
    u["input_blocks.0.0.weight"] = torch.cat([w, torch.randn(w.shape[0], extra, 3, 3) * std], 1)
    return unet(u)


def _data_channels(n, total):
    g = total // 32
    per = 1 if n <= 32 else g - 2
    return torch.tensor([(j // per) * g + j % per for j in range(n)])


class _GroupNorm(torch.nn.Module):
    """The file's GroupNorm seen from its data channels: every group is (d, K - d, -K)."""

    def __init__(s, weight, bias, eps, K=64.0):
        super().__init__()
        s.weight, s.bias, s.eps, s.K = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone()), eps, K

    def forward(s, x):
        m, m2 = x.mean((2, 3), keepdim=True), x.square().mean((2, 3), keepdim=True)
        r = s.weight[:, None, None] * ((s.K * s.K - s.K * m + m2) * (2 / 3) + s.eps).rsqrt()
        return x * r + s.bias[:, None, None]


@torch.no_grad()
def compact_vae(full):
    """full: LdmVAE of the file. The returned module's encode(x) and decoder(z) work on scaled latents."""
    tv = models.TrainVAE().eval()

    def conv(dst, src, cin=None, cout=None):
        w, b = src.weight, src.bias
        no, ni = dst.weight.shape[:2]
        po = torch.arange(no) if cout is None else _data_channels(no, cout)
        pi = torch.arange(ni) if cin is None else _data_channels(ni, cin)
        dst.weight.copy_(w[po][:, pi])
        dst.bias.copy_(b[po])

    def norm(dst, src):
        n, total = dst.weight.shape[0], src.weight.shape[0]
        assert n <= 32 and total == 96
        p = _data_channels(n, total)
        return _GroupNorm(src.weight[p], src.bias[p], src.eps)

    def res(dst, src):
        dst.norm1 = norm(dst.norm1, src.norm1)
        conv(dst.conv1, src.conv1, src.conv1.weight.shape[1], src.conv1.weight.shape[0])
        dst.norm2 = norm(dst.norm2, src.norm2)
        conv(dst.conv2, src.conv2, src.conv2.weight.shape[1], src.conv2.weight.shape[0])
        if hasattr(dst, "nin_shortcut"):
            conv(dst.nin_shortcut, src.nin_shortcut, src.nin_shortcut.weight.shape[1], src.nin_shortcut.weight.shape[0])

    def attn(dst, src):
        dst.norm = norm(dst.norm, src.norm)
        for k in ("q", "k", "v", "proj_out"):
            w = getattr(src, k)
            conv(getattr(dst, k), w, w.weight.shape[1], w.weight.shape[0])

    def both(dst, src, up):
        t = src.conv_in.weight.shape[0]
        conv(dst.conv_in, src.conv_in, None, t)
        for d, s in zip(dst.up if up else dst.down, src.up if up else src.down):
            for a, b in zip(d["block"], s["block"]):
                res(a, b)
            for k in ("downsample", "upsample"):
                if k in d:
                    conv(d[k].conv, s[k].conv, t, t)
        for k in ("block_1", "block_2"):
            res(dst.mid[k], src.mid[k])
        attn(dst.mid["attn_1"], src.mid["attn_1"])
        dst.norm_out = norm(dst.norm_out, src.norm_out)
        conv(dst.conv_out, src.conv_out, t, None)
    # models.LdmVAE has 8 moment channels, the compact form the 4 means only
    both(tv.decoder, full.decoder, True)
    both(tv.encoder, full.encoder, False)
    sf = models.CONFIG["vae"]["scale_factor"]
    q = full.quant_conv
    scale, shift = torch.diagonal(q.weight[:4, :4, 0, 0]) * sf, q.bias[:4] * sf
    tv.bn.running_var.copy_(1 / scale.square() - tv.bn.eps)
    tv.bn.running_mean.copy_(-shift / scale)
    d = torch.diagonal(full.post_quant_conv.weight[:, :, 0, 0]) / sf
    tv.decoder.conv_in.weight.mul_(d[None, :, None, None])
    return tv.to(memory_format=torch.channels_last)
