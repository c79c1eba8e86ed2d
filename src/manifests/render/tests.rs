//! Templates that are rendered within limits, and those that are refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use serde_json::json;

fn request(files: &[(&str, &str)], context: Value) -> RenderRequest {
    RenderRequest {
        templates: files
            .iter()
            .map(|(path, text)| Template {
                path: (*path).into(),
                text: (*text).into(),
                built_in: false,
            })
            .collect(),
        context,
        texts: Vec::new(),
    }
}

fn one(text: &str, context: Value) -> String {
    match render(&request(&[("deploy/app.yaml.j2", text)], context)) {
        Ok(rendered) => rendered[0].text.clone(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn values_are_data_and_keep_their_types() {
    let hostile = "x\"\nkind: Secret # {{ 1 }}";
    let context = json!({"branch": hostile, "list": [1, true, null], "on": true});
    let text = one(
        "a: {{ branch | yaml }}\n{% if on %}\nb: {{ list | yaml }}\n{% endif %}\nc: {{ on }}\n",
        context,
    );
    assert_eq!(
        crate::yaml::parse_one(&text).unwrap(),
        json!({"a": hostile, "b": [1, true, null], "c": true})
    );
}

#[test]
fn an_error_names_file_line_and_column_and_points_there() {
    let context = json!({"preview": {"number": 12}, "secret": "hunter2"});
    for (name, text) in [
        ("misspelt", "a: 1\n  b: {{ preview.nummer }}\n"),
        ("unknown", "a: {{ wholly.unknown }}\n"),
        ("syntax", "a: 1\n{% if preview %}\nb: 2\n"),
        ("filter", "a: {{ secret | upcase }}\n"),
        ("function", "a: {{ debug() }}\n"),
        ("operation", "a: {{ secret + preview }}\n"),
        ("iteration", "{% for x in secret.y %}{% endfor %}\n"),
        ("include", "{% include 'other.j2' %}\n"),
        ("escape", "{% include '../../etc/passwd' %}\n"),
        (
            "fuel",
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}\n",
        ),
        (
            "nesting",
            "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}\n",
        ),
        (
            "too-much",
            "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}\n",
        ),
    ] {
        let shown = one(text, context.clone());
        assert!(!shown.contains("hunter2"), "{shown}");
        insta::assert_snapshot!(format!("error_{name}"), shown);
    }
}

#[test]
fn files_include_their_siblings_and_partials_stand_for_nothing_themselves() {
    let files = [
        (
            "deploy/app.yaml.j2",
            "{% include '_labels.j2' %}{% include 'deploy/_labels.j2' %}{% include './_labels.j2' %}",
        ),
        ("deploy/_labels.j2", "a: {{ n }}\n"),
        ("deploy/plain.yaml", "text: {{ stays }}\n"),
    ];
    let rendered = render(&request(&files, json!({"n": 1}))).unwrap();
    let texts: Vec<_> = rendered.iter().map(|file| file.text.as_str()).collect();
    assert_eq!(texts, ["a: 1\na: 1\na: 1\n", "text: {{ stays }}\n"]);
}

#[test]
fn a_fault_in_an_included_file_is_told_of_that_file() {
    let files = [
        ("deploy/app.yaml.j2", "a: 1\n{% include '_part.j2' %}"),
        ("deploy/_part.j2", "\n\nb: {{ missing }}\n"),
    ];
    let errors = render(&request(&files, json!({}))).unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert_eq!(
        (errors.0[0].file.as_str(), errors.0[0].line),
        ("deploy/_part.j2", 3)
    );
}

#[test]
fn all_faulty_files_are_reported_together() {
    let files = [
        ("a.j2", "{{ x }}"),
        ("b.j2", "{% fi %}"),
        ("c.j2", "{{ y }}"),
    ];
    let errors = render(&request(&files, json!({}))).unwrap_err();
    let mut found: Vec<_> = errors.0.iter().map(|error| error.file.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["a.j2", "b.j2", "c.j2"]);
    assert_eq!(errors.reason(), ReasonCode::TemplateError);
}

#[test]
fn texts_of_the_configuration_are_templates_as_well() {
    let mut request = request(
        &[("a.yaml.j2", "{{ env | yaml }}")],
        json!({"host": "pr-12", "env": {"URL": "https://{{ host }}", "RAW": "{x}"}}),
    );
    request.texts = vec![TextTemplate {
        pointer: "/env/URL".into(),
        file: ".github/preview.yml".into(),
        field: "services.web.env.URL".into(),
    }];
    let text = render(&request).unwrap().remove(0).text;
    assert_eq!(text, r#"{"URL":"https://pr-12","RAW":"{x}"}"#);
    request.context = json!({"host": "pr-12", "env": {"URL": "https://{{ hst }}"}});
    insta::assert_snapshot!("error_text", render(&request).unwrap_err().to_string());
}

#[test]
fn the_child_answers_what_rendering_gives() {
    for text in ["a: {{ n }}", "a: {{ m }}"] {
        let request = request(&[("a.j2", text)], json!({"n": 1}));
        let mut output = Vec::new();
        child_main(
            serde_json::to_vec(&request).unwrap().as_slice(),
            &mut output,
        )
        .unwrap();
        assert_eq!(read_answer(&output).unwrap(), render(&request));
    }
    assert!(child_main(&b"{"[..], Vec::new()).is_err());
}
