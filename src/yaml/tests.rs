//! YAML texts and what they become, or why not.

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
        // Of the wrong type: read by way of JSON, which has no places.
        (
            "port: hunter2\n",
            (0, 0),
            "invalid type: string \"…\", expected u16",
        ),
        (
            "port: [hunter2]\n",
            (0, 0),
            "invalid type: sequence, expected u16",
        ),
        (
            "port: 1\nprot: hunter2\n",
            (0, 0),
            "unknown field `prot`, expected `port`",
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
