//! Finds among the values for templates those that are passwords and the like by their name.
//! Workflows fill them in from their secrets, and GitHub masks those in the log alone, not in comments.
//! Ordinary words and small numbers are left out: `maxTokens: 4096` or the password `postgres` would blank every other place where it
//! stands, be it the name of an image.

use crate::names::{Secret, is_confidential, is_place};
use serde_json::{Map, Value};

/// Every text of the values that is nobody's to read.
pub(super) fn secrets(values: &Map<String, Value>) -> Vec<Secret> {
    let mut found = Vec::new();
    for (name, value) in values {
        collect(value, is_confidential(name), &mut found);
    }
    found
}

fn collect(value: &Value, confidential: bool, found: &mut Vec<Secret>) {
    match value {
        Value::String(text) if confidential && !is_word(text) => {
            found.push(Secret::new(text.as_str()))
        }
        // A password of digits only; a small number is none, and would blank every other place where it stands.
        Value::Number(number) if confidential && number.to_string().len() >= 8 => {
            found.push(Secret::new(number.to_string()));
        }
        Value::Array(items) => {
            for item in items {
                collect(item, confidential, found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let inherited = confidential && !is_place(name);
                collect(value, inherited || is_confidential(name), found);
            }
        }
        _ => {}
    }
}

/// True for one short word in small letters, which anybody would guess.
fn is_word(text: &str) -> bool {
    text.len() < 12 && text.bytes().all(|letter| letter.is_ascii_lowercase())
}
