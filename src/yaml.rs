//! Turns YAML text into values, and values back into YAML; the only module that names the YAML library.
//! It knows no configuration and no manifest, only text and places in it.
//! One set of options for all of them, because the library's defaults read octal modes as floats and let aliases blow up.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Options, Spanned};
use std::fmt;

/// Longest text that is parsed at all; the library bounds nodes and depth, not its input.
pub const LARGEST: usize = 8 << 20;

/// Says what is wrong with a YAML text, and where; it never quotes a value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    message: String,
    line: u32,
    column: u32,
}

impl YamlError {
    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line from 1; 0 when the fault has no place.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Column from 1; 0 when the fault has no place.
    pub fn column(&self) -> u32 {
        self.column
    }

    fn too_large(length: usize) -> Self {
        Self {
            message: format!("text of {length} bytes is larger than the {LARGEST} bytes allowed"),
            line: 0,
            column: 0,
        }
    }
}

impl From<serde_saphyr::Error> for YamlError {
    fn from(error: serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let (line, column) = error.location().map_or((0, 0), |location| {
            (number(location.line()), number(location.column()))
        });
        Self {
            message: worded(without_place(&error.to_string())),
            line,
            column,
        }
    }
}

/// Reads exactly one document.
pub fn parse_one(text: &str) -> Result<Value, YamlError> {
    Ok(parse_node(text)?.to_value())
}

/// Reads all documents, skipping empty ones, each with the line that it begins in.
pub fn parse_many(text: &str) -> Result<Vec<(u32, Value)>, YamlError> {
    Ok(parse_documents(text)?
        .iter()
        .map(|node| (node.line, node.to_value()))
        .collect())
}

/// Reads exactly one document into a type, by way of JSON: one reader for all types keeps the binary small, and a value of the
/// wrong type has no place then.
pub fn parse_typed<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    serde_json::from_value(parse_one(text)?).map_err(|error| YamlError {
        message: worded(&error.to_string()),
        line: 0,
        column: 0,
    })
}

/// Reads exactly one document, keeping the place of everything in it.
pub fn parse_node(text: &str) -> Result<Node, YamlError> {
    check_size(text)?;
    let node: Node = serde_saphyr::from_str_with_options(text, options())?;
    Ok(node.with_source(text))
}

/// Reads all documents, skipping empty ones, keeping the place of everything in them.
pub fn parse_documents(text: &str) -> Result<Vec<Node>, YamlError> {
    check_size(text)?;
    let nodes: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options())?;
    Ok(nodes
        .into_iter()
        .map(|node| node.with_source(text))
        .collect())
}

/// Writes a value as YAML.
pub fn to_string<T: serde::Serialize>(value: &T) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError {
        message: error.to_string(),
        line: 0,
        column: 0,
    })
}

/// A value with the place that it was written in.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line from 1.
    pub line: u32,
    /// Column from 1.
    pub column: u32,
    /// The value itself.
    pub content: Content,
    /// Byte range of the value in the text.
    span: (usize, usize),
    /// A number or boolean as it was written.
    raw: Option<String>,
}

/// The value of a [`Node`].
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Null, or nothing.
    Null,
    /// Boolean.
    Bool(bool),
    /// Number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// List.
    List(Vec<Node>),
    /// Mapping, in the order it was written in.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping with the place that it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key itself.
    pub text: String,
    /// Line from 1.
    pub line: u32,
    /// Column from 1.
    pub column: u32,
}

