//! A matrix as the product of two thin ones.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use sampling::noise::Generator;

/// Columns beyond the rank that is wanted: with them the last ones wanted are found as fast as the first.
const MORE: usize = 8;
/// When the largest change of a singular value, in parts of the largest, is nothing.
const SETTLED: f32 = 1e-6;
const MOST_ROUNDS: usize = 64;
/// Rounds of rotations after which any symmetric matrix is diagonal.
const MOST_SWEEPS: usize = 30;

/// The best approximation of this rank, as `up down` (Eckart and Young 1936): `up` `[rows, rank]` has the left
/// singular vectors times the singular values, `down` `[rank, columns]` the right ones.
///
/// By subspace iteration from a random beginning (Halko, Martinsson and Tropp 2011, algorithm 4.4), the same on
/// every run, until the singular values stand still.
pub fn low_rank(matrix: &ArrayView2<f32>, rank: usize) -> (Array2<f32>, Array2<f32>) {
    let (rows, columns) = matrix.dim();
    let rank = rank.min(rows).min(columns);
    let wide = (rank + MORE).min(rows).min(columns);
    let random = Generator::cpu(0).randn(columns * wide);
    let random = Array2::from_shape_vec((columns, wide), random).expect("as many as drawn");
    let mut basis = orthonormal(matrix.dot(&random));
    let mut before = Array1::zeros(wide);
    let mut rounds = 0;
    loop {
        let inside = basis.t().dot(matrix);
        let (squares, turn) = eigen(&inside.dot(&inside.t()));
        let values = squares.mapv(|x| x.max(0.0).sqrt());
        let moved = (&values - &before).slice(s![..rank]).fold(0.0, |m: f32, x| m.max(x.abs()));
        rounds += 1;
        if moved <= SETTLED * values[0] || rounds == MOST_ROUNDS {
            let turn = turn.slice(s![.., ..rank]);
            let up = &basis.dot(&turn) * &values.slice(s![..rank]);
            let down = inside.t().dot(&turn);
            return (up, right_vectors(down, &values, &random).reversed_axes());
        }
        before = values;
        basis = orthonormal(matrix.dot(&orthonormal(inside.t().to_owned())));
    }
}

/// From right singular vectors times singular values, in columns, the vectors themselves; where a value is nothing
/// any vector at right angles to the others.
fn right_vectors(mut down: Array2<f32>, values: &Array1<f32>, random: &Array2<f32>) -> Array2<f32> {
    for (i, mut column) in down.columns_mut().into_iter().enumerate() {
        if values[i] > SETTLED * values[0] {
            column /= values[i];
        } else {
            column.assign(&random.column(i));
        }
    }
    orthonormal(down)
}

/// Columns at right angles, of length 1, that span what the given ones do (Gram and Schmidt, done twice). A column
/// that adds nothing becomes zeros.
fn orthonormal(mut columns: Array2<f32>) -> Array2<f32> {
    let length = |column: &ndarray::ArrayView1<f32>| column.dot(column).sqrt();
    for i in 0..columns.ncols() {
        let before = length(&columns.column(i));
        for _ in 0..2 {
            let (done, mut rest) = columns.view_mut().split_at(Axis(1), i);
            let shares = done.t().dot(&rest.column(0));
            let away = done.dot(&shares);
            let mut column = rest.column_mut(0);
            column -= &away;
        }
        let after = length(&columns.column(i));
        let scale = if after > 1e-6 * before { 1.0 / after } else { 0.0 };
        columns.column_mut(i).mapv_inplace(|x| x * scale);
    }
    columns
}

/// The eigenvalues of a symmetric matrix, falling, and the eigenvectors as columns (Jacobi 1846: rotations that
/// each make one pair zero).
fn eigen(symmetric: &Array2<f32>) -> (Array1<f32>, Array2<f32>) {
    let n = symmetric.nrows();
    let mut a = symmetric.mapv(f64::from);
    let mut vectors: Array2<f64> = Array2::eye(n);
    let whole: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..MOST_SWEEPS {
        let aside: f64 = a.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, x)| x * x).sum();
        if aside <= 1e-20 * whole {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[[*j, *j]].total_cmp(&a[[*i, *i]]));
    let values = order.iter().map(|i| a[[*i, *i]] as f32).collect();
    (values, vectors.select(Axis(1), &order).mapv(|x| x as f32))
}

/// Makes `a[p, q]` zero by a rotation of both axes, which `vectors` goes along with.
fn rotate(a: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) {
    if a[[p, q]] == 0.0 {
        return;
    }
    let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cos = 1.0 / (t * t + 1.0).sqrt();
    let sin = t * cos;
    let turn = |x: &mut f64, y: &mut f64| (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    for k in 0..a.nrows() {
        let (mut x, mut y) = (a[[k, p]], a[[k, q]]);
        turn(&mut x, &mut y);
        (a[[k, p]], a[[k, q]]) = (x, y);
        let (mut x, mut y) = (vectors[[k, p]], vectors[[k, q]]);
        turn(&mut x, &mut y);
        (vectors[[k, p]], vectors[[k, q]]) = (x, y);
    }
    for k in 0..a.ncols() {
        let (mut x, mut y) = (a[[p, k]], a[[q, k]]);
        turn(&mut x, &mut y);
        (a[[p, k]], a[[q, k]]) = (x, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
        let numbers = Generator::cpu(seed).randn(rows * columns);
        Array2::from_shape_vec((rows, columns), numbers).unwrap()
    }

    fn distance(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
        (a - b).iter().map(|x| x * x).sum::<f32>().sqrt()
    }

    #[test]
    fn a_product_of_thin_matrices_is_found_again() {
        for (rows, columns) in [(20, 50), (50, 20), (16, 16)] {
            let product = random(rows, 3, 1).dot(&random(3, columns, 2));
            let (up, down) = low_rank(&product.view(), 5);
            assert!(
                distance(&up.dot(&down), &product) < 1e-4 * distance(&product, &(&product * 0.0))
            );
            let right = down.dot(&down.t());
            assert!(distance(&right, &Array2::eye(5)) < 1e-3, "{right}");
        }
    }

    #[test]
    fn no_other_approximation_is_better() {
        // Singular values 1, 1/2, 1/3, ...: what is left out of rank r is the root of the sum of their squares.
        let (left, right) = (orthonormal(random(30, 12, 3)), orthonormal(random(40, 12, 4)));
        let values = Array1::from_shape_fn(12, |i| 1.0 / (i as f32 + 1.0));
        let matrix = (&left * &values).dot(&right.t());
        let (up, down) = low_rank(&matrix.view(), 4);
        let least = values.iter().skip(4).map(|x| x * x).sum::<f32>().sqrt();
        assert!((distance(&up.dot(&down), &matrix) - least).abs() < 1e-4);
        let lengths: Vec<f32> = up.columns().into_iter().map(|c| c.dot(&c).sqrt()).collect();
        assert!(lengths.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-4), "{lengths:?}");
    }

    #[test]
    fn nothing_has_the_rank_nothing() {
        let (up, down) = low_rank(&Array2::zeros((6, 7)).view(), 2);
        assert!(up.iter().all(|x| *x == 0.0));
        assert!(distance(&down.dot(&down.t()), &Array2::eye(2)) < 1e-4);
    }
}
