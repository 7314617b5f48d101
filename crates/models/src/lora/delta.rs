//! A change of one tensor, as files factor it.

use tensor::{Result, Weight, Weights};

/// What is added to a tensor, or put in its place.
pub enum Delta {
    /// `scale up down`, with `middle` a convolution between them.
    LowRank {
        up: Weight,
        down: Weight,
        middle: Option<Weight>,
        scale: f32,
    },
    /// The product, number by number, of two products.
    Hadamard {
        factors: [Product; 2],
        scale: f32,
    },
    /// The Kronecker product.
    Kronecker {
        factors: [Product; 2],
        scale: f32,
    },
    Whole(Weight),
    Set(Weight),
}

/// A matrix or a kernel, whole or in factors.
pub enum Product {
    Whole(Weight),
    Pair {
        a: Weight,
        b: Weight,
    },
    /// Tucker's decomposition: `y[p, r, ..] = sum_ij core[i, j, ..] a[i, p] b[j, r]`.
    Tucker {
        core: Weight,
        a: Weight,
        b: Weight,
    },
}

/// What the two factors of a low-rank change are called: up, down.
const UP_AND_DOWN: [(&str, &str); 7] = [
    (".lora_up.weight", ".lora_down.weight"),
    ("_lora.up.weight", "_lora.down.weight"),
    (".lora_B.weight", ".lora_A.weight"),
    (".lora.up.weight", ".lora.down.weight"),
    (".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
    (".lora_B.default.weight", ".lora_A.default.weight"),
    (".lora_B", ".lora_A"),
];

/// The tensor of this name, if it is there.
pub fn optional(w: &Weights, name: &str) -> Result<Option<Weight>> {
    w.shape(name).is_some().then(|| w.get(name)).transpose()
}

impl Delta {
    /// The factored change that a file has for the module it calls `name`.
    pub fn load(w: &Weights, name: &str) -> Result<Option<Self>> {
        let get = |part: &str| optional(w, &format!("{name}{part}"));
        let alpha = get(".alpha")?.map(|alpha| alpha.to_f32()).transpose()?;
        let alpha = alpha.and_then(|alpha| alpha.first().copied());
        let scale = |rank: Option<usize>| match (alpha, rank) {
            (Some(alpha), Some(rank)) => alpha / rank.max(1) as f32,
            _ => 1.0,
        };
        for (up, down) in UP_AND_DOWN {
            if let (Some(up), Some(down)) = (get(up)?, get(down)?) {
                let scale = scale(down.shape().first().copied());
                return Ok(Some(Self::LowRank {
                    up,
                    down,
                    middle: get(".lora_mid.weight")?,
                    scale,
                }));
            }
        }
        let hada = |i: usize| Product::load(&get, &[format!(".hada_w{i}"), format!(".hada_t{i}")]);
        if let (Some(first), Some(second)) = (hada(1)?, hada(2)?) {
            let scale = scale(first.rank());
            return Ok(Some(Self::Hadamard { factors: [first, second], scale }));
        }
        let lokr = |i: usize| Product::load(&get, &[format!(".lokr_w{i}"), format!(".lokr_t{i}")]);
        if let (Some(first), Some(second)) = (lokr(1)?, lokr(2)?) {
            // Whole factors have no rank, and so no alpha.
            let scale = scale(second.rank().or(first.rank()));
            return Ok(Some(Self::Kronecker { factors: [first, second], scale }));
        }
        Ok(None)
    }

    /// Whether it is one for a tensor of this shape.
    pub fn fits(&self, shape: &[usize]) -> bool {
        let len: usize = shape.iter().product();
        match self {
            Self::LowRank { up, down, middle: None, .. } => {
                let (rows, rank) = rows_and_columns(up.shape());
                let (inner, columns) = rows_and_columns(down.shape());
                rank == inner && rows * columns == len
            }
            Self::LowRank { up, down, middle: Some(core), .. } => {
                let (rows, rank) = rows_and_columns(up.shape());
                let (inner, columns) = rows_and_columns(down.shape());
                let core = core.shape();
                core.len() == 4
                    && core[..2] == [rank, inner]
                    && rows * columns * core[2] * core[3] == len
            }
            Self::Hadamard { factors, .. } => factors.iter().all(|f| f.len() == Some(len)),
            Self::Kronecker { factors: [a, b], .. } => {
                a.len().zip(b.len()).is_some_and(|(a, b)| a * b == len)
                    && shape.len() > 1
                    && a.shape()[0] * b.shape()[0] == shape[0]
            }
            Self::Whole(weight) | Self::Set(weight) => weight.len() == len,
        }
    }

    /// Row-major, in the shape of the tensor.
    pub fn numbers(&self) -> Result<Vec<f32>> {
        let (mut numbers, scale) = match self {
            Self::LowRank { up, down, middle, scale } => {
                let (rows, rank) = rows_and_columns(up.shape());
                let right = match middle {
                    Some(core) => inner(core, down)?,
                    None => down.to_f32()?,
                };
                (product(&up.to_f32()?, &right, [rows, rank, right.len() / rank.max(1)]), *scale)
            }
            Self::Hadamard { factors: [a, b], scale } => {
                let (mut a, b) = (a.numbers()?, b.numbers()?);
                a.iter_mut().zip(b).for_each(|(a, b)| *a *= b);
                (a, *scale)
            }
            Self::Kronecker { factors: [a, b], scale } => (kronecker(a, b)?, *scale),
            Self::Whole(weight) | Self::Set(weight) => (weight.to_f32()?, 1.0),
        };
        if scale != 1.0 {
            numbers.iter_mut().for_each(|x| *x *= scale);
        }
        Ok(numbers)
    }
}

impl Product {
    fn load(
        get: &dyn Fn(&str) -> Result<Option<Weight>>,
        [whole, core]: &[String; 2],
    ) -> Result<Option<Self>> {
        if let Some(weight) = get(whole)? {
            return Ok(Some(Self::Whole(weight)));
        }
        let pair = (get(&format!("{whole}_a"))?, get(&format!("{whole}_b"))?);
        let (Some(a), Some(b)) = pair else { return Ok(None) };
        Ok(Some(match get(core)? {
            Some(core) => Self::Tucker { core, a, b },
            None => Self::Pair { a, b },
        }))
    }

    /// Of the factors; a whole one has none.
    fn rank(&self) -> Option<usize> {
        match self {
            Self::Whole(_) => None,
            Self::Pair { b, .. } | Self::Tucker { b, .. } => b.shape().first().copied(),
        }
    }

    /// Rows, columns, and the size of a kernel if it has one.
    fn shape(&self) -> Vec<usize> {
        let columns = |w: &Weight| rows_and_columns(w.shape()).1;
        match self {
            Self::Whole(weight) => weight.shape().to_vec(),
            Self::Pair { a, b } => vec![rows_and_columns(a.shape()).0, columns(b)],
            Self::Tucker { core, a, b } => {
                let kernel = core.shape().get(2..).unwrap_or_default();
                [&[columns(a), columns(b)], kernel].concat()
            }
        }
    }

    /// How many numbers, if its factors go together.
    fn len(&self) -> Option<usize> {
        let rank = |w: &Weight| w.shape().first().copied();
        let sound = match self {
            Self::Whole(weight) => weight.shape().len() > 1,
            Self::Pair { a, b } => Some(rows_and_columns(a.shape()).1) == rank(b),
            Self::Tucker { core, a, b } => {
                let [outer, inner] = [0, 1].map(|i| core.shape().get(i).copied());
                core.shape().len() == 4 && outer == rank(a) && inner == rank(b)
            }
        };
        sound.then(|| self.shape().iter().product())
    }

    fn numbers(&self) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Whole(weight) => weight.to_f32()?,
            Self::Pair { a, b } => {
                let ((m, k), (_, n)) = (rows_and_columns(a.shape()), rows_and_columns(b.shape()));
                product(&a.to_f32()?, &b.to_f32()?, [m, k, n])
            }
            Self::Tucker { core, a, b } => {
                let (rank, m) = rows_and_columns(a.shape());
                let right = inner(core, b)?;
                product(&transposed(&a.to_f32()?, m), &right, [m, rank, right.len() / rank.max(1)])
            }
        })
    }
}

