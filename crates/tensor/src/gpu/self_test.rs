//! The self-test: whether a GPU and its driver compute what the CPU computes.
//!
//! Drivers miscompile shaders; a picture that is a little wrong tells nobody. So at the first use of an
//! adapter every kernel runs once, at small sizes with tails, beside its CPU twin.

use super::{GpuDevice, Recording, Target, TileClass, Tiles, lock};
use crate::{Conv, Result, Tape, Tensor, Weight, Weights, cpu::CpuDevice};
use anyhow::{Context as _, ensure};
use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{Arc, OnceLock},
};

/// How far a result may be off, in standard deviations of what was expected. Rounding and inexact
/// exponentials make a hundredth of it.
const TOLERANCE: f64 = 2e-4;

/// A small program for one kind of kernel.
struct Case {
    /// The operation, and what is special about it here.
    name: &'static str,
    record: fn(&Scene) -> Result<Tensor>,
}

macro_rules! cases { ($($name:literal: |$s:ident| $record:expr;)*) => {
    const CASES: &[Case] = &[$(Case { name: $name, record: |$s| Ok($record) }),*];
}}

cases! {
    "linear": |s| s.x(&[1, 37, 24]).linear(&s.w(&[45, 24])?, Some(&s.w(&[45])?));
    "linear, f16 weights": |s| s.x(&[1, 37, 24]).linear(&s.half(&[45, 24])?, Some(&s.w(&[45])?));
    "linear, odd sizes": |s| s.x(&[1, 33, 7]).linear(&s.w(&[19, 7])?, None);
    "linear, odd sizes, f16 weights": |s| s.x(&[1, 33, 7]).linear(&s.half(&[19, 7])?, None);
    "linear, sliced": |s| s.x(&[1, 3, 4096]).linear(&s.half(&[36, 4096])?, Some(&s.w(&[36])?)).silu();
    "linear, sliced, odd sizes": |s| s.x(&[1, 3, 4097]).linear(&s.w(&[33, 4097])?, None);
    "linear, gated": |s| s.x(&[1, 37, 24]).linear(&s.w(&[62, 24])?, Some(&s.w(&[62])?)).geglu();
    "linear, joined, then attention": |s| {
        let x = s.x(&[2, 37, 24]);
        let [q, k, v] = [s.w(&[32, 24])?, s.w(&[32, 24])?, s.w(&[32, 24])?].map(|w| x.linear(&w, None));
        q.attention(&k, &v, 2, false)
    };
    "linear, one row": |s| s.x(&[1, 320]).linear(&s.w(&[70, 320])?, Some(&s.w(&[70])?));
    "linear, many tiles":
        |s| s.x(&[1, 700, 12]).linear(&s.half(&[600, 12])?, Some(&s.w(&[600])?));
    "linear, sum with a matrix": |s| {
        let sum = s.x(&[2, 9, 20]).linear(&s.w(&[20, 20])?, Some(&s.w(&[20])?)).silu();
        sum.add(&s.x(&[2, 9, 20]))
    };
    "conv2d": |s| s.picture(8).conv2d(&s.w(&[20, 8, 3, 3])?, Some(&s.w(&[20])?), Conv::same(3));
    "conv2d, f16 weights": |s| s.picture(8).conv2d(&s.half(&[20, 8, 3, 3])?, None, Conv::same(3));
    "conv2d, odd channels":
        |s| s.picture(3).conv2d(&s.w(&[20, 3, 3, 3])?, Some(&s.w(&[20])?), Conv::same(3));
    "conv2d, one pixel wide": |s| s.picture(8).conv2d(&s.w(&[5, 8, 1, 1])?, None, Conv::same(1));
    "conv2d, stride 2": |s| {
        let conv = Conv { stride: 2, pad: [0, 1, 0, 1], up2: false };
        s.picture(8).conv2d(&s.w(&[6, 8, 3, 3])?, Some(&s.w(&[6])?), conv)
    };
    "conv2d, upsampled, with everything": |s| {
        let big = s.picture(8).upsample2x();
        let y = big.conv2d(&s.w(&[12, 8, 3, 3])?, Some(&s.w(&[12])?), Conv::same(3));
        y.add(&s.x(&[2, 12])).silu().add(&s.x(&[2, 14, 10, 12]))
    };
    "attention": |s| s.x(&[2, 37, 80]).attention(&s.x(&[2, 77, 80]), &s.x(&[2, 77, 80]), 2, false);
    "attention, causal":
        |s| s.x(&[1, 45, 32]).attention(&s.x(&[1, 45, 32]), &s.x(&[1, 45, 32]), 2, true);
    "attention, 64 channels a head":
        |s| s.x(&[1, 40, 64]).attention(&s.x(&[1, 40, 64]), &s.x(&[1, 40, 64]), 1, false);
    "attention, 80 channels a head":
        |s| s.x(&[1, 40, 80]).attention(&s.x(&[1, 70, 80]), &s.x(&[1, 70, 80]), 1, false);
    "attention, 160 channels a head":
        |s| s.x(&[1, 40, 160]).attention(&s.x(&[1, 70, 160]), &s.x(&[1, 70, 160]), 1, false);
    "attention, 512 channels a head":
        |s| s.x(&[1, 35, 512]).attention(&s.x(&[1, 35, 512]), &s.x(&[1, 35, 512]), 1, false);
    "group_norm": |s| s.picture(24).group_norm(4, &s.w(&[24])?, &s.w(&[24])?, 1e-5);
    "group_norm, many rows, silu":
        |s| s.x(&[2, 61, 57, 20]).group_norm(4, &s.w(&[20])?, &s.w(&[20])?, 1e-6).silu();
    "layer_norm": |s| s.x(&[1, 9, 131]).layer_norm(&s.w(&[131])?, &s.w(&[131])?, 1e-5);
    "softmax": |s| s.x(&[9, 131]).affine(8.0, 0.0).softmax();
    "geglu": |s| s.x(&[1, 9, 62]).geglu();
    "prelu": |s| s.picture(7).prelu(&s.w(&[7])?);
    "unit_range": |s| s.x(&[5, 131]).unit_range();
    "add": |s| s.picture(5).add(&s.picture(5));
    "add, one row for each picture": |s| s.picture(5).add(&s.x(&[2, 5]));
    "mul": |s| s.picture(5).mul(&s.x(&[2, 5]));
    "affine": |s| s.picture(5).affine(0.5, 0.25);
    "silu": |s| s.picture(5).silu();
    "gelu": |s| s.picture(5).gelu();
    "quick_gelu": |s| s.picture(5).quick_gelu();
    "relu": |s| s.picture(5).relu();
    "leaky_relu": |s| s.picture(5).leaky_relu();
    "tanh": |s| s.picture(5).tanh(0.5);
    "elu": |s| s.picture(5).elu();
    "softsign": |s| s.picture(5).softsign();
    "mish": |s| s.picture(5).mish();
    "tokens merged and taken apart": |s| {
        let x = s.x(&[2, 37, 70]);
        let merging = x.merging(&s.these(&[3.0, 8.0, 12.0, 20.0, 21.0, 30.0, 36.0]), 12);
        merging.unmerge(&merging.merge(&x))
    };
    "concat": |s| s.picture(5).concat(&[&s.picture(6)], 3);
    "slice": |s| s.picture(5).slice(2, 1, 3);
    "permute": |s| s.picture(5).permute(&[0, 3, 1, 2]);
    "upsample2x": |s| s.picture(5).upsample2x();
}

