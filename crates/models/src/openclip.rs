//! The names of OpenCLIP's tensors (Ilharco et al. 2021), and of OpenAI's own, as the transformers library
//! names them. There queries, keys and values are one matrix, and projections are stored turned.

use anyhow::Context as _;
use tensor::{Result, Source, View, Weight, Weights};

/// Whether a text encoder is here in OpenCLIP's layout.
pub fn has_text(place: &Weights) -> bool {
    place.has("transformer.resblocks") && place.has("token_embedding")
}

/// Whether a picture encoder is here in OpenCLIP's layout.
pub fn has_vision(place: &Weights) -> bool {
    place.has("transformer.resblocks") && place.has("class_embedding")
}

/// Errors of a file in this layout say whose names they use.
pub fn told<T>(open: bool, result: Result<T>) -> Result<T> {
    let names = "OpenCLIP's tensors, under the names of the transformers library";
    if open { result.context(names) } else { result }
}

/// Names there, and here; each stands for all that is below it too.
type Names = [(&'static str, &'static str)];

const TEXT: &Names = &[
    ("token_embedding", "text_model.embeddings.token_embedding"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("transformer.resblocks", "text_model.encoder.layers"),
    ("ln_final", "text_model.final_layer_norm"),
];

const VISION: &Names = &[
    ("class_embedding", "vision_model.embeddings.class_embedding"),
    ("conv1", "vision_model.embeddings.patch_embedding"),
    ("positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    // The transformers library writes it so.
    ("ln_pre", "vision_model.pre_layrnorm"),
    ("transformer.resblocks", "vision_model.encoder.layers"),
    ("ln_post", "vision_model.post_layernorm"),
];

/// Within a layer.
const LAYER: &Names = &[
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("attn.out_proj", "self_attn.out_proj"),
];

/// The text encoder at this place.
pub fn text(place: &Weights) -> Weights {
    place.relaid(|key| match key {
        "text_projection" => vec![("text_projection.weight".into(), View::Transposed)],
        _ => renamed(key, TEXT),
    })
}

/// The picture encoder at this place.
pub fn vision(place: &Weights) -> Weights {
    place.relaid(|key| match key {
        "proj" => vec![("visual_projection.weight".into(), View::Transposed)],
        _ => renamed(key, VISION),
    })
}

fn renamed(key: &str, names: &Names) -> Vec<(String, View)> {
    let Some(name) = replaced(key, names) else { return Vec::new() };
    match name.split_once(".layers.").and_then(|(before, layer)| {
        let (number, rest) = layer.split_once('.')?;
        Some((format!("{before}.layers.{number}."), rest))
    }) {
        Some((before, rest)) => in_layer(&before, rest),
        None => vec![(name, View::Whole)],
    }
}

/// A tensor of one layer, after the layer's own name.
pub fn in_layer(before: &str, key: &str) -> Vec<(String, View)> {
    if let Some(kind) = key.strip_prefix("attn.in_proj_") {
        let part = |(group, part): (usize, &str)| {
            (format!("{before}self_attn.{part}.{kind}"), View::Rows { group, of: 3 })
        };
        return ["q_proj", "k_proj", "v_proj"].into_iter().enumerate().map(part).collect();
    }
    let name = replaced(key, LAYER).map(|name| (format!("{before}{name}"), View::Whole));
    name.into_iter().collect()
}

fn replaced(key: &str, names: &Names) -> Option<String> {
    names.iter().find_map(|(there, here)| {
        let below = key.strip_prefix(there)?;
        (below.is_empty() || below.starts_with('.')).then(|| format!("{here}{below}"))
    })
}

/// The tensors of a text encoder in OpenCLIP's layout, given those under the names of the transformers library.
pub fn text_stored(tensors: Vec<(String, Weight)>) -> Vec<(String, Source)> {
    let (mut stored, mut joined) = (Vec::new(), Vec::<(String, Vec<Weight>)>::new());
    for (key, weight) in tensors {
        if key == "text_projection.weight" {
            stored.push(("text_projection".to_owned(), Source::Transposed(weight)));
            continue;
        }
        let Some(name) = reversed(&key) else { continue };
        let Some(at) =
            ["q", "k", "v"].iter().position(|part| key.contains(&format!(".{part}_proj.")))
        else {
            stored.push((name, weight.into()));
            continue;
        };
        let place = joined.iter().position(|(n, _)| *n == name).unwrap_or_else(|| {
            joined.push((name, vec![weight.clone(); 3]));
            joined.len() - 1
        });
        joined[place].1[at] = weight;
    }
    let whole = |parts: &[Weight]| Weight::joined(&parts.iter().collect::<Vec<_>>()).into();
    stored.extend(joined.into_iter().map(|(name, parts)| (name, whole(&parts))));
    stored
}

/// OpenCLIP's name of a tensor, that of the joined one for queries, keys and values.
fn reversed(key: &str) -> Option<String> {
    let turned = |names: &Names, key: &str| {
        names.iter().find_map(|(there, here)| {
            let below = key.strip_prefix(here)?;
            (below.is_empty() || below.starts_with('.')).then(|| format!("{there}{below}"))
        })
    };
    let name = turned(TEXT, key)?;
    let Some(layer) = name.strip_prefix("transformer.resblocks.") else { return Some(name) };
    let (number, key) = layer.split_once('.')?;
    let key = match key.strip_prefix("self_attn.").and_then(|k| k.split_once("_proj.")) {
        Some(("q" | "k" | "v", kind)) => format!("attn.in_proj_{kind}"),
        _ => turned(LAYER, key)?,
    };
    Some(format!("transformer.resblocks.{number}.{key}"))
}
