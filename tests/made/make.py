"""Writes the goldens of this folder: python3 make.py (needs torch, diffusers, transformers, Pillow).

The networks are those of diffusers and transformers, the sampler is Euler's by hand. Weights come from no
file: both this script and tests/made.rs draw them from the tensors' names (see `drawn`). The names are those
of `keys.json`, of which diffusers' and transformers' own converters make theirs.
"""
import json, math, pathlib
import numpy as np, torch, torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

HERE = pathlib.Path(__file__).parent
KEYS = json.loads((HERE / "keys.json").read_text())
V_MARK = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


def bits(name, n):
    """splitmix64, seeded with the name's FNV-1a."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def drawn(name, shape):
    n = math.prod(shape)
    u = (bits(name, n) >> np.uint64(40)).astype(np.float32) * np.float32(2**-23) - np.float32(1)
    base, spread = 0.0, 0.05
    if not shape:
        base, spread = 1.0, 0.0
    elif name == V_MARK:
        spread = 0.4
    elif len(shape) == 1 and name.endswith(".weight"):
        base, spread = 1.0, 0.1
    elif "embedding" in name and "patch" not in name:
        spread = 0.03
    elif len(shape) > 1:
        spread = math.sqrt(3 / math.prod(shape[1:]))
    x = np.float32(base) + np.float32(spread) * u
    return torch.from_numpy(x.reshape(shape))


def weights(kind):
    return {key: drawn(key, shape) for key, shape in KEYS[kind]}


def below(w, prefix):
    return {k[len(prefix):]: v for k, v in w.items() if k.startswith(prefix)}


def transformers_layers(w, stem):
    """OpenCLIP's layers as those of transformers."""
    out = {}
    for key, value in below(w, "transformer.resblocks.").items():
        layer, rest = key.split(".", 1)
        at = f"{stem}.encoder.layers.{layer}."
        if rest.startswith("attn.in_proj_"):
            for part, x in zip("qkv", value.chunk(3)):
                out[f"{at}self_attn.{part}_proj.{rest[13:]}"] = x
        else:
            for a, b in [("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"),
                         ("mlp.c_proj", "mlp.fc2"), ("attn.out_proj", "self_attn.out_proj")]:
                rest = rest.replace(a, b)
            out[at + rest] = value
    return out


def loaded(model, state):
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [k for k in missing if "position_ids" not in k]
    assert not missing and not unexpected, (missing, unexpected)
    return model.eval()


def rounded(w):
    """As the original keeps the encoders of texts and pictures."""
    return {k: v.half().float() for k, v in w.items()}


def text_state(w):
    e = "text_model.embeddings."
    return transformers_layers(w, "text_model") | {
        e + "token_embedding.weight": w["token_embedding.weight"],
        e + "position_embedding.weight": w["positional_embedding"],
        "text_model.final_layer_norm.weight": w["ln_final.weight"],
        "text_model.final_layer_norm.bias": w["ln_final.bias"],
    }


def text_model(w):
    w = rounded(below(w, "cond_stage_model.model."))
    state = text_state(w) | {"text_projection.weight": w["text_projection"].T}
    config = CLIPTextConfig(hidden_size=64, intermediate_size=256, projection_dim=64, num_hidden_layers=3,
                            num_attention_heads=4, hidden_act="gelu", eos_token_id=49407, pad_token_id=0)
    return loaded(CLIPTextModelWithProjection(config), state)


VISION = dict(hidden_size=64, intermediate_size=256, projection_dim=64, num_hidden_layers=3,
              num_attention_heads=4, image_size=224, patch_size=14)


def vision_model(w):
    w = rounded(below(w, "embedder.model.visual."))
    e = "vision_model.embeddings."
    state = transformers_layers(w, "vision_model") | {
        e + "class_embedding": w["class_embedding"],
        e + "patch_embedding.weight": w["conv1.weight"],
        e + "position_embedding.weight": w["positional_embedding"],
        "visual_projection.weight": w["proj"].T,
    }
    for a, b in [("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")]:
        for kind in ["weight", "bias"]:
            state[f"vision_model.{b}.{kind}"] = w[f"{a}.{kind}"]
    return loaded(CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_act="gelu", **VISION)), state)


def unet_config(labels):
    config = dict(sample_size=8, in_channels=4, out_channels=4, layers_per_block=2, cross_attention_dim=64,
                  block_out_channels=[64, 64, 64, 128], attention_head_dim=[1, 1, 1, 2], use_linear_projection=True,
                  down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
                  up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3)
    if labels:
        config |= dict(class_embed_type="projection", projection_class_embeddings_input_dim=labels)
    return config


def unet(w, labels):
    config = unet_config(labels)
    model = UNet2DConditionModel(**config)
    return loaded(model, convert_ldm_unet_checkpoint(dict(w), dict(config)))


