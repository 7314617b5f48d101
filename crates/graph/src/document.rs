//! A graph as it is found: UI form, API form, or inside a picture.

use crate::{Contract, Json, pictures, workflow};
use anyhow::{Context as _, Result, bail, ensure};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Map;
use std::{borrow::Cow, fmt};

/// A graph in one of its forms, or in both.
#[derive(Clone, Debug, Default)]
pub struct Document {
    ui: Option<Json>,
    api: Option<Map<String, Json>>,
    record: Option<Json>,
}

/// Recognises UI JSON, API JSON, and a PNG or WebP that carries either.
pub fn read(bytes: &[u8]) -> Result<Document> {
    if let Some((kind, texts)) = pictures::texts(bytes) {
        return from_picture(kind, texts?);
    }
    let text = text(bytes).context("neither JSON text nor a PNG or WebP")?;
    Document::from_json(parse(text.trim_start_matches('\u{feff}'))?)
}

/// UTF-8, or the UTF-16 that a Windows shell writes, told by its byte order mark.
fn text(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let join: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return Ok(std::str::from_utf8(bytes)?.into()),
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    ensure!(rest.is_empty(), "UTF-16 of an odd number of bytes");
    let units: Vec<u16> = pairs.iter().map(|pair| join(*pair)).collect();
    Ok(String::from_utf16(&units)?.into())
}

impl Document {
    fn from_json(Keyed(map): Keyed) -> Result<Self> {
        if map.get("nodes").is_some_and(Json::is_array) {
            return Ok(Self { ui: Some(map.into()), ..Self::default() });
        }
        // What was posted to a server has the graph one level down.
        let inner =
            map.get("prompt").and_then(Json::as_object).filter(|_| !map.contains_key("class_type"));
        let api = inner.unwrap_or(&map);
        if let Some((id, _)) = api.iter().find(|(_, node)| !node.is_object()) {
            bail!(
                "not a graph: {id:?} is not a node (a UI-form graph has `nodes`, an API-form graph maps ids to nodes)"
            );
        }
        Ok(Self { api: Some(api.clone()), ..Self::default() })
    }

    /// The UI form, if the document has it.
    pub fn workflow(&self) -> Option<Json> {
        self.ui.clone()
    }

    /// What Weft wrote into a picture about how it was made.
    pub fn record(&self) -> Option<&Json> {
        self.record.as_ref()
    }

    /// Whether the API form would have to be made from the UI form.
    pub fn is_ui(&self) -> bool {
        self.api.is_none()
    }

    /// The API form: as it is, or made from the UI form.
    pub fn to_api(&self, contract: &Contract) -> Result<Map<String, Json>> {
        match (&self.api, &self.ui) {
            (Some(api), _) => Ok(api.clone()),
            (None, Some(ui)) => workflow::to_api(ui, contract),
            (None, None) => bail!("the document holds no graph"),
        }
    }

    /// The nodes, as `7 (Foo)`, whose typed-in values [`Document::to_api`] leaves out for want of names.
    pub fn nameless(&self, contract: &Contract) -> Result<Vec<String>> {
        match (&self.api, &self.ui) {
            (None, Some(ui)) => workflow::nameless(ui, contract),
            _ => Ok(vec![]),
        }
    }

    /// The UI form: as it is, or laid out from the API form.
    pub fn to_ui(&self, contract: &Contract) -> Result<Json> {
        match (&self.ui, &self.api) {
            (Some(ui), _) => Ok(ui.clone()),
            (None, Some(api)) => crate::to_ui::to_ui(api, contract),
            (None, None) => bail!("the document holds no graph"),
        }
    }
}

/// A picture that carries no graph: its kind.
#[derive(Debug)]
pub struct NoGraph(&'static str);

impl fmt::Display for NoGraph {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "this {} carries no graph", self.0)
    }
}

impl std::error::Error for NoGraph {}

/// A JSON object that has each key once: of two nodes with one id, neither may be lost.
struct Keyed(Map<String, Json>);

impl<'de> Deserialize<'de> for Keyed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeyedVisitor)
    }
}

struct KeyedVisitor;

impl<'de> Visitor<'de> for KeyedVisitor {
    type Value = Keyed;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Keyed, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = entries.next_entry::<String, Json>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("{key:?} is there twice")));
            }
            map.insert(key, value);
        }
        Ok(Keyed(map))
    }
}

