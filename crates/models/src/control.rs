//! Networks that read a picture beside the noise and steer a UNet: ControlNet (Zhang et al. 2023) and
//! T2I-Adapter (Mou et al. 2023).

mod adapter;
mod residuals;

pub(crate) use residuals::Controlled;
pub use residuals::Residuals;

use crate::{
    Unet, diffusers,
    layers::{conv2d, count, expect_shape, linear},
    networks::Networks,
    unet::{Blocks, Heads, Size, channels_last, sinusoid},
};
use adapter::Adapter;
use std::sync::Arc;
use tensor::{Conv, Device, Patch, Program, Result, Tape, Tensor, Weight, Weights};

/// How many pixels of the picture one latent pixel stands for.
const SCALE: usize = 8;
/// Of every network of Stable Diffusion 1, and of Stable Diffusion 2.
const HEADS: [Heads; 2] = [Heads::Count(8), Heads::Channels(64)];

/// A network that steers a UNet. Cheap to clone.
#[derive(Clone)]
pub struct ControlNet {
    kind: Arc<Kind>,
    /// Residuals are means over the picture: for files made to carry a style and no shapes.
    pub pooled: bool,
}

enum Kind {
    Full(Full),
    Adapter(Adapter),
}

/// A picture as the network keeps it for the whole run.
pub enum Hint {
    /// Channels last, of the size of the latent.
    Guided(Vec<f32>),
    /// All that an adapter has to say, to so many pictures.
    Whole(Residuals, usize),
}

impl ControlNet {
    /// A network out of a file; `base` is the model that a difference is added to.
    pub fn load(file: &Weights, base: Option<&Unet>) -> Result<Self> {
        let kind = if Adapter::is_in(file) {
            Kind::Adapter(Adapter::load(file)?)
        } else {
            Kind::Full(Full::load(file, base)?)
        };
        Ok(Self { kind: Arc::new(kind), pooled: false })
    }

    /// The size in pixels of the picture that goes with a latent: height and width.
    pub fn picture_size(&self, height: usize, width: usize) -> [usize; 2] {
        let whole = match &*self.kind {
            Kind::Full(_) => SCALE,
            Kind::Adapter(adapter) => adapter.unshuffle,
        };
        [height, width].map(|n| (n * SCALE).next_multiple_of(whole))
    }

    /// Reads pictures `[B, height, width, 3]` of 0 to 1, of [`ControlNet::picture_size`].
    pub fn read(&self, device: &Device, pictures: &[f32], shape: [usize; 3]) -> Result<Hint> {
        match &*self.kind {
            Kind::Full(net) => Ok(Hint::Guided(net.guide(device, pictures, shape)?)),
            Kind::Adapter(adapter) => {
                Ok(Hint::Whole(adapter.read(device, pictures, shape)?, shape[0]))
            }
        }
    }

    /// What to add inside the UNet for a question. `x` is `[B, 4, H, W]`, scaled to unit variance.
    pub fn residuals(&self, device: &Device, hint: &Hint, ask: &Asked) -> Result<Residuals> {
        let residuals = match (&*self.kind, hint) {
            (Kind::Full(net), Hint::Guided(guided)) => {
                let mut residuals = net.residuals(device, guided, ask)?;
                if self.pooled {
                    residuals.pool(ask.size.batch, &net.channels());
                }
                residuals
            }
            (_, Hint::Whole(residuals, pictures)) => residuals.repeated(ask.size.batch / pictures),
            (Kind::Adapter(_), Hint::Guided(_)) => unreachable!("an adapter reads whole hints"),
        };
        Ok(residuals)
    }
}

/// What a UNet is asked, without the pictures that only it reads.
pub struct Asked<'a> {
    pub x: &'a [f32],
    pub timesteps: &'a [f32],
    pub context: &'a [f32],
    pub size: Size,
}

/// A copy of a UNet's first half whose every block speaks to the UNet through a 1x1 convolution.
struct Full {
    weights: Weights,
    in_channels: usize,
    model_channels: usize,
    context_channels: usize,
    guides: Networks<[usize; 3]>,
    networks: Networks<Size>,
}

impl Full {
    fn load(file: &Weights, base: Option<&Unet>) -> Result<Self> {
        let weights = match file.has("control_model") {
            true => file.at("control_model"),
            false => diffusers::controlnet(file),
        };
        let weights = match base.filter(|_| file.has("difference")) {
            Some(base) => weights.patched(differences(&weights, base)?),
            None => weights,
        };
        let conv_in = weights.ranked("input_blocks.0.0.weight", 4)?;
        let keys = weights.keys();
        let to_k = keys.iter().find(|k| k.ends_with("attn2.to_k.weight")).map(|k| (*k).to_owned());
        let to_k = to_k
            .unwrap_or_else(|| "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight".into());
        let this = Self {
            in_channels: conv_in.shape()[1],
            model_channels: conv_in.shape()[0],
            context_channels: weights.ranked(&to_k, 2)?.shape()[1],
            guides: Networks::default(),
            networks: Networks::default(),
            weights,
        };
        let size = Size { batch: 1, height: 8, width: 8, tokens: 77 };
        let recorded = this.record(size).and_then(|_| this.record_guide([1, 64, 64]));
        this.weights.verdict(recorded)?;
        Ok(this)
    }

