//! The difference of two models into a LoRA file.

use crate::{Clip, Model, low_rank::low_rank, save_model};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use tensor::{Weight, Weights};

/// What share of the numbers of both factors stay as they are; the few larger ones are cut to the largest of them.
const UNCUT: f64 = 0.99;

/// Writes the difference of two models, as ModelMergeSubtract and CLIPMergeSubtract give it, into a LoRA file in the
/// output folder.
#[derive(Inputs)]
pub struct LoraSave {
    /// How the file name begins; may name a folder inside the output folder.
    #[widget(text("loras/ComfyUI_extracted_lora").with("multiline", false))]
    pub filename_prefix: String,
    /// The rank that differences are brought down to: more is closer, and a larger file.
    #[widget(number(8).range(1..=4096).step(1))]
    pub rank: usize,
    /// Factors of low rank, or whole differences.
    #[widget(one_of(["standard", "full_diff"]))]
    pub lora_type: String,
    /// Whether differences of biases and norms are written too, which are small and always whole.
    #[widget(toggle(true))]
    pub bias_diff: bool,
    /// The difference of two models.
    pub model_diff: Option<Model>,
    /// The difference of two text encoders.
    pub text_encoder_diff: Option<Clip>,
}

impl Node for LoraSave {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "Extract and Save Lora";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        let unet = self.model_diff.as_ref().map(|model| model.unet.tensors()).transpose()?;
        let clip =
            self.text_encoder_diff.as_ref().map(|clip| clip.encoder.tensors()).transpose()?;
        let unet = unet
            .into_iter()
            .flatten()
            .map(|(key, weight)| (key.strip_prefix("model.").unwrap_or(&key).to_owned(), weight));
        // As the original calls the text encoders of Stable Diffusion 1 and 2.
        let open = self.text_encoder_diff.as_ref().is_some_and(|clip| clip.encoder.is_open_clip());
        let place = if open { "clip_h" } else { "clip_l" };
        let clip = clip.into_iter().flatten();
        let clip =
            clip.map(|(key, weight)| (format!("text_encoders.{place}.transformer.{key}"), weight));
        let differences: Vec<(String, Weight)> = unet.chain(clip).collect();
        anyhow::ensure!(
            !differences.is_empty(),
            "there is nothing to save: link model_diff or text_encoder_diff"
        );
        let made = self.factored(ctx, &differences)?;
        let file = Weights::made("LoRA", made)?.rounded_to_f16();
        let keys = file.keys();
        let tensors = keys.iter().map(|key| Ok(((*key).to_owned(), file.get(key)?.into())));
        save_model::save(ctx, &self.filename_prefix, &tensors.collect::<Result<Vec<_>>>()?, &[])
    }
}

/// A tensor to be written: name, shape, numbers.
type Named = (String, Vec<usize>, Vec<f32>);

impl LoraSave {
    /// As many differences at once as there are processors.
    fn factored(&self, ctx: &mut Context, differences: &[(String, Weight)]) -> Result<Vec<Named>> {
        let mut made = Vec::new();
        for some in differences.chunks(rayon::current_num_threads()) {
            let parts = some.par_iter().map(|(key, weight)| self.parts(key, weight));
            parts.collect::<Result<Vec<_>>>()?.into_iter().for_each(|parts| made.extend(parts));
            ctx.step(made.len().min(differences.len()), differences.len())?;
        }
        Ok(made)
    }

    /// What stands in the file for a difference; nothing for none.
    fn parts(&self, key: &str, weight: &Weight) -> Result<Vec<Named>> {
        let shape = weight.shape().to_vec();
        let whole = |name: String| Ok(vec![(name, shape.clone(), weight.to_f32()?)]);
        if let Some(module) = key.strip_suffix(".bias") {
            return if self.bias_diff { whole(format!("{module}.diff_b")) } else { Ok(vec![]) };
        }
        let Some(module) = key.strip_suffix(".weight") else { return Ok(vec![]) };
        if self.lora_type == "full_diff" || (shape.len() < 2 && self.bias_diff) {
            return whole(format!("{module}.diff"));
        }
        if shape.len() < 2 {
            return Ok(vec![]);
        }
        let numbers = weight.to_f32()?;
        if numbers.iter().all(|x| *x == 0.0) {
            return Ok(vec![]);
        }
        let matrix = ArrayView2::from_shape((shape[0], numbers.len() / shape[0]), &numbers)
            .context("a weight lies in one piece")?;
        let (mut up, mut down) = low_rank(&matrix, self.rank);
        cut(&mut up, &mut down);
        let rank = up.ncols();
        // A convolution is one to `rank` channels, then one of single pixels.
        let [up_shape, down_shape] = match shape[2..] {
            [] => [vec![shape[0], rank], vec![rank, shape[1]]],
            ref kernel => [vec![shape[0], rank, 1, 1], [&[rank, shape[1]], kernel].concat()],
        };
        let numbers = |x: Array2<f32>| x.iter().copied().collect();
        Ok(vec![
            (format!("{module}.lora_up.weight"), up_shape, numbers(up)),
            (format!("{module}.lora_down.weight"), down_shape, numbers(down)),
        ])
    }
}

/// Cuts the numbers of both to a size that few exceed, so that f16 has digits for the rest.
fn cut(up: &mut Array2<f32>, down: &mut Array2<f32>) {
    let mut all: Vec<f32> = up.iter().chain(down.iter()).copied().collect();
    all.sort_unstable_by(f32::total_cmp);
    // Between two numbers by their distance, as torch.quantile does.
    let at = UNCUT * (all.len() - 1) as f64;
    let (low, part) = (at as usize, at.fract() as f32);
    let high = all[low] + (all[(low + 1).min(all.len() - 1)] - all[low]) * part;
    for x in up.iter_mut().chain(down.iter_mut()) {
        *x = x.clamp(-high.abs(), high.abs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_large_numbers_are_cut() {
        let mut up = Array2::from_shape_fn((10, 10), |(i, j)| (10 * i + j) as f32);
        let mut down = Array2::zeros((1, 1));
        cut(&mut up, &mut down);
        assert_eq!((up[[9, 8]], up[[9, 9]]), (98.0, 98.0));
        assert_eq!(up[[0, 7]], 7.0);
    }
}
