//! Unit Gaussian noise, equal to the last bit to what PyTorch draws.
//!
//! A shared workflow reproduces its picture only if the noise is the same, so both of PyTorch's
//! generators are rebuilt: MT19937 (Matsumoto and Nishimura 1998) as on the CPU, with the
//! polynomials of its AVX2 build, and Philox4x32-10 (Salmon et al. 2011) as on CUDA.

use crate::Latent;
use anyhow::{Result, ensure};
use ndarray::{Axis, s};

/// Highest index that `batch_index` may ask for: every noise before it must be drawn as well.
const MAX_BATCH_INDEX: usize = 65_535;

/// A seeded source of unit Gaussian noise. Later draws continue where earlier ones stopped.
pub enum Generator {
    /// As `torch.randn` on the CPU.
    Cpu(Box<Mt19937>),
    /// As `torch.randn` on a CUDA device.
    Cuda(Philox),
}

impl Generator {
    /// The CPU generator keeps only the low 32 bits of the seed, as PyTorch's does.
    pub fn cpu(seed: u64) -> Self {
        Self::Cpu(Box::new(Mt19937::new(seed as u32)))
    }

    pub fn cuda(seed: u64) -> Self {
        Self::Cuda(Philox { seed, call: 0 })
    }

    /// `n` values of mean 0 and variance 1.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        match self {
            Self::Cpu(generator) => generator.randn(n),
            Self::Cuda(generator) => generator.randn(n),
        }
    }

    /// `n` whole numbers below `bound`, as `torch.randint`.
    pub fn below(&mut self, bound: u32, n: usize) -> Vec<u32> {
        match self {
            Self::Cpu(generator) => (0..n).map(|_| generator.next_u32() % bound).collect(),
            Self::Cuda(generator) => generator.words(n).into_iter().map(|x| x % bound).collect(),
        }
    }

    /// A whole latent `[n, c, h, w]` in one draw.
    pub fn latent(&mut self, [n, c, h, w]: [usize; 4]) -> Latent {
        let values = self.randn(n * c * h * w);
        Latent::from_shape_vec((n, c, h, w), values).expect("as many values as the shape has")
    }
}

/// The initial noise for a latent of this shape, always from the CPU generator.
///
/// Without `batch_index` the whole batch is one draw. With it, images are drawn one after another
/// from the same generator, and image `i` of the batch gets the noise numbered `batch_index[i]`;
/// so a picture taken out of a batch can be made again alone.
pub fn prepare_noise(
    shape: [usize; 4],
    seed: u64,
    batch_index: Option<&[usize]>,
) -> Result<Latent> {
    draw_noise(&mut Generator::cpu(seed), shape, batch_index)
}

/// As [`prepare_noise`], from a generator that can be drawn from further.
pub fn draw_noise(
    generator: &mut Generator,
    shape: [usize; 4],
    batch_index: Option<&[usize]>,
) -> Result<Latent> {
    let Some(wanted) = batch_index else { return Ok(generator.latent(shape)) };
    let [n, c, h, w] = shape;
    ensure!(
        wanted.len() == n,
        "the latent has {n} images but its batch_index has {} entries",
        wanted.len()
    );
    let last = wanted.iter().copied().max().unwrap_or(0);
    ensure!(
        last <= MAX_BATCH_INDEX,
        "batch_index {last} is too large: at most {MAX_BATCH_INDEX} is allowed"
    );
    let mut noise = Latent::zeros((n, c, h, w));
    for index in 0..=last {
        let drawn = generator.latent([1, c, h, w]);
        for (row, _) in wanted.iter().enumerate().filter(|(_, want)| **want == index) {
            noise.index_axis_mut(Axis(0), row).assign(&drawn.slice(s![0, .., .., ..]));
        }
    }
    Ok(noise)
}

/// The Mersenne Twister with PyTorch's two ways to make normals of it.
pub struct Mt19937 {
    state: [u32; 624],
    next: usize,
    /// The second half of the last Box-Muller pair, which the next small draw uses.
    spare: Option<f64>,
}

impl Mt19937 {
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for j in 1..624 {
            let s = state[j - 1];
            state[j] = 1_812_433_253u32.wrapping_mul(s ^ (s >> 30)).wrapping_add(j as u32);
        }
        Self { state, next: 624, spare: None }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == 624 {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for k in 0..624 {
            let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % 624] & 0x7FFF_FFFF);
            let odd = if y & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[k] = self.state[(k + 397) % 624] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// Uniform in [0, 1) with 24 bits, as `torch.rand`.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() & 0xFF_FFFF) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1) with 53 bits.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.next_u32());
        let low = u64::from(self.next_u32());
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < 16 {
            return (0..n).map(|_| self.normal() as f32).collect();
        }
        let mut values: Vec<f32> = (0..n).map(|_| self.uniform()).collect();
        values.as_chunks_mut::<16>().0.iter_mut().for_each(box_muller);
        if !n.is_multiple_of(16) {
            // PyTorch draws anew for the last 16, over results that were already there.
            let tail = values.last_chunk_mut::<16>().expect("at least 16 values");
            *tail = std::array::from_fn(|_| self.uniform());
            box_muller(tail);
        }
        values
    }

    fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let (u1, u2) = (self.uniform_f64(), self.uniform_f64());
        let r = (-2.0 * (-u2).ln_1p()).sqrt();
        let theta = std::f64::consts::TAU * u1;
        self.spare = Some(r * theta.sin());
        r * theta.cos()
    }
}