/// What a case is made of: numbers that look random and are the same each time.
#[derive(Default)]
struct Scene {
    tape: Tape,
    inputs: RefCell<Vec<Vec<f32>>>,
    made: RefCell<u32>,
}

impl Scene {
    /// An input.
    fn x(&self, shape: &[usize]) -> Tensor {
        self.inputs.borrow_mut().push(self.numbers(shape, 3.0));
        self.tape.input("x", shape)
    }

    /// An input of these numbers.
    fn these(&self, numbers: &[f32]) -> Tensor {
        self.inputs.borrow_mut().push(numbers.to_vec());
        self.tape.input("these", &[numbers.len()])
    }

    /// An input of two pictures of 7 by 5 pixels.
    fn picture(&self, channels: usize) -> Tensor {
        self.x(&[2, 7, 5, channels])
    }

    fn w(&self, shape: &[usize]) -> Result<Weight> {
        self.weights(shape)?.get("w")
    }

    /// A weight that has no more digits than f16.
    fn half(&self, shape: &[usize]) -> Result<Weight> {
        self.weights(shape)?.rounded_to_f16().get("w")
    }

    fn weights(&self, shape: &[usize]) -> Result<Weights> {
        let tensor = ("w".into(), shape.to_vec(), self.numbers(shape, 1.0));
        Weights::made("self-test", vec![tensor])
    }

    /// Numbers of `-most..most`, without a pattern (the multiplier is 2^32 over the golden ratio).
    fn numbers(&self, shape: &[usize], most: f32) -> Vec<f32> {
        let mut made = self.made.borrow_mut();
        *made += 1;
        let first = made.wrapping_mul(0x85EB_CA6B);
        let number = |i: u32| {
            let mixed = (first ^ i).wrapping_mul(0x9E37_79B9);
            (mixed ^ mixed >> 15).wrapping_mul(0x85EB_CA6B) as i32 as f32 / i32::MAX as f32
        };
        (0..shape.iter().product::<usize>() as u32).map(|i| most * number(i)).collect()
    }
}

