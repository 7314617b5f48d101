"""Checks the exported file: loads it (a) into these modules by key, (b) into diffusers /
transformers by an explicit mapping done by diffusers' own single-file converter, compares
all three networks, then samples contact sheets with the fp16 weights."""
import json, time, os
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
import models, tok, data, evaluate as E


class FileModel:
    def __init__(s, path, merges):
        sd = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        s.sd = sd
        pre = {"u": "model.diffusion_model.", "v": "first_stage_model.", "c": "cond_stage_model.transformer.text_model."}
        sub = lambda p: {k[len(p):]: v for k, v in sd.items() if k.startswith(p)}
        u = sub(pre["u"])
        s.unet = models.UNet(in_channels=u["input_blocks.0.0.weight"].shape[1])
        s.unet.load_state_dict(u)
        s.vae = models.LdmVAE()
        s.vae.load_state_dict(sub(pre["v"]))
        s.clip = models.ClipText(49408)
        c = sub(pre["c"])
        c.pop("embeddings.position_ids")
        s.clip.load_state_dict(c)
        for m in (s.unet, s.vae, s.clip):
            m.eval()
        s.T = tok.Tokenizer(merges)

    @torch.no_grad()
    def cond(s, prompts):
        return s.clip(torch.tensor([s.T(p) for p in prompts]))

    @torch.no_grad()
    def gen(s, prompts, hw=(16, 16), neg="", bs=24, **kw):
        out = []
        for i in range(0, len(prompts), bs):
            c = s.cond(prompts[i:i + bs])
            k = dict(kw)
            k["seed"] = kw.get("seed", 0) + i
            z = E.sample(s.unet, c, s.cond([neg]), (len(c), 4, *hw), **k)
            out.append(E.to_img(s.vae.decode(z)))
        return np.concatenate(out)

    @torch.no_grad()
    def edit(s, img, mask, prompt, strength, steps=20, cfg=5.0, seed=0, n=1, method="euler"):
        """img2img (mask None) or latent noise-mask inpainting. img uint8 HxWx3, mask HxW 1 = repaint."""
        x = torch.from_numpy(img.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        z0 = s.vae.encode(x)
        z0 = z0.expand(n, -1, -1, -1)
        acp = models.alphas_cumprod()
        total = int(round(steps / strength))
        sg, _ = E.sigmas(total, acp)
        st = total - steps
        g = torch.Generator().manual_seed(seed)
        noise = torch.randn(z0.shape, generator=g)
        x = z0 + noise * sg[st]
        if strength >= 1:
            x = noise * (sg[0] ** 2 + 1).sqrt() if mask is None else z0 + noise * sg[0]
        post = None
        if mask is not None:
            m = (F.max_pool2d(torch.from_numpy(mask)[None, None].float(), 8) > 0.5).float()
            post = lambda p, sig, i: p * m + z0 * (1 - m)
        z = E.sample(s.unet, s.cond([prompt] * n), s.cond([""]), z0.shape, steps=total, cfg=cfg, x=x, start=st, post=post, method=method)
        return E.to_img(s.vae.decode(z))


def diffusers_check(path, m):
    from diffusers import UNet2DConditionModel, AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
    from transformers import CLIPTextConfig, CLIPTextModel
    C = models.CONFIG
    sd = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    u, v, c = C["unet"], C["vae"], C["clip"]
    att = u["attention_levels"]
    n = len(u["channel_mult"])
    ci = sd["model.diffusion_model.input_blocks.0.0.weight"].shape[1]
    ucfg = dict(sample_size=16, in_channels=ci, out_channels=4, layers_per_block=u["num_res_blocks"],
                block_out_channels=tuple(u["model_channels"] * k for k in u["channel_mult"]),
                down_block_types=tuple("CrossAttnDownBlock2D" if i in att else "DownBlock2D" for i in range(n)),
                up_block_types=tuple("CrossAttnUpBlock2D" if i in att else "UpBlock2D" for i in reversed(range(n))),
                cross_attention_dim=u["context_dim"], attention_head_dim=u["num_heads"], norm_num_groups=32)
    U = UNet2DConditionModel(**ucfg).eval()
    U.load_state_dict(convert_ldm_unet_checkpoint(dict(sd), dict(U.config)))
    vcfg = dict(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=tuple(v["block_out_channels"]), layers_per_block=1,
                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=32, scaling_factor=0.18215)
    V = AutoencoderKL(**vcfg).eval()
    V.load_state_dict(convert_ldm_vae_checkpoint(dict(sd), dict(V.config)))
    T = CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_size=c["hidden_size"], intermediate_size=c["intermediate_size"],
                                     num_hidden_layers=c["num_hidden_layers"], num_attention_heads=c["num_attention_heads"], hidden_act="quick_gelu",
                                     max_position_embeddings=77, projection_dim=c["hidden_size"])).eval()
    p = "cond_stage_model.transformer."
    own = T.state_dict()
    src = {k[len(p):]: x for k, x in sd.items() if k.startswith(p)}
    if not any(k.startswith("text_model.") for k in own):
        src = {k[len("text_model."):]: x for k, x in src.items()}
    r = T.load_state_dict(src, strict=False)
    miss = [k for k in r.missing_keys if "position_ids" not in k]
    extra = [k for k in r.unexpected_keys if "position_ids" not in k]
    assert not miss and not extra, (miss, extra)
    ids = torch.tensor([m.T(x) for x in E.SHEET[:4]])
    res = {}
    with torch.no_grad():
        a, b = T(ids).last_hidden_state, m.clip(ids)
        res["text"] = ((a - b).abs().max().item(), b.std().item())
        x, t = torch.randn(4, ci, 16, 24), torch.tensor([3, 250, 600, 999])
        a, b2 = U(x, t, b).sample, m.unet(x, t, b)
        res["unet"] = ((a - b2).abs().max().item(), b2.std().item())
        im = torch.rand(2, 3, 128, 128) * 2 - 1
        a, b3 = V.encode(im).latent_dist.mean * 0.18215, m.vae.encode(im)
        res["vae encode"] = ((a - b3).abs().max().item(), b3.std().item())
        z = torch.randn(2, 4, 16, 16)
        a, b4 = V.decode(z / 0.18215).sample, m.vae.decode(z)
        res["vae decode"] = ((a - b4).abs().max().item(), b4.std().item())
    return res, (U, V, T)


