use super::*;
use crate::Prediction;

/// Answers such that the denoised latent is the payload everywhere; remembers what it was asked.
#[derive(Default)]
struct Known {
    asked: Vec<Vec<(f32, Option<Area>)>>,
    shapes: Vec<[usize; 4]>,
}

impl Network for Known {
    type Cond = f32;

    fn predict(&mut self, x: &Latent, sigma: f32, _: f32, calls: &[Call<f32>]) -> Result<Latent> {
        self.asked.push(calls.iter().map(|call| (*call.cond, call.area)).collect());
        self.shapes.push(x.dim().into());
        let norm = (sigma * sigma + 1.0).sqrt();
        let rows = x.dim().0 / calls.len();
        let mut eps = x.mapv(|x| x * norm / sigma);
        for (i, mut image) in eps.outer_iter_mut().enumerate() {
            image -= *calls[i / rows].cond / sigma;
        }
        Ok(eps)
    }

    fn can_batch(&self, a: &f32, b: &f32) -> bool {
        // Stands for token lists that do not fit together.
        a.signum() == b.signum()
    }
}

fn denoise(positive: &[Cond<f32>], negative: &[Cond<f32>], cfg: f64) -> (Latent, Known) {
    denoise_at(5.0, positive, negative, cfg)
}

fn denoise_at(
    sigma: f32,
    positive: &[Cond<f32>],
    negative: &[Cond<f32>],
    cfg: f64,
) -> (Latent, Known) {
    let (guess, network) = guess(sigma, &Guider::cfg(cfg, [positive, negative]), false);
    (guess.denoised, network)
}

fn guess(sigma: f32, guider: &Guider<f32>, wants_uncond: bool) -> (Guess, Known) {
    let model = ModelSampling::stable_diffusion(Prediction::Eps);
    let mut guidance = Guidance::new(&model, guider, wants_uncond, (16, 32)).unwrap();
    let mut network = Known::default();
    let x = Latent::from_shape_fn((2, 4, 16, 32), |(n, c, y, x)| (n + c + y + x) as f32 / 10.0);
    let guess = guidance.denoise(&mut network, &model, &x, sigma).unwrap();
    (guess, network)
}

fn cond(value: f32) -> Cond<f32> {
    Cond::new(value)
}

fn in_area(value: f32, y: usize, x: usize, height: usize, width: usize) -> Cond<f32> {
    Cond { region: Some(Region::Area(Area { height, width, y, x })), ..cond(value) }
}

fn assert_all(latent: &Latent, want: f32) {
    // eps = (x - value) / sigma and back, in f32.
    assert!(latent.iter().all(|v| (v - want).abs() < 1e-4), "{want}: {latent}");
}

#[test]
fn guidance_goes_from_the_negative_past_the_positive_in_one_call() {
    let (denoised, network) = denoise(&[cond(3.0)], &[cond(1.0)], 7.0);
    assert_all(&denoised, 1.0 + 2.0 * 7.0);
    assert_eq!(network.asked, [[(1.0, None), (3.0, None)]]);
    assert_eq!(network.shapes, [[4, 4, 16, 32]]);
}

#[test]
fn a_scale_of_one_never_asks_the_negative() {
    let (denoised, network) = denoise(&[cond(3.0)], &[cond(1.0)], 1.0);
    assert_all(&denoised, 3.0);
    assert_eq!(network.asked, [[(3.0, None)]]);
}

#[test]
fn conditions_that_do_not_fit_together_are_asked_one_after_another() {
    let (denoised, network) = denoise(&[cond(3.0)], &[cond(-1.0)], 2.0);
    assert_all(&denoised, 7.0);
    assert_eq!(network.asked, [[(3.0, None)], [(-1.0, None)]]);
}

#[test]
fn combined_conditions_are_a_mean_weighted_by_strength() {
    let strong = Cond { strength: 3.0, ..cond(4.0) };
    let (denoised, _) = denoise(&[cond(8.0), strong], &[cond(1.0)], 1.0);
    assert_all(&denoised, 5.0);
}

