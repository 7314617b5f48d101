//! What the diffusers library calls the modules of a UNet: the names in many LoRA and ControlNet files.

use crate::layers::count;
use tensor::Weights;

const RES: [(&str, &str); 6] = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

const BASIC: [(&str, &str); 5] = [
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
];

/// Name there, and name here, of every block and module of the UNet at `w`. A name stands for itself
/// and for all that is below it.
pub fn names(w: &Weights) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> =
        BASIC.iter().map(|(there, here)| ((*there).to_owned(), (*here).to_owned())).collect();
    down(w, &mut names);
    for (there, here) in [("resnets.0", "0"), ("resnets.1", "2")] {
        res(&format!("mid_block.{there}"), &format!("middle_block.{here}"), &mut names);
    }
    names.push(("mid_block.attentions.0".into(), "middle_block.1".into()));
    up(w, &mut names);
    names
}

/// A level ends with the block that halves the picture.
fn down(w: &Weights, names: &mut Vec<(String, String)>) {
    let (mut level, mut block) = (0, 0);
    for i in 1..count(w, "input_blocks") {
        let here = format!("input_blocks.{i}");
        if w.has(&format!("{here}.0.op")) {
            names
                .push((format!("down_blocks.{level}.downsamplers.0.conv"), format!("{here}.0.op")));
            (level, block) = (level + 1, 0);
            continue;
        }
        res(&format!("down_blocks.{level}.resnets.{block}"), &format!("{here}.0"), names);
        names.push((format!("down_blocks.{level}.attentions.{block}"), format!("{here}.1")));
        block += 1;
    }
}

/// A level ends with the block that doubles the picture.
fn up(w: &Weights, names: &mut Vec<(String, String)>) {
    let (mut level, mut block) = (0, 0);
    for i in 0..count(w, "output_blocks") {
        let here = format!("output_blocks.{i}");
        res(&format!("up_blocks.{level}.resnets.{block}"), &format!("{here}.0"), names);
        if w.has(&format!("{here}.1.transformer_blocks")) {
            names.push((format!("up_blocks.{level}.attentions.{block}"), format!("{here}.1")));
        }
        block += 1;
        let conv = ["1.conv", "2.conv"].map(|part| format!("{here}.{part}"));
        if let Some(conv) = conv.into_iter().find(|conv| w.has(conv)) {
            names.push((format!("up_blocks.{level}.upsamplers.0.conv"), conv));
            (level, block) = (level + 1, 0);
        }
    }
}

fn res(there: &str, here: &str, names: &mut Vec<(String, String)>) {
    names.extend(RES.iter().map(|(t, h)| (format!("{there}.{t}"), format!("{here}.{h}"))));
}

/// The name here of each module `...weight` of the UNet at `w`, with its name there, if it has one.
pub fn modules(w: &Weights) -> Vec<(String, Option<String>)> {
    let names = names(w);
    let there = |module: &str| {
        names.iter().find_map(|(there, here)| {
            let below = module.strip_prefix(here.as_str())?;
            (below.is_empty() || below.starts_with('.')).then(|| format!("{there}{below}"))
        })
    };
    let keys = w.keys();
    let modules = keys.iter().filter_map(|key| key.strip_suffix(".weight"));
    modules.map(|module| (module.to_owned(), there(module))).collect()
}

/// A ControlNet of the diffusers library under the names of its authors; one that has them already
/// stays as it is.
pub fn controlnet(file: &Weights) -> Weights {
    if !file.has("controlnet_cond_embedding") {
        return file.clone();
    }
    let (mut names, blocks) = first_half(file);
    let fixed = [
        ("controlnet_cond_embedding.conv_in", "input_hint_block.0"),
        ("controlnet_cond_embedding.conv_out", "input_hint_block.14"),
        ("controlnet_mid_block", "middle_block_out.0"),
    ];
    names.extend(fixed.map(|(there, here)| (there.to_owned(), here.to_owned())));
    let eye = |i: usize| {
        (format!("controlnet_cond_embedding.blocks.{i}"), format!("input_hint_block.{}", 2 * i + 2))
    };
    names.extend((0..6).map(eye));
    let out = |i: usize| (format!("controlnet_down_blocks.{i}"), format!("zero_convs.{i}.0"));
    names.extend((0..blocks).map(out));
    renamed(file, &names)
}

