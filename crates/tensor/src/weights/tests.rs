//! What foreign bytes may say, and what is made of it.

use super::*;

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
