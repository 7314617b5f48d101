//! Words held to boxes of the picture.

use crate::{Clip, Conditioning, text};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use models::{Gligen as Network, Object};
use sampling::Area;
use std::sync::Arc;

/// Layers that let a model put things where it is told.
#[derive(Clone)]
pub struct Gligen(pub Network);

/// What a conditioning puts where. Those of one origin are equal.
#[derive(Clone)]
pub struct Grounding(Arc<Boxes>);

struct Boxes {
    network: Network,
    /// The pooled vector of each text, and its place in latent units.
    texts: Vec<(Arc<Vec<f32>>, Area)>,
}

impl Grounding {
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// For a latent of this size, as the network reads them.
    pub fn objects(&self, height: usize, width: usize) -> Result<Vec<f32>> {
        let object = |(text, area): &'_ (Arc<Vec<f32>>, Area)| {
            let [left, right] = [area.x, area.x + area.width].map(|x| x as f32 / width as f32);
            let [top, bottom] = [area.y, area.y + area.height].map(|y| y as f32 / height as f32);
            (text.clone(), [left, top, right, bottom])
        };
        let placed: Vec<_> = self.0.texts.iter().map(object).collect();
        let objects = placed.iter().map(|(text, bounds)| Object { text, bounds: *bounds });
        self.0.network.objects(&objects.collect::<Vec<_>>())
    }
}

impl std::fmt::Debug for Grounding {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} boxes", self.0.texts.len())
    }
}

impl PartialEq for Grounding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Loads layers that let a model put things where it is told.
#[derive(Inputs)]
pub struct GLIGENLoader {
    /// A file in models/gligen.
    #[widget(file("gligen"))]
    pub gligen_name: String,
}

impl Node for GLIGENLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "GLIGENLoader";
    type Output = Gligen;

    fn run(self, ctx: &mut Context) -> Result<Gligen> {
        let weights = crate::loaders::weights(ctx, "gligen", &self.gligen_name)?;
        let network = Network::load(&weights)?;
        crate::loaders::note_unused(ctx, &weights);
        Ok(Gligen(network))
    }
}

/// Says what shall be in a box of the picture, beside what the prompt says; further boxes are added one node
/// after another. The negative prompt is told the same boxes.
#[derive(Inputs)]
pub struct GLIGENTextBoxApply {
    /// The prompt; it should name what is in the box too.
    pub conditioning_to: Conditioning,
    /// The text encoder.
    pub clip: Clip,
    /// The layers that are told the boxes.
    pub gligen_textbox_model: Gligen,
    /// What is in the box.
    #[widget(prompt())]
    pub text: String,
    /// In pixels.
    #[widget(number(64).range(8..=16384).step(8))]
    pub width: usize,
    /// In pixels.
    #[widget(number(64).range(8..=16384).step(8))]
    pub height: usize,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(8))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(8))]
    pub y: usize,
}

impl Node for GLIGENTextBoxApply {
    const CATEGORY: &str = "conditioning/gligen";
    const TITLE: &str = "GLIGENTextBoxApply";
    type Output = Conditioning;

    fn run(self, ctx: &mut Context) -> Result<Conditioning> {
        let network = self.gligen_textbox_model.0;
        let clip = self.clip.first(ctx)?;
        let text = Arc::new(text::encode(ctx, &clip, &self.text)?.pooled);
        ensure!(
            text.len() == network.text_channels(),
            "the text encoder makes {} channels, this GLIGEN model reads {}: it is for another family",
            text.len(),
            network.text_channels()
        );
        let area =
            Area { height: self.height / 8, width: self.width / 8, y: self.y / 8, x: self.x / 8 };
        let mut entries = (*self.conditioning_to.0).clone();
        for entry in &mut entries {
            let before = entry.payload.grounding.take();
            let mut texts = before.map_or_else(Vec::new, |before| before.0.texts.clone());
            ensure!(
                texts.len() < Network::MOST,
                "a GLIGEN model reads at most {} boxes",
                Network::MOST
            );
            texts.push((text.clone(), area));
            let network = network.clone();
            entry.payload.grounding = Some(Grounding(Arc::new(Boxes { network, texts })));
        }
        Ok(Conditioning(Arc::new(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Told, controlnet::shared_with_others};
    use ndarray::Array3;
    use sampling::{Cond, Region};
    use std::path::Path;
    use tensor::Weights;

    fn grounding() -> Grounding {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/gligen");
        let network =
            Network::load(&Weights::open(&file.join("small.safetensors")).unwrap()).unwrap();
        let texts = vec![(Arc::new(vec![0.25; 16]), Area { height: 3, width: 8, y: 6, x: 4 })];
        Grounding(Arc::new(Boxes { network, texts }))
    }

    fn told(grounding: Option<&Grounding>, region: Option<Region>) -> Cond<Told> {
        let told = Told::new(Array3::zeros((1, 77, 4)), vec![0.0; 4]);
        let told = Told { grounding: grounding.cloned(), ..told };
        Cond { region, ..Cond::new(told) }
    }

    #[test]
    fn a_box_is_a_part_of_the_picture_and_all_other_places_are_empty() {
        let objects = grounding().objects(12, 16).unwrap();
        let objects: Vec<&[f32]> = objects.chunks_exact(16 + 64).collect();
        assert_eq!(objects.len(), Network::MOST);
        assert_eq!(objects[0][..16], [0.25; 16]);
        let sides = [0.25f32, 0.5, 0.75, 0.75];
        assert_eq!(objects[0][16..20], sides.map(f32::sin));
        assert_eq!(objects[0][20..24], sides.map(f32::cos));
        assert!(objects[1..].iter().all(|object| *object == objects[1] && *object != objects[0]));
    }

    #[test]
    fn the_negative_is_told_the_boxes_of_the_positive_where_it_has_none() {
        let (one, other) = (grounding(), grounding());
        let of = |entries: Vec<Cond<Told>>| Conditioning(Arc::new(entries));
        let shared = |negative: Vec<Cond<Told>>| {
            let conds = shared_with_others(&[of(vec![told(Some(&one), None)]), of(negative)]);
            let boxes = conds[1].0.iter().map(|entry| entry.payload.grounding.clone());
            boxes.collect::<Vec<_>>()
        };
        let area = Region::Area(Area { height: 8, width: 8, y: 0, x: 0 });
        let negative = vec![told(None, Some(area)), told(None, None)];
        assert_eq!(shared(negative), [None, Some(one.clone())]);
        assert_eq!(shared(vec![told(Some(&other), None)]), [Some(other)]);
    }
}