    /// Of what each input block and the middle say.
    fn channels(&self) -> Vec<usize> {
        let blocks =
            (0..count(&self.weights, "zero_convs")).map(|i| format!("zero_convs.{i}.0.bias"));
        let names = blocks.chain(["middle_block_out.0.bias".to_owned()]);
        names.map(|name| self.weights.shape(&name).map_or(1, |shape| shape[0])).collect()
    }

    fn guide(&self, device: &Device, pictures: &[f32], shape: [usize; 3]) -> Result<Vec<f32>> {
        let program = |shape| self.record_guide(shape);
        Ok(self.guides.run(device, shape, program, &[pictures])?.swap_remove(0))
    }

    fn residuals(&self, device: &Device, guided: &[f32], ask: &Asked) -> Result<Residuals> {
        let Size { batch, height, width, tokens } = ask.size;
        let wanted = batch * tokens * self.context_channels;
        anyhow::ensure!(
            ask.context.len() == wanted,
            "{} reads text of {} channels, the model's has {}: it is for another family of models",
            self.weights.file(),
            self.context_channels,
            ask.context.len() / (batch * tokens)
        );
        let x = channels_last(ask.x, [batch, self.in_channels, height * width]);
        let time: Vec<f32> =
            ask.timesteps.iter().flat_map(|t| sinusoid(*t, self.model_channels)).collect();
        let guided = repeated(guided, batch * height * width * self.model_channels);
        let inputs = [x.as_slice(), &time, ask.context, &guided];
        let mut made = self.networks.run(device, ask.size, |size| self.record(size), &inputs)?;
        let middle = made.pop();
        Ok(Residuals { input: Vec::new(), middle, skips: made.into_iter().map(Some).collect() })
    }

    /// Eight convolutions, of which three halve the picture.
    fn record_guide(&self, [batch, height, width]: [usize; 3]) -> Result<Program> {
        let w = &self.weights.at("input_hint_block");
        let tape = Tape::named(format!("ControlNet's eye {width}x{height}"));
        let mut h = tape.input("picture", &[batch, height, width, 3]);
        for i in (0..16).step_by(2) {
            let stride = if [4, 8, 12].contains(&i) { 2 } else { 1 };
            h = conv2d(&h, &w.at(i), Conv { stride, ..Conv::same(3) });
            h = if i < 14 { h.silu() } else { h };
        }
        let shape = [batch, height / SCALE, width / SCALE, self.model_channels];
        expect_shape(&h, &shape, w)?;
        Ok(tape.finish(&[&h]))
    }

    fn record(&self, size: Size) -> Result<Program> {
        let w = &self.weights;
        let tape = Tape::named(format!("ControlNet {size}"));
        let Size { batch, height, width, tokens } = size;
        let x = tape.input("x", &[batch, height, width, self.in_channels]);
        let time = tape.input("time", &[batch, self.model_channels]);
        let context = tape.steady_input("context", &[batch, tokens, self.context_channels]);
        let guided = tape.steady_input("guided", &[batch, height, width, self.model_channels]);
        // Only the second generation has matrices where the first has kernels.
        let matrices = w.shape("input_blocks.1.1.proj_in.weight").is_some_and(|s| s.len() == 2);
        let blocks = Blocks::new(HEADS[usize::from(matrices)], &time, None, context, w)?;
        let mut h = x;
        let mut made: Vec<Tensor> = Vec::new();
        for i in 0..count(w, "input_blocks") {
            h = blocks.input(&h, w, i)?;
            if i == 0 {
                h = h.add(&guided);
            }
            made.push(linear(&h, &w.at("zero_convs").at(i).at(0)));
        }
        h = blocks.middle(&h, &w.at("middle_block"))?;
        made.push(linear(&h, &w.at("middle_block_out.0")));
        Ok(tape.finish(&made.iter().collect::<Vec<_>>()))
    }
}

/// The numbers of one picture for every picture of a batch.
fn repeated(x: &[f32], len: usize) -> Vec<f32> {
    x.iter().copied().cycle().take(len).collect()
}

/// Adds a weight of the model that a file holds the difference from.
struct Base(Weight);

impl Patch for Base {
    fn apply(&self, x: &mut [f32], _: &[usize]) -> Result<()> {
        x.iter_mut().zip(self.0.to_f32()?).for_each(|(x, base)| *x += base);
        Ok(())
    }
}

fn differences(weights: &Weights, base: &Unet) -> Result<Vec<(String, Arc<dyn Patch>)>> {
    let keys = weights.keys();
    let shared = keys.iter().filter(|key| base.weights.shape(key) == weights.shape(key));
    let patch = |key: &&str| {
        let patch: Arc<dyn Patch> = Arc::new(Base(base.weights.get(key)?));
        Ok(((*key).to_owned(), patch))
    };
    shared.map(patch).collect()
}
