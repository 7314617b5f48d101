//! Matrix products: linear layers and convolutions are one kernel that reads its rows differently.

use super::{
    Compiler, Kernel, Operand, Product, Reader, Span, THREADS, TileClass, Tiling, fold,
    recording::Form, shader,
};
use crate::{Conv, Epilogue, Result, Weight};
use std::ops::Range;

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

    /// How rows of it are read: whether output pixel i is made of input pixel i alone, and in quads.
    fn reader(&self) -> Reader {
        let is_matrix = self.kernel == [1, 1] && self.conv == Conv::same(1);
        match (self.channels.is_multiple_of(4), is_matrix) {
            (true, true) => Reader::Rows,
            (true, false) => Reader::Pixels,
            (false, _) => Reader::Scalars,
        }
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
    /// Whether the columns are values and then gates: `y = value gelu(gate)`, half as many.
    pub gated: bool,
}

impl Matmul<'_> {
    pub fn record(&self, cx: &mut Compiler) -> Result<()> {
        let packing = Packing {
            channels: self.picture.channels,
            taps: self.picture.kernel.iter().product(),
            // Half the memory where the file has no more digits than that.
            halves: self.weight.fits_f16(),
            gated: self.gated,
        };
        let operand = |input: Option<usize>| input.map(|i| cx.inputs[i].clone());
        let operands = Operands {
            a: cx.inputs[0].clone(),
            weight: cx.stored(self.weight, Form::Product(packing)),
            bias: self.epilogue.bias.as_ref().map(|b| cx.weight(b)),
            row: operand(self.epilogue.row),
            residual: operand(self.epilogue.residual),
            y: cx.output.clone(),
        };
        let columns = self.weight.shape()[0];
        let lines = operands.y.len() / operands.y.columns() / self.picture.out_width;
        // A value and its gate stay together.
        let unit = 1 + usize::from(self.gated);
        let whole = |n: Range<usize>| n.start * unit..n.end * unit;
        for n in cx.split(columns / unit, &|n| vec![operands.weight.rows(whole(n))])? {
            let n = whole(n);
            let spans = |lines: Range<usize>| operands.spans(cx, &self.picture, &lines, &n);
            for lines in cx.split(lines, &spans)? {
                Part { of: self, operands: &operands, packing, lines, n: n.clone() }.record(cx);
            }
        }
        Ok(())
    }
}

/// Some lines and columns of a product, as many as can be bound at once.
struct Part<'a> {
    of: &'a Matmul<'a>,
    operands: &'a Operands,
    packing: Packing,
    lines: Range<usize>,
    n: Range<usize>,
}

