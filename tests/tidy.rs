//! The shape of the workspace: who may know whom, what is documented, what is listed.

use crate::common::root;
use std::{collections::BTreeMap, process::Command};

/// The table of ARCHITECTURE.md: each crate, and the crates of ours it may name.
const EDGES: &[(&str, &[&str])] = &[
    ("node-derive", &[]),
    ("graph", &["node-derive"]),
    ("engine", &["graph"]),
    ("tensor", &[]),
    ("models", &["tensor"]),
    ("sampling", &[]),
    ("nodes", &["graph", "models", "sampling", "tensor"]),
    ("builtin", &[]),
    ("editor", &["engine", "graph"]),
    ("app", &["builtin", "editor", "engine", "graph", "models", "nodes", "tensor"]),
];

#[test]
fn crates_know_only_whom_they_may() {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: Vec<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let may = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            let known = !ours.contains(&to) || may.contains(&to) || !dependency["kind"].is_null();
            assert!(known, "{name} may not depend on {to}: see ARCHITECTURE.md");
        }
    }
    assert_eq!(ours.len(), EDGES.len(), "a crate of the table is gone");
}

#[test]
fn the_table_stands_in_the_architecture_page() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, may) in EDGES {
        let row = page.lines().find(|l| l.starts_with("| `") && l.contains(&format!("{name}` |")));
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {name}"));
        let own = row.split('|').nth(3).unwrap();
        for other in EDGES.iter().map(|(n, _)| n) {
            let said = own.split([',', ' ']).any(|w| w == *other);
            assert_eq!(said, may.contains(other), "{name} and {other} in ARCHITECTURE.md");
        }
    }
}

#[test]
fn paths_in_the_documents_exist() {
    for page in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let paths =
            quoted.filter(|q| q.contains('/') && !q.contains([' ', '*', '<', '{', ':', '(', '~']));
        for path in paths.filter(|p| {
            ["crates/", "nodes/", "graphs/", "shaders/", "tests/", ".ci/"]
                .iter()
                .any(|d| p.starts_with(d))
        }) {
            assert!(root().join(path).exists(), "{page} names {path}, which is not there");
        }
    }
}

#[test]
fn every_shader_is_used_and_says_what_it_is() {
    let sources = sources(&root().join("crates/tensor/src"));
    for entry in std::fs::read_dir(root().join("shaders")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("// {name}: ")), "the first line of {name}.wgsl");
        assert!(sources.contains(&format!("\"{name}\"")), "no kernel! names {name}");
    }
}

/// All Rust text below a folder.
fn sources(folder: &std::path::Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let read = |path: std::path::PathBuf| {
        if path.is_dir() { sources(&path) } else { std::fs::read_to_string(path).unwrap() }
    };
    entries.map(read).collect()
}

#[test]
fn the_checkpoints_stay_under_forty_megabytes() {
    let mut parts: Vec<&[u8]> =
        builtin::CHECKPOINTS.iter().flat_map(|c| c.parts).copied().collect();
    parts.sort_by_key(|p| p.as_ptr());
    parts.dedup_by_key(|p| p.as_ptr());
    let bytes: usize = parts.iter().map(|p| p.len()).sum();
    assert!(bytes < 40_000_000, "{bytes} bytes");
}
