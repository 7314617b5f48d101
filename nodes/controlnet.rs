//! Networks that steer a model by a picture, and the conditionings that carry them.

use crate::{Conditioning, Image, Mask, Model, Told, Vae, resize::resize};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use models::{Asked, ControlNet as Network, Hint, Residuals};
use ndarray::Axis;
use sampling::Cond;
use std::sync::{Arc, Mutex, PoisonError};
use tensor::Device;

/// A network that reads a picture beside the noise.
#[derive(Clone)]
pub struct ControlNet {
    pub network: Network,
}

/// A network with the picture that it reads, in a conditioning; one after the other.
#[derive(Clone)]
pub struct Control(Arc<Link>);

struct Link {
    network: Network,
    pictures: Image,
    strength: f32,
    /// Parts (0..=1) of the run between which it speaks.
    start: f64,
    end: f64,
    before: Option<Control>,
    /// What it sees in the pictures, and for a latent of which size and how many rows.
    seen: Mutex<Option<([usize; 3], Arc<Hint>)>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "a control of strength {}", self.0.strength)
    }
}

impl PartialEq for Control {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A question to the model, as its controls hear it.
pub struct Question<'a> {
    pub asked: Asked<'a>,
    /// How many entries of the conditioning share the batch.
    pub calls: usize,
    pub sigma: f32,
    pub sampling: &'a sampling::ModelSampling,
}

impl Control {
    /// What this control and those before it add inside the model; nothing outside their time.
    pub fn residuals(&self, device: &Device, question: &Question) -> Result<Option<Residuals>> {
        let link = &*self.0;
        let before =
            link.before.as_ref().map(|c| c.residuals(device, question)).transpose()?.flatten();
        let [start, end] = [link.start, link.end].map(|p| question.sampling.percent_to_sigma(p));
        if !(end..=start).contains(&f64::from(question.sigma)) {
            return Ok(before);
        }
        let hint = self.seen(device, question)?;
        let mut own = link.network.residuals(device, &hint, &question.asked)?;
        own.scale(link.strength);
        Ok(Some(match before {
            Some(before) => before.plus(own),
            None => own,
        }))
    }

    fn seen(&self, device: &Device, question: &Question) -> Result<Arc<Hint>> {
        let link = &*self.0;
        let size = question.asked.size;
        let rows = size.batch / question.calls;
        let key = [size.height, size.width, rows];
        let mut seen = link.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hint)) = seen.as_ref().filter(|(k, _)| *k == key) {
            return Ok(hint.clone());
        }
        let [height, width] = link.network.picture_size(size.height, size.width);
        let given = &*link.pictures.0;
        // One picture is for all; of several each is for one entry of the batch, over and over.
        let chosen: Vec<usize> = match given.dim().0 {
            1 => vec![0],
            n => (0..rows).map(|i| i % n).collect(),
        };
        let pictures = given.select(Axis(0), &chosen);
        let pictures = pictures.slice(ndarray::s![.., .., .., ..3]).to_owned();
        let pictures = resize(&pictures, "nearest-exact", height, width, "center")?;
        let pictures = pictures.as_standard_layout();
        let numbers = pictures.as_slice().expect("just laid out");
        let hint = Arc::new(link.network.read(device, numbers, [chosen.len(), height, width])?);
        *seen = Some((key, hint.clone()));
        Ok(hint)
    }
}

/// A guider's conditionings as they are asked: a control that was applied to the positive alone, as in the
/// old way, speaks to the others too, and so do boxes.
pub fn shared_with_others(conds: &[Conditioning]) -> Vec<Conditioning> {
    let Some((positive, others)) = conds.split_first() else { return Vec::new() };
    let control = |told: &Told| told.control.clone().filter(|_| told.control_for_both);
    let others = others.iter().map(|other| {
        let other = shared(positive, other, control, |told| &mut told.control);
        shared(positive, &other, |told| told.grounding.clone(), |told| &mut told.grounding)
    });
    std::iter::once(positive.clone()).chain(others).collect()
}

/// What `given` finds in entries of the positive for the whole picture, put at `place` into those of the
/// other, if none of them has its own.
fn shared<T>(
    positive: &Conditioning,
    other: &Conditioning,
    given: impl Fn(&Told) -> Option<T>,
    place: impl Fn(&mut Told) -> &mut Option<T>,
) -> Conditioning {
    let whole = |e: &&Cond<Told>| e.region.is_none();
    let mut entries = (*other.0).clone();
    let mut free: Vec<&mut Option<T>> =
        entries.iter_mut().filter(|e| whole(&&**e)).map(|e| place(&mut e.payload)).collect();
    if free.is_empty() || free.iter().any(|place| place.is_some()) {
        return other.clone();
    }
    let count = free.len();
    let given = positive.0.iter().filter(whole).filter_map(|e| given(&e.payload));
    given.enumerate().for_each(|(i, given)| *free[i % count] = Some(given));
    Conditioning(Arc::new(entries))
}

