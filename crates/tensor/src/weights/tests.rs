//! What foreign bytes may say, and what is made of it.

use super::*;
use crate::testing::{Random, most_held};

/// A file with this header and this many bytes of data after it.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn open(bytes: &[u8]) -> Result<Weights> {
    let path = tempfile::NamedTempFile::new()?.into_temp_path();
    std::fs::write(&path, bytes)?;
    Weights::open(&path)
}

#[test]
fn lying_files_are_refused_with_the_reason() {
    let a = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let cases: [(Vec<u8>, &str); 12] = [
        (vec![], "empty"),
        (b"PK\x03\x04".to_vec(), "pickle"),
        (b"\x80\x02}q".to_vec(), "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git-lfs"),
        (file("{", 0), "safetensors"),
        (u64::MAX.to_le_bytes().to_vec(), "safetensors"),
        (200_000_000u64.to_le_bytes().to_vec(), "safetensors"),
        (file(&format!("{{{a}}}"), 4), "safetensors"),
        (file(&format!("{{{a}}}"), 12), "safetensors"),
        (file(&format!("{{{a},{a}}}"), 8), "there twice"),
        (file(&format!("{{{a},{}}}", a.replace("\"a\"", "\"b\"")), 8), "safetensors"),
        (file(&format!("{{{}}}", a.replace("[2]", "[3]")), 8), "safetensors"),
    ];
    for (bytes, reason) in cases {
        let error = format!("{:#}", open(&bytes).unwrap_err());
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn numbers_come_as_they_were_written() {
    let header = r#"{"x.h":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"x.f":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let mut bytes = file(header, 0);
    for h in [f16::from_f32(1.5), f16::from_f32(-2.0)] {
        bytes.extend(h.to_le_bytes());
    }
    for f in [0.1f32, f32::NAN] {
        bytes.extend(f.to_le_bytes());
    }
    let weights = open(&bytes).unwrap().at("x");
    assert_eq!(weights.get("h").unwrap().to_f32().unwrap(), [1.5, -2.0]);
    assert_eq!(weights.get("h").unwrap().rows(&[1, 0]).unwrap(), [-2.0, 1.5]);
    assert!(weights.get("h").unwrap().rows(&[2]).unwrap_err().to_string().contains("no row 2"));
    assert!(weights.get("f").unwrap().rows(&[1]).unwrap_err().to_string().contains("NaN"));
    let nan = weights.get("f").unwrap().to_f32().unwrap_err().to_string();
    assert!(nan.contains("x.f holds NaN"), "{nan}");
    let missing = weights.get("g").unwrap_err().to_string();
    assert!(missing.contains("no tensor x.g"), "{missing}");
    assert!(weights.unused().is_empty());
}

#[test]
fn later_parts_win_and_share_the_rest() {
    let part = |key: &str, value: f32| -> &'static [u8] {
        let header = format!(r#"{{"{key}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let mut bytes = file(&header, 0);
        bytes.extend(value.to_le_bytes());
        bytes.leak()
    };
    let weights =
        Weights::from_parts("x", &[part("a", 1.0), part("b", 2.0), part("a", 3.0)]).unwrap();
    assert_eq!(weights.get("a").unwrap().to_f32().unwrap(), [3.0]);
    assert_eq!(weights.get("b").unwrap().to_f32().unwrap(), [2.0]);
}

#[test]
fn a_header_whose_length_looks_like_another_format_is_read() {
    let entry = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    // The lengths begin with the bytes of a pickle, a web page, and a zip file.
    for length in [0x80, usize::from(b'<') + 256, 0x4B50] {
        let header = format!("{entry:length$}");
        assert!(open(&file(&header, 4)).is_ok(), "{length}");
    }
}

#[test]
fn other_formats_are_named_for_what_they_are() {
    let cases: [(&[u8], &str); 5] = [
        (b"PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl", "pickle"),
        (b"\x80\x02}q\x00(X\x05\x00\x00\x00epoch", "convert the file"),
        (b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00", "GGUF"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    ];
    for (bytes, reason) in cases {
        let error = format!("{:#}", open(bytes).unwrap_err());
        assert!(error.contains(reason), "{reason}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    for ending in PICKLE_ENDINGS {
        let path = folder.path().join("model").with_extension(ending);
        std::fs::write(&path, file("{}", 0)).unwrap();
        let error = format!("{:#}", Weights::open(&path).unwrap_err());
        assert!(error.contains("pickle") && error.contains(*ending), "{error}");
    }
}

/// Tensors of every kind: each type of weight, one that is none, none at all, a scalar.
const SOUND: &str = r#"{"__metadata__":{"format":"pt"},
"a.w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
"a.b":{"dtype":"F16","shape":[2],"data_offsets":[24,28]},
"c":{"dtype":"BF16","shape":[],"data_offsets":[28,30]},
"d":{"dtype":"I64","shape":[1],"data_offsets":[30,38]},
"e":{"dtype":"F32","shape":[0,3],"data_offsets":[38,38]}}"#;

/// Numbers that headers lie with.
const LIES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "24",
    "39",
    "255",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1.5",
    "1e3",
    "null",
    "\"2\"",
    "[]",
];
const TYPES: &[&str] =
    &["F64", "F8_E4M3", "F8_E5M2", "F4", "BOOL", "U8", "I16", "C64", "bf16", "F33", "", "\\u0000"];
const INSERTED: &[&str] =
    &["{", "}", "[", "]", ",", ":", "\"", "\\", " ", "é", "{\"a\":", "[[[[[[[[", "\u{0}"];

/// `text` with some run of `chosen` characters replaced by one of `lies`.
fn replaced(text: &str, random: &mut Random, chosen: fn(char) -> bool, lies: &[&str]) -> String {
    let starts = text.char_indices().filter(|(i, c)| chosen(*c) && !text[..*i].ends_with(chosen));
    let starts: Vec<usize> = starts.map(|(i, _)| i).collect();
    if starts.is_empty() {
        return text.to_owned();
    }
    let start = random.of(&starts);
    let end = text[start..].find(|c| !chosen(c)).map_or(text.len(), |n| start + n);
    format!("{}{}{}", &text[..start], random.of(lies), &text[end..])
}

/// A sound header, damaged in up to two ways.
fn damaged_header(random: &mut Random) -> String {
    let mut header = SOUND.to_owned();
    for _ in 0..random.below(3) {
        match random.below(5) {
            0 => header = replaced(&header, random, |c| c.is_ascii_digit(), LIES),
            1 => header = replaced(&header, random, |c| c.is_ascii_uppercase(), TYPES),
            2 => header = replaced(&header, random, |c| "abcdew.".contains(c), &["a.b", "c"]),
            3 => {
                let places: Vec<usize> = header.char_indices().map(|(i, _)| i).collect();
                header.insert_str(random.of(&places), random.of(INSERTED));
            }
            _ => {}
        }
    }
    header
}

/// A file whose header is damaged, or which is damaged itself.
fn damaged(random: &mut Random) -> Vec<u8> {
    const LENGTHS: &[u64] = &[0, 1, 8, 300, 99_999_999, 100_000_001, u64::MAX / 2, u64::MAX];
    let data = if random.below(4) == 0 { random.below(64) } else { 38 };
    let mut bytes = file(&damaged_header(random), data);
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => bytes[..8].copy_from_slice(&random.of(LENGTHS).to_le_bytes()),
        1 => bytes.truncate(at),
        2 | 3 => bytes[at] = random.next() as u8,
        _ => {}
    }
    bytes
}

/// Reads all there is in every way; each error must name the file, and the tensor. Whether it opened.
fn read_everything(path: &Path) -> bool {
    let name = path.display().to_string();
    let weights = match Weights::open(path) {
        Ok(weights) => weights,
        Err(error) => {
            assert!(format!("{error:#}").contains(&name), "{error:#}");
            return false;
        }
    };
    for key in weights.keys() {
        let told = |error: anyhow::Error| {
            let text = format!("{error:#}");
            assert!(text.contains(&name) && text.contains(key), "{key}: {text}");
        };
        match weights.get(key) {
            Ok(weight) => {
                weight.to_f32().map(drop).unwrap_or_else(told);
                weight.check().unwrap_or_else(told);
                weight.rows(&[0, 1]).map(drop).unwrap_or_else(told);
            }
            Err(error) => told(error),
        }
    }
    for (key, shape) in [("w", &[2, 3][..]), ("b", &[5]), ("none", &[1 << 40])] {
        let _ = weights.at("a").shaped(key, shape).to_f32();
    }
    let verdict = weights.verdict(Ok(())).unwrap_err().to_string();
    assert!(verdict.contains(&name) && verdict.contains("a.none"), "{verdict}");
    true
}

#[test]
fn no_damage_to_a_file_makes_reading_panic_or_take_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.safetensors");
    let (mut opened, turns) = (0, 3_000);
    for seed in 0..turns {
        let bytes = damaged(&mut Random(seed));
        std::fs::write(&path, &bytes).unwrap();
        let held = most_held(|| opened += u64::from(read_everything(&path)));
        assert!(held < 8 * bytes.len() + 200_000, "seed {seed}: {held} bytes");
    }
    assert!((turns / 20..turns / 2).contains(&opened), "{opened} of {turns} files were sound");
}

#[test]
fn a_huge_file_that_lies_is_refused_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.safetensors");
    for (length, start) in [(100_000_001u64, "{"), (99_000_000, "{\"a\""), (1 << 32, "{")] {
        std::fs::write(&path, [&length.to_le_bytes()[..], start.as_bytes()].concat()).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 33).unwrap();
        let held = most_held(|| assert!(Weights::open(&path).is_err(), "{length}"));
        assert!(held < 1 << 20, "{length}: {held} bytes");
    }
}

