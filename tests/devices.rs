//! What the program does with GPUs and what it remembers of them.

use crate::common::{command, gpu, root, text};
use std::path::Path;

/// Paints one step on the first adapter, with what is known of it in `cache`; gives what was said.
#[track_caller]
fn paint(folder: &Path, cache: &Path) -> String {
    let out = command(folder)
        .args([
            "run",
            root().join("graphs/text_to_image.json").to_str().unwrap(),
            "--device",
            "gpu",
        ])
        .args(["--set", "KSampler.steps=1"])
        .args(["--set", "EmptyLatentImage.width=64", "--set", "EmptyLatentImage.height=64"])
        .env("WEFT_CACHE_DIR", cache)
        .output()
        .unwrap();
    let said = text(&out.stderr);
    assert!(out.status.success(), "{said}");
    said
}

#[track_caller]
fn devices(folder: &Path, cache: &Path) -> String {
    let out = command(folder).arg("devices").env("WEFT_CACHE_DIR", cache).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout)
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_gpu_is_tested_once_and_what_is_remembered_of_it_may_be_damaged() {
    if gpu().is_none() {
        return;
    }
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tested = |said: &str| said.contains("testing ");
    assert!(devices(folder.path(), cache.path()).contains("not tested yet"));
    assert!(tested(&paint(folder.path(), cache.path())));
    assert!(!tested(&paint(folder.path(), cache.path())), "once is enough");
    assert!(devices(folder.path(), cache.path()).contains("self-test passed"));

    let kept = files(&cache.path().join("gpu"));
    let names: Vec<_> = kept.iter().map(|file| file.extension().unwrap()).collect();
    assert!(names.contains(&"json".as_ref()), "{kept:?}");
    for file in &kept {
        std::fs::write(file, "no longer what it was").unwrap();
    }
    assert!(tested(&paint(folder.path(), cache.path())), "what cannot be read counts for nothing");
    assert_eq!(files(&cache.path().join("gpu")), kept);
    assert!(!tested(&paint(folder.path(), cache.path())));
}

#[test]
fn where_nothing_can_be_remembered_the_run_goes_on() {
    if gpu().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("a file");
    std::fs::write(&cache, "").unwrap();
    let said = paint(folder.path(), &cache);
    assert!(said.contains("tested again next time") && said.contains("a file"), "{said}");
}
