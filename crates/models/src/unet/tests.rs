//! Stable Diffusion 1.5's UNet at full size: what a step of it takes on a GPU.

use super::*;
use std::{io::Write, path::Path};
use tensor::{Adapter, GpuOptions};

/// Shapes of tensors by key.
#[derive(Default)]
struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    fn layer(&mut self, name: &str, weight: &[usize]) {
        self.0.push((format!("{name}.weight"), weight.to_vec()));
        self.0.push((format!("{name}.bias"), weight[..1].to_vec()));
    }

    fn matrix(&mut self, name: &str, weight: [usize; 2]) {
        self.0.push((format!("{name}.weight"), weight.to_vec()));
    }

    fn res(&mut self, name: &str, from: usize, to: usize) {
        self.layer(&format!("{name}.in_layers.0"), &[from]);
        self.layer(&format!("{name}.in_layers.2"), &[to, from, 3, 3]);
        self.layer(&format!("{name}.emb_layers.1"), &[to, 1280]);
        self.layer(&format!("{name}.out_layers.0"), &[to]);
        self.layer(&format!("{name}.out_layers.3"), &[to, to, 3, 3]);
        if from != to {
            self.layer(&format!("{name}.skip_connection"), &[to, from, 1, 1]);
        }
    }

    fn transformer(&mut self, name: &str, c: usize) {
        self.layer(&format!("{name}.norm"), &[c]);
        self.layer(&format!("{name}.proj_in"), &[c, c, 1, 1]);
        self.layer(&format!("{name}.proj_out"), &[c, c, 1, 1]);
        let block = format!("{name}.transformer_blocks.0");
        for (attention, context) in [("attn1", c), ("attn2", 768)] {
            for (layer, from) in [("to_q", c), ("to_k", context), ("to_v", context)] {
                self.matrix(&format!("{block}.{attention}.{layer}"), [c, from]);
            }
            self.layer(&format!("{block}.{attention}.to_out.0"), &[c, c]);
        }
        ["norm1", "norm2", "norm3"]
            .iter()
            .for_each(|norm| self.layer(&format!("{block}.{norm}"), &[c]));
        self.layer(&format!("{block}.ff.net.0.proj"), &[8 * c, c]);
        self.layer(&format!("{block}.ff.net.2"), &[c, 4 * c]);
    }

    /// Of the paper's network, with the sizes of Stable Diffusion 1.
    fn sd1() -> Self {
        const CHANNELS: [usize; 4] = [320, 640, 1280, 1280];
        let mut shapes = Self::default();
        shapes.layer("time_embed.0", &[1280, 320]);
        shapes.layer("time_embed.2", &[1280, 1280]);
        shapes.layer("input_blocks.0.0", &[320, 4, 3, 3]);
        let (mut c, mut skips) = (320, vec![320]);
        for (level, to) in CHANNELS.into_iter().enumerate() {
            for _ in 0..2 {
                let block = format!("input_blocks.{}", skips.len());
                shapes.res(&format!("{block}.0"), c, to);
                if level < 3 {
                    shapes.transformer(&format!("{block}.1"), to);
                }
                c = to;
                skips.push(c);
            }
            if level < 3 {
                shapes.layer(&format!("input_blocks.{}.0.op", skips.len()), &[c, c, 3, 3]);
                skips.push(c);
            }
        }
        shapes.res("middle_block.0", c, c);
        shapes.transformer("middle_block.1", c);
        shapes.res("middle_block.2", c, c);
        for (i, skip) in skips.into_iter().rev().enumerate() {
            let (level, to) = (3 - i / 3, CHANNELS[3 - i / 3]);
            let block = format!("output_blocks.{i}");
            shapes.res(&format!("{block}.0"), c + skip, to);
            if level < 3 {
                shapes.transformer(&format!("{block}.1"), to);
            }
            c = to;
            if level > 0 && i % 3 == 2 {
                let part = if level < 3 { 2 } else { 1 };
                shapes.layer(&format!("{block}.{part}.conv"), &[c, c, 3, 3]);
            }
        }
        shapes.layer("out.0", &[320]);
        shapes.layer("out.2", &[4, 320, 3, 3]);
        shapes
    }

    /// A file of zeros as f16, of which the disk keeps the header only.
    fn write(&self, path: &Path) {
        let mut end = 0;
        let entries = self.0.iter().map(|(key, shape)| {
            let start = end;
            end += 2 * shape.iter().product::<usize>();
            let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
            let shape = shape.join(",");
            format!(r#""{key}":{{"dtype":"F16","shape":[{shape}],"data_offsets":[{start},{end}]}}"#)
        });
        let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
        let mut file = std::fs::File::create(path).unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.set_len((8 + header.len() + end) as u64).unwrap();
    }
}

