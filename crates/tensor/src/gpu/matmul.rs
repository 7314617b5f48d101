//! Matrix products: linear layers and convolutions are one kernel that reads its rows differently.

use super::{Compiler, Kernel, Operand, Span, THREADS, fold, kernel};
use crate::{Conv, Epilogue, Result, Weight};
use std::ops::Range;

const DIRECT: [Kernel; 3] = [
    kernel!("matmul_direct", "matmul", "matmul_rows", "act"),
    kernel!("matmul_direct", "matmul", "matmul_pixels", "act"),
    kernel!("matmul_direct", "matmul", "matmul_scalars", "act"),
];
const TILED: [Kernel; 3] = [
    kernel!("matmul_tiled", "matmul", "matmul_rows", "act"),
    kernel!("matmul_tiled", "matmul", "matmul_pixels", "act"),
    kernel!("matmul_tiled", "matmul", "matmul_scalars", "act"),
];

/// Numbers of a tile that one thread makes in each direction, for [`DIRECT`].
const DIRECT_TILE: usize = 16;
/// Threads of a tiled workgroup in each direction.
const SIDE: usize = 16;

/// A picture and how a kernel walks over it. A matrix is a picture of width 1 under a kernel of 1.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub kernel: [usize; 2],
    pub conv: Conv,
}

impl Picture {
    /// `rows` rows of `channels` numbers.
    pub fn matrix(rows: usize, channels: usize) -> Self {
        Self {
            height: rows,
            width: 1,
            channels,
            out_height: rows,
            out_width: 1,
            kernel: [1, 1],
            conv: Conv::same(1),
        }
    }

    /// Whether output pixel i is made of input pixel i alone.
    fn is_matrix(&self) -> bool {
        self.kernel == [1, 1] && self.conv == Conv::same(1)
    }

    /// The numbers of the picture that these lines of output (counted over the whole batch) read.
    fn reads(&self, lines: &Range<usize>) -> Range<usize> {
        let up = usize::from(self.conv.up2);
        let line = |out: usize, tap: usize| {
            let (entry, y) = (out / self.out_height, out % self.out_height);
            let y = (y * self.conv.stride + tap).saturating_sub(self.conv.pad[0]) >> up;
            entry * self.height + y.min(self.height - 1)
        };
        let (first, last) = (line(lines.start, 0), line(lines.end - 1, self.kernel[0] - 1));
        let columns = self.width * self.channels;
        first * columns..(last + 1) * columns
    }
}

/// `y = act(a weight^T + bias + row) + residual`, where a row of `a` is the patch under a pixel.
pub struct Matmul<'a> {
    /// `[columns, channels, kh, kw]` or `[columns, channels]`
    pub weight: &'a Weight,
    pub picture: Picture,
    pub epilogue: &'a Epilogue,
}

impl Matmul<'_> {
    pub fn record(&self, cx: &mut Compiler) -> Result<()> {
        let columns = self.weight.shape()[0];
        let taps: usize = self.picture.kernel.iter().product();
        let channels = self.picture.channels;
        let quads = (taps * channels).div_ceil(4);
        // Half the memory where the file has no more digits than that.
        let halves = self.weight.fits_f16();
        let words = if halves { 2 * quads } else { 4 * quads };
        let weight = cx.packed(self.weight, vec![columns, words], |w| {
            let packed = taps_first(w, channels, taps, 4 * quads);
            if halves { as_halves(&packed) } else { bytemuck::cast_slice(&packed).to_vec() }
        })?;
        let bias = self.epilogue.bias.as_ref().map(|b| cx.weight(b)).transpose()?;
        let operands = Operands {
            a: cx.inputs[0].clone(),
            weight,
            bias,
            row: self.epilogue.row.map(|i| cx.inputs[i].clone()),
            residual: self.epilogue.residual.map(|i| cx.inputs[i].clone()),
            y: cx.output.clone(),
        };
        let lines = operands.y.len() / columns / self.picture.out_width;
        for n in cx.split(columns, &|n| vec![operands.weight.rows(n)])? {
            let spans = |lines: Range<usize>| operands.spans(cx, &self.picture, &lines, &n);
            for lines in cx.split(lines, &spans)? {
                self.dispatch(cx, &operands, &lines, &n, quads)?;
            }
        }
        Ok(())
    }

    /// Makes lines `lines` and columns `n` of the output.
    fn dispatch(
        &self,
        cx: &mut Compiler,
        operands: &Operands,
        lines: &Range<usize>,
        n: &Range<usize>,
        quads: usize,
    ) -> Result<()> {
        let picture = &self.picture;
        let mut spans = operands.spans(cx, picture, lines, n);
        let starts = [0, 1, 5].map(|i| spans[i].start);
        let y = spans.pop().expect("the output is the last");
        let m = lines.start * picture.out_width..lines.end * picture.out_width;
        let columns = operands.y.columns();
        let rows_per_batch = operands.y.len() / columns / operands.y.shape[0];
        let has = [operands.bias.is_some(), operands.row.is_some(), operands.residual.is_some()];
        let has = has.iter().zip([1, 2, 4]).map(|(has, bit)| usize::from(*has) * bit).sum();
        let kind = self.epilogue.act as usize;
        let [top, _, left, _] = picture.conv.pad;
        let parameters = [
            [m.start, m.len(), n.start, n.len()],
            [quads, columns, rows_per_batch, has],
            [kind, starts[0], starts[1], starts[2]],
            [picture.height, picture.width, picture.channels, picture.out_height],
            [picture.out_width, picture.kernel[1], picture.conv.stride, top],
            [left, usize::from(picture.conv.up2), 0, 0],
        ];
        let parameters = parameters.as_flattened().iter().map(|p| *p as u32).collect::<Vec<_>>();
        let (kernels, mut constants, groups) = tiling(cx.direct(), m.len(), n.len());
        constants.push(("HALVES", usize::from(self.weight.fits_f16())));
        let kernel = &kernels[reader(picture)];
        cx.dispatch(kernel, &constants, &spans, &y, &parameters, groups)
    }
}