impl Case {
    /// The program and its inputs, always the same.
    fn program(&self) -> Result<(crate::Program, Vec<Vec<f32>>)> {
        let scene = Scene::default();
        let y = (self.record)(&scene)?;
        let inputs = scene.inputs.take();
        Ok((scene.tape.finish(&[&y]).folded(), inputs))
    }

    /// Compares with the CPU, once for each way in which the GPU may come to do it.
    fn run(&self, gpu: &Arc<GpuDevice>) -> Result<()> {
        let (program, inputs) = self.program()?;
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let expected = CpuDevice::twin().compile(program)?.run(&inputs)?.swap_remove(0);
        let target = gpu.target();
        let mut done = HashSet::new();
        for class in target.tiles.possible() {
            lock(&gpu.tiles).only = Some(class);
            let new = done.insert(self.recorded(&gpu.target())?);
            let passed = if new { self.compare(gpu, &inputs, &expected) } else { Ok(()) };
            lock(&gpu.tiles).only = target.tiles.only;
            passed?;
        }
        Ok(())
    }

    /// What it comes to on such an adapter.
    fn recorded(&self, target: &Target) -> Result<blake3::Hash> {
        let (program, _) = self.program()?;
        Ok(Recording::new(&program, &program.plan(), target)?.digest())
    }

    fn compare(&self, gpu: &Arc<GpuDevice>, inputs: &[&[f32]], expected: &[f32]) -> Result<()> {
        let got = gpu.compile(self.program()?.0).and_then(|mut network| network.run(inputs));
        let failed = || format!("{} failed in the self-test, at its {}", gpu.name, self.name);
        let got = got.with_context(failed)?.swap_remove(0);
        let (at, off) = furthest(&got, expected);
        ensure!(
            off <= TOLERANCE,
            "{} computes wrong results: its {} is off by {off:.1e} standard deviations, {TOLERANCE:.0e} \
             being allowed ({} where the CPU has {}, at {at} of {}). The driver is {}. Update it, or use \
             --device cpu",
            gpu.name,
            self.name,
            got[at],
            expected[at],
            got.len(),
            gpu.driver,
        );
        Ok(())
    }
}

/// A hash of all kernels and of how they are launched: what is known of an adapter is known with these.
pub fn fingerprint() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let mut hash = blake3::Hasher::new();
        for only in TileClass::ALL.map(Some) {
            let target = Target { tiles: Tiles { only, ..Tiles::default() }, ..Target::default() };
            for case in CASES {
                let recorded = case.recorded(&target).expect("cases fit the default target");
                hash.update(recorded.as_bytes());
            }
        }
        hash.finalize().to_hex().to_string()
    })
}