/// A UNet of the diffusers library under the names of its authors; one that has them already stays as it
/// is.
pub fn unet(file: &Weights) -> Weights {
    if !file.has("down_blocks") || !file.has("up_blocks") {
        return file.clone();
    }
    let (mut names, _) = first_half(file);
    let label = [
        ("class_embedding.linear_1", "label_emb.0.0"),
        ("class_embedding.linear_2", "label_emb.0.2"),
    ];
    names.extend(label.map(|(there, here)| (there.to_owned(), here.to_owned())));
    let mut i = 0;
    for level in 0..count(file, "up_blocks") {
        let there = format!("up_blocks.{level}");
        let attends = file.has(&format!("{there}.attentions"));
        for block in 0..count(file, &format!("{there}.resnets")) {
            res(&format!("{there}.resnets.{block}"), &format!("output_blocks.{i}.0"), &mut names);
            names.push((format!("{there}.attentions.{block}"), format!("output_blocks.{i}.1")));
            i += 1;
        }
        let upsampler = format!("output_blocks.{}.{}", i.max(1) - 1, if attends { 2 } else { 1 });
        names.push((format!("{there}.upsamplers.0"), upsampler));
    }
    renamed(file, &names)
}

/// A VAE of the diffusers library under the names of its authors; one that has them already stays as it is.
pub fn vae(file: &Weights) -> Weights {
    let levels = count(file, "decoder.up_blocks");
    if levels == 0 {
        return file.clone();
    }
    let mut names = Vec::new();
    let mut add = |there: String, here: String| names.push((there, here));
    for side in ["encoder", "decoder"] {
        for (there, here) in
            [("resnets.0", "block_1"), ("attentions.0", "attn_1"), ("resnets.1", "block_2")]
        {
            add(format!("{side}.mid_block.{there}"), format!("{side}.mid.{here}"));
        }
        add(format!("{side}.conv_norm_out"), format!("{side}.norm_out"));
    }
    for level in 0..levels {
        // The decoder's are counted from the other end.
        let ends = [
            (format!("encoder.down_blocks.{level}"), format!("encoder.down.{level}"), "downsample"),
            (
                format!("decoder.up_blocks.{level}"),
                format!("decoder.up.{}", levels - 1 - level),
                "upsample",
            ),
        ];
        for (there, here, resample) in ends {
            add(format!("{there}.resnets"), format!("{here}.block"));
            add(format!("{there}.{resample}rs.0"), format!("{here}.{resample}"));
        }
    }
    renamed(file, &names).renamed(|key| Some(module_of_vae(key)))
}

/// The names within a block; older files of the library have others for attention.
const VAE: [(&str, &[&str]); 6] = [
    (".nin_shortcut.", &[".conv_shortcut."]),
    (".attn_1.norm.", &[".attn_1.group_norm."]),
    (".attn_1.q.", &[".attn_1.to_q.", ".attn_1.query."]),
    (".attn_1.k.", &[".attn_1.to_k.", ".attn_1.key."]),
    (".attn_1.v.", &[".attn_1.to_v.", ".attn_1.value."]),
    (".attn_1.proj_out.", &[".attn_1.to_out.0.", ".attn_1.proj_attn."]),
];

fn module_of_vae(key: &str) -> String {
    let names = VAE.iter().flat_map(|(here, there)| there.iter().map(move |there| (here, there)));
    names.fold(key.to_owned(), |key, (here, there)| key.replace(there, here))
}

/// Names of all that a UNet and a ControlNet share, and how many input blocks there are.
fn first_half(file: &Weights) -> (Vec<(String, String)>, usize) {
    let mut names: Vec<(String, String)> =
        BASIC.iter().map(|(t, h)| ((*t).to_owned(), (*h).to_owned())).collect();
    names.push(("mid_block.attentions.0".into(), "middle_block.1".into()));
    res("mid_block.resnets.0", "middle_block.0", &mut names);
    res("mid_block.resnets.1", "middle_block.2", &mut names);
    let mut i = 1;
    for level in 0..count(file, "down_blocks") {
        let there = format!("down_blocks.{level}");
        for block in 0..count(file, &format!("{there}.resnets")) {
            res(&format!("{there}.resnets.{block}"), &format!("input_blocks.{i}.0"), &mut names);
            names.push((format!("{there}.attentions.{block}"), format!("input_blocks.{i}.1")));
            i += 1;
        }
        if file.has(&format!("{there}.downsamplers")) {
            names.push((format!("{there}.downsamplers.0.conv"), format!("input_blocks.{i}.0.op")));
            i += 1;
        }
    }
    (names, i)
}

/// Keys under new names; those that no name begins stay as they are.
fn renamed(file: &Weights, names: &[(String, String)]) -> Weights {
    file.renamed(|key| {
        let here = |(there, here): &(String, String)| {
            Some(format!(
                "{here}{}",
                key.strip_prefix(there.as_str()).filter(|k| k.starts_with('.'))?
            ))
        };
        Some(names.iter().find_map(here).unwrap_or_else(|| key.to_owned()))
    })
}