/// Loads a ControlNet or a T2I-Adapter.
#[derive(Inputs)]
pub struct ControlNetLoader {
    /// A file in models/controlnet.
    #[widget(file("controlnet"))]
    pub control_net_name: String,
}

impl Node for ControlNetLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load ControlNet Model";
    type Output = ControlNet;

    fn run(self, ctx: &mut Context) -> Result<ControlNet> {
        load(ctx, &self.control_net_name, None)
    }
}

/// Loads a ControlNet that is stored as the difference from a model.
#[derive(Inputs)]
pub struct DiffControlNetLoader {
    /// The model that the difference was taken from.
    pub model: Model,
    /// A file in models/controlnet.
    #[widget(file("controlnet"))]
    pub control_net_name: String,
}

impl Node for DiffControlNetLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load ControlNet Model (diff)";
    type Output = ControlNet;

    fn run(self, ctx: &mut Context) -> Result<ControlNet> {
        load(ctx, &self.control_net_name, Some(&self.model))
    }
}

fn load(ctx: &mut Context, name: &str, model: Option<&Model>) -> Result<ControlNet> {
    let weights = crate::loaders::weights(ctx, "controlnet", name)?;
    if weights.has("difference") && model.is_none() {
        ctx.note(format!(
            "{name} holds differences from a model: load it with DiffControlNetLoader"
        ));
    }
    let mut network = Network::load(&weights, model.map(|m| &m.unet))?;
    // As in the original: only the file's name tells that it carries a style.
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    network.pooled = stem.ends_with("_shuffle") || stem.ends_with("_shuffle_fp16");
    Ok(ControlNet { network })
}

/// Says which of its pictures a ControlNet for many kinds gets.
#[derive(Inputs)]
pub struct SetUnionControlNetType {
    /// The ControlNet.
    pub control_net: ControlNet,
    /// What the picture shows.
    #[widget(one_of([
        "auto", "openpose", "depth", "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd", "normal",
        "segment", "tile", "repaint",
    ]))]
    pub r#type: String,
}

impl Node for SetUnionControlNetType {
    const CATEGORY: &str = "conditioning/controlnet";
    const TITLE: &str = "SetUnionControlNetType";
    type Output = ControlNet;

    fn run(self, ctx: &mut Context) -> Result<ControlNet> {
        ctx.note("this ControlNet is for one kind of picture, so the type changes nothing");
        Ok(self.control_net)
    }
}

/// Steers by a picture; the negative prompt is steered too. ControlNetApplyAdvanced is the newer way.
#[derive(Inputs)]
pub struct ControlNetApply {
    /// What to steer.
    pub conditioning: Conditioning,
    /// The network that reads the picture.
    pub control_net: ControlNet,
    /// What the network reads, such as edges or a pose.
    pub image: Image,
    /// How strongly.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
}

impl Node for ControlNetApply {
    const CATEGORY: &str = "conditioning/controlnet";
    const TITLE: &str = "Apply ControlNet (OLD)";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let settings = Settings {
            for_both: true,
            ..Settings::new(&self.control_net, &self.image, self.strength, (0.0, 1.0))
        };
        let [conditioning] = apply(&settings, [self.conditioning]);
        Ok(conditioning)
    }
}

/// Steers both prompts by a picture, for a part of the steps.
#[derive(Inputs)]
pub struct ControlNetApplyAdvanced {
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// The network that reads the picture.
    pub control_net: ControlNet,
    /// What the network reads, such as edges or a pose.
    pub image: Image,
    /// How strongly.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// From this part of the run on; 0 is the beginning.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// To this part of the run; 1 is the end.
    #[widget(number(1.0).range(0.0..=1.0).step(0.001))]
    pub end_percent: f64,
    /// For networks that read latents; those of Stable Diffusion 1 read pictures.
    pub vae: Option<Vae>,
}

impl Node for ControlNetApplyAdvanced {
    const CATEGORY: &str = "conditioning/controlnet";
    const TITLE: &str = "Apply ControlNet";
    const OUTPUT_NAMES: &[&str] = &["positive", "negative"];
    type Output = (Conditioning, Conditioning);

