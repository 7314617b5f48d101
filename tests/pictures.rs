//! The built-in checkpoint paints what the prompt says, judged by the colours of pixels.

use crate::common::{Picture, root, weft_ok};

/// The colours that the training pictures were drawn with.
pub const PALETTE: &[(&str, [u8; 3])] = &[
    ("red", [214, 40, 44]),
    ("orange", [244, 138, 30]),
    ("yellow", [250, 214, 50]),
    ("green", [52, 162, 72]),
    ("blue", [44, 92, 214]),
    ("purple", [134, 62, 176]),
    ("pink", [246, 146, 190]),
    ("brown", [128, 80, 46]),
    ("black", [24, 24, 28]),
    ("white", [248, 248, 246]),
    ("gray", [140, 142, 148]),
];

/// The name of the nearest colour.
pub fn colour(rgb: [u8; 3]) -> &'static str {
    let far = |c: [u8; 3]| (0..3).map(|i| rgb[i].abs_diff(c[i]) as u32).sum::<u32>();
    PALETTE.iter().min_by_key(|(_, c)| far(*c)).unwrap().0
}

impl Picture {
    /// The colour of the border, four pixels wide.
    pub fn background(&self) -> &'static str {
        let (w, h) = (self.width, self.height);
        colour(self.median(|x, y| x < 4 || y < 4 || x >= w - 4 || y >= h - 4))
    }

    /// The commonest colour that is not the background's.
    pub fn object(&self) -> &'static str {
        let background =
            self.median(|x, y| x < 4 || y < 4 || x >= self.width - 4 || y >= self.height - 4);
        let differs =
            |p: [u8; 3]| (0..3).map(|i| p[i].abs_diff(background[i]) as u32).sum::<u32>() > 90;
        colour(self.median(|x, y| differs(self.at(x, y))))
    }
}

#[test]
fn prompts_are_followed_in_colour_and_background() {
    let cases = [
        ("red", "circle", "blue"),
        ("yellow", "star", "purple"),
        ("green", "heart", "white"),
        ("white", "cross", "black"),
        ("orange", "square", "gray"),
        ("black", "ring", "pink"),
        ("blue", "triangle", "yellow"),
        ("purple", "diamond", "green"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let graph = root().join("graphs/text_to_image.json");
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(object, shape, background)| {
            let prompt = format!("a {object} {shape} on a {background} background");
            let set = format!("Prompt.text={prompt}");
            let printed = weft_ok(
                folder.path(),
                &["run", graph.to_str().unwrap(), "--set", &set, "--device", "cpu"],
            );
            let picture = Picture::open(&folder.path().join(printed.trim()));
            let seen = (picture.object(), picture.background());
            (seen != (*object, *background)).then(|| format!("{prompt}: {seen:?}"))
        })
        .collect();
    // 60 such prompts get at least 57 right; of eight, one may fail.
    assert!(wrong.len() <= 1, "{wrong:?}");
}
