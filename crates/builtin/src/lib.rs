//! What comes with the program, as bytes: small checkpoints and the pictures that the ready graphs
//! load. How the checkpoints were made stands in `training/`.

/// A file of the program's own.
pub struct Builtin {
    pub name: &'static str,
    /// Together they are one file; the checkpoints share their text encoder and VAE.
    pub parts: &'static [&'static [u8]],
}

static BASE: &[u8] = include_bytes!("../weights/weft-tiny.safetensors");
static PREVIEW: &[u8] = include_bytes!("../weights/weft-tiny.preview.safetensors");
static INPAINT: &[u8] = include_bytes!("../weights/weft-tiny-inpaint.unet.safetensors");
static INSTRUCT: &[u8] = include_bytes!("../weights/weft-tiny-instruct.unet.safetensors");

/// In every list of checkpoints. Where two parts have the same tensor, the later one counts.
pub static CHECKPOINTS: &[Builtin] = &[
    Builtin { name: "weft-tiny.safetensors", parts: &[BASE, PREVIEW] },
    Builtin { name: "weft-tiny-inpaint.safetensors", parts: &[BASE, PREVIEW, INPAINT] },
    Builtin { name: "weft-tiny-instruct.safetensors", parts: &[BASE, PREVIEW, INSTRUCT] },
];

/// In every list of VAEs, under ComfyUI's name: the VAE that leaves pictures as they are.
pub static VAES: &[Builtin] = &[Builtin {
    name: "pixel_space",
    parts: &[include_bytes!("../weights/pixel_space.safetensors")],
}];

macro_rules! pictures { ($($name:literal),* $(,)?) => {
    /// In every list of input pictures.
    pub static PICTURES: &[Builtin] = &[$(Builtin {
        name: $name,
        parts: &[include_bytes!(concat!("../pictures/", $name))],
    }),*];
}}
pictures!["house.png", "red_circle.png", "red_circle_masked.png", "yellow_star.png"];

/// The files of the program in a folder of ComfyUI's name.
pub fn folder(name: &str) -> &'static [Builtin] {
    match name {
        "checkpoints" => CHECKPOINTS,
        "vae" => VAES,
        "input" => PICTURES,
        _ => &[],
    }
}
