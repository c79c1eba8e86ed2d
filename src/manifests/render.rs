//! Turns templates and a context into text.
//! It knows no Kubernetes and reads no file; what a template may include is in the request.
//! A request and its answer are plain data, because rendering happens in a child process that limits its own memory.

use super::error::{ManifestError, ManifestErrors, excerpt};
use crate::{names::ReasonCode, templates::VARIABLES};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::BTreeSet,
    io::{self, Read, Write},
};

/// Most output of all templates together.
pub const MOST_OUTPUT: usize = 8 << 20;

/// Steps of the engine that one template may take.
const FUEL: u64 = 2_000_000;

/// How deep macros and includes may nest.
const DEPTH: usize = 60;

/// Everything that rendering needs.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RenderRequest {
    /// Templates, and plain manifests that are passed through.
    pub templates: Vec<Template>,
    /// What templates see.
    pub context: Value,
    /// Texts in the context that are templates themselves; they are rendered first.
    pub texts: Vec<TextTemplate>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Template {
    /// Path in the repository, or `built-in/…`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// True for our own.
    pub built_in: bool,
}

/// A text of the configuration that may hold template expressions.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TextTemplate {
    /// JSON pointer to it in the context.
    pub pointer: String,
    /// File that it comes from.
    pub file: String,
    /// Field that it comes from.
    pub field: String,
}

/// A rendered file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rendered {
    /// Path of the template.
    pub file: String,
    /// Rendered text.
    pub text: String,
    /// True for our own.
    pub built_in: bool,
}

/// Renders everything, or says everything that is wrong.
pub fn render(request: &RenderRequest) -> Result<Vec<Rendered>, ManifestErrors> {
    let mut errors = Vec::new();
    let environment = environment(request, &mut errors);
    let context = expanded(&environment, request, &mut errors);
    let context = minijinja::Value::from(minijinja::value::Serde(&context));
    let mut rendered = Vec::new();
    let mut room = MOST_OUTPUT;
    for template in request.templates.iter().filter(|file| !is_partial(file)) {
        let text = if is_template(&template.path) {
            // one that does not compile is reported already
            let Ok(found) = environment.get_template(&template.path) else {
                continue;
            };
            match render_within(&found, &context, room) {
                Ok(text) => text,
                Err(error) => {
                    errors.push(translate(&error, request, &template.path, None));
                    continue;
                }
            }
        } else {
            template.text.clone()
        };
        let Some(left) = room.checked_sub(text.len()) else {
            errors.push(too_long(template));
            break;
        };
        room = left;
        rendered.push(Rendered {
            file: template.path.clone(),
            text,
            built_in: template.built_in,
        });
    }
    // an include is compiled once by itself and once by whoever includes it
    errors.dedup();
    if errors.is_empty() {
        Ok(rendered)
    } else {
        Err(ManifestErrors(errors))
    }
}

/// Renders the request that stands on `input` and writes the answer to `output`: the whole life of the child process.
pub fn child_main(input: impl Read, output: impl Write) -> io::Result<()> {
    let request: RenderRequest = serde_json::from_reader(io::BufReader::new(input))?;
    let mut output = io::BufWriter::new(output);
    serde_json::to_writer(&mut output, &render(&request))?;
    output.flush()
}

/// Reads the answer that [`child_main`] has written.
pub fn read_answer(output: &[u8]) -> Result<Result<Vec<Rendered>, ManifestErrors>, io::Error> {
    Ok(serde_json::from_slice(output)?)
}

/// True when a file is rendered and not passed through.
fn is_template(path: &str) -> bool {
    path.ends_with(".j2")
}

/// True when a file is only there to be included.
fn is_partial(template: &Template) -> bool {
    let name = template.path.rsplit('/').next().unwrap_or_default();
    name.starts_with('_') && is_template(name)
}

fn environment<'a>(request: &'a RenderRequest, errors: &mut Vec<ManifestError>) -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_debug(false);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true);
    // fails only for delimiters of one's own
    environment.set_syntax(syntax.build().unwrap_or_default());
    environment.remove_global("debug");
    environment.add_filter("yaml", yaml);
    let names: BTreeSet<String> = request
        .templates
        .iter()
        .map(|template| template.path.clone())
        .collect();
    environment.set_path_join_callback(move |name, parent| sibling(&names, name, parent));
    for template in request
        .templates
        .iter()
        .filter(|file| is_template(&file.path))
    {
        if let Err(error) = environment.add_template(&template.path, &template.text) {
            errors.push(translate(&error, request, &template.path, None));
        }
    }
    environment
}

/// Finds an included file by its path in the repository, else beside the file that includes it.
fn sibling<'n>(names: &BTreeSet<String>, name: &'n str, parent: &str) -> Cow<'n, str> {
    let plain = name.strip_prefix("./").unwrap_or(name);
    match parent.rsplit_once('/') {
        Some((folder, _)) if !names.contains(name) => Cow::Owned(format!("{folder}/{plain}")),
        _ => Cow::Borrowed(plain),
    }
}

/// Writes a value as YAML that fits on one line: every JSON text is one.
fn yaml(value: minijinja::Value) -> Result<String, Error> {
    serde_json::to_string(&value).map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "cannot be written as YAML").with_source(error)
    })
}

