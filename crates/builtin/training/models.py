"""Modules of the tiny SD1.x checkpoint.

UNet and ClipText use the key names of the original single-file (LDM) layout
directly.  The VAE is trained in a norm-free form (TrainVAE) and then written
out *exactly* as an ordinary LDM AutoencoderKL with GroupNorm(32): see
expand_vae().
"""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F

# ------------------------------------------------------------------ configs
CONFIG = {
    "vae": {"in_channels": 3, "out_ch": 3, "z_channels": 4, "double_z": True, "embed_dim": 4,
            "block_out_channels": [96, 96, 96, 96], "num_res_blocks": 1, "norm_groups": 32,
            "norm_eps": 1e-6, "mid_attention_heads": 1, "scale_factor": 0.18215},
    "unet": {"in_channels": 4, "out_channels": 4, "model_channels": 64, "channel_mult": [1, 1, 2],
             "num_res_blocks": 1, "attention_levels": [1, 2], "num_heads": 8, "context_dim": 48,
             "transformer_depth": 1, "norm_groups": 32, "norm_eps": 1e-5, "prediction": "eps"},
    "clip": {"vocab_size": 49408, "hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 1,
             "intermediate_size": 192, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
             "layer_norm_eps": 1e-5, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407},
    "schedule": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000},
}


def alphas_cumprod():
    s = CONFIG["schedule"]
    b = torch.linspace(s["beta_start"] ** 0.5, s["beta_end"] ** 0.5, s["num_train_timesteps"], dtype=torch.float64) ** 2
    return torch.cumprod(1 - b, 0).float()


# ------------------------------------------------------------------ text encoder
class ClipAttn(nn.Module):
    def __init__(s, d, h):
        super().__init__()
        s.h = h
        s.k_proj, s.v_proj, s.q_proj, s.out_proj = (nn.Linear(d, d) for _ in range(4))

    def forward(s, x):
        B, T, D = x.shape
        q, k, v = (p(x).view(B, T, s.h, D // s.h).transpose(1, 2) for p in (s.q_proj, s.k_proj, s.v_proj))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return s.out_proj(o.transpose(1, 2).reshape(B, T, D))


class ClipMLP(nn.Module):
    def __init__(s, d, m):
        super().__init__()
        s.fc1, s.fc2 = nn.Linear(d, m), nn.Linear(m, d)

    def forward(s, x):
        x = s.fc1(x)
        return s.fc2(x * torch.sigmoid(1.702 * x))


class ClipLayer(nn.Module):
    def __init__(s, d, h, m):
        super().__init__()
        s.self_attn, s.layer_norm1, s.mlp, s.layer_norm2 = ClipAttn(d, h), nn.LayerNorm(d), ClipMLP(d, m), nn.LayerNorm(d)

    def forward(s, x):
        x = x + s.self_attn(s.layer_norm1(x))
        return x + s.mlp(s.layer_norm2(x))


class ClipText(nn.Module):
    """vocab: number of rows of the token table (compact while training, 49408 in the file)."""

    def __init__(s, vocab):
        super().__init__()
        c = CONFIG["clip"]
        d = c["hidden_size"]
        s.embeddings = nn.ModuleDict({"token_embedding": nn.Embedding(vocab, d),
                                      "position_embedding": nn.Embedding(c["max_position_embeddings"], d)})
        s.encoder = nn.ModuleDict({"layers": nn.ModuleList(
            ClipLayer(d, c["num_attention_heads"], c["intermediate_size"]) for _ in range(c["num_hidden_layers"]))})
        s.final_layer_norm = nn.LayerNorm(d)
        nn.init.normal_(s.embeddings["token_embedding"].weight, std=0.3)
        nn.init.normal_(s.embeddings["position_embedding"].weight, std=0.1)

    def forward(s, ids):
        x = s.embeddings["token_embedding"](ids) + s.embeddings["position_embedding"].weight[None, :ids.shape[1]]
        for l in s.encoder["layers"]:
            x = l(x)
        return s.final_layer_norm(x)


# ------------------------------------------------------------------ UNet (SD1.x layout)
def zero(m):
    for p in m.parameters():
        nn.init.zeros_(p)
    return m


def gn(c, eps=1e-5):
    return nn.GroupNorm(32, c, eps=eps)


class ResBlock(nn.Module):
    def __init__(s, ci, co, te):
        super().__init__()
        s.in_layers = nn.Sequential(gn(ci), nn.SiLU(), nn.Conv2d(ci, co, 3, padding=1))
        s.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(te, co))
        s.out_layers = nn.Sequential(gn(co), nn.SiLU(), nn.Dropout(0.0), zero(nn.Conv2d(co, co, 3, padding=1)))
        s.skip_connection = nn.Identity() if ci == co else nn.Conv2d(ci, co, 1)

    def forward(s, x, emb, ctx):
        h = s.in_layers(x) + s.emb_layers(emb)[:, :, None, None]
        return s.skip_connection(x) + s.out_layers(h)


class CrossAttn(nn.Module):
    def __init__(s, d, cd, h):
        super().__init__()
        s.h = h
        s.to_q, s.to_k, s.to_v = nn.Linear(d, d, bias=False), nn.Linear(cd, d, bias=False), nn.Linear(cd, d, bias=False)
        s.to_out = nn.Sequential(nn.Linear(d, d), nn.Dropout(0.0))

    def forward(s, x, c):
        B, T, D = x.shape
        q = s.to_q(x).view(B, T, s.h, -1).transpose(1, 2)
        k = s.to_k(c).view(B, c.shape[1], s.h, -1).transpose(1, 2)
        v = s.to_v(c).view(B, c.shape[1], s.h, -1).transpose(1, 2)
        return s.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, T, D))


