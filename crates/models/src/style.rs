//! A style as words for a text-reading UNet (Mou et al. 2023, "T2I-Adapter", its style adapter): a small
//! transformer reads what CLIP sees in a picture, and a few vectors of its own beside it.

use crate::{
    Seen, clip,
    clip::Gelu,
    layers::{count, layer_norm, project},
    networks::Networks,
    openclip,
};
use tensor::{Device, Program, Result, Tape, View, Weights};

/// A style adapter. Cheap to clone.
#[derive(Clone)]
pub struct StyleAdapter {
    weights: Weights,
    channels: usize,
    /// How many words it says, and of how many channels.
    words: usize,
    pub word_channels: usize,
    /// Pictures, and tokens of each.
    networks: Networks<[usize; 2]>,
}

/// Of every style adapter.
const HEADS: usize = 8;
/// As its authors spell it.
const LAYERS: &str = "transformer_layes.";

impl StyleAdapter {
    pub fn load(file: &Weights) -> Result<Self> {
        let weights =
            file.relaid(|key| match key.strip_prefix(LAYERS).and_then(|k| k.split_once('.')) {
                Some((number, key)) => openclip::in_layer(&format!("layers.{number}."), key),
                None if key == "proj" => vec![("proj.weight".into(), View::Transposed)],
                None => vec![(key.into(), View::Whole)],
            });
        let style = weights.ranked("style_embedding", 3)?;
        let &[1, words, channels] = style.shape() else {
            anyhow::bail!(weights.wrong("style_embedding", "[1, words, channels]"))
        };
        let word_channels = weights.ranked("proj.weight", 2)?.shape()[0];
        let networks = Networks::default();
        let this = Self { channels, words, word_channels, networks, weights };
        this.weights.verdict(this.record([1, 2]))?;
        Ok(this)
    }

    /// What the UNet is to read for all the pictures, one after the other: `[words, word_channels]`.
    pub fn words(&self, device: &Device, seen: &Seen) -> Result<Vec<f32>> {
        anyhow::ensure!(
            seen.channels == self.channels,
            "{} reads pictures as {} channels, the picture encoder gives {}: it wants that of CLIP ViT-L",
            self.weights.file(),
            self.channels,
            seen.channels
        );
        let size = [seen.batch, seen.tokens];
        let style = self.weights.get("style_embedding")?.to_f32()?.repeat(seen.batch);
        let inputs = [seen.last_hidden.as_slice(), &style];
        Ok(self.networks.run(device, size, |size| self.record(size), &inputs)?.swap_remove(0))
    }

    fn record(&self, [batch, tokens]: [usize; 2]) -> Result<Program> {
        let w = &self.weights;
        let tape = Tape::named(format!("style adapter, {batch} x {tokens} tokens"));
        let seen = tape.input("seen", &[batch, tokens, self.channels]);
        let style = tape.input("style", &[batch, self.words, self.channels]);
        let mut h = layer_norm(&seen.concat(&[&style], 1), &w.at("ln_pre"));
        for i in 0..count(w, "layers") {
            h = clip::layer(&h, HEADS, false, Gelu::Quick, &w.at("layers").at(i))?;
        }
        let h = layer_norm(&h.slice(1, tokens, self.words), &w.at("ln_post"));
        Ok(tape.finish(&[&project(&h, &w.at("proj"))]))
    }
}
