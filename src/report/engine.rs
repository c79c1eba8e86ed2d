//! Renders the templates of comments, with every text escaped unless it is ours by type.
//! It does not know what the templates say.
//! The escape sits in the engine's formatter, so that a template that forgets a filter is still safe.

use super::{ReportError, escape};
use crate::{templates, trigger::prefix};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, syntax::SyntaxConfig,
    value::Serde,
};
use serde::{Serialize, Serializer};
use std::sync::LazyLock;

/// A piece of Markdown that is ours: it is printed as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Markdown(String);

impl Markdown {
    /// Takes Markdown that was made from escaped parts.
    pub(super) fn ours(markdown: String) -> Self {
        Self(markdown)
    }
}

impl Serialize for Markdown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::from_safe_string(self.0.clone()).serialize(serializer)
    }
}

/// Renders a template and tidies its empty lines.
pub(super) fn render<T: Serialize>(template: &str, page: &T) -> Result<String, ReportError> {
    static ENGINE: LazyLock<Result<Environment<'static>, Error>> =
        LazyLock::new(|| environment(None));
    render_in(&ENGINE, template, page)
}

/// The same with every command that it names spelled with the prefix that people have to write.
pub(super) fn render_spelled<T: Serialize>(
    prefix: Option<&str>,
    template: &str,
    page: &T,
) -> Result<String, ReportError> {
    match prefix {
        None => render(template, page),
        Some(_) => render_in(&environment(prefix), template, page),
    }
}

fn render_in<T: Serialize>(
    engine: &Result<Environment<'static>, Error>,
    template: &str,
    page: &T,
) -> Result<String, ReportError> {
    let wrong = |error: &Error| ReportError {
        template: error.name().unwrap_or(template).to_owned(),
        // the error's own text may show values
        problem: match error.line() {
            Some(line) => format!("{} in line {line}", error.kind()),
            None => error.kind().to_string(),
        },
    };
    let text = engine
        .as_ref()
        .map_err(wrong)?
        .get_template(template)
        .and_then(|template| template.render(Value::from(Serde(page))))
        .map_err(|error| wrong(&error))?;
    Ok(tidy(&text))
}

fn environment(prefix: Option<&str>) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_debug(false);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    environment.set_formatter(|out, _, value| {
        if value.is_safe() || value.is_number() {
            return Ok(write!(out, "{value}")?);
        }
        match value.as_str() {
            Some(text) => Ok(out.write_str(&escape::inline(text))?),
            None => Err(Error::new(
                ErrorKind::InvalidOperation,
                "only texts and numbers are printed",
            )),
        }
    });
    let ours = |escaped: String| Value::from_safe_string(escaped);
    let before = prefix.map(str::to_owned);
    environment.add_filter("prose", move |text: &str| {
        ours(escape::prose(&prefix::spell(before.as_deref(), text)))
    });
    environment.add_filter("html", move |text: &str| ours(escape::html(text)));
    environment.add_filter("code", move |text: &str| ours(escape::code(text)));
    environment.add_filter("block", move |text: &str| ours(escape::block(text)));
    for (name, source) in templates::COMMENT {
        match prefix {
            None => environment.add_template(name, source)?,
            Some(_) => environment.add_template_owned(*name, prefix::spell(prefix, source))?,
        }
    }
    Ok(environment)
}

/// At most one empty line at a stretch outside fences, none at either end.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<usize> = None;
    let mut empty = true;
    for line in text.lines() {
        let ticks = line.bytes().take_while(|&b| b == b'`').count();
        match fence {
            Some(open) if ticks >= open && line.len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {}
        }
        let line = if fence.is_some() {
            line
        } else {
            line.trim_end()
        };
        if line.is_empty() && empty && fence.is_none() {
            continue;
        }
        empty = line.is_empty();
        out.push_str(line);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn every_template_is_sound_by_itself() {
        let environment = environment(None).unwrap();
        for (name, _) in templates::COMMENT {
            assert!(environment.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/comment");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("comment/{}", entry.unwrap().file_name().display()))
            .collect();
        let mut embedded: Vec<String> = templates::COMMENT
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        files.sort();
        embedded.sort();
        assert_eq!(files, embedded);
    }

    #[test]
    fn text_is_escaped_without_being_asked() {
        let mut environment = environment(None).unwrap();
        environment
            .add_template("x", "{{ a }} {{ b }} {{ n }}")
            .unwrap();
        let page = std::collections::BTreeMap::from([
            ("a", Value::from("<b> @x")),
            ("b", Value::from(Serde(Markdown::ours("**ours**".into())))),
            ("n", Value::from(3)),
        ]);
        let text = environment.get_template("x").unwrap().render(page).unwrap();
        assert_eq!(text, "&lt;b&gt; @\u{200b}x **ours** 3");
    }

    #[test]
    fn empty_lines_inside_fences_stay() {
        assert_eq!(
            tidy("\n\na  \n\n\n```\nx\n\n\ny\n```\n\n"),
            "a\n\n```\nx\n\n\ny\n```\n"
        );
    }
}