class GEGLU(nn.Module):
    def __init__(s, d, m):
        super().__init__()
        s.proj = nn.Linear(d, 2 * m)

    def forward(s, x):
        a, g = s.proj(x).chunk(2, -1)
        return a * F.gelu(g)


class FF(nn.Module):
    def __init__(s, d):
        super().__init__()
        s.net = nn.Sequential(GEGLU(d, 4 * d), nn.Dropout(0.0), nn.Linear(4 * d, d))

    def forward(s, x):
        return s.net(x)


class TBlock(nn.Module):
    def __init__(s, d, cd, h):
        super().__init__()
        s.attn1, s.ff, s.attn2 = CrossAttn(d, d, h), FF(d), CrossAttn(d, cd, h)
        s.norm1, s.norm2, s.norm3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(s, x, c):
        n = s.norm1(x)
        x = x + s.attn1(n, n)
        x = x + s.attn2(s.norm2(x), c)
        return x + s.ff(s.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(s, d, cd, h):
        super().__init__()
        s.norm = gn(d, 1e-6)
        s.proj_in = nn.Conv2d(d, d, 1)
        s.transformer_blocks = nn.ModuleList([TBlock(d, cd, h)])
        s.proj_out = zero(nn.Conv2d(d, d, 1))

    def forward(s, x, emb, ctx):
        B, D, H, W = x.shape
        h = s.proj_in(s.norm(x)).flatten(2).transpose(1, 2)
        for b in s.transformer_blocks:
            h = b(h, ctx)
        return x + s.proj_out(h.transpose(1, 2).reshape(B, D, H, W))


class Down(nn.Module):
    def __init__(s, c):
        super().__init__()
        s.op = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(s, x, emb, ctx):
        return s.op(x)


class Up(nn.Module):
    def __init__(s, c):
        super().__init__()
        s.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(s, x, emb, ctx):
        return s.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class In(nn.Conv2d):
    def forward(s, x, emb, ctx):
        return super().forward(x)


def temb(t, d):
    f = torch.exp(-math.log(10000) * torch.arange(d // 2, device=t.device, dtype=torch.float32) / (d // 2))
    a = t.float()[:, None] * f[None]
    return torch.cat([a.cos(), a.sin()], -1)


class UNet(nn.Module):
    def __init__(s, in_channels=4, **kw):
        super().__init__()
        c = {**CONFIG["unet"], **kw}
        mc, mult, nres, cd, H, att = c["model_channels"], c["channel_mult"], c["num_res_blocks"], c["context_dim"], c["num_heads"], c["attention_levels"]
        s.mc = mc
        te = mc * 4
        s.time_embed = nn.Sequential(nn.Linear(mc, te), nn.SiLU(), nn.Linear(te, te))
        s.input_blocks = nn.ModuleList([nn.ModuleList([In(in_channels, mc, 3, padding=1)])])
        ch, skips = mc, [mc]
        for lv, m in enumerate(mult):
            for _ in range(nres):
                l = [ResBlock(ch, m * mc, te)]
                ch = m * mc
                if lv in att:
                    l.append(SpatialTransformer(ch, cd, H))
                s.input_blocks.append(nn.ModuleList(l))
                skips.append(ch)
            if lv != len(mult) - 1:
                s.input_blocks.append(nn.ModuleList([Down(ch)]))
                skips.append(ch)
        s.middle_block = nn.ModuleList([ResBlock(ch, ch, te), SpatialTransformer(ch, cd, H), ResBlock(ch, ch, te)])
        s.output_blocks = nn.ModuleList()
        for lv, m in reversed(list(enumerate(mult))):
            for i in range(nres + 1):
                l = [ResBlock(ch + skips.pop(), m * mc, te)]
                ch = m * mc
                if lv in att:
                    l.append(SpatialTransformer(ch, cd, H))
                if lv and i == nres:
                    l.append(Up(ch))
                s.output_blocks.append(nn.ModuleList(l))
        s.out = nn.Sequential(gn(ch), nn.SiLU(), zero(nn.Conv2d(ch, c["out_channels"], 3, padding=1)))

    def forward(s, x, t, ctx):
        emb = s.time_embed(temb(t, s.mc))
        hs = []
        for blk in s.input_blocks:
            for l in blk:
                x = l(x, emb, ctx)
            hs.append(x)
        for l in s.middle_block:
            x = l(x, emb, ctx)
        for blk in s.output_blocks:
            x = torch.cat([x, hs.pop()], 1)
            for l in blk:
                x = l(x, emb, ctx)
        return s.out(x)


# ------------------------------------------------------------------ VAE, training form (norm-free)
ENC = [16, 32, 32, 32]   # data channels per level while training
DEC = [16, 32, 32, 32]


class Affine(nn.Module):
    """Stands where the file has GroupNorm."""

    def __init__(s, c):
        super().__init__()
        s.weight, s.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

    def forward(s, x):
        return x * s.weight[:, None, None] + s.bias[:, None, None]


class VRes(nn.Module):
    def __init__(s, ci, co):
        super().__init__()
        s.norm1, s.conv1, s.norm2, s.conv2 = Affine(ci), nn.Conv2d(ci, co, 3, padding=1), Affine(co), nn.Conv2d(co, co, 3, padding=1)
        if ci != co:
            s.nin_shortcut = nn.Conv2d(ci, co, 1)
        with torch.no_grad():
            s.conv2.weight.mul_(0.1)

    def forward(s, x):
        h = s.conv1(F.silu(s.norm1(x)))
        h = s.conv2(F.silu(s.norm2(h)))
        return (s.nin_shortcut(x) if hasattr(s, "nin_shortcut") else x) + h


class VAttn(nn.Module):
    def __init__(s, c, total):
        super().__init__()
        s.total = total
        s.norm = Affine(c)
        s.q, s.k, s.v, s.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))
        zero(s.proj_out)

    def forward(s, x):
        B, C, H, W = x.shape
        h = s.norm(x)
        q, k, v = (m(h).flatten(2).transpose(1, 2)[:, None] for m in (s.q, s.k, s.v))
        o = F.scaled_dot_product_attention(q, k, v, scale=s.total ** -0.5)
        return x + s.proj_out(o[:, 0].transpose(1, 2).reshape(B, C, H, W))


class VDown(nn.Module):
    def __init__(s, c, co=None):
        super().__init__()
        s.conv = nn.Conv2d(c, co or c, 3, stride=2)

    def forward(s, x):
        return s.conv(F.pad(x, (0, 1, 0, 1)))


class VUp(nn.Module):
    def __init__(s, c, co=None):
        super().__init__()
        s.conv = nn.Conv2d(c, co or c, 3, padding=1)

    def forward(s, x):
        return s.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


def vmid(c, total):
    return nn.ModuleDict({"block_1": VRes(c, c), "attn_1": VAttn(c, total), "block_2": VRes(c, c)})


def run_mid(m, x):
    return m["block_2"](m["attn_1"](m["block_1"](x)))


class VEnc(nn.Module):
    def __init__(s):
        super().__init__()
        T = CONFIG["vae"]["block_out_channels"]
        s.conv_in = nn.Conv2d(3, ENC[0], 3, padding=1)
        s.down = nn.ModuleList()
        c = ENC[0]
        for i, w in enumerate(ENC):
            d = nn.ModuleDict({"block": nn.ModuleList([VRes(c, w)])})
            c = w
            if i < 3:  # the file's level 0 and 1 are equally wide, so a width change happens here
                c = ENC[1] if i == 0 else w
                d["downsample"] = VDown(w, c)
            s.down.append(d)
        s.mid = vmid(c, T[3])
        s.norm_out, s.conv_out = Affine(c), nn.Conv2d(c, 4, 3, padding=1)

    def forward(s, x):
        x = s.conv_in(x)
        for d in s.down:
            x = d["block"][0](x)
            if "downsample" in d:
                x = d["downsample"](x)
        return s.conv_out(F.silu(s.norm_out(run_mid(s.mid, x))))


class VDec(nn.Module):
    def __init__(s):
        super().__init__()
        T = CONFIG["vae"]["block_out_channels"]
        c = DEC[3]
        s.conv_in = nn.Conv2d(4, c, 3, padding=1)
        s.mid = vmid(c, T[3])
        ups = []
        for i in (3, 2, 1, 0):
            w = DEC[i]
            d = nn.ModuleDict({"block": nn.ModuleList([VRes(c, w), VRes(w, w)])})
            c = w
            if i:
                c = DEC[0] if i == 1 else w
                d["upsample"] = VUp(w, c)
            ups.insert(0, d)
        s.up = nn.ModuleList(ups)
        s.norm_out, s.conv_out = Affine(c), nn.Conv2d(c, 3, 3, padding=1)

    def forward(s, z):
        x = run_mid(s.mid, s.conv_in(z))
        for i in (3, 2, 1, 0):
            d = s.up[i]
            x = d["block"][1](d["block"][0](x))
            if i:
                x = d["upsample"](x)
        return s.conv_out(F.silu(s.norm_out(x)))


class TrainVAE(nn.Module):
    """Latents are kept at zero mean and unit variance by a (foldable) batch norm."""

    def __init__(s):
        super().__init__()
        s.encoder, s.decoder = VEnc(), VDec()
        s.bn = nn.BatchNorm2d(4, affine=False, momentum=0.02)

    def encode(s, x):
        return s.bn(s.encoder(x))


# ------------------------------------------------------------------ VAE in the file's form
class LRes(nn.Module):
    def __init__(s, ci, co):
        super().__init__()
        s.norm1, s.conv1 = gn(ci, 1e-6), nn.Conv2d(ci, co, 3, padding=1)
        s.norm2, s.conv2 = gn(co, 1e-6), nn.Conv2d(co, co, 3, padding=1)
        if ci != co:
            s.nin_shortcut = nn.Conv2d(ci, co, 1)

    forward = VRes.forward


class LAttn(VAttn):
    def __init__(s, c):
        super().__init__(c, c)
        s.norm = gn(c, 1e-6)


class LdmVAE(nn.Module):
    """AutoencoderKL of the LDM code, with the file's key names."""

    def __init__(s):
        super().__init__()
        W = CONFIG["vae"]["block_out_channels"]
        mid = lambda c: nn.ModuleDict({"block_1": LRes(c, c), "attn_1": LAttn(c), "block_2": LRes(c, c)})
        e = nn.Module()
        e.conv_in = nn.Conv2d(3, W[0], 3, padding=1)
        e.down = nn.ModuleList()
        c = W[0]
        for i, w in enumerate(W):
            d = nn.ModuleDict({"block": nn.ModuleList([LRes(c, w)])})
            c = w
            if i < 3:
                d["downsample"] = VDown(c)
            e.down.append(d)
        e.mid, e.norm_out, e.conv_out = mid(c), gn(c, 1e-6), nn.Conv2d(c, 8, 3, padding=1)
        d_ = nn.Module()
        d_.conv_in, d_.mid = nn.Conv2d(4, c, 3, padding=1), mid(c)
        ups = []
        for i in (3, 2, 1, 0):
            w = W[i]
            d = nn.ModuleDict({"block": nn.ModuleList([LRes(c, w), LRes(w, w)])})
            c = w
            if i:
                d["upsample"] = VUp(c)
            ups.insert(0, d)
        d_.up, d_.norm_out, d_.conv_out = nn.ModuleList(ups), gn(c, 1e-6), nn.Conv2d(c, 3, 3, padding=1)
        s.encoder, s.decoder = e, d_
        s.quant_conv, s.post_quant_conv = nn.Conv2d(8, 8, 1), nn.Conv2d(4, 4, 1)

    def moments(s, x):
        return s.quant_conv(VEnc.forward(s.encoder, x))

    def encode(s, x):
        """mean latent times 0.18215"""
        return s.moments(x)[:, :4] * CONFIG["vae"]["scale_factor"]

    def decode(s, z):
        return VDec.forward(s.decoder, s.post_quant_conv(z / CONFIG["vae"]["scale_factor"]))


def expand_vae(tv: "TrainVAE", calib: torch.Tensor, noise_std=0.05, K=64.0):
    """Writes the norm-free VAE as an ordinary LDM AutoencoderKL.

    GroupNorm(32) over a group (a, b.., K - sum, -K) has mean 0 and a variance
    that the constant K dominates, so it is (to about 1/K) the plain scaling
    that the training form uses.  Each data channel is stored once; one channel
    per group holds K minus the data, one holds -K.
    """
    tv = tv.eval()
    lv = LdmVAE().eval()
    for p in lv.parameters():
        nn.init.zeros_(p)
    G = 32

    def lay(n, total):
        g = total // G
        per = 1 if n <= G else g - 2
        assert n <= per * G
        pos = torch.tensor([(j // per) * g + j % per for j in range(n)])
        grp = torch.tensor([j // per for j in range(n)])
        comp = lambda q: q * g + g - 2
        return pos, grp, comp, g

    def stream_out(dst, w, b, in_pos, K):
        """dst conv writes the residual stream: data, K - sum, -K (K = 0 for increments)."""
        n, total = w.shape[0], dst.weight.shape[0]
        pos, grp, comp, g = lay(n, total)
        W = torch.zeros_like(dst.weight)
        B = torch.zeros(total)
        for j in range(n):
            W[pos[j], in_pos] = w[j]
            W[comp(grp[j]), in_pos] -= w[j]
            B[pos[j]] += b[j]
            B[comp(grp[j])] -= b[j]
        for q in sorted(set(grp.tolist())):
            B[comp(q)] += K
            B[comp(q) + 1] -= K
        dst.weight.data, dst.bias.data = W, B

    def plain_out(dst, w, b, in_pos, out_pos):
        W, B = torch.zeros_like(dst.weight), torch.zeros(dst.weight.shape[0])
        for j in range(w.shape[0]):
            W[out_pos[j], in_pos] = w[j]
            B[out_pos[j]] = b[j]
        dst.weight.data, dst.bias.data = W, B

    def norm(dst, aff, total):
        n = aff.weight.shape[0]
        pos, grp, comp, g = lay(n, total)
        dst.weight.data = torch.zeros(total)
        dst.bias.data = torch.zeros(total)
        dst.weight.data[pos] = aff.weight.data * math.sqrt(2.0 / g) * K
        dst.bias.data[pos] = aff.bias.data
        todo.append((dst, aff, pos, grp, g))

    todo = []

    def res(dst, src, ti, to):
        ci, co = src.conv1.weight.shape[1], src.conv1.weight.shape[0]
        pi, po = lay(ci, ti)[0], lay(co, to)[0]
        norm(dst.norm1, src.norm1, ti)
        stream_out(dst.conv1, src.conv1.weight.data, src.conv1.bias.data, pi, K)
        norm(dst.norm2, src.norm2, to)
        has = hasattr(src, "nin_shortcut")
        widen = hasattr(dst, "nin_shortcut")
        stream_out(dst.conv2, src.conv2.weight.data, src.conv2.bias.data, po, 0.0)
        if widen:
            if has:
                stream_out(dst.nin_shortcut, src.nin_shortcut.weight.data, src.nin_shortcut.bias.data, pi, K)
            else:
                stream_out(dst.nin_shortcut, torch.eye(ci)[:, :, None, None], torch.zeros(ci), pi, K)
        elif has:
            raise ValueError("training form changes width where the file cannot")

    def attn(dst, src, t):
        c = src.q.weight.shape[0]
        p = lay(c, t)[0]
        norm(dst.norm, src.norm, t)
        for n in ("q", "k", "v"):
            m = getattr(src, n)
            plain_out(getattr(dst, n), m.weight.data, m.bias.data, p, p)
        stream_out(dst.proj_out, src.proj_out.weight.data, src.proj_out.bias.data, p, 0.0)

    def mid(dst, src, t):
        res(dst["block_1"], src["block_1"], t, t)
        attn(dst["attn_1"], src["attn_1"], t)
        res(dst["block_2"], src["block_2"], t, t)

    T = CONFIG["vae"]["block_out_channels"]
    se, de = tv.encoder, lv.encoder
    rgb = torch.arange(3)
    stream_out(de.conv_in, se.conv_in.weight.data, se.conv_in.bias.data, rgb, K)
    t = T[0]
    for i in range(4):
        res(de.down[i]["block"][0], se.down[i]["block"][0], t, T[i])
        t = T[i]
        if i < 3:
            m = se.down[i]["downsample"].conv
            stream_out(de.down[i]["downsample"].conv, m.weight.data, m.bias.data, lay(ENC[i], t)[0], K)
    mid(de.mid, se.mid, t)
    norm(de.norm_out, se.norm_out, t)
    p = lay(ENC[3], t)[0]
    plain_out(de.conv_out, se.conv_out.weight.data, se.conv_out.bias.data, p, torch.arange(4))
    # quant_conv: batch-norm statistics, and 1 / 0.18215; log-variance is a constant
    sf = CONFIG["vae"]["scale_factor"]
    sd = (tv.bn.running_var + tv.bn.eps).sqrt()
    lv.quant_conv.weight.data[:4, :4, 0, 0] = torch.diag(1 / (sd * sf))
    lv.quant_conv.bias.data[:4] = -tv.bn.running_mean / (sd * sf)
    lv.quant_conv.bias.data[4:] = 2 * math.log(noise_std / sf)
    lv.post_quant_conv.weight.data[:, :, 0, 0] = torch.eye(4) * sf
    sd_, dd = tv.decoder, lv.decoder
    stream_out(dd.conv_in, sd_.conv_in.weight.data, sd_.conv_in.bias.data, torch.arange(4), K)
    t = T[3]
    mid(dd.mid, sd_.mid, t)
    for i in (3, 2, 1, 0):
        res(dd.up[i]["block"][0], sd_.up[i]["block"][0], t, T[i])
        t = T[i]
        res(dd.up[i]["block"][1], sd_.up[i]["block"][1], t, t)
        if i:
            m = sd_.up[i]["upsample"].conv
            stream_out(dd.up[i]["upsample"].conv, m.weight.data, m.bias.data, lay(DEC[i], t)[0], K)
    norm(dd.norm_out, sd_.norm_out, t)
    plain_out(dd.conv_out, sd_.conv_out.weight.data, sd_.conv_out.bias.data, lay(DEC[0], t)[0], rgb)

    # calibrate: replace the ideal sigma by the mean measured one, norm by norm in order
    def hook(dst, aff, pos, grp, g):
        def f(mod, inp):
            x = inp[0]
            B, C, H, W = x.shape
            sg = x.reshape(B, G, -1).var(-1, unbiased=False).add(mod.eps).sqrt().mean(0)
            mod.weight.data[pos] = aff.weight.data * sg[grp]
        return dst.register_forward_pre_hook(f)
    hs = [hook(*a) for a in todo]
    with torch.no_grad():
        lv.decode(lv.encode(calib))
    for h in hs:
        h.remove()
    return lv


if __name__ == "__main__":  # how exact expand_vae is, on random weights
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tv = TrainVAE()
    for m in tv.modules():
        if isinstance(m, Affine):
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(0, 0.3)
    nn.init.normal_(tv.encoder.mid["attn_1"].proj_out.weight, std=0.1)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        for _ in range(200):
            tv.bn(tv.encoder(x))
        tv.eval()
        for K in (32., 64., 128., 256., 1024.):
            lv = expand_vae(tv, x, K=K)
            z0, z1 = tv.encode(x), lv.encode(x)
            y0, y1 = tv.decoder(z0), lv.decode(z0)
            print(K, "latent err", (z0 - z1).abs().max().item(), "of", z0.std().item(), "decode err", (y0 - y1).abs().max().item(), "of", y0.std().item())
    n = lambda m: sum(p.numel() for p in m.parameters())
    print("values: vae", n(lv), "unet", n(UNet()), "clip", n(ClipText(CONFIG["clip"]["vocab_size"])))