/// The context with the texts rendered that are templates themselves.
fn expanded(
    environment: &Environment<'_>,
    request: &RenderRequest,
    errors: &mut Vec<ManifestError>,
) -> Value {
    let before = minijinja::Value::from(minijinja::value::Serde(&request.context));
    let mut context = request.context.clone();
    for place in &request.texts {
        let Some(Value::String(text)) = context.pointer_mut(&place.pointer) else {
            continue;
        };
        if !text.contains("{{") && !text.contains("{%") {
            continue;
        }
        let rendered = environment
            .template_from_named_str(&place.file, text)
            .and_then(|template| render_within(&template, &before, MOST_OUTPUT));
        match rendered {
            Ok(rendered) => *text = rendered,
            Err(error) => errors.push(translate(&error, request, &place.file, Some((place, text)))),
        }
    }
    context
}

fn render_within(
    template: &minijinja::Template<'_, '_>,
    context: &minijinja::Value,
    room: usize,
) -> Result<String, Error> {
    let mut output = Bounded {
        bytes: Vec::new(),
        room,
    };
    template.render_captured_to(context.clone(), &mut output)?;
    String::from_utf8(output.bytes).map_err(|error| {
        Error::new(ErrorKind::WriteFailure, "the output is not UTF-8").with_source(error)
    })
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room {
            return Err(io::Error::other("too much output"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_long(template: &Template) -> ManifestError {
    ManifestError {
        reason: ReasonCode::TemplateError,
        file: template.path.clone(),
        line: 0,
        column: 0,
        field: String::new(),
        problem: format!("all templates together make more than {MOST_OUTPUT} bytes"),
        remedy: "deploy less, or look for a loop that repeats too much".into(),
        excerpt: String::new(),
    }
}

/// Turns an error of the engine into ours, at the innermost place that it names.
fn translate(
    error: &Error,
    request: &RenderRequest,
    file: &str,
    text: Option<(&TextTemplate, &str)>,
) -> ManifestError {
    let mut error = error;
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(source) = next {
        match source.downcast_ref::<Error>() {
            Some(inner) if inner.line().is_some() => error = inner,
            _ => {}
        }
        next = source.source();
    }
    let file = error.name().unwrap_or(file);
    let source = match text {
        Some((_, text)) => text,
        None => request
            .templates
            .iter()
            .find(|template| template.path == file)
            .map_or("", |template| template.text.as_str()),
    };
    let line = error.line().unwrap_or_default();
    let (line, column, width) = match error.range().filter(|range| !range.is_empty()) {
        Some(range) => place(source, range.start, range.end),
        None => (u32::try_from(line).unwrap_or_default(), 0, 0),
    };
    let pointed = error
        .range()
        .and_then(|range| source.get(range))
        .unwrap_or_default();
    let (problem, remedy) = explain(error, pointed, &request.context);
    ManifestError {
        reason: ReasonCode::TemplateError,
        file: file.into(),
        line: if text.is_some() { 0 } else { line },
        column: if text.is_some() { 0 } else { column },
        field: text.map_or(String::new(), |(place, _)| format!("`{}`", place.field)),
        problem,
        remedy,
        excerpt: if column > 0 {
            excerpt(source, line, column, width)
        } else {
            String::new()
        },
    }
}

/// Line, column and width of a byte range.
fn place(source: &str, start: usize, end: usize) -> (u32, u32, usize) {
    let before = source.get(..start).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    let width = source.get(start..end).map_or(1, |text| {
        text.lines().next().unwrap_or_default().chars().count()
    });
    let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
    (number(line), number(column), width)
}

fn explain(error: &Error, pointed: &str, context: &Value) -> (String, String) {
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    match error.kind() {
        ErrorKind::UndefinedError => (
            if pointed.is_empty() {
                detail
            } else {
                format!("`{pointed}` is undefined")
            },
            near_variable(pointed, context),
        ),
        ErrorKind::OutOfFuel => (
            "the template takes too many steps".into(),
            "look for a loop that does not end or repeats too much".into(),
        ),
        ErrorKind::WriteFailure => (
            format!("all templates together make more than {MOST_OUTPUT} bytes"),
            "deploy less, or look for a loop that repeats too much".into(),
        ),
        ErrorKind::TemplateNotFound => (
            detail,
            "include only files that `templates` names, by their path in the repository".into(),
        ),
        ErrorKind::SyntaxError => (detail, "correct the template".into()),
        _ => (
            detail,
            format!("the variables and filters are listed in {VARIABLES}"),
        ),
    }
}

/// Suggests the variable that was probably meant.
fn near_variable(pointed: &str, context: &Value) -> String {
    let mut found = context;
    let mut path = String::new();
    for part in pointed.split('.').map(str::trim) {
        let Value::Object(fields) = found else { break };
        if let Some(next) = fields.get(part) {
            path.push_str(part);
            path.push('.');
            found = next;
            continue;
        }
        let likely = fields
            .keys()
            .map(|key| (strsim::jaro_winkler(part, key), key))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((_, key)) = likely {
            return format!("did you mean `{path}{key}`?");
        }
        break;
    }
    format!("the variables are listed in {VARIABLES}; `is defined` and `default()` test for one")
}

#[cfg(test)]
mod tests;
