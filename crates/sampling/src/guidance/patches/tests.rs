use super::*;
use crate::noise::Generator;

const SHAPE: [usize; 4] = [2, 4, 6, 5];

fn random(seed: u64) -> Latent {
    Generator::cuda(seed).latent(SHAPE)
}

/// Guided by 7 from random latents.
fn guide(patches: &[Patch], x: &Latent, cond: &Latent, uncond: &Latent) -> Latent {
    guide_at(5.0, &mut Patched::new(patches), x, cond, uncond)
}

fn guide_at(
    sigma: f32,
    patched: &mut Patched,
    x: &Latent,
    cond: &Latent,
    uncond: &Latent,
) -> Latent {
    let (cond, uncond) = (cond.clone(), uncond.clone());
    patched.guide(Sides { x, sigma, cfg: 7.0, cond, uncond }, true).denoised
}

#[track_caller]
fn assert_near(a: &Latent, b: &Latent) {
    let far = (a - b).iter().fold(0f32, |far, e| far.max(e.abs()));
    assert!(far < 1e-4, "{far}");
}

/// Of one picture of a batch.
fn picture(x: &Latent) -> ArrayView3<'_, f32> {
    x.index_axis(Axis(0), 1)
}

#[test]
fn without_patches_guidance_is_plain() {
    let (x, cond, uncond) = (random(1), random(2), random(3));
    assert_near(&guide(&[], &x, &cond, &uncond), &(&uncond + (&cond - &uncond) * 7.0));
}

#[test]
fn where_both_sides_agree_only_scales_count() {
    let (x, same) = (random(1), random(2));
    let projected = Patch::Projected { eta: 0.5, norm_threshold: 5.0, momentum: -0.5 };
    for patch in [Patch::RescaleCfg(0.7), Patch::ZeroStar, Patch::Norm(1.0), projected] {
        assert_near(&guide(&[patch], &x, &same, &same), &same);
    }
    let scaled = guide(&[Patch::EpsilonScaling(2.0)], &x, &same, &same);
    assert_near(&scaled, &((&x + &same) / 2.0));
}

#[test]
fn rescaled_guidance_is_as_wide_as_the_positive() {
    let (x, cond, uncond) = (random(1), random(2), random(3));
    let denoised = guide(&[Patch::RescaleCfg(1.0)], &x, &cond, &uncond);
    let velocity = |denoised: &Latent| deviation(&picture(&(&x / 26.0 - denoised)));
    assert!((velocity(&denoised) / velocity(&cond) - 1.0).abs() < 1e-5);
}

#[test]
fn tangential_damping_leaves_the_first_singular_vector() {
    let (x, cond) = (random(1), random(2));
    // Twice the positive's score lies along it, so nothing is lost.
    let uncond = &x - (&x - &cond) * 2.0;
    let kept = Sides { x: &x, sigma: 1.0, cfg: 1.0, cond: cond.clone(), uncond: uncond.clone() };
    assert_near(&tangential(&kept), &uncond);
    // Of two scores at right angles the longer is the vector.
    let mut side = Latent::zeros(SHAPE);
    side.index_axis_mut(Axis(1), 0).fill(1.0);
    let mut front = Latent::zeros(SHAPE);
    front.index_axis_mut(Axis(1), 1).fill(2.0);
    let sides = Sides { x: &x, sigma: 1.0, cfg: 1.0, cond: &x - &front, uncond: &x - &side };
    assert_near(&tangential(&sides), &x);
}

#[test]
fn projected_guidance_adds_nothing_along_the_positive() {
    let (x, cond, uncond) = (random(1), random(2), random(3));
    let patch = Patch::Projected { eta: 0.0, norm_threshold: 0.0, momentum: 0.0 };
    let added = guide(&[patch], &x, &cond, &uncond) - &cond;
    assert!(dot(&picture(&added), &picture(&cond)).abs() < 1e-3);
    let whole = Patch::Projected { eta: 1.0, norm_threshold: 0.0, momentum: 0.0 };
    let added = guide(&[whole], &x, &cond, &uncond) - &cond;
    assert_near(&added, &((&cond - &uncond) * 7.0));
    let short = Patch::Projected { eta: 1.0, norm_threshold: 0.5, momentum: 0.0 };
    let added = guide(&[short], &x, &cond, &uncond) - &cond;
    let length = dot(&picture(&added), &picture(&added)).sqrt();
    assert!((length - 7.0 * 0.5).abs() < 1e-3, "{length}");
}

#[test]
fn momentum_lasts_until_the_level_rises() {
    let (x, cond, uncond) = (random(1), random(2), random(3));
    let patch = Patch::Projected { eta: 1.0, norm_threshold: 0.0, momentum: -0.5 };
    let mut patched = Patched::new(&[patch]);
    let mut added = |sigma: f32| guide_at(sigma, &mut patched, &x, &cond, &uncond) - &cond;
    let first = added(5.0);
    assert_near(&added(4.0), &(&first * 0.5));
    assert_near(&added(3.0), &(&first * 0.75));
    assert_near(&added(5.0), &first);
}

#[test]
fn mahiro_takes_the_guided_latent_where_it_is_like_the_negative() {
    let (x, cond) = (random(1), random(2));
    // Guidance and both sides are one, and so is the likeness: a mean of channels of one direction.
    let (leap, guided) = (&cond * 7.0, cond.clone());
    let denoised = guide(&[Patch::Mahiro], &x, &cond, &cond);
    assert_near(&denoised, &guided);
    // Against the negative it is the scaled positive.
    let denoised = guide(&[Patch::Mahiro], &x, &cond, &(&cond * -1.0));
    assert_near(&denoised, &leap);
}

#[test]
fn patches_after_guidance_act_in_their_order() {
    let (x, cond, uncond) = (random(1), random(2), random(3));
    let [norm, scaling] = [Patch::Norm(0.5), Patch::EpsilonScaling(2.0)];
    let one = guide(&[norm, scaling], &x, &cond, &uncond);
    let normed = guide(&[norm], &x, &cond, &uncond);
    assert_near(&one, &((&x + &normed) / 2.0));
    let other = guide(&[scaling, norm], &x, &cond, &uncond);
    assert!((one - other).iter().any(|e| e.abs() > 0.1));
}