    fn run(self, _: &mut Context) -> Result<(Conditioning, Conditioning)> {
        let range = (self.start_percent, self.end_percent);
        let settings = Settings::new(&self.control_net, &self.image, self.strength, range);
        Ok(apply(&settings, [self.positive, self.negative]).into())
    }
}

/// ControlNetApplyAdvanced for networks that read latents.
#[derive(Inputs)]
pub struct ControlNetApplySD3 {
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// The network that reads the picture.
    pub control_net: ControlNet,
    /// For networks that read latents; those of Stable Diffusion 1 read pictures.
    pub vae: Vae,
    /// What the network reads, such as edges or a pose.
    pub image: Image,
    /// How strongly.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// From this part of the run on; 0 is the beginning.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// To this part of the run; 1 is the end.
    #[widget(number(1.0).range(0.0..=1.0).step(0.001))]
    pub end_percent: f64,
}

impl Node for ControlNetApplySD3 {
    const CATEGORY: &str = "conditioning/controlnet";
    const TITLE: &str = "Apply Controlnet with VAE";
    const OUTPUT_NAMES: &[&str] = &["positive", "negative"];
    type Output = (Conditioning, Conditioning);

    fn run(self, _: &mut Context) -> Result<(Conditioning, Conditioning)> {
        let range = (self.start_percent, self.end_percent);
        let settings = Settings::new(&self.control_net, &self.image, self.strength, range);
        Ok(apply(&settings, [self.positive, self.negative]).into())
    }
}

/// Steers inpainting by a picture with a hole; networks that read no mask, such as all of Stable Diffusion 1, read
/// the whole picture.
#[derive(Inputs)]
pub struct ControlNetInpaintingAliMamaApply {
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// The network that reads the picture.
    pub control_net: ControlNet,
    /// For networks that read latents; those of Stable Diffusion 1 read pictures.
    pub vae: Vae,
    /// The picture.
    pub image: Image,
    /// Where the hole is, for networks that read a mask.
    pub mask: Mask,
    /// How strongly.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// From this part of the run on; 0 is the beginning.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// To this part of the run; 1 is the end.
    #[widget(number(1.0).range(0.0..=1.0).step(0.001))]
    pub end_percent: f64,
}

impl Node for ControlNetInpaintingAliMamaApply {
    const CATEGORY: &str = "conditioning/controlnet";
    const TITLE: &str = "ControlNetInpaintingAliMamaApply";
    const OUTPUT_NAMES: &[&str] = &["positive", "negative"];
    type Output = (Conditioning, Conditioning);

    fn run(self, ctx: &mut Context) -> Result<(Conditioning, Conditioning)> {
        ctx.note("this ControlNet reads no mask: it sees the whole picture");
        let range = (self.start_percent, self.end_percent);
        let settings = Settings::new(&self.control_net, &self.image, self.strength, range);
        Ok(apply(&settings, [self.positive, self.negative]).into())
    }
}

/// How a picture steers.
struct Settings<'a> {
    network: &'a Network,
    image: &'a Image,
    strength: f64,
    range: (f64, f64),
    for_both: bool,
}

/// Puts the control after those that are there. Entries with the same ones before it share it, so that
/// they can be asked in one batch.
fn apply<const N: usize>(
    settings: &Settings,
    conditionings: [Conditioning; N],
) -> [Conditioning; N] {
    if settings.strength == 0.0 {
        return conditionings;
    }
    let mut made: Vec<Control> = Vec::new();
    conditionings.map(|conditioning| {
        let mut entries = (*conditioning.0).clone();
        for entry in &mut entries {
            let told = &mut entry.payload;
            let same = made.iter().find(|c| c.0.before == told.control).cloned();
            let control = same.unwrap_or_else(|| settings.control(told.control.take()));
            made.push(control.clone());
            told.control = Some(control);
            told.control_for_both = settings.for_both;
        }
        Conditioning(Arc::new(entries))
    })
}

impl<'a> Settings<'a> {
    fn new(net: &'a ControlNet, image: &'a Image, strength: f64, range: (f64, f64)) -> Self {
        Self { network: &net.network, image, strength, range, for_both: false }
    }

    fn control(&self, before: Option<Control>) -> Control {
        Control(Arc::new(Link {
            network: self.network.clone(),
            pictures: self.image.clone(),
            strength: self.strength as f32,
            start: self.range.0,
            end: self.range.1,
            before,
            seen: Mutex::default(),
        }))
    }
}