/// Where a result is furthest from what was expected, and how far in standard deviations of that. What is
/// no number is infinitely far.
pub(crate) fn furthest(got: &[f32], expected: &[f32]) -> (usize, f64) {
    let n = expected.len() as f64;
    let mean = expected.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let variance = expected.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
    let scale = variance.sqrt().max(1e-3);
    let off = |(g, e): (&f32, &f32)| {
        let off = f64::from((g - e).abs()) / scale;
        if off.is_nan() { f64::INFINITY } else { off }
    };
    let offs = got.iter().zip(expected).map(off).enumerate();
    offs.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

impl GpuDevice {
    /// An error if it computes wrong results. Once it has passed, that is remembered.
    pub(crate) fn prove(self: &Arc<Self>, say: &dyn Fn(&str)) -> Result<()> {
        if lock(&self.known).as_ref().is_some_and(super::Known::tested) {
            return Ok(());
        }
        say(&format!("testing {}, once for this driver and version of Weft", self.name));
        self.self_test()?;
        let kept = lock(&self.known).as_mut().map_or(Ok(()), super::Known::keep_tested);
        if let Err(error) = kept {
            say(&format!("it will be tested again next time: {error:#}"));
        }
        Ok(())
    }

    fn self_test(self: &Arc<Self>) -> Result<()> {
        CASES.iter().try_for_each(|case| case.run(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, GpuOptions, testing};
    use std::collections::BTreeSet;

    /// The first adapter, as a processor and as a graphics processor.
    fn gpus() -> Vec<Arc<GpuDevice>> {
        let tiles = [Some(TileClass::Direct), None].into_iter();
        tiles.filter_map(|only| Some(open(testing::adapter()?, only))).collect()
    }

    fn open(adapter: &crate::Adapter, only: Option<TileClass>) -> Arc<GpuDevice> {
        let gpu = adapter.open(GpuOptions::default(), None).unwrap();
        lock(&gpu.tiles).only = only;
        Arc::new(gpu)
    }

    /// The name of a shader's entry point.
    fn entry(source: &str) -> &str {
        let (_, rest) = source.split_once("@compute").unwrap();
        rest.split_once("fn ").unwrap().1.split_once('(').unwrap().0
    }

    #[test]
    fn every_kernel_is_tested_and_right() {
        let gpus = gpus();
        let mut tested = BTreeSet::new();
        for gpu in &gpus {
            gpu.self_test().unwrap();
            tested.extend(lock(&gpu.pipelines).keys().map(|source| entry(source).to_owned()));
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shaders");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let kernels = files.filter(|f| std::fs::read_to_string(f).unwrap().contains("@compute"));
        let names = kernels.map(|f| f.file_stem().unwrap().to_str().unwrap().to_owned());
        // Nobody sees what those compute that only measure.
        let all: BTreeSet<String> = names.filter(|name| !name.starts_with("peak_")).collect();
        assert!(gpus.is_empty() || tested == all, "tested {tested:?} of {all:?}");
    }

    /// The self-test of a device on which every shader with this text has another in its place.
    fn miscompiled(gpu: &Arc<GpuDevice>, from: &str, to: &str) -> Result<()> {
        let right = lock(&gpu.pipelines).clone();
        for source in right.keys().filter(|source| source.contains(from)) {
            let reads = source.matches("var<storage, read>").count();
            let wrong = gpu.create_pipeline(entry(source), &source.replace(from, to), reads);
            lock(&gpu.pipelines).insert(source.clone(), wrong);
        }
        let passed = gpu.prove(&|_| {});
        *lock(&gpu.pipelines) = right;
        passed
    }

    /// Small mistakes, and the first case that must fail by each.
    const MISTAKES: &[(&str, &str, &str)] = &[
        ("-1.702", "-1.7", "quick_gelu"),
        ("0.3275911", "0.4", "linear, gated"),
        ("max(x, 0.2 * x)", "max(x, 0.21 * x)", "leaky_relu"),
        ("if m >= p.m || n >= p.n", "if m >= p.m || n + 2u >= p.n", "linear"),
        ("p.causal != 0u && col", "false && col", "attention, causal"),
        ("squares += part.z", "squares += 1.01 * part.z", "group_norm"),
        ("+ p.eps);", "+ 0.01);", "group_norm"),
        ("unpack2x16float(words.y)", "unpack2x16float(words.x)", "linear, f16"),
    ];

    #[test]
    fn small_mistakes_of_a_driver_are_found_and_told() {
        let gpus = gpus();
        let Some(gpu) = gpus.first() else { return };
        gpu.self_test().unwrap();
        for (from, to, case) in MISTAKES {
            let passed = miscompiled(gpu, from, to);
            let error = passed.err().unwrap_or_else(|| panic!("{to} passed")).to_string();
            let told = [&gpu.name, "computes wrong results", &gpu.driver, "--device cpu"];
            assert!(told.iter().all(|part| error.contains(part)), "{error}");
            assert!(error.contains(&format!("its {case}")), "{from}: {error}");
        }
    }

    #[test]
    fn what_is_no_number_is_infinitely_far_off() {
        let expected = [1.0, -1.0, 1.0, -1.0];
        assert_eq!(furthest(&[1.0, -1.0, 1.0, -1.0], &expected), (3, 0.0));
        assert_eq!(furthest(&[1.0, -1.5, 1.0, -1.0], &expected), (1, 0.5));
        assert_eq!(furthest(&[1.0, -1.0, f32::NAN, -9.0], &expected), (2, f64::INFINITY));
    }

    #[test]
    fn an_adapter_is_tested_once() {
        let Some(adapter) = testing::adapter() else { return };
        let folder = tempfile::tempdir().unwrap();
        let tests = |folder: Option<&std::path::Path>, options: GpuOptions| {
            let said = RefCell::new(Vec::new());
            let say = |text: &str| said.borrow_mut().push(text.to_owned());
            Device::proven_gpu(adapter, options, folder, &say).unwrap();
            said.take().len()
        };
        let (here, options) = (Some(folder.path()), GpuOptions::default());
        assert_eq!([tests(here, options), tests(here, options)], [1, 0]);
        assert!(adapter.known(folder.path(), options).tested());
        let unchecked = GpuOptions { checked: !options.checked, ..options };
        assert_eq!(tests(here, unchecked), 1, "other shaders are tested for themselves");
        assert_eq!(tests(None, options), 1, "without a folder nothing is remembered");
    }
}