def encoded(model, words):
    vocab = json.loads((HERE / "../../crates/models/tokenizers/clip/vocab.json").read_text())
    ids = [49406] + [vocab[word + "</w>"] for word in words.split()] + [49407]
    ids = torch.tensor([ids + [0] * (77 - len(ids))])
    out = model(ids, output_hidden_states=True)
    return model.text_model.final_layer_norm(out.hidden_states[-2]), out.text_embeds


def picture(name, height, width):
    x = (bits(name, height * width * 3) >> np.uint64(56)).astype(np.uint8)
    return torch.from_numpy(x.reshape(1, height, width, 3).astype(np.float32) / 255)


def seen(model, image, crop):
    x, size = image.movedim(-1, 1), 224
    scale = size / min(x.shape[2:])
    new = [round(scale * n) for n in x.shape[2:]] if crop else [size, size]
    x = F.interpolate(x, size=new, mode="bicubic", antialias=True)
    top, left = [(n - size) // 2 for n in new]
    x = (x[:, :, top:top + size, left:left + size] * 255).clip(0, 255).round() / 255
    mean, std = [torch.tensor(v).view(3, 1, 1) for v in
                 ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])]
    out = model((x - mean) / std, output_hidden_states=True)
    return out.last_hidden_state, out.hidden_states[-2], out.image_embeds