#[test]
fn headers_as_deep_or_as_long_as_they_may_be_take_memory_in_proportion() {
    let deep = file(&format!("{{\"a\":{}", "[".repeat(1 << 20)), 0);
    assert!(open(&deep).is_err());
    let tensor = |i: usize| format!(r#""t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    let many = file(&format!("{{{}}}", (0..50_000).map(tensor).collect::<Vec<_>>().join(",")), 0);
    let held = most_held(|| assert_eq!(open(&many).unwrap().keys().len(), 50_000));
    assert!(held < 16 * many.len(), "{held} bytes for a header of {}", many.len());
}

/// Kilobytes of a mapped file that are in memory.
#[cfg(target_os = "linux")]
fn resident(path: &Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let name = path.to_str().unwrap();
    let mapping = maps.lines().skip_while(|line| !line.ends_with(name));
    let rss = mapping.filter_map(|line| line.strip_prefix("Rss:")).next().expect("it is mapped");
    rss.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn two_gigabytes_are_mapped_in_a_moment_and_read_as_they_are_used() {
    const ALL: usize = 2 << 30;
    let (first, rest) = (4 << 20, ALL - (4 << 20));
    let header = format!(
        r#"{{"first":{{"dtype":"F32","shape":[1024,1024],"data_offsets":[0,{first}]}},"rest":{{"dtype":"F16","shape":[{}],"data_offsets":[{first},{ALL}]}}}}"#,
        rest / 2
    );
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let bytes = file(&header, 0);
    std::fs::write(&path, &bytes).unwrap();
    // Without blocks on the disk: zeros.
    let sparse = std::fs::File::options().write(true).open(&path).unwrap();
    sparse.set_len((bytes.len() + ALL) as u64).unwrap();
    let start = std::time::Instant::now();
    let weights = Weights::open(&path).unwrap();
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    assert_eq!(weights.get("rest").unwrap().shape(), [rest / 2]);
    assert!(resident(&path) <= 1024, "{} kB after the header", resident(&path));
    assert_eq!(weights.get("first").unwrap().rows(&[1000]).unwrap(), [0.0; 1024]);
    assert!(resident(&path) <= 1024, "{} kB after a row", resident(&path));
    assert_eq!(weights.get("first").unwrap().to_f32().unwrap().len(), 1 << 20);
    assert!(resident(&path) <= 5 << 10, "{} kB after a tensor", resident(&path));
}

#[test]
fn tensors_are_cut_and_turned_under_new_names() {
    let x: Vec<f32> = (0..6).map(|i| i as f32).collect();
    let made = Weights::made("x", vec![("deep.xy".into(), vec![2, 3], x)]).unwrap();
    let views = |_: &str| {
        let row = |group| (format!("row.{group}"), View::Rows { group, of: 2 });
        let impossible = ("thirds".to_owned(), View::Rows { group: 0, of: 3 });
        vec![row(0), row(1), ("turned".to_owned(), View::Transposed), impossible]
    };
    let relaid = made.at("deep").relaid(views);
    let numbers = |key: &str| relaid.get(key).unwrap().to_f32().unwrap();
    assert_eq!(relaid.keys(), ["row.0", "row.1", "turned"]);
    assert_eq!(numbers("row.1"), [3.0, 4.0, 5.0]);
    assert_eq!(relaid.shape("turned"), Some(&[3, 2][..]));
    assert_eq!(numbers("turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(relaid.get("turned").unwrap().rows(&[2]).unwrap(), [2.0, 5.0]);
    assert_ne!(relaid.get("row.0").unwrap().id(), relaid.get("row.1").unwrap().id());
    assert!(made.unused().is_empty(), "what is read through a view is used");
}
