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
    let names = controlnet_names(file);
    file.renamed(|key| {
        let here = |(there, here): &(String, String)| {
            Some(format!(
                "{here}{}",
                key.strip_prefix(there.as_str()).filter(|k| k.starts_with('.'))?
            ))
        };
        names.iter().find_map(here)
    })
}

fn controlnet_names(file: &Weights) -> Vec<(String, String)> {
    let fixed = [
        ("controlnet_cond_embedding.conv_in", "input_hint_block.0"),
        ("controlnet_cond_embedding.conv_out", "input_hint_block.14"),
        ("controlnet_mid_block", "middle_block_out.0"),
        ("mid_block.attentions.0", "middle_block.1"),
    ];
    let mut names: Vec<(String, String)> =
        fixed.iter().chain(&BASIC).map(|(t, h)| ((*t).to_owned(), (*h).to_owned())).collect();
    let eye = |i: usize| {
        (format!("controlnet_cond_embedding.blocks.{i}"), format!("input_hint_block.{}", 2 * i + 2))
    };
    names.extend((0..6).map(eye));
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
    let out = |i: usize| (format!("controlnet_down_blocks.{i}"), format!("zero_convs.{i}.0"));
    names.extend((0..i).map(out));
    names
}