/// JSON as Python writes it: a bare NaN or Infinity counts as null.
fn parse(text: &str) -> Result<Keyed> {
    let error = match serde_json::from_str(text) {
        Ok(json) => return Ok(json),
        Err(error) => error,
    };
    let plain = without_nan(text);
    match serde_json::from_str(&plain) {
        Ok(json) if plain != text => Ok(json),
        _ if error.to_string().contains("recursion limit") => {
            bail!("the JSON is nested more than 127 levels deep; no graph is")
        }
        _ => Err(error).context("not JSON that holds a graph"),
    }
}

/// Replaces the tokens NaN, Infinity and -Infinity outside of strings.
fn without_nan(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(quote) = rest.find('"') {
        out += &rest[..quote]
            .replace("-Infinity", "null")
            .replace("Infinity", "null")
            .replace("NaN", "null");
        let mut escaped = false;
        let end = rest[quote + 1..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.map_or(rest.len(), |e| quote + 1 + e + 1);
        out += &rest[quote..end];
        rest = &rest[end..];
    }
    out + &rest.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null")
}

/// One good text is enough: other programs also write a `prompt`, of words.
fn from_picture(kind: &'static str, texts: pictures::Texts) -> Result<Document> {
    let (mut document, mut error) = (Document::default(), None);
    for (key, text) in texts {
        if key == "weft" {
            document.record = serde_json::from_str(&text).ok();
            continue;
        }
        let part = parse(&text).and_then(Document::from_json);
        match part.with_context(|| format!("the text `{key}` of this {kind}")) {
            Ok(part) => {
                document.ui = document.ui.or(part.ui);
                document.api = document.api.or(part.api);
            }
            Err(e) => error = Some(e),
        }
    }
    match (&document, error) {
        (Document { ui: None, api: None, .. }, Some(error)) => Err(error),
        (Document { ui: None, api: None, .. }, None) => Err(NoGraph(kind).into()),
        _ => Ok(document),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_graph_is_refused_with_the_reason() {
        let deep = r#"{"a":"#.repeat(100_000) + &"}".repeat(100_000);
        let cases = [
            ("", "not JSON"),
            ("[1]", "object"),
            (deep.as_str(), "levels deep"),
            ("{\"a\": 1}", "is not a node"),
            ("{", "not JSON"),
            (r#"{"1": {}, "7": {}, "7": {}}"#, "\"7\" is there twice"),
        ];
        for (text, reason) in cases {
            let error = format!("{:#}", read(text.as_bytes()).unwrap_err());
            assert!(error.contains(reason), "{reason}: {error}");
        }
        assert!(read(b"\x89PNG\r\n\x1a\nrubbish").is_err());
        assert!(read(&[0xff, 0xfe, 0]).is_err());
    }

    #[test]
    fn text_of_windows_shells_is_read() {
        let json = "\u{feff}{\"1\": {\"class_type\": \"\u{1f600}\", \"inputs\": {}}}";
        let bytes =
            |order: fn(u16) -> [u8; 2]| json.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        for bytes in [bytes(u16::to_le_bytes), bytes(u16::to_be_bytes), json.into()] {
            let api = read(&bytes).unwrap().to_api(&Contract::default()).unwrap();
            assert_eq!(api["1"]["class_type"], "\u{1f600}");
        }
    }

    #[test]
    fn numbers_keep_their_last_digit() {
        let text = r#"{"1":{"class_type":"A","inputs":{"x":0.49999999999999956,"y":18446744073709551615}}}"#;
        let api = read(text.as_bytes()).unwrap().to_api(&Contract::default()).unwrap();
        assert_eq!(Json::Object(api).to_string(), text);
    }

    #[test]
    fn python_numbers_that_json_has_not_are_null() {
        let read = read(
            br#"{"1": {"class_type": "A", "inputs": {"x": NaN, "t": "NaN -Infinity \" NaN"}}}"#,
        )
        .unwrap();
        let api = read.to_api(&Contract::default()).unwrap();
        assert!(api["1"]["inputs"]["x"].is_null());
        assert_eq!(api["1"]["inputs"]["t"], "NaN -Infinity \" NaN");
    }
}