impl Part<'_> {
    fn record(&self, cx: &mut Compiler) {
        let (quads, rows) = (self.packing.quads(), self.rows().len());
        let product = Product {
            rows,
            columns: self.n.len(),
            depth: 4 * quads,
            reader: self.of.picture.reader(),
            halves: self.packing.halves,
        };
        cx.recording.products.push(product);
        let Tiling { class, slices } = cx.tiles().tiling(&product);
        // As many quads in each, and none without any.
        let slice = quads.div_ceil(slices);
        let slices = quads.div_ceil(slice);
        let partial = 4 * slices * rows * self.n.len().div_ceil(4);
        if slices > 1 && cx.fits_words(partial) {
            let partial = cx.scratch(partial);
            self.product(cx, &product, class, slice, Some(&partial));
            self.sum(cx, &partial, slices);
        } else {
            self.product(cx, &product, class, quads, None);
        }
    }

    /// The product, or its slices of so many quads each.
    fn product(
        &self,
        cx: &mut Compiler,
        product: &Product,
        class: TileClass,
        slice: usize,
        partial: Option<&Operand>,
    ) {
        let mut spans = self.spans(cx);
        let parameters = self.parameters(&spans, slice);
        let mut y = spans.pop().expect("the output is the last");
        let mut finisher = self.finisher();
        if let Some(partial) = partial {
            y = partial.all();
            finisher = PARTIAL;
            spans[2..].fill(cx.nothing());
        }
        let tile = class.tile();
        let mut constants = self.constants();
        let [tall, wide] = tile.each();
        constants.extend([("TM", tall), ("TN", wide)]);
        let tiles = tile.count(product.rows, product.columns);
        let (loops, groups) = if class == TileClass::Direct {
            (DIRECT, tiles.div_ceil(THREADS))
        } else {
            let [x, y] = tile.threads;
            constants.extend([("X", x), ("Y", y), ("DEPTH", tile.depth)]);
            (TILED, tiles)
        };
        let reader = match product.reader {
            Reader::Rows => shader!("matmul_rows"),
            Reader::Pixels => shader!("matmul_pixels"),
            Reader::Scalars => shader!("matmul_scalars"),
        };
        let kernel = kernel(loops, &[reader, finisher]);
        let [across, down, _] = fold(groups);
        let slices = product.depth.div_ceil(4 * slice) as u32;
        cx.dispatch(&kernel, &constants, &spans, &y, &parameters, [across, down, slices]);
    }

    /// Adds up slices.
    fn sum(&self, cx: &mut Compiler, partial: &Operand, slices: usize) {
        let mut spans = self.spans(cx);
        let parameters = self.parameters(&spans, slices);
        let y = spans.pop().expect("the output is the last");
        spans[0] = partial.all();
        spans[1] = cx.nothing();
        let threads = self.rows().len() * self.n.len().div_ceil(4);
        let groups = fold(threads.div_ceil(THREADS));
        let kernel = kernel(SUM, &[self.finisher()]);
        cx.dispatch(&kernel, &self.constants(), &spans, &y, &parameters, groups);
    }

    fn spans(&self, cx: &Compiler) -> Vec<Span> {
        self.operands.spans(cx, &self.of.picture, &self.lines, &self.n)
    }

    /// Rows of the result.
    fn rows(&self) -> Range<usize> {
        let width = self.of.picture.out_width;
        self.lines.start * width..self.lines.end * width
    }

    fn constants(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("HALVES", usize::from(self.packing.halves)),
            ("GATED", usize::from(self.packing.gated)),
        ]
    }

    /// Where columns come in quads, they are finished in quads.
    fn finisher(&self) -> &'static str {
        let Operands { y, row, .. } = self.operands;
        let row = row.as_ref().map_or([0; 2], |row| [row.skip, row.stride]);
        let mut numbers = [y.columns(), self.n.start, self.n.end].into_iter().chain(row);
        let in_quads = !self.packing.gated && numbers.all(|n| n.is_multiple_of(4));
        if in_quads { QUADS } else { NUMBERS }
    }

    /// As in `matmul.wgsl`; `spans` with the output as the last.
    fn parameters(&self, spans: &[Span], slice: usize) -> Vec<u32> {
        let Operands { bias, row, residual, y, .. } = self.operands;
        let picture = &self.of.picture;
        let columns = y.columns();
        let has = [bias.is_some(), row.is_some(), residual.is_some()];
        let has = has.iter().zip([1, 2, 4]).map(|(has, bit)| usize::from(*has) * bit).sum();
        let (row_base, row_stride) =
            row.as_ref().map_or((0, 0), |row| (row.base(&spans[3]), row.stride));
        let [top, _, left, _] = picture.conv.pad;
        let m = self.rows();
        let parameters = [
            [m.start, m.len(), self.n.start, self.n.len(), self.packing.quads()],
            [slice, columns, y.len() / columns / y.shape[0], has, self.of.epilogue.act as usize],
            [spans[0].start, spans[1].start, row_base as usize, spans[5].start, row_stride],
            [
                picture.height,
                picture.width,
                picture.channels,
                picture.out_height,
                picture.out_width,
            ],
            [picture.kernel[1], picture.conv.stride, top, left, picture.conv.up2.into()],
        ];
        parameters.as_flattened().iter().map(|p| *p as u32).collect()
    }
}

/// Names of kernels with their loops.
type Loops = (&'static str, &'static str);
const DIRECT: Loops = ("matmul_direct", shader!("matmul_direct"));
const TILED: Loops = ("matmul_tiled", shader!("matmul_tiled"));
const SUM: Loops = ("matmul_sum", shader!("matmul_sum"));

/// The ends of products.
const QUADS: &str = shader!("matmul_quads");
const NUMBERS: &str = shader!("matmul_numbers");
const PARTIAL: &str = shader!("matmul_partial");

fn kernel((name, loops): Loops, parts: &[&'static str]) -> Kernel {
    let shared = [loops, shader!("matmul"), shader!("act")];
    Kernel { name, parts: [&shared, parts].concat().into() }
}

/// How a weight lies on the device: rows of whole quads, taps of a kernel before channels, filled up with
/// zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    pub channels: usize,
    pub taps: usize,
    /// As f16, two numbers a word.
    pub halves: bool,
    /// Rows of the second half between those of the first.
    pub gated: bool,
}

impl Packing {
    fn quads(&self) -> usize {
        (self.taps * self.channels).div_ceil(4)
    }

    /// Words of a row.
    pub fn words(&self) -> usize {
        if self.halves { 2 * self.quads() } else { 4 * self.quads() }
    }

    pub fn pack(&self, weight: &[f32]) -> Vec<u32> {
        let mut packed = taps_first(weight, self.channels, self.taps, 4 * self.quads());
        if self.gated {
            packed = in_turn(&packed, 4 * self.quads());
        }
        if self.halves { as_halves(&packed) } else { bytemuck::cast_slice(&packed).to_vec() }
    }
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

/// Rows of the first half and of the second in turn.
fn in_turn(rows: &[f32], len: usize) -> Vec<f32> {
    let (values, gates) = rows.split_at(rows.len() / 2);
    let pairs = values.chunks_exact(len).zip(gates.chunks_exact(len));
    pairs.flat_map(|(value, gate)| [value, gate]).flatten().copied().collect()
}