/// The middle and the inner factor: `y[i, r, ..] = sum_j core[i, j, ..] b[j, r]`.
fn inner(core: &Weight, b: &Weight) -> Result<Vec<f32>> {
    let (rank, columns) = rows_and_columns(b.shape());
    let kernel: usize = core.shape()[2..].iter().product();
    let b = transposed(&b.to_f32()?, columns);
    let core = core.to_f32()?;
    let parts =
        core.chunks_exact(rank * kernel).map(|core| product(&b, core, [columns, rank, kernel]));
    Ok(parts.flatten().collect())
}

/// `y[a_row b_row, a_col b_col, ..] = a[a_row, a_col] b[b_row, b_col, ..]`
fn kronecker(a: &Product, b: &Product) -> Result<Vec<f32>> {
    let ((rows, columns), (b_rows, _)) =
        (rows_and_columns(&a.shape()), rows_and_columns(&b.shape()));
    let (a, b) = (a.numbers()?, b.numbers()?);
    let b_row = b.len() / b_rows.max(1);
    let mut y = Vec::with_capacity(a.len() * b.len());
    for row in 0..rows * b_rows {
        let (a, b) = (&a[row / b_rows * columns..][..columns], &b[row % b_rows * b_row..][..b_row]);
        a.iter().for_each(|a| y.extend(b.iter().map(|b| a * b)));
    }
    Ok(y)
}

