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
    parse_typed(text)
}

/// Reads all documents, skipping empty ones, each with the line that it begins in.
pub fn parse_many(text: &str) -> Result<Vec<(u32, Value)>, YamlError> {
    Ok(parse_documents(text)?
        .iter()
        .map(|node| (node.line, node.to_value()))
        .collect())
}

/// Reads exactly one document into a type.
pub fn parse_typed<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    check_size(text)?;
    Ok(serde_saphyr::from_str_with_options(text, options())?)
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
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read_as_kubectl_reads_them() {
        let text = "\u{feff}a: [yes, off, 0644, 0o644, 0x1a4, 1_000]\r\nb: &x {c: '0644', d: 1:30}\r\ne:\r\n  <<: *x\r\n  c: 2026-01-01\r\n";
        assert_eq!(
            parse_one(text).unwrap(),
            json!({
                "a": [true, false, 420, 420, 420, 1000],
                "b": {"c": "0644", "d": "1:30"},
                "e": {"c": "2026-01-01", "d": "1:30"},
            })
        );
    }

    #[test]
    fn documents_keep_their_lines_and_empty_ones_are_skipped() {
        let text = "# nothing\n---\n---\na: 1\n---\n# only a comment\n---\nb: |\n  ---\n";
        assert_eq!(
            parse_many(text).unwrap(),
            [(4, json!({"a": 1})), (8, json!({"b": "---\n"}))]
        );
    }

    #[test]
    fn a_scalar_is_known_as_it_was_written() {
        let node = parse_node("ä: 1.10\nb: [on, 0644, \"1.10\", ~, '', 1e3, [x]]\n").unwrap();
        let Content::Map(entries) = &node.content else {
            unreachable!("a mapping was written")
        };
        assert_eq!(entries[0].1.scalar().as_deref(), Some("1.10"));
        let Content::List(items) = &entries[1].1.content else {
            unreachable!("a list was written")
        };
        let written: Vec<_> = items.iter().map(Node::scalar).collect();
        let expected = ["on", "0644", "1.10", "", "", "1e3"].map(|text| Some(text.to_owned()));
        assert_eq!(written[..6], expected);
        assert_eq!(written[6], None);
    }

    #[test]
    fn places_are_found_by_path() {
        let node = parse_node("spec:\n  ports:\n    - port: 80\n      name: web\n").unwrap();
        assert_eq!(node.place_of(["spec", "ports", "0", "name"]), (4, 7));
        assert_eq!(node.place_of(["spec", "ports", "0", "missing"]), (3, 7));
        assert_eq!(node.place_of(["metadata"]), (1, 1));
    }

    #[test]
    fn errors_name_the_place_and_never_a_value() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Typed {
            #[expect(dead_code, reason = "only read by the deserializer")]
            port: u16,
        }
        let faults = [
            ("port: 1\nport: 2\n", (2, 1), "duplicate key port"),
            ("port: hunter2\n", (1, 7), "invalid u16"),
            ("port: [hunter2]\n", (1, 7), "expected string scalar"),
            (
                "port: 1\nprot: hunter2\n",
                (2, 1),
                "unknown field `prot`, expected one of port",
            ),
            ("port: *hunter\n", (1, 7), "alias references unknown anchor"),
            (
                "port: 'hunter2\n",
                (2, 1),
                "invalid indentation in multiline quoted scalar",
            ),
            (
                "port: 1\n---\nport: 2\n",
                (3, 1),
                "more than one document where one is expected",
            ),
        ];
        for (text, place, message) in faults {
            let error = parse_typed::<Typed>(text).unwrap_err();
            assert_eq!((error.line(), error.column()), place, "{text}");
            assert_eq!(error.message(), message, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}");
        }
        let quoted = "invalid type: string \"hunter\"2\", expected u32";
        assert_eq!(worded(quoted), "invalid type: string \"…\", expected u32");
        assert_eq!(worded("unknown variant `hunter2`"), "unknown variant `…`");
    }

    #[test]
    fn hostile_texts_end_in_an_error() {
        let mut laughs = "a0: &a0 [x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        let deep = "{a: ".repeat(49) + &"}".repeat(49);
        assert!(parse_many(&deep).is_ok(), "fits on the stack of a thread");
        for text in [
            laughs,
            "[".repeat(100_000),
            "{a: ".repeat(100_000),
            "- ".repeat(100_000),
            "x".repeat(LARGEST + 1),
        ] {
            assert!(parse_many(&text).is_err(), "{:.20}", text);
        }
    }

    #[test]
    fn texts_that_look_like_other_types_are_written_in_quotes() {
        let value =
            json!({"a": "on", "b": "0644", "c": "1e5", "d": "null", "e": "12:30", "f": "x\ny: 1"});
        assert_eq!(parse_one(&to_string(&value).unwrap()).unwrap(), value);
    }
}