def sinusoid(t, n):
    angles = t * torch.exp(-math.log(10000) * torch.arange(n // 2) / (n // 2))
    return torch.cat([angles.cos(), angles.sin()])


COSINE = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod


def noised(x, strength, noise):
    level = round(999 * strength)
    return torch.cat([COSINE[level].sqrt() * x + (1 - COSINE[level]).sqrt() * noise, sinusoid(level, 64)])


def label(told, seed):
    """What the UNet is told of pictures, each (embeds, strength, noise)."""
    parts = []
    for x, strength, noise in told:
        generator = torch.manual_seed(seed - 10)
        parts.append(noised(x, noise, torch.randn(1, 64, generator=generator)[0]) * strength)
    if len(parts) > 1:
        return noised(torch.stack(parts).sum(0)[:64], 0.05, torch.randn(1, 64)[0])
    return parts[0]


def euler(model, conds, labels, cfg, steps, seed, v):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    bars = (1 - betas).cumprod(0)
    table = ((1 - bars) / bars).sqrt().float()
    indices = [999 - int(i * 1000 / steps) for i in range(steps)]
    sigmas = [table[i] for i in indices] + [torch.tensor(0.0)]
    x = torch.randn(1, 4, 8, 8, generator=torch.manual_seed(seed)) * (1 + sigmas[0] ** 2).sqrt()
    for i, t in enumerate(indices):
        s, c = sigmas[i], (sigmas[i] ** 2 + 1).sqrt()
        out = model((x / c).repeat(2, 1, 1, 1), torch.tensor(t), torch.cat(conds),
                    class_labels=None if labels is None else torch.stack(labels)).sample
        denoised = x / c**2 - out * s / c if v else x - out * s
        denoised = denoised[1] + (denoised[0] - denoised[1]) * cfg
        x = x + (x - denoised) / s * (sigmas[i + 1] - s)
    return x / 0.18215


class Style(torch.nn.Module):
    """The style adapter, from its paper's figure and the names of its tensors."""

    def __init__(self, w):
        super().__init__()
        self.w = w

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"])

    def forward(self, x):
        w = self.w
        x = self.norm(torch.cat([x, w["style_embedding"].expand(len(x), -1, -1)], 1), "ln_pre")
        for i in range(2):
            at = f"transformer_layes.{i}."
            attention = torch.nn.MultiheadAttention(64, 8, batch_first=True)
            loaded(attention, below(w, at + "attn."))
            h = self.norm(x, at + "ln_1")
            x = x + attention(h, h, h, need_weights=False)[0]
            h = self.norm(x, at + "ln_2") @ w[at + "mlp.c_fc.weight"].T + w[at + "mlp.c_fc.bias"]
            x = x + (h * torch.sigmoid(1.702 * h)) @ w[at + "mlp.c_proj.weight"].T + w[at + "mlp.c_proj.bias"]
        return self.norm(x[:, -w["style_embedding"].shape[1]:], "ln_post") @ w["proj"]


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def save(name, graph, tensors):
    (HERE / f"{name}.json").write_text(json.dumps(graph, indent=1) + "\n")
    save_file({k: v.detach().contiguous().float() for k, v in tensors.items()}, HERE / f"{name}.safetensors")


def base(loader, checkpoint):
    return {
        "4": node(loader, ckpt_name=checkpoint),
        "6": node("CLIPTextEncode", text="a red cat", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
    }


def sampled(cfg, steps, seed, positive):
    return {
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "3": node("KSampler", seed=seed, steps=steps, cfg=cfg, sampler_name="euler", scheduler="simple", denoise=1.0,
                  model=["4", 0], positive=[positive, 0], negative=["7", 0], latent_image=["5", 0]),
    }


def cond(id, pair):
    return {f"{id}.0.0.0": pair[0], f"{id}.0.0.1.pooled_output": pair[1]}


def diffusers_names(w):
    """For the files of a folder of diffusers: name, name in a checkpoint, shape, and the number that it begins at."""
    blocks = dict(down_block_types=[""] * 4, up_block_types=[""] * 4)
    files = {
        "unet/diffusion_pytorch_model": convert_ldm_unet_checkpoint(dict(w), unet_config(None)),
        "vae/diffusion_pytorch_model": convert_ldm_vae_checkpoint(dict(w), blocks),
        "text_encoder/model": text_state(below(w, "cond_stage_model.model.")),
    }
    starts = sorted((x.data_ptr(), key) for key, x in w.items())

    def source(x):
        start, key = max(at for at in starts if at[0] <= x.data_ptr())
        return [key, list(x.shape), (x.data_ptr() - start) // 4]

    names = {file: [[key, *source(x)] for key, x in state.items()] for file, state in files.items()}
    lines = [f'"{file}": [\n' + ",\n".join(map(json.dumps, names)) + "\n]" for file, names in names.items()]
    (HERE / "diffusers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    torch.set_grad_enabled(False)
    w = weights("unclip")
    diffusers_names({k: x for k, x in w.items() if "label_emb" not in k})
    text, eyes = text_model(w), vision_model(w)
    positive, negative = encoded(text, "a red cat"), encoded(text, "blurry")
    conds = [positive[0], negative[0]]

    for name, v in [("velocity", True), ("noise", False)]:
        plain = {k: x for k, x in w.items() if "label_emb" not in k}
        if not v:
            plain[V_MARK] = plain[V_MARK] / 8
        graph = base("CheckpointLoaderSimple", f"made_{name}.safetensors") | sampled(6.0, 3, 5, "6")
        latent = euler(unet(plain, None), conds, None, 6.0, 3, 5, v)
        save(name, graph, cond("6", positive) | cond("7", negative) | {"3.0.samples": latent})

    one, two = picture("one.png", 224, 224), picture("two.png", 300, 200)
    model = unet(w, 128)
    first, second = seen(eyes, one, True), seen(eyes, two, False)
    graph = base("unCLIPCheckpointLoader", "made_unclip.safetensors") | {
        "20": node("LoadImage", image="one.png"), "21": node("LoadImage", image="two.png"),
        "22": node("CLIPVisionEncode", clip_vision=["4", 3], image=["20", 0], crop="center"),
        "23": node("CLIPVisionEncode", clip_vision=["4", 3], image=["21", 0], crop="none"),
        "24": node("unCLIPConditioning", conditioning=["6", 0], clip_vision_output=["22", 0], strength=1.3,
                   noise_augmentation=0.2),
        "25": node("unCLIPConditioning", conditioning=["24", 0], clip_vision_output=["23", 0], strength=-0.5,
                   noise_augmentation=0.0),
    }
    zeros = torch.zeros(128)
    for name, told, last in [("unclip_one", [(first[2][0], 1.3, 0.2)], "24"),
                             ("unclip_two", [(first[2][0], 1.3, 0.2), (second[2][0], -0.5, 0.0)], "25")]:
        latent = euler(model, conds, [label(told, 7), zeros], 4.0, 2, 7, True)
        views = {f"22.0.{k}": x for k, x in
                 zip(["last_hidden_state", "penultimate_hidden_states", "image_embeds"], first)}
        views = views if name == "unclip_one" else {"23.0.image_embeds": second[2]}
        save(name, graph | sampled(4.0, 2, 7, last), views | {"3.0.samples": latent})

    vision = loaded(CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_act="quick_gelu", **VISION)), rounded(weights("vision")))
    last, _, embeds = seen(vision, two, True)
    words = Style(weights("style"))(last) * 0.7
    graph = base("CheckpointLoaderSimple", "made_velocity.safetensors") | {
        "21": node("LoadImage", image="two.png"),
        "30": node("CLIPVisionLoader", clip_name="made_vision.safetensors"),
        "31": node("CLIPVisionEncode", clip_vision=["30", 0], image=["21", 0], crop="center"),
        "32": node("StyleModelLoader", style_model_name="made_style.safetensors"),
        "33": node("StyleModelApply", conditioning=["6", 0], style_model=["32", 0], clip_vision_output=["31", 0],
                   strength=0.7, strength_type="multiply"),
    }
    save("style", graph, {"31.0.image_embeds": embeds} | cond("33", (torch.cat([positive[0], words], 1), positive[1])))


if __name__ == "__main__":
    main()