/// Box and Muller 1958 in place: uniforms j and j + 8 become the cosine and the sine normal.
fn box_muller(block: &mut [f32; 16]) {
    for j in 0..8 {
        let r = (-2.0 * ln(1.0 - block[j])).sqrt();
        let (sin, cos) = sin_cos(std::f32::consts::TAU * block[j + 8]);
        block[j] = r * cos;
        block[j + 8] = r * sin;
    }
}

/// Cephes `logf` for 0 < x <= 1, with the roundings of the AVX2 code that PyTorch runs.
#[allow(clippy::excessive_precision, reason = "the constants as Cephes gives them")]
fn ln(x: f32) -> f32 {
    const P: [f32; 8] = [
        -1.151_461_031_0e-1,
        1.167_699_874_0e-1,
        -1.242_014_084_6e-1,
        1.424_932_278_7e-1,
        -1.666_805_766_5e-1,
        2.000_071_476_5e-1,
        -2.499_999_399_3e-1,
        3.333_333_117_4e-1,
    ];
    let bits = x.to_bits();
    let mut e = (bits >> 23) as f32 - 126.0;
    let m = f32::from_bits((bits & 0x807F_FFFF) | 0x3F00_0000);
    let mut x = m - 1.0;
    if m < std::f32::consts::FRAC_1_SQRT_2 {
        e -= 1.0;
        x += m;
    }
    let z = x * x;
    let y = P.iter().fold(7.037_683_629_2e-2f32, |y, c| y.mul_add(x, *c)) * x;
    let y = y.mul_add(z, e * -2.121_944_40e-4);
    let y = z.mul_add(-0.5, y);
    e.mul_add(0.693_359_375, x + y)
}

/// Cephes `sinf` and `cosf` for t >= 0, with the same roundings.
#[allow(clippy::excessive_precision, reason = "the constants as Cephes gives them")]
fn sin_cos(t: f32) -> (f32, f32) {
    let octant = ((t * 1.273_239_544_735_16) as i32 + 1) & !1;
    let y = octant as f32;
    let x = y.mul_add(-0.785_156_25, t);
    let x = y.mul_add(-2.418_756_484_985_351_562_5e-4, x);
    let x = y.mul_add(-3.774_894_977_445_941_08e-8, x);
    let z = x * x;
    let c = 2.443_315_711_809_948e-5f32.mul_add(z, -1.388_731_625_493_765e-3);
    let c = c.mul_add(z, 4.166_664_568_298_827e-2) * z;
    let c = c.mul_add(z, -(z * 0.5)) + 1.0;
    let s = (-1.951_529_589_1e-4f32).mul_add(z, 8.332_160_873_6e-3);
    let s = s.mul_add(z, -1.666_665_461_1e-1) * z;
    let s = s.mul_add(x, x);
    let (sin, cos) = if octant & 2 == 0 { (s, c) } else { (c, s) };
    let negate = |v: f32, yes: bool| if yes { -v } else { v };
    (negate(sin, octant & 4 != 0), negate(cos, !(octant - 2) & 4 != 0))
}

/// Philox4x32-10 as CUDA's `randn` and `randint` use it for tensors of up to some hundred thousand values.
///
/// Beyond that the original's result depends on the GPU; here every value has its own counter.
pub struct Philox {
    seed: u64,
    call: u32,
}

impl Philox {
    fn randn(&mut self, n: usize) -> Vec<f32> {
        let call = self.call;
        self.call = self.call.wrapping_add(1);
        (0..n as u64).map(|i| self.normal(call, i)).collect()
    }

    fn words(&mut self, n: usize) -> Vec<u32> {
        let call = self.call;
        self.call = self.call.wrapping_add(1);
        (0..n as u64).map(|i| self.bits(call, i)[0]).collect()
    }

    fn bits(&self, call: u32, i: u64) -> [u32; 4] {
        philox([call, 0, i as u32, (i >> 32) as u32], self.seed)
    }

    fn normal(&self, call: u32, i: u64) -> f32 {
        const UNIT: f64 = 1.0 / 4_294_967_296.0;
        let bits = self.bits(call, i);
        let u = (f64::from(bits[0]) + 0.5) * UNIT;
        let v = (f64::from(bits[1]) + 0.5) * UNIT * std::f64::consts::TAU;
        ((-2.0 * u.ln()).sqrt() * v.sin()) as f32
    }
}

fn philox(mut c: [u32; 4], seed: u64) -> [u32; 4] {
    let (mut k0, mut k1) = (seed as u32, (seed >> 32) as u32);
    for _ in 0..10 {
        let p0 = u64::from(c[0]) * 0xD251_1F53;
        let p1 = u64::from(c[2]) * 0xCD9E_8D57;
        c = [(p1 >> 32) as u32 ^ c[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k1, p0 as u32];
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    c
}

#[cfg(test)]
pub mod tests;