impl Node {
    /// The value without places.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::Text(value) => Value::String(value.clone()),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.text.clone(), node.to_value()))
                    .collect(),
            ),
        }
    }

    /// The scalar as it was written, so that `1.10`, `on` and `0644` stay what they are; none for lists and mappings.
    pub fn scalar(&self) -> Option<String> {
        match &self.content {
            Content::Null => Some(String::new()),
            Content::Text(text) => Some(text.clone()),
            Content::Bool(value) => Some(self.raw.clone().unwrap_or_else(|| value.to_string())),
            Content::Number(value) => Some(self.raw.clone().unwrap_or_else(|| value.to_string())),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// What kind of value this is, in a word for people.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    /// How many values stand in it, itself included.
    pub fn size(&self) -> usize {
        match &self.content {
            Content::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Content::Map(entries) => 1 + entries.iter().map(|(_, node)| node.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// The place of the deepest part of a path that exists, such as `spec`, `ports`, `0`: line and column.
    pub fn place_of<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> (u32, u32) {
        let mut node = self;
        let mut place = (self.line, self.column);
        for part in path {
            let next = match &node.content {
                Content::Map(entries) => entries
                    .iter()
                    .find(|(key, _)| key.text == part)
                    .map(|(key, node)| ((key.line, key.column), node)),
                Content::List(items) => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|node| ((node.line, node.column), node)),
                _ => None,
            };
            let Some((at, found)) = next else { break };
            place = at;
            node = found;
        }
        place
    }

    /// Looks up how scalars were written.
    fn with_source(mut self, text: &str) -> Self {
        match &mut self.content {
            Content::List(items) => {
                for item in items {
                    let node = std::mem::replace(item, Node::null());
                    *item = node.with_source(text);
                }
            }
            Content::Map(entries) => {
                for (_, value) in entries {
                    let node = std::mem::replace(value, Node::null());
                    *value = node.with_source(text);
                }
            }
            Content::Bool(_) | Content::Number(_) => {
                self.raw = text
                    .get(self.span.0..self.span.0 + self.span.1)
                    .map(|raw| raw.trim().to_owned())
                    .filter(|raw| !raw.is_empty());
            }
            Content::Null | Content::Text(_) => {}
        }
        self
    }

    fn null() -> Self {
        Self {
            line: 0,
            column: 0,
            content: Content::Null,
            span: (0, 0),
            raw: None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        let bytes = span.byte_offset().zip(span.byte_len());
        Ok(Self {
            line: number(spanned.referenced.line()),
            column: number(spanned.referenced.column()),
            content: spanned.value,
            span: bytes.map_or((0, 0), |(start, length)| (start as usize, length as usize)),
            raw: None,
        })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self {
            line: number(spanned.referenced.line()),
            column: number(spanned.referenced.column()),
            text: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> serde::de::Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        serde_json::Number::from_f64(value)
            .map(Content::Number)
            .ok_or_else(|| E::custom("infinity and not-a-number have no place in JSON"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Text(value))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Content::Map(entries))
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
        emit_comments: false,
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        budget: serde_saphyr::budget! {
            max_documents: 5_000,
            max_nodes: 200_000,
            max_aliases: 1_000,
            // manifests need thirty; each level takes a few kilobytes of a thread's stack
            max_depth: 50,
            max_total_scalar_bytes: 16 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
        },
    }
}

fn check_size(text: &str) -> Result<(), YamlError> {
    if text.len() > LARGEST {
        return Err(YamlError::too_large(text.len()));
    }
    Ok(())
}

fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Cuts the place off the end of the library's message; it is told apart.
fn without_place(message: &str) -> &str {
    message
        .rfind(" at line ")
        .map_or(message, |end| &message[..end])
}

/// Says what the library says, in our words where its own name its functions, and without values that it quotes.
fn worded(message: &str) -> String {
    if message.starts_with("duplicate mapping key") {
        let end = message.find(", set ").unwrap_or(message.len());
        return message[..end].replacen("duplicate mapping key:", "duplicate key", 1);
    }
    if message.starts_with("multiple YAML documents") {
        return "more than one document where one is expected".into();
    }
    without_quoted(
        without_quoted(message.to_owned(), "string \"", '"'),
        "unknown variant `",
        '`',
    )
}

/// Replaces what stands between an opening text and its closing quote.
fn without_quoted(message: String, opening: &str, closing: char) -> String {
    let Some(start) = message.find(opening).map(|at| at + opening.len()) else {
        return message;
    };
    let Some(end) = message[start..].rfind(closing).map(|at| at + start) else {
        return message;
    };
    format!("{}…{}", &message[..start], &message[end..])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
