//! The folders a graph may read and write: ours, or those of an existing ComfyUI.

use anyhow::{Context as _, bail};
use graph::{File, Host, Result};
use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};
use tensor::{PICKLE_ENDINGS, PICKLE_REFUSED};

/// A kind of file by ComfyUI's folder name, and other names the folder goes by.
struct Kind {
    name: &'static str,
    aliases: &'static [&'static str],
}

macro_rules! kinds { ($($name:literal $([$($alias:literal),*])?,)*) => {
    /// The model folders, in ComfyUI's names.
    const KINDS: &[Kind] = &[$(Kind { name: $name, aliases: &[$($($alias),*)?] }),*];
}}
kinds! {
    "checkpoints", "loras", "vae", "text_encoders" ["clip"], "diffusion_models" ["unet"],
    "clip_vision", "style_models", "embeddings", "vae_approx", "controlnet" ["t2i_adapter"],
    "gligen", "upscale_models", "hypernetworks", "photomaker", "classifiers", "model_patches",
    "audio_encoders", "configs", "diffusers",
}

const MODEL_FILES: &[&str] = &["safetensors", "sft"];
const PICTURE_FILES: &[&str] = &["png", "jpg", "jpeg", "webp", "bmp", "gif"];
const LATENT_FILES: &[&str] = &["latent"];
const CONFIG_FILES: &[&str] = &["yaml"];

/// The file by which a folder that the diffusers library saved is known.
const DIFFUSERS_INDEX: &str = "model_index.json";

/// What a converted hypernetwork, of which there are hardly any editions as safetensors, must look like.
const HYPERNETWORK_LAYOUT: &str = ". A hypernetwork's tensors are then named as 320.0.linear.0.weight is; \
     `weft nodes HypernetworkLoader` tells more";

/// Where what can be found out again is kept: `WEFT_CACHE_DIR`, or this user's cache folder.
pub fn cache() -> Option<PathBuf> {
    let chosen = std::env::var_os("WEFT_CACHE_DIR").map(PathBuf::from);
    chosen.or_else(|| Some(dirs::cache_dir()?.join("weft")))
}

/// How far below a folder its files are looked for.
const MAX_DEPTH: usize = 8;

pub struct Folders {
    /// A kind's name and the directories that hold it, in the order they are searched.
    models: Vec<(&'static str, Vec<PathBuf>)>,
    input: PathBuf,
    output: PathBuf,
    temp: PathBuf,
}

/// Where to look, as the command line says it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct FolderArgs {
    /// A folder with checkpoints/, loras/, vae/, ... (repeatable) [default: ./models]
    #[arg(long, value_name = "DIR")]
    pub models: Vec<PathBuf>,
    /// Where graphs load pictures from [default: ./input]
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,
    /// Where pictures are written [default: ./output]
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// An existing ComfyUI folder: its models, input, output and extra_model_paths.yaml
    #[arg(long, value_name = "DIR")]
    pub comfyui: Option<PathBuf>,
}

impl Folders {
    pub fn new(args: &FolderArgs) -> Result<Self> {
        for dir in args.models.iter().chain(&args.input).chain(&args.comfyui) {
            anyhow::ensure!(dir.is_dir(), "{}: no such folder", dir.display());
        }
        if let Some(dir) = &args.output {
            anyhow::ensure!(dir.is_dir() || !dir.exists(), "{}: not a folder", dir.display());
        }
        let base = args.comfyui.clone().unwrap_or_default();
        let mut roots = args.models.clone();
        if args.comfyui.is_some() || roots.is_empty() {
            roots.push(base.join("models"));
        }
        let mut folders = Self {
            models: KINDS.iter().map(|kind| (kind.name, below(&roots, kind))).collect(),
            input: args.input.clone().unwrap_or_else(|| base.join("input")),
            output: args.output.clone().unwrap_or_else(|| base.join("output")),
            temp: base.join("temp"),
        };
        let extra = base.join("extra_model_paths.yaml");
        if args.comfyui.is_some() && extra.is_file() {
            folders.add_extra_paths(&extra).with_context(|| extra.display().to_string())?;
        }
        Ok(folders)
    }