if __name__ == "__main__":
    import argparse
    p = argparse.ArgumentParser()
    p.add_argument("file")
    p.add_argument("work")
    p.add_argument("out")
    p.add_argument("--n", type=int, default=100)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--only", default="diffusers,vae,sheet,score,sizes,edit")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    m = FileModel(a.file, a.work + "/merges.txt")
    only = a.only.split(",")
    R = {}
    os.makedirs(a.out, exist_ok=True)
    save = lambda ims, cols, n: Image.fromarray(data.grid(list(ims), cols)).save(f"{a.out}/{n}.png")
    if "diffusers" in only:
        R["diffusers_max_abs_diff_and_std"], _ = diffusers_check(a.file, m)
        print(R, flush=True)
    if "vae" in only:
        imgs = np.stack([data.sample(77000 + i)[1] for i in range(16)])
        x = torch.from_numpy(imgs).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            z = m.vae.encode(x)
            y = m.vae.decode(z)
        R["vae"] = dict(psnr_db=float(-10 * np.log10((((y.clamp(-1, 1) - x) / 2) ** 2).mean())), latent_mean=z.mean((0, 2, 3)).tolist(), latent_std=z.std((0, 2, 3)).tolist())
        save(list(imgs[:8]) + list(E.to_img(y)[:8]) + list(imgs[8:]) + list(E.to_img(y)[8:]), 8, "vae_reconstruction")
        print(R["vae"], flush=True)
    if "sheet" in only:
        save(m.gen(E.SHEET, steps=20, cfg=5.0, seed=1), 8, "sheet_euler20_cfg5")
        save(m.gen(E.SHEET, steps=20, cfg=5.0, seed=2, method="dpmpp_2m"), 8, "sheet_dpmpp2m20_cfg5")
        open(f"{a.out}/sheet_prompts.txt", "w").write("\n".join(E.SHEET) + "\n")
        print("sheets", flush=True)
    if "score" in only:
        pr = E.test_prompts(a.n)
        t = time.time()
        ims = m.gen([q[3] for q in pr], steps=20, cfg=5.0, seed=5000)
        r, miss = E.score(pr, ims)
        R["accuracy"] = dict(prompts=a.n, sampler="euler 20 steps cfg 5", shape=r[0], colour=r[1], background=r[2], all_three=r[3], seconds=time.time() - t)
        save(ims[:48], 12, "score_sample")
        open(f"{a.out}/score_misses.txt", "w").write("\n".join(map(str, miss)))
        print(R["accuracy"], miss[:30], flush=True)
    if "sizes" in only:
        ps = ["a red circle on a blue background", "a yellow sun over green hills", "a red house under a blue sky", "a white moon in a night sky with stars"]
        save(m.gen(ps, hw=(16, 24), steps=20, cfg=5.0, seed=3), 4, "size_192x128")
        save(m.gen(ps, hw=(32, 32), steps=20, cfg=5.0, seed=3), 4, "size_256x256")
        print("sizes", flush=True)
    if "edit" in only:
        rng = np.random.default_rng(5)
        src = data.draw_single(dict(type="single", shape="circle", color="red", size="", pos="", bgk="flat", b1="blue", b2="blue"), rng)
        house = data.draw_scene(dict(type="scene", kind="house", sky="blue", c="red", roof="brown", g="green"), np.random.default_rng(6))
        row = [src]
        for pmt, st in (("a green circle on a blue background", 0.8), ("a yellow star on a blue background", 0.9), ("a red heart on a white background", 0.9)):
            row.append(m.edit(src, None, pmt, st)[0])
        row.append(house)
        for pmt, st in (("a yellow house under a blue sky", 0.7), ("a red house under a pink sky", 0.7), ("a blue house at night", 0.8)):
            row.append(m.edit(house, None, pmt, st)[0])
        mask = np.zeros((128, 128), np.uint8)
        mask[24:104, 24:104] = 1
        row.append(src)
        for pmt in ("a yellow star on a blue background", "a white heart on a blue background", "a blue background"):
            row.append(m.edit(src, mask, pmt, 1.0)[0])
        hm = np.zeros((128, 128), np.uint8)
        hm[:64] = 1
        row.append(house)
        for pmt in ("a red house under a night sky with stars", "a red house under a pink sky", "a red house under an orange sky"):
            row.append(m.edit(house, hm, pmt, 1.0)[0])
        save(row, 4, "edit_img2img_inpaint")
        pad = np.full((192, 192, 3), 128, np.uint8)
        rows = []
        for im, pmt in ((src, "a red circle on a blue background"), (house, "a red house under a blue sky")):
            pd = np.pad(im, ((32, 32), (32, 32), (0, 0)), mode="edge")
            om = np.ones((192, 192), np.uint8)
            om[40:152, 40:152] = 0
            rows += [pd, *m.edit(pd, om, pmt, 1.0, n=2)]
        save(rows, 3, "outpaint_192")
        print("edit", flush=True)
    if R:
        json.dump(R, open(f"{a.out}/verify.json", "w"), indent=1, default=float)
