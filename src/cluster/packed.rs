//! Turns the text of a ledger into what a ConfigMap holds of it, and back: as it is while it is short, packed once it is long.
//! It must not know what the text says.
//! A ConfigMap takes 1 MiB, which some seven hundred previews fill; packed they take a quarter of that.

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};
use std::io::{Error, Read, Write};

/// Key of the text.
pub(super) const PLAIN: &str = "state.json";
/// Key of the packed text, of which there is one at a time.
const PACKED: &str = "state.json.gz";
/// What is longer is packed; until then people can read it.
const LONG: usize = 256 * 1024;
/// What is longer when it is unpacked is no ledger.
const ABSURD: u64 = 64 * 1024 * 1024;

/// Puts a text into a ConfigMap, in the place of what is there.
pub(super) fn put(object: &mut Value, text: String) -> Result<(), Error> {
    let (gone, data, key, kept) = if text.len() > LONG {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(text.as_bytes())?;
        let packed = STANDARD.encode(packer.finish()?);
        (("data", PLAIN), "binaryData", PACKED, packed)
    } else {
        (("binaryData", PACKED), "data", PLAIN, text)
    };
    if let Some(others) = object[gone.0].as_object_mut() {
        others.remove(gone.1);
    }
    object[data][key] = Value::String(kept);
    Ok(())
}

/// The text in a ConfigMap; else what is wrong with it.
pub(super) fn text(object: &Value) -> Result<String, String> {
    if let Some(text) = object["data"][PLAIN].as_str() {
        return Ok(text.to_owned());
    }
    let packed = object["binaryData"][PACKED]
        .as_str()
        .ok_or_else(|| format!("it has no key {PLAIN}"))?;
    let unreadable = |why: String| format!("its key {PACKED} cannot be unpacked: {why}");
    let packed = STANDARD
        .decode(packed)
        .map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    GzDecoder::new(&*packed)
        .take(ABSURD)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(text)
}

/// What a copy of a ConfigMap that cannot be read holds.
pub(super) fn ruin(object: &Value) -> Value {
    let packed = &object["binaryData"];
    match object["data"][PLAIN].as_str() {
        Some(text) => json!({"data": {"broken.txt": text}}),
        None if packed.is_object() => json!({"binaryData": packed}),
        None => json!({"data": {"broken.txt": object["data"].to_string()}}),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_text_comes_back_whatever_was_there_before_it() {
        let short = "{}".to_owned();
        let long = "{\"a\": 1} ".repeat(50_000);
        let mut object = json!({"kind": "ConfigMap", "data": {"note": "of somebody"}});
        for text in [&short, &long, &long, &short] {
            put(&mut object, text.clone()).unwrap();
            assert_eq!(super::text(&object).unwrap(), *text);
            let plain = object["data"].get(PLAIN).is_some();
            assert_eq!(plain, text == &short);
            assert_eq!(object["binaryData"].get(PACKED).is_some(), !plain);
            assert_eq!(object["data"]["note"], "of somebody");
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_said_and_kept() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::default());
        for _ in 0..65 {
            bomb.write_all(&vec![b'x'; 1024 * 1024]).unwrap();
        }
        let bomb = STANDARD.encode(bomb.finish().unwrap());
        let whole = text(&json!({"binaryData": {PACKED: bomb}})).unwrap();
        assert_eq!(whole.len() as u64, ABSURD, "no more is unpacked");
        for (packed, why) in [("H4sI", "unpacked"), ("%", "unpacked"), ("", "unpacked")] {
            let object = json!({"binaryData": {PACKED: packed}});
            assert!(text(&object).unwrap_err().contains(why), "{packed}");
            assert_eq!(ruin(&object)["binaryData"], object["binaryData"]);
        }
        assert!(text(&json!({})).unwrap_err().contains("state.json"));
    }
}