    /// ComfyUI's extra_model_paths.yaml: sections of `base_path`, `is_default` and, by kind, a list
    /// of paths, one a line.
    fn add_extra_paths(&mut self, file: &Path) -> Result<()> {
        let text = std::fs::read_to_string(file)?;
        let sections: serde_json::Map<String, graph::Json> = serde_yaml_ng::from_str(&text)?;
        let here = file.parent().unwrap_or(Path::new(""));
        for section in sections.values().filter_map(|s| s.as_object()) {
            let text = |key: &str| section.get(key).and_then(|v| v.as_str());
            let base = here.join(text("base_path").map(expand).unwrap_or_default());
            let first = section.get("is_default").and_then(graph::Json::as_bool).unwrap_or(false);
            for (kind, paths) in section {
                let Some(dirs) = self.dirs_mut(kind) else { continue };
                let paths = paths.as_str().unwrap_or_default().lines().map(str::trim);
                let new = paths.filter(|p| !p.is_empty()).map(|p| base.join(expand(p)));
                if first { dirs.splice(0..0, new).for_each(drop) } else { dirs.extend(new) }
            }
        }
        Ok(())
    }

    fn dirs_mut(&mut self, name: &str) -> Option<&mut Vec<PathBuf>> {
        let kind = KINDS.iter().find(|k| k.name == name || k.aliases.contains(&name))?;
        self.models.iter_mut().find(|(n, _)| *n == kind.name).map(|(_, dirs)| dirs)
    }

    /// Where a new file for a folder name would go.
    pub fn home(&self, folder: &str) -> Option<PathBuf> {
        self.search(folder).ok()?.0.first().cloned()
    }

    /// All directories, with the names of what they are for.
    pub fn all(&self) -> Vec<(String, PathBuf)> {
        let fixed = [("input", &self.input), ("output", &self.output), ("temp", &self.temp)];
        let models =
            self.models.iter().flat_map(|(name, dirs)| dirs.iter().map(|dir| (*name, dir)));
        fixed.into_iter().chain(models).map(|(name, dir)| (name.to_owned(), whole(dir))).collect()
    }

    /// The directories searched for a folder name, and the file endings that count there.
    fn search(&self, folder: &str) -> Result<(&[PathBuf], &'static [&'static str])> {
        let other = match folder {
            "input" => Some((&self.input, PICTURE_FILES)),
            "output" => Some((&self.output, PICTURE_FILES)),
            "temp" => Some((&self.temp, PICTURE_FILES)),
            "latents" => Some((&self.input, LATENT_FILES)),
            _ => None,
        };
        if let Some((dir, endings)) = other {
            return Ok((std::slice::from_ref(dir), endings));
        }
        let dirs = self.models.iter().find(|(name, _)| *name == folder);
        let (_, dirs) = dirs.with_context(|| format!("there is no folder named {folder}"))?;
        Ok((dirs, if folder == "configs" { CONFIG_FILES } else { MODEL_FILES }))
    }

    /// The decoder of a tiny autoencoder that a VAE loader may name, if both its files are there.
    fn tiny(&self, name: &str) -> Option<PathBuf> {
        let (dirs, endings) = self.search("vae_approx").ok()?;
        let file = |part: &str| {
            let names = endings.iter().map(|ending| format!("{name}_{part}.{ending}"));
            let paths = names.flat_map(|name| dirs.iter().map(move |dir| dir.join(&name)));
            paths.into_iter().find(|path| path.is_file())
        };
        models::Taesd::names().find(|known| *known == name)?;
        file("encoder").and(file("decoder"))
    }
}

fn missing(folder: &str, name: &str, dirs: &[PathBuf]) -> anyhow::Error {
    let searched: Vec<String> = dirs.iter().map(|d| whole(d).display().to_string()).collect();
    anyhow::anyhow!("there is no file {name:?} in `{folder}` (searched {})", searched.join(", "))
}

/// Why a pickle is not opened; where it is not there, that finding it would not help.
fn pickle(folder: &str, name: &str, relative: &Path, dirs: &[PathBuf]) -> anyhow::Error {
    let layout = if folder == "hypernetworks" { HYPERNETWORK_LAYOUT } else { "" };
    match dirs.iter().map(|dir| dir.join(relative)).find(|path| path.exists()) {
        Some(path) => anyhow::anyhow!("{}: {PICKLE_REFUSED}{layout}", whole(&path).display()),
        None => anyhow::anyhow!(
            "{}; as a pickle file, which can run any program hidden in it, Weft would not open it: \
             get the model's .safetensors edition{layout}",
            missing(folder, name, dirs)
        ),
    }
}

