//! Two models made one with a share for every block of a family's network.

use crate::{
    Model,
    merge::{mixed, part, ratio_of},
};
use anyhow::Result;
use graph::{Args, Context, Input, Inputs, Node, widget};

/// The parts of the UNet of Stable Diffusion 1 and 2 that have a share each.
const SD_BLOCKS: &[&str] = &[
    "time_embed.",
    "label_emb.",
    "input_blocks.0.",
    "input_blocks.1.",
    "input_blocks.2.",
    "input_blocks.3.",
    "input_blocks.4.",
    "input_blocks.5.",
    "input_blocks.6.",
    "input_blocks.7.",
    "input_blocks.8.",
    "input_blocks.9.",
    "input_blocks.10.",
    "input_blocks.11.",
    "middle_block.0.",
    "middle_block.1.",
    "middle_block.2.",
    "output_blocks.0.",
    "output_blocks.1.",
    "output_blocks.2.",
    "output_blocks.3.",
    "output_blocks.4.",
    "output_blocks.5.",
    "output_blocks.6.",
    "output_blocks.7.",
    "output_blocks.8.",
    "output_blocks.9.",
    "output_blocks.10.",
    "output_blocks.11.",
    "out.",
];

/// The same for SDXL, whose UNet has fewer blocks.
const SDXL_BLOCKS: &[&str] = &[
    "time_embed.",
    "label_emb.",
    "input_blocks.0",
    "input_blocks.1",
    "input_blocks.2",
    "input_blocks.3",
    "input_blocks.4",
    "input_blocks.5",
    "input_blocks.6",
    "input_blocks.7",
    "input_blocks.8",
    "middle_block.0",
    "middle_block.1",
    "middle_block.2",
    "output_blocks.0",
    "output_blocks.1",
    "output_blocks.2",
    "output_blocks.3",
    "output_blocks.4",
    "output_blocks.5",
    "output_blocks.6",
    "output_blocks.7",
    "output_blocks.8",
    "out.",
];

/// The inputs by hand: the names of the shares are no names that a field can have.
macro_rules! merges { ($($node:ident: $blocks:ident, $doc:literal;)*) => {$(
    #[doc = $doc]
    pub struct $node {
        model1: Model,
        model2: Model,
        ratios: Vec<(&'static str, f64)>,
    }

    impl Inputs for $node {
        const NAME: &'static str = stringify!($node);
        const DOC: &'static str = $doc;

        fn inputs() -> Vec<Input> {
            inputs($blocks)
        }

        fn take(args: &mut Args) -> Result<Self> {
            let (model1, model2) = (args.take("model1")?, args.take("model2")?);
            let ratios = $blocks.iter().map(|name| Ok((*name, args.take(name)?)));
            Ok(Self { model1, model2, ratios: ratios.collect::<Result<_>>()? })
        }
    }

    impl Node for $node {
        const CATEGORY: &str = "advanced/model_merging/model_specific";
        const TITLE: &str = stringify!($node);
        type Output = Model;

        fn run(self, ctx: &mut Context) -> Result<Model> {
            mixed(ctx, &self.model1, &self.model2, &|key| part(ratio_of(key, &self.ratios)))
        }
    }
)*}}

merges! {
    ModelMergeSD1: SD_BLOCKS,
        "A mixture of two models of Stable Diffusion 1 with a share for every block.";
    ModelMergeSD2: SD_BLOCKS,
        "A mixture of two models of Stable Diffusion 2 with a share for every block; its blocks are those of 1.";
    ModelMergeSDXL: SDXL_BLOCKS, "A mixture of two models of SDXL with a share for every block.";
}

fn inputs(blocks: &[&'static str]) -> Vec<Input> {
    let share = || widget::number(1.0).range(0.0..=1.0).step(0.01);
    let block = |name: &&'static str| {
        Input::new::<f64>(name, "The share of the first model in these weights.", Some(share()))
    };
    let models = [
        Input::new::<Model>("model1", "One model; settings that are no weights are its.", None),
        Input::new::<Model>("model2", "The other model.", None),
    ];
    models.into_iter().chain(blocks.iter().map(block)).collect()
}
