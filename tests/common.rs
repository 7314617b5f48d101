//! What several tests use.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A path in the folder of reference material beside the repository, or nothing, said aloud.
pub fn shared(path: &str) -> Option<PathBuf> {
    let base =
        std::env::var_os("WEFT_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let path = base.join(path);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The first adapter, opened; nothing, said aloud, where there is none. With `WEFT_REQUIRE_GPU` that is
/// a failure.
pub fn gpu() -> Option<tensor::Device> {
    let adapter = tensor::Adapter::all().into_iter().find(|a| a.unfit().is_none());
    if adapter.is_none() {
        assert!(std::env::var_os("WEFT_REQUIRE_GPU").is_none(), "no GPU, but one is required");
        eprintln!("SKIPPED: no GPU here");
    }
    let options = tensor::GpuOptions { checked: true, ..Default::default() };
    Some(tensor::Device::gpu(&adapter?, options).unwrap())
}

/// The `weft` program in a folder, not started yet. What it finds out about GPUs stays among the tests' own
/// files.
pub fn command(folder: &Path) -> Command {
    let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
    weft.current_dir(folder).env("WEFT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    weft
}

/// The `weft` program, run in a folder.
pub fn weft(folder: &Path, args: &[&str]) -> Output {
    command(folder).args(args).output().unwrap()
}

/// As [`weft`], which must succeed; gives what it printed.
#[track_caller]
pub fn weft_ok(folder: &Path, args: &[&str]) -> String {
    let out = weft(folder, args);
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "weft {args:?} failed: {stderr}");
    stdout
}

/// As [`weft`], which must fail with exit code 1 and without a panic; gives its message.
#[track_caller]
pub fn weft_fails(folder: &Path, args: &[&str]) -> String {
    let out = weft(folder, args);
    let stderr = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "weft {args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "weft {args:?}: {stderr}");
    stderr
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An RGB picture.
pub struct Picture {
    pub width: u32,
    pub height: u32,
    rgb: image::RgbImage,
}

impl Picture {
    #[track_caller]
    pub fn open(path: &Path) -> Self {
        let rgb = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_rgb8();
        Self { width: rgb.width(), height: rgb.height(), rgb }
    }

    pub fn at(&self, x: u32, y: u32) -> [u8; 3] {
        self.rgb.get_pixel(x, y).0
    }

    /// The median, channel by channel, of the pixels that `inside` chooses.
    pub fn median(&self, inside: impl Fn(u32, u32) -> bool) -> [u8; 3] {
        let all = self.rgb.enumerate_pixels();
        let chosen: Vec<[u8; 3]> =
            all.filter(|(x, y, _)| inside(*x, *y)).map(|(_, _, p)| p.0).collect();
        std::array::from_fn(|c| {
            let mut channel: Vec<u8> = chosen.iter().map(|p| p[c]).collect();
            channel.sort_unstable();
            channel.get(channel.len() / 2).copied().unwrap_or_default()
        })
    }
}
