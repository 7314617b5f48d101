//! Paints egui's triangles into a picture of any size, without a window and without a GPU.
//!
//! As GPUs do: positions are whole 256ths of a pixel, and a pixel whose middle lies on an edge that two
//! triangles share belongs to exactly one of them. Colours are mixed as they are stored, premultiplied, as
//! egui does it.

use egui::{
    ClippedPrimitive, Color32, ColorImage, Mesh, Pos2, Rect, TextureId,
    epaint::{Primitive, Vertex},
};
use std::collections::HashMap;

/// Parts of a pixel.
const SUB: i64 = 256;

/// Paints what egui tessellated for a screen of `size` pixels with `scale` pixels a point. Textures that are
/// not among `textures` leave their triangles out.
pub fn paint(
    primitives: &[ClippedPrimitive],
    textures: &HashMap<TextureId, ColorImage>,
    size: [usize; 2],
    scale: f32,
) -> ColorImage {
    let mut sheet = Sheet { image: ColorImage::filled(size, Color32::TRANSPARENT), scale };
    for ClippedPrimitive { clip_rect, primitive } in primitives {
        let Primitive::Mesh(mesh) = primitive else { continue };
        if let Some(texture) = textures.get(&mesh.texture_id) {
            sheet.mesh(mesh, texture, *clip_rect);
        }
    }
    sheet.image
}

struct Sheet {
    image: ColorImage,
    scale: f32,
}

/// Pixels from the first to before the second, across and down.
#[derive(Clone, Copy)]
struct Window([[usize; 2]; 2]);

impl Sheet {
    fn mesh(&mut self, mesh: &Mesh, texture: &ColorImage, clip: Rect) {
        let edge = |at: f32, limit: usize| ((at * self.scale).round().max(0.0) as usize).min(limit);
        let [width, height] = self.image.size;
        let window = Window([
            [edge(clip.min.x, width), edge(clip.max.x, width)],
            [edge(clip.min.y, height), edge(clip.max.y, height)],
        ]);
        for corners in mesh.indices.as_chunks::<3>().0 {
            let corners = corners.map(|i| mesh.vertices[i as usize]);
            self.triangle(corners, texture, window);
        }
    }

    fn triangle(&mut self, mut corners: [Vertex; 3], texture: &ColorImage, window: Window) {
        let place = |v: &Vertex| {
            [v.pos.x, v.pos.y].map(|at| (f64::from(at * self.scale) * SUB as f64).round() as i64)
        };
        let mut at = [place(&corners[0]), place(&corners[1]), place(&corners[2])];
        let area = cross(at[0], at[1], at[2]);
        if area == 0 {
            return;
        }
        if area < 0 {
            corners.swap(1, 2);
            at.swap(1, 2);
        }
        let area = area.abs() as f32;
        // The edge opposite each corner; how far inside of it a point is, is that corner's weight.
        let edges = [[at[1], at[2]], [at[2], at[0]], [at[0], at[1]]];
        let bias = edges.map(|[a, b]| i64::from(!owns(a, b)));
        let flat = corners.iter().all(|v| v.color == corners[0].color && v.uv == corners[0].uv);
        let solid = flat.then(|| mixed(&corners, [1.0, 0.0, 0.0], texture));
        let [xs, ys] = [0, 1].map(|axis| span(&at.map(|p| p[axis]), window.0[axis]));
        for y in ys {
            let row = y * self.image.size[0];
            for x in xs.clone() {
                let middle = [x as i64 * SUB + SUB / 2, y as i64 * SUB + SUB / 2];
                let inside = edges.map(|[a, b]| cross(a, b, middle));
                if (0..3).all(|i| inside[i] >= bias[i]) {
                    let color = solid.unwrap_or_else(|| {
                        mixed(&corners, inside.map(|weight| weight as f32 / area), texture)
                    });
                    let under = &mut self.image.pixels[row + x];
                    *under = over(color, *under);
                }
            }
        }
    }
}

/// Twice the area of a triangle; positive if it turns clockwise on the screen.
fn cross(a: [i64; 2], b: [i64; 2], c: [i64; 2]) -> i64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

/// Whether points on the edge are inside: those on upper and left edges are.
fn owns(a: [i64; 2], b: [i64; 2]) -> bool {
    b[1] < a[1] || b[1] == a[1] && b[0] > a[0]
}

/// The pixels that three places may touch, within limits.
fn span(places: &[i64; 3], [first, end]: [usize; 2]) -> std::ops::Range<usize> {
    let low = places.iter().min().map_or(0, |p| p.div_euclid(SUB).max(0) as usize);
    let high = places.iter().max().map_or(0, |p| (p.div_euclid(SUB) + 1).max(0) as usize);
    low.max(first)..high.min(end)
}