#[test]
fn a_condition_holds_in_its_range_of_steps() {
    let early = Cond { end_percent: 0.5, ..cond(4.0) };
    let late = Cond { start_percent: 0.5, ..cond(8.0) };
    let conds = [early, late];
    assert_all(&denoise_at(14.0, &conds, &[cond(1.0)], 1.0).0, 4.0);
    assert_all(&denoise_at(0.1, &conds, &[cond(1.0)], 1.0).0, 8.0);
}

#[test]
fn an_area_is_cropped_feathered_and_mirrored() {
    let (denoised, network) = denoise(&[in_area(4.0, 0, 16, 16, 16), cond(2.0)], &[cond(1.0)], 2.0);
    let area = Some(Area { height: 16, width: 16, y: 0, x: 16 });
    // The negative is asked about the same crop, and about the whole.
    assert_eq!(network.asked, [vec![(1.0, area), (4.0, area)], vec![(1.0, None), (2.0, None)]]);
    let row: Vec<f32> = denoised.slice(ndarray::s![0, 0, 3, ..]).to_vec();
    // The area's inner edge ramps over 16 / 4 columns: weights 1/4, 2/4, 3/4, 1.
    let want = |weight: f32| 2.0 * (2.0 + 4.0 * weight) / (1.0 + weight) - 1.0;
    for (x, weight) in
        [(0, 0.0), (15, 0.0), (16, 0.25), (17, 0.5), (18, 0.75), (19, 1.0), (31, 1.0)]
    {
        assert!((row[x] - want(weight)).abs() < 1e-3, "column {x}: {} {}", row[x], want(weight));
    }
}

#[test]
fn what_no_area_covers_is_zero() {
    let (denoised, _) = denoise(&[in_area(4.0, 0, 0, 8, 32)], &[cond(1.0)], 1.0);
    assert!((denoised[[0, 0, 0, 0]] - 4.0).abs() < 1e-4);
    assert_eq!(denoised[[0, 0, 12, 0]], 0.0);
}

#[test]
fn masks_weigh_and_may_bound_the_area() {
    let mut left = Array3::zeros((1, 16, 32));
    left.slice_mut(ndarray::s![.., .., ..16]).fill(1.0);
    let masked = Cond { mask: Some(left), mask_strength: 3.0, ..cond(4.0) };
    let bounded = Cond { set_area_to_bounds: true, ..masked.clone() };
    for masked in [masked, bounded] {
        let (denoised, network) = denoise(&[cond(8.0), masked.clone()], &[cond(1.0)], 1.0);
        assert!((denoised[[1, 2, 3, 0]] - 5.0).abs() < 1e-4);
        assert!((denoised[[1, 2, 3, 31]] - 8.0).abs() < 1e-4);
        let crop = masked.set_area_to_bounds.then_some(Area { height: 16, width: 16, y: 0, x: 0 });
        assert!(network.asked.iter().flatten().any(|asked| *asked == (4.0, crop)));
    }
}

#[test]
fn an_area_in_percent_is_resolved_and_one_outside_is_an_error() {
    let percent = Region::Percent { height: 0.5, width: 0.25, y: 0.5, x: 0.75 };
    let (_, network) = denoise(&[Cond { region: Some(percent), ..cond(4.0) }], &[], 1.0);
    assert_eq!(network.asked[0][0].1, Some(Area { height: 8, width: 8, y: 8, x: 24 }));
    let model = ModelSampling::stable_diffusion(Prediction::Eps);
    let outside = [in_area(4.0, 16, 0, 8, 8)];
    let error =
        Guidance::new(&model, &Guider::cfg(1.0, [&outside, &[]]), false, (16, 32)).err().unwrap();
    assert!(error.to_string().contains("outside the latent"), "{error}");
}

#[test]
fn a_sampler_may_want_the_negative_though_it_does_not_count() {
    let (positive, negative) = ([cond(3.0)], [cond(1.0)]);
    let (guess, network) = guess(5.0, &Guider::cfg(1.0, [&positive, &negative]), true);
    assert_all(&guess.denoised, 3.0);
    assert_all(&guess.uncond, 1.0);
    assert_eq!(network.asked, [[(1.0, None), (3.0, None)]]);
}

fn three(rule: Rule) -> (Guess, Known) {
    let conds = [[cond(5.0)], [cond(3.0)], [cond(2.0)]];
    let conds = conds.iter().map(|cond| cond.as_slice()).collect();
    guess(5.0, &Guider { rule, conds, patches: &[], differential: None }, false)
}

