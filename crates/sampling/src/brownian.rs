//! Brownian motion over noise levels: the same increments whichever steps a sampler takes.
//!
//! A dyadic tree of Brownian bridges (Li et al. 2020, "Scalable gradients for stochastic
//! differential equations", algorithm 3), equal to the last bit to `torchsde`'s BrownianTree.
//! Each node has its own seed, spawned from the root's as numpy's `SeedSequence` does.

use crate::{Latent, noise::Generator};
use std::collections::HashMap;

/// Times are rounded to this many decimals, which also bounds the depth of the tree.
const DECIMALS: usize = 6;
/// Far deeper than any interval of noise levels can be halved before rounding stops it.
const MAX_DEPTH: u32 = 60;

/// Noise for the SDE samplers. Nodes that were computed once are kept.
pub struct BrownianTree {
    shape: [usize; 4],
    seed: u64,
    generator: fn(u64) -> Generator,
    root: Node,
    known: HashMap<(u64, u32), Latent>,
}

/// An interval of the tree; `key` counts nodes from the left at this depth.
#[derive(Clone, Copy)]
struct Node {
    start: f64,
    end: f64,
    key: u64,
    depth: u32,
}

impl Node {
    /// Its two halves; the cut is rounded as all times are.
    fn halves(self) -> [Node; 2] {
        let Node { start, end, key, depth } = self;
        let mid = round(0.5 * (start + end));
        let depth = depth + 1;
        [
            Node { start, end: mid, key: 2 * key, depth },
            Node { start: mid, end, key: 2 * key + 1, depth },
        ]
    }
}

impl BrownianTree {
    /// Between the smallest positive and the largest of a run's sigmas. `generator` makes the
    /// noise of one node from its seed: `Generator::cpu` or `Generator::cuda`.
    pub fn new(
        shape: [usize; 4],
        sigmas: &[f32],
        seed: u64,
        generator: fn(u64) -> Generator,
    ) -> Self {
        let t0 = sigmas.iter().copied().filter(|s| *s > 0.0).fold(f32::INFINITY, f32::min);
        let t1 = sigmas.iter().copied().fold(0.0, f32::max);
        let (t0, t1) = (f64::from(t0.min(t1)), f64::from(t1));
        let mut draw = generator(u64::from(SeedSequence::new(seed, None).first()));
        let scale = (t1 - t0).sqrt() as f32;
        let w = draw.latent(shape) * scale;
        let root = Node { start: round(t0), end: round(t1), key: 0, depth: 0 };
        Self { shape, seed, generator, root, known: HashMap::from([((0, 0), w)]) }
    }

    /// Unit noise for the step from `sigma` to `sigma_next`, which is lower.
    pub fn noise(&mut self, sigma: f32, sigma_next: f32) -> Latent {
        self.increment(sigma, sigma_next) / (sigma_next - sigma).abs().sqrt()
    }

    /// What the motion does between two sigmas: its variance is their distance.
    fn increment(&mut self, sigma: f32, sigma_next: f32) -> Latent {
        let clamp = |t: f32| round(f64::from(t).clamp(self.root.start, self.root.end));
        let (low, high) = (clamp(sigma.min(sigma_next)), clamp(sigma.max(sigma_next)));
        let mut total = None;
        self.add(self.root, low, high, &mut total);
        let total = total.unwrap_or_else(|| Latent::zeros(self.shape));
        if sigma > sigma_next { -total } else { total }
    }

    /// Adds, from left to right, the fewest nodes that tile [low, high] within `node`.
    fn add(&mut self, node: Node, low: f64, high: f64, total: &mut Option<Latent>) {
        if high <= node.start || node.end <= low {
            return;
        }
        if (low <= node.start && node.end <= high) || node.depth == MAX_DEPTH {
            let w = &self.known[&(node.key, node.depth)];
            match total {
                Some(total) => *total += w,
                None => *total = Some(w.clone()),
            }
            return;
        }
        self.split(node);
        for half in node.halves() {
            self.add(half, low, high, total);
        }
    }

    /// Draws the Brownian bridge at the middle of a node, unless it is known.
    fn split(&mut self, node: Node) {
        let [left, right] = node.halves();
        if self.known.contains_key(&(left.key, left.depth)) {
            return;
        }
        let seeds = SeedSequence::new(self.seed, Some([node.key, u64::from(node.depth)]));
        let x = (self.generator)(u64::from(seeds.first())).latent(self.shape);
        let (l, r) = (left.end - left.start, right.end - right.start);
        let h = 1.0 / (node.end - node.start);
        let spread = (l * r * h).sqrt() as f32;
        let (l, h) = (l as f32, h as f32);
        let w = &self.known[&(node.key, node.depth)];
        let w_left = ndarray::Zip::from(w).and(&x).map_collect(|w, x| l * w * h + spread * x);
        let w_right = w - &w_left;
        self.known.insert((left.key, left.depth), w_left);
        self.known.insert((right.key, right.depth), w_right);
    }
}

/// Correctly rounded in decimal, as Python's `round`.
fn round(t: f64) -> f64 {
    format!("{t:.DECIMALS$}").parse().expect("a printed number parses")
}

/// numpy's `SeedSequence` with a pool of 24 words (O'Neill 2015, "Developing a seed_seq
/// alternative"): spreads a seed and the path of a spawned child over independent seeds.
struct SeedSequence {
    pool: [u32; POOL],
}

const POOL: usize = 24;

/// The running hash of a `SeedSequence`: the multiplier changes with every word.
struct Hash(u32);