/// The colour of a point in a triangle.
fn mixed(corners: &[Vertex; 3], weights: [f32; 3], texture: &ColorImage) -> Color32 {
    let sum = |of: &dyn Fn(&Vertex) -> f32| {
        corners.iter().zip(weights).map(|(v, weight)| of(v) * weight).sum::<f32>()
    };
    let texel = sample(texture, Pos2::new(sum(&|v| v.uv.x), sum(&|v| v.uv.y)));
    let color: [u8; 4] = std::array::from_fn(|i| {
        let own = sum(&|v| f32::from(v.color.to_array()[i]));
        (own * texel[i] / 255.0).round().clamp(0.0, 255.0) as u8
    });
    let [r, g, b, a] = color;
    Color32::from_rgba_premultiplied(r, g, b, a)
}

/// The texture between its four nearest pixels.
fn sample(texture: &ColorImage, uv: Pos2) -> [f32; 4] {
    let [width, height] = texture.size;
    let x = (uv.x * width as f32 - 0.5).clamp(0.0, width as f32 - 1.0);
    let y = (uv.y * height as f32 - 0.5).clamp(0.0, height as f32 - 1.0);
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (along, down) = (x - left as f32, y - top as f32);
    let pixel = |x: usize, y: usize| texture.pixels[y * width + x].to_array().map(f32::from);
    let between =
        |a: [f32; 4], b: [f32; 4], t: f32| std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t);
    let above = between(pixel(left, top), pixel(right, top), along);
    let below = between(pixel(left, bottom), pixel(right, bottom), along);
    between(above, below, down)
}

fn over(color: Color32, under: Color32) -> Color32 {
    let left = 255 - u32::from(color.a());
    let mix = |c: u8, u: u8| (u32::from(c) + (u32::from(u) * left + 127) / 255).min(255) as u8;
    let (c, u) = (color.to_array(), under.to_array());
    let [r, g, b, a] = std::array::from_fn(|i| mix(c[i], u[i]));
    Color32::from_rgba_premultiplied(r, g, b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::{pos2, vec2};

    const WHITE: TextureId = TextureId::Managed(0);

    fn painted(
        meshes: Vec<Mesh>,
        textures: &HashMap<TextureId, ColorImage>,
        clip: Rect,
    ) -> ColorImage {
        let primitives: Vec<_> = meshes
            .into_iter()
            .map(|mesh| ClippedPrimitive { clip_rect: clip, primitive: Primitive::Mesh(mesh) })
            .collect();
        paint(&primitives, textures, [8, 8], 2.0)
    }

    fn white() -> HashMap<TextureId, ColorImage> {
        HashMap::from([(WHITE, ColorImage::filled([1, 1], Color32::WHITE))])
    }

    #[test]
    fn each_pixel_of_a_fan_of_triangles_is_painted_once() {
        let half = Color32::from_black_alpha(100);
        let mut fan = Mesh::default();
        let rim = [pos2(0.1, 0.0), pos2(4.0, 0.3), pos2(3.7, 4.0), pos2(0.0, 3.9)];
        fan.colored_vertex(pos2(1.93, 2.11), half);
        rim.into_iter().for_each(|at| fan.colored_vertex(at, half));
        (1..=4).for_each(|i| fan.add_triangle(0, i, i % 4 + 1));
        let image = painted(vec![fan], &white(), Rect::EVERYTHING);
        assert!(image.pixels.iter().all(|p| [0, 100].contains(&p.a())), "none is painted twice");
        assert!(image.pixels.iter().filter(|p| p.a() == 100).count() > 45);
    }

    #[test]
    fn the_clip_rectangle_cuts_and_what_lies_above_covers() {
        let rect = |color| {
            let mut mesh = Mesh::default();
            mesh.add_colored_rect(Rect::from_min_size(pos2(-1.0, -1.0), vec2(9.0, 9.0)), color);
            mesh
        };
        let clip = Rect::from_min_size(pos2(1.0, 1.0), vec2(2.0, 1.0));
        let image = painted(vec![rect(Color32::RED), rect(Color32::GREEN)], &white(), clip);
        let green = image.pixels.iter().filter(|p| **p == Color32::GREEN).count();
        assert_eq!(
            (green, image[(2, 2)], image[(2, 4)]),
            (8, Color32::GREEN, Color32::TRANSPARENT)
        );
    }

    #[test]
    fn textures_are_sampled_between_their_pixels() {
        let stripes = ColorImage::new([2, 1], vec![Color32::BLACK, Color32::WHITE]);
        let mut mesh = Mesh::with_texture(TextureId::User(7));
        let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        mesh.add_rect_with_uv(
            Rect::from_min_size(Pos2::ZERO, vec2(4.0, 4.0)),
            whole,
            Color32::WHITE,
        );
        let textures = HashMap::from([(TextureId::User(7), stripes)]);
        let image = painted(vec![mesh.clone()], &textures, Rect::EVERYTHING);
        let row: Vec<u8> = (0..8).map(|x| image[(x, 3)].r()).collect();
        assert!(row.is_sorted() && row[0] == 0 && row[7] == 255, "{row:?}");
        assert!((100..160).contains(&((u16::from(row[3]) + u16::from(row[4])) / 2)), "{row:?}");
        let none = painted(vec![mesh], &HashMap::new(), Rect::EVERYTHING);
        assert!(none.pixels.iter().all(|p| *p == Color32::TRANSPARENT));
    }
}
