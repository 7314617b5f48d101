//! Two-dimensional convolution, channels last.

use super::{Epilogue, Fusable, Op};
use crate::{Result, Tensor, Weight, cpu, gpu};
use std::{array, ops::Range, sync::Arc};

/// How a convolution walks over its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    pub stride: usize,
    /// Zeros around the picture: top, bottom, left, right.
    pub pad: [usize; 4],
    /// Reads the picture as if every pixel were 2 by 2 (nearest-neighbour upsampling).
    pub up2: bool,
}

impl Conv {
    /// Stride 1, padded so that the size stays, for an odd `kernel`.
    pub fn same(kernel: usize) -> Self {
        Self { stride: 1, pad: [kernel / 2; 4], up2: false }
    }
}

#[derive(Debug)]
pub(crate) struct Conv2d {
    /// `[out, in, kh, kw]`
    pub weight: Weight,
    pub conv: Conv,
    pub epilogue: Epilogue,
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        let per_pixel: usize = self.weight.shape().iter().product();
        2 * (output[0] * output[1] * output[2] * per_pixel) as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        [&self.weight].into_iter().chain(&self.epilogue.bias).collect()
    }
    fn absorb(&mut self, kind: Fusable, next: usize, row: bool) -> bool {
        if kind == Fusable::Upsample {
            return !std::mem::replace(&mut self.conv.up2, true);
        }
        self.epilogue.absorb(kind, next, row)
    }
    fn reads_columns(&self, i: usize) -> bool {
        self.epilogue.row == Some(i)
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let &[n, c, kh, kw] = self.weight.shape() else { unreachable!("conv2d asserts it") };
        let finish = cpu::Finish::new(cx, &self.epilogue);
        if kh * kw == 1 && self.conv == Conv::same(1) {
            let weight = cx.packed(&self.weight);
            return Ok(Box::new(move |inputs, y| {
                let (weight, finish) = (weight.get(), finish.get());
                weight.panels().product(inputs[0], y, &|first, y| finish.apply(inputs, first, y));
            }));
        }
        let winograd = cpu::Winograd::serves(self.weight.shape(), self.conv, cx.output);
        let units = cx.units([n, kh * kw * c]) && cpu::amx::whole_tiles(c);
        let weight = self.taps_first(cx, [n, c, kh * kw], units);
        if units || !winograd {
            let direct =
                Direct { weight, finish, patches: Patches::new(cx, [kh, kw], self.conv), n };
            return Ok(if units { direct.on_units() } else { direct.by_vectors() });
        }
        let input = array::from_fn(|i| cx.inputs[0][i]);
        let &[_, height, width, _] = cx.output else { unreachable!("a picture has 4 dimensions") };
        let winograd = cpu::Winograd { input, output: [height, width, n], conv: self.conv };
        Ok(Box::new(move |inputs, y| {
            winograd.run(weight.get().panels(), inputs, y, &finish.get());
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (x, y, w) = (&cx.inputs[0].shape, &cx.output.shape, self.weight.shape());
        let picture = gpu::Picture {
            height: x[1],
            width: x[2],
            channels: x[3],
            out_height: y[1],
            out_width: y[2],
            kernel: [w[2], w[3]],
            conv: self.conv,
        };
        let Self { weight, epilogue, .. } = self;
        gpu::Matmul { weight, picture, epilogue, gated: false }.record(cx)
    }
}

impl Conv2d {
    /// The kernels as rows of a matrix, in the order of [`Patches`].
    fn taps_first(
        &self,
        cx: &cpu::Compiler,
        [n, c, taps]: [usize; 3],
        units: bool,
    ) -> Arc<cpu::Form<cpu::Packed>> {
        let fits_f16 = self.weight.fits_f16();
        let bytes = cpu::Packed::bytes([n, taps * c], fits_f16);
        let make = move |w: Vec<f32>| cpu::Packed::taps_first(&w, [c, taps], fits_f16).by(units);
        cx.prepared(&self.weight, bytes, make)
    }
}

/// A convolution by the definition: patches of the input, in rows, times the weight.
struct Direct {
    weight: Arc<cpu::Form<cpu::Packed>>,
    finish: cpu::Finish,
    patches: Patches,
    n: usize,
}

impl Direct {
    /// By matrix units, for which patches are made ready piece by piece.
    fn on_units(self) -> cpu::Kernel {
        Box::new(move |inputs, y| {
            let (weight, finish) = (self.weight.get(), self.finish.get());
            let add = |part: cpu::Panels, rows: Range<usize>, y: &mut [f32]| {
                let rows = PatchRows { of: &self.patches, x: inputs[0], rows };
                cpu::amx::add(&rows, part, y, self.n, false);
            };
            let finish = |first, y: &mut [f32]| finish.apply(inputs, first, y);
            weight.panels().in_blocks(y, add, &finish);
        })
    }

    fn by_vectors(self) -> cpu::Kernel {
        Box::new(move |inputs, y| {
            let Self { patches, n, .. } = &self;
            let (weight, finish) = (self.weight.get(), self.finish.get());
            let rows = patches.rows();
            y.chunks_mut(rows * n).enumerate().for_each(|(block, y)| {
                let first = block * rows;
                cpu::with_scratch(y.len() / n * patches.len(), |a| {
                    cpu::rows(a, patches.len(), |row, a| patches.gather(inputs[0], first + row, a));
                    let finish = |row, y: &mut [f32]| finish.apply(inputs, first + row, y);
                    weight.panels().product(a, y, &finish);
                });
            });
        })
    }
}

impl Tensor {
    /// `[B, H, W, I]` by `weight` `[O, I, kh, kw]` and `bias` `[O]` to `[B, H', W', O]`.
    #[track_caller]
    pub fn conv2d(&self, weight: &Weight, bias: Option<&Weight>, conv: Conv) -> Tensor {
        let &[o, i, kh, kw] = weight.shape() else { panic!("{}: not a 2-d kernel", weight.key()) };
        let &[b, h, w, c] = self.shape() else { panic!("conv2d {}: not a picture", weight.key()) };
        assert_eq!(c, i, "conv2d {}: input channels", weight.key());
        assert!(o * i * kh * kw > 0, "conv2d {}: an empty kernel", weight.key());
        let up = 1 + usize::from(conv.up2);
        let [top, bottom, left, right] = conv.pad;
        let size = |n: usize, pad: usize, k: usize| (n * up + pad - k) / conv.stride + 1;
        let shape = [b, size(h, top + bottom, kh), size(w, left + right, kw), o];
        let epilogue = Epilogue::new(bias, o);
        self.record(Conv2d { weight: weight.clone(), conv, epilogue }, &[], &shape)
    }
}

/// The patches of a picture under a kernel, one row of numbers for each output pixel.
struct Patches {
    input: [usize; 4],
    /// Height and width of the output.
    size: [usize; 2],
    kernel: [usize; 2],
    conv: Conv,
}

impl Patches {
    fn new(cx: &cpu::Compiler, kernel: [usize; 2], conv: Conv) -> Self {
        let input = std::array::from_fn(|i| cx.inputs[0][i]);
        Self { input, size: [cx.output[1], cx.output[2]], kernel, conv }
    }

    /// Numbers in one patch.
    fn len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.input[3]
    }

    /// Patches gathered at once: enough for all threads, few enough for the caches.
    fn rows(&self) -> usize {
        (32 * cpu::CACHE / self.len()).max(192 * rayon::current_num_threads())
    }

    /// Fills `a` with patches from output pixel `first` on.
    fn gather(&self, x: &[f32], first: usize, a: &mut [f32]) {
        let c = self.input[3];
        for (i, patch) in a.chunks_exact_mut(self.len()).enumerate() {
            for (place, to) in self.places(first + i).zip(patch.chunks_exact_mut(c)) {
                match place {
                    Some(place) => to.copy_from_slice(&x[place..][..c]),
                    None => to.fill(0.0),
                }
            }
        }
    }

    /// Where the pixels that an output pixel sees begin in the input, tap by tap; `None` is one of zeros.
    fn places(&self, pixel: usize) -> impl Iterator<Item = Option<usize>> {
        let Self { input: [_, h, w, c], size: [oh, ow], kernel: [kh, kw], conv } = *self;
        let (b, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
        let up = usize::from(conv.up2);
        let inside = move |o: usize, k: usize, pad: usize, n: usize| {
            (o * conv.stride + k).checked_sub(pad).filter(|p| *p < n << up).map(|p| p >> up)
        };
        (0..kh * kw).map(move |tap| {
            let y = inside(oy, tap / kw, conv.pad[0], h)?;
            let x = inside(ox, tap % kw, conv.pad[2], w)?;
            Some(((b * h + y) * w + x) * c)
        })
    }
}

/// The patches of some output pixels.
struct PatchRows<'a> {
    of: &'a Patches,
    x: &'a [f32],
    rows: Range<usize>,
}

impl cpu::amx::Pieces for PatchRows<'_> {
    fn count(&self) -> usize {
        self.rows.len()
    }
    fn pieces(&self, row: usize, range: Range<usize>) -> impl Iterator<Item = &[f32]> {
        static ZEROS: [f32; cpu::amx::SLAB] = [0.0; cpu::amx::SLAB];
        let c = self.of.input[3];
        let taps = range.start / c..range.end.div_ceil(c);
        let places = self.of.places(self.rows.start + row).enumerate();
        places.skip(taps.start).take(taps.len()).map(move |(tap, place)| {
            let skipped = range.start.saturating_sub(tap * c);
            let len = c.min(range.end - tap * c) - skipped;
            match place {
                Some(place) => &self.x[place + skipped..][..len],
                None => &ZEROS[..len],
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Tape, testing};

    /// Shapes: batch, height, width, in, out, kernel; then the walk.
    const CASES: &[([usize; 6], Conv)] = &[
        ([1, 1, 1, 1, 1, 1], Conv { stride: 1, pad: [0; 4], up2: false }),
        ([2, 5, 7, 3, 6, 3], Conv { stride: 1, pad: [1; 4], up2: false }),
        ([1, 16, 16, 4, 65, 3], Conv { stride: 1, pad: [1; 4], up2: true }),
        ([1, 9, 7, 8, 5, 3], Conv { stride: 2, pad: [1; 4], up2: false }),
        ([2, 8, 6, 5, 4, 3], Conv { stride: 2, pad: [0, 1, 0, 1], up2: false }),
        ([1, 33, 17, 40, 130, 3], Conv { stride: 1, pad: [1; 4], up2: false }),
        ([1, 4, 4, 12, 20, 1], Conv { stride: 1, pad: [0; 4], up2: false }),
        // With fewer multiplications: over the edges, upsampled, in few and in many tasks, in several slabs
        // of channels in and out.
        ([2, 13, 15, 16, 32, 3], Conv { stride: 1, pad: [1; 4], up2: false }),
        ([1, 49, 51, 16, 32, 3], Conv { stride: 1, pad: [1; 4], up2: false }),
        ([1, 7, 9, 16, 16, 3], Conv { stride: 1, pad: [1; 4], up2: true }),
        ([1, 13, 14, 16, 16, 3], Conv { stride: 1, pad: [1; 4], up2: true }),
        ([1, 50, 49, 16, 16, 3], Conv { stride: 1, pad: [0, 1, 0, 1], up2: false }),
        ([1, 160, 60, 16, 16, 3], Conv { stride: 1, pad: [1; 4], up2: false }),
        ([2, 11, 9, 160, 176, 3], Conv { stride: 1, pad: [1; 4], up2: false }),
        // For matrix units, where there are any: in every way to walk, for a part of their tiles.
        ([2, 9, 7, 32, 130, 3], Conv { stride: 2, pad: [1; 4], up2: false }),
        ([1, 7, 9, 64, 136, 3], Conv { stride: 1, pad: [1; 4], up2: true }),
        ([2, 8, 6, 96, 150, 3], Conv { stride: 2, pad: [0, 1, 0, 1], up2: false }),
        ([1, 20, 20, 32, 144, 5], Conv { stride: 1, pad: [2; 4], up2: false }),
    ];

    /// The definition, in f64.
    fn naive(
        x: &[f32],
        w: &[f32],
        bias: &[f32],
        [b, h, wd, c, o, k]: [usize; 6],
        conv: Conv,
    ) -> Vec<f64> {
        let up = 1 + usize::from(conv.up2);
        let size = |n: usize, pad: usize| (n * up + pad - k) / conv.stride + 1;
        let (oh, ow) = (size(h, conv.pad[0] + conv.pad[1]), size(wd, conv.pad[2] + conv.pad[3]));
        let at = |b: usize, y: isize, x_at: isize, i: usize| {
            let inside = y >= 0 && x_at >= 0 && (y as usize) < h * up && (x_at as usize) < wd * up;
            let index =
                |y: isize, x: isize| ((b * h + y as usize / up) * wd + x as usize / up) * c + i;
            if inside { f64::from(x[index(y, x_at)]) } else { 0.0 }
        };
        let mut y = Vec::new();
        for (b, oy, ox, n) in testing::indices([b, oh, ow, o]) {
            let taps = testing::indices([c, k, k, 1]).map(|(i, ky, kx, _)| {
                let py = (oy * conv.stride + ky) as isize - conv.pad[0] as isize;
                let px = (ox * conv.stride + kx) as isize - conv.pad[2] as isize;
                at(b, py, px, i) * f64::from(w[((n * c + i) * k + ky) * k + kx])
            });
            y.push(f64::from(bias[n]) + taps.sum::<f64>());
        }
        y
    }

    #[test]
    fn conv2d_is_its_definition() {
        for &(shape, conv) in CASES {
            let [b, h, w, c, o, k] = shape;
            let weights = testing::weights(&[("w", &[o, c, k, k]), ("b", &[o])]);
            // f16 weights have a kernel of their own.
            let stored =
                if [3, 8, 160].contains(&c) { weights.rounded_to_f16() } else { weights.clone() };
            let (weight, bias) = (stored.get("w").unwrap(), stored.get("b").unwrap());
            let x = testing::numbers(b * h * w * c, 7);
            let expected =
                naive(&x, &weight.to_f32().unwrap(), &bias.to_f32().unwrap(), shape, conv);
            let program = || {
                let tape = Tape::new();
                let y = tape.input("x", &[b, h, w, c]).conv2d(&weight, Some(&bias), conv);
                tape.finish(&[&y])
            };
            // f32 sums of up to 1440 products; Winograd's loses a digit.
            let output = program().outputs[0];
            let output = &program().values[output].shape;
            let winograd = cpu::Winograd::serves(weight.shape(), conv, output);
            let bound = if winograd { 5e-5 } else { 1e-5 };
            // Small enough that most are cut on the GPU; a single row of the largest is larger.
            let limit = if c * k < 480 { 16 << 10 } else { 1 << 20 };
            testing::check_bound(limit, program, &[&x], &expected, bound);
        }
    }

    /// Of more columns than are made at once.
    #[test]
    fn what_follows_a_convolution_is_done_to_every_part_of_its_columns() {
        let [b, h, w, c, o] = [2, 11, 9, 32, 176];
        let weights = testing::weights(&[("w", &[o, c, 3, 3]), ("b", &[o])]);
        let (weight, bias) = (weights.get("w").unwrap(), weights.get("b").unwrap());
        let program = || {
            let tape = Tape::new();
            let [row, residual] =
                [tape.input("row", &[b, o]), tape.input("residual", &[b, h, w, o])];
            let x = tape.input("x", &[b, h, w, c]).conv2d(&weight, Some(&bias), Conv::same(3));
            tape.finish(&[&x.add(&row).silu().add(&residual)])
        };
        let [row, residual, x] = [b * o, b * h * w * o, b * h * w * c];
        let inputs = [(row, 1), (residual, 2), (x, 3)].map(|(n, seed)| testing::numbers(n, seed));
        let inputs = inputs.each_ref().map(|x| &x[..]);
        let expected = Device::twin().compile(program()).unwrap().run(&inputs).unwrap();
        let expected: Vec<f64> = expected[0].iter().map(|x| f64::from(*x)).collect();
        assert_eq!(program().folded().steps.len(), 1);
        testing::check_bound(1 << 18, || program().folded(), &inputs, &expected, 5e-5);
    }
}