#[test]
fn a_guided_step_of_stable_diffusion_1_is_at_most_450_dispatches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sd1.safetensors");
    Shapes::sd1().write(&path);
    let unet = Unet::load(Weights::open(&path).unwrap(), Heads::Count(8)).unwrap();
    let size = Size { batch: 2, height: 64, width: 64, tokens: 77 };
    let program = unet.program(size).unwrap();
    // The network is that of the paper: 859.5 million parameters, 1.6 TFLOP.
    let parameters: usize = program.weights().values().map(|w| w.len()).sum();
    assert_eq!(parameters, 859_520_964);
    assert_eq!(program.flops() / 10_000_000_000, 160, "{}", program.flops());
    let cost = program.gpu_cost().unwrap();
    eprintln!("{cost:?}");
    assert!(cost.dispatches <= 450, "{cost:?}");
    // What is bound: weights as f16 once, activations as f32; where some columns are read, whole rows.
    assert!(cost.bytes < 10_000_000_000, "{cost:?}");
    // Beside activations of some 100 MB.
    assert!(cost.scratch <= 64 << 20, "{cost:?}");
}

/// The checkpoint that comes with the program, 128x128, both prompts in one batch.
#[test]
fn a_second_step_makes_the_same_and_creates_nothing_on_a_gpu() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../builtin/weights/weft-tiny.safetensors");
    let model = crate::Checkpoint::load(&Weights::open(&path).unwrap()).unwrap();
    let Some(adapter) = Adapter::all().into_iter().find(|a| a.unfit().is_none()) else {
        assert!(std::env::var_os("WEFT_REQUIRE_GPU").is_none(), "no GPU, but one is required");
        eprintln!("SKIPPED: no GPU here");
        return;
    };
    let gpu =
        Device::gpu(&adapter, GpuOptions { checked: false, ..GpuOptions::default() }).unwrap();
    let size = Size { batch: 2, height: 16, width: 16, tokens: 77 };
    let numbers = |len: usize| -> Vec<f32> { (0..len).map(|i| (i as f32 * 0.7).sin()).collect() };
    let (x, context) = (numbers(2 * 4 * 256), numbers(2 * 77 * model.unet.context_channels));
    let timesteps = &[500.0; 2];
    let question = Question { x: &x, timesteps, context: &context, size, ..Question::default() };
    // Compiled networks are kept by size: each device has a model of its own.
    let on_cpu = model.unet.reweighted(model.unet.weights.clone());
    let step = || model.unet.predict(&gpu, &question).unwrap().noise;
    let first = step();
    let created = gpu.created();
    let start = std::time::Instant::now();
    let second = step();
    eprintln!("{}: a guided step in {:?}", gpu.name(), start.elapsed());
    assert_eq!(gpu.created(), created);
    assert_eq!(first, second);
    let expected = on_cpu.predict(&Device::cpu(), &question).unwrap().noise;
    let error = first.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let scale = expected.iter().map(|b| b.powi(2)).sum::<f32>();
    assert!((error / scale).sqrt() < 1e-4, "{error} of {scale}");
}