/// What weight decomposition learns: how long the rows, or the columns, of the matrix are.
pub struct Dora(Weight);

impl Dora {
    /// The scale that a file has for the module it calls `name`; biases have none.
    pub fn load(w: &Weights, name: &str, key: &str) -> Result<Option<Self>> {
        let scale = optional(w, &format!("{name}.dora_scale"))?;
        Ok(scale.filter(|_| key.ends_with(".weight")).map(Self))
    }

    /// `x + delta`, its rows or columns stretched to the lengths learned. A strength other than 1 goes
    /// only part of the way. As in the original, rows are measured before the change, columns after it.
    pub fn apply(
        &self,
        x: &mut [f32],
        delta: &[f32],
        shape: &[usize],
        strength: f32,
    ) -> Result<()> {
        let scale = self.0.to_f32()?;
        let (rows, columns) = (shape[0], shape.get(1).copied().unwrap_or(1));
        let row = x.len() / rows.max(1);
        let kernel = row / columns.max(1);
        let by_row = self.0.shape().first() == Some(&rows);
        let wanted = if by_row { rows } else { columns };
        anyhow::ensure!(
            scale.len() == wanted,
            "{}: {:?}, expected {wanted}",
            self.0.key(),
            scale.len()
        );
        let place = |i: usize| if by_row { i / row } else { i % row / kernel };
        let mut squares = vec![0.0; wanted];
        for (i, (x, d)) in x.iter().zip(delta).enumerate() {
            let measured = if by_row { *x } else { x + d };
            squares[place(i)] += f64::from(measured * measured);
        }
        let stretch: Vec<f32> = squares
            .iter()
            .zip(&scale)
            .map(|(square, scale)| scale / (square.sqrt() as f32 + f32::EPSILON))
            .collect();
        for (i, (x, d)) in x.iter_mut().zip(delta).enumerate() {
            *x += strength * ((*x + d) * stretch[place(i)] - *x);
        }
        Ok(())
    }
}

/// The first dimension, and all others.
fn rows_and_columns(shape: &[usize]) -> (usize, usize) {
    (shape.first().copied().unwrap_or(1), shape.iter().skip(1).product())
}

/// `[m, k]` by `[k, n]`
fn product(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut y = vec![0.0; m * n];
    for (a, y) in a.chunks_exact(k.max(1)).zip(y.chunks_exact_mut(n.max(1))) {
        for (a, b) in a.iter().zip(b.chunks_exact(n.max(1))) {
            y.iter_mut().zip(b).for_each(|(y, b)| *y += a * b);
        }
    }
    y
}

/// A matrix of so many columns, with rows for columns.
fn transposed(x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len() / columns.max(1);
    (0..x.len()).map(|i| x[i % rows.max(1) * columns + i / rows.max(1)]).collect()
}
