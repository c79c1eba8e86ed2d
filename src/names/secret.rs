//! Secrets that do not show themselves, and the redactor that keeps them out of every text that leaves.
//! It does not know where secrets come from or where texts go.
//! One place removes all forms of a secret (raw, each line, base64, URL-encoded, JSON-escaped), so no edge can forget one.

use super::visible::hidden_in;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// A secret text; `Debug` shows nothing of it and there is no `Display`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a text as secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// Replaces every known form of every known secret by `***`.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret that contains another goes as a whole.
    forms: Vec<String>,
}

/// Shorter texts are no secrets: masking them would blank ordinary words.
const SHORTEST: usize = 6;

/// What stands where a text was cut, maybe in the middle of a secret.
const CUT: char = '…';

/// The text with at most so many characters, and a sign where more were.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}{CUT}", &text[..end]),
        None => text.to_owned(),
    }
}

impl Redactor {
    /// Learns a secret in all its forms.
    pub fn learn(&mut self, secret: &str) {
        let mut add = |form: &str| {
            let form = form.trim();
            if form.len() >= SHORTEST && !self.forms.iter().any(|known| known == form) {
                self.forms.push(form.into());
            }
        };
        for text in std::iter::once(secret).chain(secret.lines()) {
            let text = text.trim();
            add(text);
            // Nobody encodes what is encoded already, nor one line of a key, and a runner slows down with each mask.
            let encoded = is_long_base64(text) && (text != secret.trim() || is_text(text));
            if text.len() >= SHORTEST && !encoded {
                let encoded = STANDARD.encode(text);
                add(&encoded);
                add(encoded.trim_end_matches('='));
                add(&url_encoded(text));
                if let Ok(json) = serde_json::to_string(text) {
                    let json = json.trim_matches('"');
                    add(json);
                    // What Go's encoding/json writes by default.
                    let for_html = json.replace('&', "\\u0026").replace('<', "\\u003c");
                    add(&for_html.replace('>', "\\u003e"));
                }
            }
        }
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Every form to hide, for the runner's own masks.
    pub fn forms(&self) -> impl Iterator<Item = &str> {
        self.forms.iter().map(String::as_str)
    }

    /// The text without any secret, nor a piece of one where it was cut.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = self.without_broken(text);
        for form in &self.forms {
            if clean.contains(form.as_str()) {
                clean = clean.replace(form.as_str(), "***");
            }
        }
        if !clean.contains(CUT) {
            return clean;
        }
        let last = clean.matches(CUT).count();
        let parts = clean.split(CUT).enumerate();
        let parts = parts.map(|(at, part)| self.without_pieces(part, at > 0, at < last));
        parts.collect::<Vec<_>>().join(&CUT.to_string())
    }

    /// The text without secrets that something unseen breaks, such as a colour: for who reads it they are whole.
    fn without_broken(&self, text: &str) -> String {
        let found = hidden_in(text, &self.forms);
        let (mut clean, mut shown) = (String::new(), 0);
        for broken in found {
            let last = text.get(broken.end..).and_then(|rest| rest.chars().next());
            if let (Some(before), Some(last)) = (text.get(shown..broken.start), last) {
                clean.push_str(before);
                clean.push_str("***");
                shown = broken.end + last.len_utf8();
            }
        }
        clean.push_str(text.get(shown..).unwrap_or_default());
        clean
    }

    /// What stands between two cuts, without the end of a secret that it begins with and the begin of one that it ends with.
    fn without_pieces(&self, part: &str, cut_before: bool, cut_behind: bool) -> String {
        let ends = |form: &String| {
            let ends = form.char_indices().map(|(at, _)| &form[at..]);
            ends.skip(1).find(|end| part.starts_with(end)).map(str::len)
        };
        let begins = |form: &String| {
            let begins = form.char_indices().rev().map(|(at, _)| &form[..at]);
            let mut begins = begins.take_while(|begin| begin.len() >= SHORTEST);
            begins.find(|begin| part.ends_with(begin)).map(str::len)
        };
        let long = |length: &usize| *length >= SHORTEST;
        let head = self.forms.iter().filter_map(ends).filter(long).max();
        let tail = self.forms.iter().filter_map(begins).max();
        let head = head.filter(|_| cut_before).unwrap_or_default();
        let tail = tail.filter(|_| cut_behind).unwrap_or_default();
        let shown = part.get(head..part.len() - tail).unwrap_or_default();
        let hidden = |length: usize| if length > 0 { "***" } else { "" };
        format!("{}{shown}{}", hidden(head), hidden(tail))
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.forms.len())
    }
}