#[test]
fn three_conditionings_are_drawn_out_from_one_another() {
    let (guess, network) = three(Rule::DualCfg { conds: 2.0, middle_negative: 4.0 });
    assert_all(&guess.denoised, 2.0 + 4.0 * 1.0 + 2.0 * 2.0);
    assert_all(&guess.uncond, 2.0);
    assert_eq!(network.asked, [[(2.0, None), (3.0, None), (5.0, None)]]);
    let (guess, _) = three(Rule::NestedCfg { conds: 2.0, middle_negative: 4.0 });
    assert_all(&guess.denoised, 2.0 + 4.0 * (3.0 + 2.0 * 2.0 - 2.0));
    assert_all(&guess.uncond, 3.0);
}

#[test]
fn scales_of_one_leave_out_what_does_not_count() {
    let (guess, network) = three(Rule::DualCfg { conds: 2.0, middle_negative: 1.0 });
    assert_all(&guess.denoised, 3.0 + 2.0 * 2.0);
    assert_eq!(network.asked, [[(3.0, None), (5.0, None)]]);
    let (guess, network) = three(Rule::DualCfg { conds: 1.0, middle_negative: 1.0 });
    assert_all(&guess.denoised, 5.0);
    assert_eq!(network.asked, [[(5.0, None)]]);
}

#[test]
fn a_negative_along_the_positive_does_not_count_in_perp_neg() {
    let (guess, _) = three(Rule::PerpNeg { cfg: 4.0, neg_scale: 1.0 });
    assert_all(&guess.denoised, 2.0 + 4.0 * 3.0);
    assert_all(&guess.uncond, 3.0);
}

#[test]
fn a_condition_that_fills_counts_where_the_others_do_not() {
    let left = Array3::from_shape_fn((1, 16, 32), |(_, _, x)| if x < 16 { 1.0 } else { 0.0 });
    let half = Cond { mask: Some(left), mask_strength: 0.75, ..cond(8.0) };
    let filler = |value| Cond { fills: true, ..cond(value) };
    let (denoised, network) = denoise(&[half.clone(), filler(4.0)], &[cond(1.0)], 1.0);
    assert_eq!(network.asked, [[(4.0, None), (8.0, None)]]);
    for ((_, _, _, x), v) in denoised.indexed_iter() {
        let want = if x < 16 { 0.75 * 8.0 + 0.25 * 4.0 } else { 4.0 };
        assert!((v - want).abs() < 1e-4, "{x}: {v}");
    }
    // Of two that fill none counts as the other's.
    let (denoised, _) = denoise(&[half, filler(4.0), filler(2.0)], &[cond(1.0)], 1.0);
    assert!((denoised[[0, 0, 0, 20]] - 3.0).abs() < 1e-4, "{denoised}");
}

#[test]
fn a_condition_that_fills_is_not_asked_where_nothing_is_left() {
    let filler = Cond { fills: true, ..cond(4.0) };
    let (_, network) = denoise(&[cond(8.0), filler.clone()], &[cond(1.0)], 1.0);
    assert_eq!(network.asked, [[(8.0, None)]]);
    let (denoised, _) = denoise(&[filler], &[cond(1.0)], 1.0);
    assert_all(&denoised, 4.0);
}

#[test]
fn variants_of_the_network_are_asked_one_after_another() {
    let varied = Cond { variant: 1, ..cond(3.0) };
    let (_, network) = denoise(&[varied.clone(), cond(2.0)], &[varied, cond(1.0)], 2.0);
    assert_eq!(network.asked, [[(3.0, None), (3.0, None)], [(1.0, None), (2.0, None)]]);
}

#[test]
fn a_mirrored_area_asks_the_variant_of_its_model() {
    let area = Cond { variant: 1, ..in_area(3.0, 0, 0, 8, 8) };
    let (_, network) = denoise(&[area], &[cond(1.0)], 2.0);
    let area = Some(Area { height: 8, width: 8, y: 0, x: 0 });
    assert_eq!(network.asked, [vec![(1.0, area), (3.0, area)], vec![(1.0, None)]]);
}