impl Hash {
    fn mix(&mut self, value: u32) -> u32 {
        let value = value ^ self.0;
        self.0 = self.0.wrapping_mul(0x931E_8875);
        let value = value.wrapping_mul(self.0);
        value ^ (value >> 16)
    }
}

impl SeedSequence {
    fn new(seed: u64, spawn_key: Option<[u64; 2]>) -> Self {
        let mut words = words(seed);
        if let Some(key) = spawn_key {
            words.resize(POOL, 0);
            words.extend(key.into_iter().flat_map(self::words));
        }
        let mut hash = Hash(0x43B0_D7E5);
        let mut pool: [u32; POOL] =
            std::array::from_fn(|i| hash.mix(words.get(i).copied().unwrap_or(0)));
        for source in 0..POOL {
            for target in (0..POOL).filter(|t| *t != source) {
                pool[target] = mix(pool[target], hash.mix(pool[source]));
            }
        }
        for word in words.iter().skip(POOL) {
            for slot in &mut pool {
                *slot = mix(*slot, hash.mix(*word));
            }
        }
        Self { pool }
    }

    /// The first word that it generates, which seeds the node's noise.
    fn first(&self) -> u32 {
        self.generate::<1>()[0]
    }

    fn generate<const N: usize>(&self) -> [u32; N] {
        let mut hash = 0x8B51_F9DDu32;
        std::array::from_fn(|i| {
            let value = self.pool[i % POOL] ^ hash;
            hash = hash.wrapping_mul(0x58F3_8DED);
            let value = value.wrapping_mul(hash);
            value ^ (value >> 16)
        })
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let value = 0xCA01_F9DDu32.wrapping_mul(x).wrapping_sub(0x4973_F715u32.wrapping_mul(y));
    value ^ (value >> 16)
}

/// Little-endian words without leading zeros; zero is one word.
fn words(n: u64) -> Vec<u32> {
    let (low, high) = (n as u32, (n >> 32) as u32);
    if high == 0 { vec![low] } else { vec![low, high] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::tests::{is_same, vectors};
    use crate::testing::{bits, golden, tensor};
    use safetensors::SafeTensors;
    use serde_json::Value;

    #[test]
    fn seed_sequences_are_numpys() {
        let Some(vectors) = vectors() else { return };
        for (name, want) in vectors["seedsequence"].as_object().unwrap() {
            let numbers: Vec<u64> = name
                .trim_end_matches("pool24")
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse().ok())
                .collect();
            let key = (numbers.len() == 3).then(|| [numbers[1], numbers[2]]);
            let want: [u32; 4] = serde_json::from_value(want.clone()).unwrap();
            assert_eq!(SeedSequence::new(numbers[0], key).generate(), want, "{name}");
        }
    }

    #[test]
    fn increments_are_torchsdes_to_the_last_bit() {
        let Some(vectors) = vectors() else { return };
        for (name, steps) in vectors["brownian"].as_object().unwrap() {
            let steps = steps.as_array().unwrap();
            let sigma = |step: &Value, key: &str| {
                f32::from_bits(u32::from_str_radix(step[key].as_str().unwrap(), 16).unwrap())
            };
            let ends = |step| [sigma(step, "sigma"), sigma(step, "sigma_next")];
            let sigmas: Vec<f32> = steps.iter().flat_map(ends).collect();
            let shape: [usize; 4] = serde_json::from_value(steps[0]["shape"].clone()).unwrap();
            let seed = name.split(':').next().unwrap().parse().unwrap();
            let mut tree = BrownianTree::new(shape, &sigmas, seed, Generator::cpu);
            for step in steps {
                let [sigma, next] = ends(step);
                let increment = tree.increment(sigma, next);
                // The original's square root is MKL's, which is a float off in one case of five.
                let width = (sigma - next).sqrt();
                let equal = [width, width.next_down()]
                    .map(|width| is_same((&increment / width).as_slice().unwrap(), step));
                assert!(equal.contains(&true), "{name} {sigma} {next}");
            }
        }
    }

    #[test]
    fn queries_in_any_order_are_those_of_the_original() {
        let Some(bytes) = golden("random_tiny/noise.safetensors") else { return };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (pairs, _) = tensor(&file, "brownian_tree_pairs");
        let (low, high) = (0.029_167_539, 14.614_643);
        let mut tree = BrownianTree::new([1, 4, 8, 8], &[high, low], 42, Generator::cpu);
        for (i, pair) in pairs.as_chunks::<2>().0.iter().enumerate() {
            let (want, _) = tensor(&file, &format!("brownian_tree_seed42/{i}"));
            let increment = tree.increment(pair[0], pair[1]);
            let width = (pair[0] - pair[1]).sqrt();
            let equal = [width, width.next_down()]
                .map(|width| bits((&increment / width).as_slice().unwrap()) == bits(&want));
            assert!(equal.contains(&true), "{pair:?}");
        }
    }

    #[test]
    fn increments_over_a_split_interval_add_up() {
        let mut tree = BrownianTree::new([1, 4, 16, 16], &[10.0, 0.1], 3, Generator::cuda);
        let whole = tree.noise(8.0, 1.0) * 7f32.sqrt();
        let parts = tree.noise(8.0, 3.3) * 4.7f32.sqrt() + tree.noise(3.3, 1.0) * 2.3f32.sqrt();
        // Sums of about 20 f32 values of size 3.
        assert!((whole - parts).iter().all(|d| d.abs() < 1e-5));
    }
}