impl Host for Folders {
    fn list(&self, folder: &str) -> Vec<String> {
        let mut names: BTreeSet<String> =
            builtin::folder(folder).iter().map(|b| b.name.to_owned()).collect();
        if let Ok((dirs, endings)) = self.search(folder) {
            for dir in dirs {
                // What is no model is listed from the folder itself only, as in ComfyUI.
                let depth = if endings == MODEL_FILES { MAX_DEPTH } else { 1 };
                walk(dir, "", depth, &mut |name| {
                    let index = || name.strip_suffix(DIFFUSERS_INDEX)?.strip_suffix('/');
                    if folder == "diffusers" {
                        names.extend(index().map(str::to_owned));
                    } else if has_ending(&name, endings) {
                        names.insert(name);
                    }
                });
            }
        }
        if folder == "vae" {
            names.extend(
                models::Taesd::names().filter(|n| self.tiny(n).is_some()).map(str::to_owned),
            );
        }
        names.into_iter().collect()
    }

    fn find(&self, folder: &str, name: &str) -> Result<File> {
        let (folder, name) = annotated(folder, name);
        let (dirs, endings) = self.search(folder)?;
        let relative = relative(name)?;
        if has_ending(name, PICKLE_ENDINGS) {
            return Err(pickle(folder, name, &relative, dirs));
        }
        if folder == "diffusers" {
            let mut indices = dirs.iter().map(|dir| dir.join(&relative).join(DIFFUSERS_INDEX));
            if let Some(index) = indices.find(|path| path.is_file()) {
                return Ok(File::Path(index));
            }
        }
        let found = dirs.iter().map(|dir| dir.join(&relative)).find(|path| path.is_file());
        let tiny = || self.tiny(name).filter(|_| folder == "vae");
        if let Some(path) = found.is_none().then(tiny).flatten() {
            return Ok(File::Path(path));
        }
        if let Some(path) = found {
            anyhow::ensure!(
                has_ending(name, endings),
                "{}: not a file for {folder}, which takes .{}",
                path.display(),
                endings.join(", .")
            );
            return Ok(File::Path(path));
        }
        let builtin = builtin::folder(folder).iter().find(|b| b.name == name);
        builtin.map(|b| File::Builtin(b.parts)).ok_or_else(|| missing(folder, name, dirs))
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        Ok(match name {
            "input" => self.input.clone(),
            "output" => self.output.clone(),
            "temp" => self.temp.clone(),
            _ => bail!("there is no folder named {name} to write to"),
        })
    }

    fn fingerprint(&self, folder: &str, name: &str) -> Result<u64> {
        match self.find(folder, name)? {
            File::Builtin(parts) => Ok(parts.iter().map(|p| p.as_ptr() as u64).sum()),
            File::Path(path) if path.ends_with(DIFFUSERS_INDEX) => {
                let folder = path.parent().unwrap_or(&path);
                let mut sum = 0u64;
                let mut failed = None;
                walk(folder, "", MAX_DEPTH, &mut |name| match fingerprint(&folder.join(name)) {
                    Ok(print) => sum = sum.wrapping_add(print),
                    Err(error) => failed = Some(error),
                });
                failed.map_or(Ok(sum), Err).with_context(|| folder.display().to_string())
            }
            File::Path(path) => fingerprint(&path).with_context(|| path.display().to_string()),
        }
    }
}

/// Where a picture is named as `name [output]`, as ComfyUI names those of another folder.
fn annotated<'n>(folder: &'n str, name: &'n str) -> (&'n str, &'n str) {
    let other = || {
        let (name, folder) = name.strip_suffix(']')?.rsplit_once(" [")?;
        matches!(folder, "input" | "output" | "temp").then_some((folder, name))
    };
    let pictures = matches!(folder, "input" | "output");
    if pictures { other().unwrap_or((folder, name)) } else { (folder, name) }
}

/// Files above this size are told apart by size, time and their first megabyte, not read whole.
pub const WHOLE_FILE: u64 = 64 << 20;

fn fingerprint(path: &Path) -> Result<u64> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let meta = file.metadata()?;
    let mut hash = blake3::Hasher::new();
    if meta.len() <= WHOLE_FILE {
        hash.update_reader(file)?;
    } else {
        let time = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        hash.update(&meta.len().to_le_bytes()).update(&time.as_nanos().to_le_bytes());
        let mut start = vec![0; 1 << 20];
        file.read_exact(&mut start)?;
        hash.update(&start);
    }
    let bytes = hash.finalize();
    Ok(u64::from_le_bytes(std::array::from_fn(|i| bytes.as_bytes()[i])))
}

fn below(roots: &[PathBuf], kind: &Kind) -> Vec<PathBuf> {
    let names = std::iter::once(kind.name).chain(kind.aliases.iter().copied());
    let dirs = roots.iter().flat_map(|root| names.clone().map(|n| root.join(n)));
    // A name's own folder is worth telling people about; its other names only where they exist.
    dirs.filter(|dir| dir.ends_with(kind.name) || dir.is_dir()).collect()
}