fn is_long_base64(text: &str) -> bool {
    text.len() > 60
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=\n".contains(&byte))
}

/// Whether this means something when decoded, as no key does that is merely as long.
fn is_text(base64: &str) -> bool {
    STANDARD
        .decode(base64)
        .is_ok_and(|bytes| std::str::from_utf8(&bytes).is_ok())
}

fn url_encoded(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_disappears() {
        let mut redactor = Redactor::default();
        redactor.learn("hunter2/pass word\nsecond-line");
        for text in [
            "x hunter2/pass word x",
            "x second-line x",
            &STANDARD.encode("hunter2/pass word"),
            "hunter2%2Fpass%20word",
            "hunter2/pass word\\nsecond-line",
        ] {
            let clean = redactor.redact(text);
            assert!(clean.contains("***"), "{text} -> {clean}");
            assert!(
                !clean.contains("hunter2") && !clean.contains("second-line"),
                "{text} -> {clean}"
            );
        }
    }

    #[test]
    fn a_long_key_and_a_password_in_the_json_of_go_disappear_too() {
        let mut redactor = Redactor::default();
        let key = "0123456789abcdef".repeat(8);
        redactor.learn(&key);
        redactor.learn("a&b<c>secret");
        for form in [
            STANDARD.encode(&key),
            r"a\u0026b\u003cc\u003esecret".into(),
            r"a&b<c>secret".into(),
        ] {
            assert_eq!(redactor.redact(&form), "***", "{form}");
        }
        let mut few = Redactor::default();
        few.learn(
            &STANDARD.encode("a kubeconfig that somebody has encoded before it was given to us"),
        );
        assert_eq!(few.forms().count(), 1);
        let key = [
            "-----BEGIN-----",
            &"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC".repeat(2),
        ];
        few.learn(&key.join("\n"));
        assert!(
            few.forms().count() < 12,
            "{:?}",
            few.forms().collect::<Vec<_>>()
        );
    }

    #[test]
    fn where_a_text_was_cut_no_piece_of_a_secret_is_left() {
        let mut redactor = Redactor::default();
        redactor.learn("hunter2/pass word");
        for (text, clean) in [
            ("say hunter2/pa…", "say ***…"),
            ("say hunter2/pass…", "say ***…"),
            ("…pass word\nmore", "…***\nmore"),
            ("…pass word…hunter2/pass…", "…***…***…"),
            ("say hunte…", "say hunte…"),
            ("hunter2/pa without a cut", "hunter2/pa without a cut"),
            ("…", "…"),
        ] {
            assert_eq!(redactor.redact(text), clean);
        }
        let encoded = STANDARD.encode("hunter2/pass word");
        assert_eq!(redactor.redact(&cut(&encoded, 9)), "***…");
        assert_eq!((cut("äöü", 2), cut("äöü", 3)), ("äö…".into(), "äöü".into()));
    }

    #[test]
    fn what_is_whole_for_a_reader_is_found_whatever_unseen_breaks_it() {
        let mut redactor = Redactor::default();
        redactor.learn("hunter2/pass word");
        redactor.learn("hunter2/");
        for (text, clean) in [
            ("a hunt\u{1b}[31mer2/pass\u{1b}[0m word b", "a *** b"),
            ("a hunter2\u{200b}/pass word\u{200b} b", "a ***\u{200b} b"),
            ("hun\u{ad}ter2/, ä, hunter2/pas\u{0}s word", "***, ä, ***"),
            ("hunter2\u{1b}]0;title\u{7}/pass word", "***"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
        ] {
            assert_eq!(redactor.redact(text), clean);
        }
    }

    #[test]
    fn short_words_are_left_alone() {
        let mut redactor = Redactor::default();
        redactor.learn("web");
        assert_eq!(redactor.redact("web is ready"), "web is ready");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