/// Which of the three readers of rows fits: whole quads of a matrix, whole quads of a picture, anything.
fn reader(picture: &Picture) -> usize {
    match (picture.channels.is_multiple_of(4), picture.is_matrix()) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}

/// The kernels, their constants and the grid for `m` rows and `n` columns.
fn tiling(
    direct: bool,
    m: usize,
    n: usize,
) -> (&'static [Kernel; 3], Vec<(&'static str, usize)>, [u32; 3]) {
    if direct {
        let tiles = m.div_ceil(DIRECT_TILE) * n.div_ceil(DIRECT_TILE);
        let constants = vec![("TM", DIRECT_TILE), ("TN", DIRECT_TILE)];
        return (&DIRECT, constants, fold(tiles.div_ceil(THREADS)));
    }
    // Large tiles read less, small ones keep more of the processor busy.
    let large = m.div_ceil(128) * n.div_ceil(128) >= 128;
    let (each, depth) = if large { (8, 2) } else { (4, 4) };
    let side = SIDE * each;
    let constants = vec![("X", SIDE), ("Y", SIDE), ("TM", each), ("TN", each), ("DEPTH", depth)];
    (&TILED, constants, [n.div_ceil(side) as u32, m.div_ceil(side) as u32, 1])
}

/// Two numbers a word, the first one low.
fn as_halves(numbers: &[f32]) -> Vec<u32> {
    let half = |x: f32| u32::from(half::f16::from_f32(x).to_bits());
    numbers.chunks_exact(2).map(|pair| half(pair[0]) | half(pair[1]) << 16).collect()
}

struct Operands {
    a: Operand,
    weight: Operand,
    bias: Option<Operand>,
    row: Option<Operand>,
    residual: Option<Operand>,
    y: Operand,
}

impl Operands {
    /// What is bound for lines `lines` and columns `n` of the output, which comes last.
    fn spans(
        &self,
        cx: &Compiler,
        picture: &Picture,
        lines: &Range<usize>,
        n: &Range<usize>,
    ) -> Vec<Span> {
        let all = |operand: &Option<Operand>| {
            operand.as_ref().map_or_else(|| cx.nothing(), |operand| operand.all())
        };
        let m = lines.start * picture.out_width..lines.end * picture.out_width;
        let residual = self.residual.as_ref().map(|r| r.rows(m.clone()));
        vec![
            self.a.span(picture.reads(lines)),
            self.weight.rows(n.clone()),
            all(&self.bias),
            all(&self.row),
            residual.unwrap_or_else(|| cx.nothing()),
            self.y.rows(m),
        ]
    }
}

/// `[columns, channels, taps]` to `[columns, taps, channels]`, each column filled up to `len` with zeros.
fn taps_first(weight: &[f32], channels: usize, taps: usize, len: usize) -> Vec<f32> {
    let mut packed = Vec::with_capacity(weight.len() / (channels * taps) * len);
    for column in weight.chunks_exact(channels * taps) {
        let by_tap = (0..taps).flat_map(|t| (0..channels).map(move |c| column[c * taps + t]));
        packed.extend(by_tap.chain(std::iter::repeat(0.0)).take(len));
    }
    packed
}