/// The path from the root of the disk.
fn whole(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

/// `~` and `$VAR` at the beginning of a path.
fn expand(path: &str) -> PathBuf {
    let (head, tail) = path.split_once('/').unwrap_or((path, ""));
    let variable = if head == "~" { Some("HOME") } else { head.strip_prefix('$') };
    match variable.and_then(std::env::var_os) {
        Some(value) => Path::new(&value).join(tail),
        None => PathBuf::from(path),
    }
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    let ending = Path::new(name).extension().map(|e| e.to_string_lossy().to_lowercase());
    ending.is_some_and(|e| endings.contains(&e.as_str()))
}

/// The name as a path that stays below its folder.
fn relative(name: &str) -> Result<PathBuf> {
    let path = PathBuf::from(name.replace('\\', "/"));
    let inside = path.components().all(|c| matches!(c, Component::Normal(_)));
    anyhow::ensure!(
        inside && !name.is_empty() && !name.contains('\0'),
        "{name:?} is not a name inside the folder"
    );
    Ok(path)
}

/// Calls `found` with each file's name below `dir`, `/` between the parts.
fn walk(dir: &Path, prefix: &str, depth: usize, found: &mut dyn FnMut(String)) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if path.is_file() {
            found(format!("{prefix}{name}"));
        } else if depth > 1 && name != ".git" && path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path) -> Folders {
        let args = FolderArgs { comfyui: Some(root.to_owned()), ..FolderArgs::default() };
        Folders::new(&args).unwrap()
    }

    #[test]
    fn names_stay_inside_their_folder() {
        for name in [
            "../secret.safetensors",
            "/etc/x.safetensors",
            "a/../../b.safetensors",
            "",
            "..\\x.sft",
        ] {
            assert!(relative(name).is_err(), "{name}");
        }
        assert_eq!(relative("sd\\one.safetensors").unwrap(), Path::new("sd/one.safetensors"));
    }

    #[test]
    fn a_comfyui_folder_is_used_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for dir in ["models/checkpoints/sub", "models/clip", "elsewhere/loras", "input"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        let files = [
            "models/checkpoints/sub/a.safetensors",
            "models/checkpoints/b.ckpt",
            "models/clip/c.safetensors",
            "elsewhere/loras/d.safetensors",
            "input/e.png",
        ];
        for file in files {
            std::fs::write(root.join(file), "x").unwrap();
        }
        std::fs::write(
            root.join("extra_model_paths.yaml"),
            "mine:\n  base_path: elsewhere\n  loras: |\n    loras\n",
        )
        .unwrap();
        let folders = folders(root);
        assert!(folders.list("checkpoints").contains(&"sub/a.safetensors".to_owned()));
        assert_eq!(folders.list("text_encoders"), ["c.safetensors"]);
        assert_eq!(folders.list("loras"), ["d.safetensors"]);
        assert!(folders.list("input").contains(&"e.png".to_owned()));
        let refused = folders.find("checkpoints", "b.ckpt").unwrap_err().to_string();
        assert!(refused.contains("pickle") && refused.contains("that you trust"), "{refused}");
        let absent = folders.find("checkpoints", "z.ckpt").unwrap_err().to_string();
        assert!(absent.contains("no file") && absent.contains(".safetensors edition"), "{absent}");
        let missing = folders.find("checkpoints", "x.safetensors").unwrap_err().to_string();
        let searched = root.join("models/checkpoints").display().to_string();
        assert!(missing.contains("x.safetensors") && missing.contains(&searched), "{missing}");
    }

    #[test]
    fn a_picture_of_another_folder_is_named_with_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("output")).unwrap();
        std::fs::write(root.path().join("output/a.png"), "x").unwrap();
        let folders = folders(root.path());
        let found = folders.find("input", "a.png [output]").unwrap();
        assert_eq!(found, File::Path(root.path().join("output/a.png")));
        assert_eq!(folders.list("output"), ["a.png"]);
        assert!(folders.find("input", "a.png [loras]").is_err());
        assert!(folders.find("input", "../a.png [output]").is_err());
    }

    #[test]
    fn a_changed_picture_has_another_fingerprint() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("input")).unwrap();
        let folders = folders(root.path());
        let print = |text: &str| {
            std::fs::write(root.path().join("input/a.png"), text).unwrap();
            folders.fingerprint("input", "a.png").unwrap()
        };
        assert_ne!(print("one"), print("two"));
        assert_eq!(print("one"), print("one"));
    }
}
