//! Holds the README's table of permissions to the rights that the code names where it asks GitHub for something.
//! It asks nobody; `tests/integration/permissions.rs` shows what a run does without each.
//! A right that is documented and not used, or used and not documented, is found out by users one at a time.

use super::{read, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// Every `name: read` or `name: write` in quotes, in the code that asks GitHub; `write` has `read` in it.
fn used() -> BTreeMap<String, String> {
    let mut rights: BTreeMap<String, String> = BTreeMap::new();
    for entry in fs::read_dir(root().join("src/github")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let tests = path.ends_with("tests.rs");
        let own = text.split("#[cfg(test)]").next().unwrap_or_default();
        let quoted = own.split('"').skip(1).step_by(2).filter(|_| !tests);
        for right in quoted {
            let Some((name, level)) = right.split_once(": ") else {
                continue;
            };
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            if plain && ["read", "write"].contains(&level) {
                let known = rights.entry(name.into()).or_default();
                *known = (*known).as_str().max(level).to_owned();
            }
        }
    }
    rights
}

/// The README's lines: the right, and whether it is optional.
fn documented() -> BTreeMap<String, bool> {
    let text = read("README.md");
    let (_, rest) = text.split_once("<!-- permissions -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- /permissions -->").unwrap();
    let rows = table.lines().skip(2).map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{row}");
        let line = cells[0].trim_start_matches("| ").trim_matches('`');
        (line.to_owned(), cells[1].starts_with("optional: "))
    });
    rows.collect()
}

#[test]
fn the_table_has_every_right_that_the_code_uses_and_no_other() {
    let used: BTreeSet<String> = used()
        .iter()
        .map(|(name, level)| format!("{name}: {level}"))
        .collect();
    assert!(used.len() > 4, "{used:?}");
    let shown: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(shown, used);
}

/// What the example has is what the table has, with `optional` at the same ones.
#[test]
fn the_example_marks_the_same_ones_as_optional() {
    let text = read("README.md");
    let (_, rest) = text.split_once("\npermissions:\n").unwrap();
    let lines = rest.lines().take_while(|line| line.starts_with("  "));
    let documented = documented();
    for line in lines {
        let (right, reason) = line.trim().split_once(" # ").unwrap();
        let optional = documented.get(right);
        assert_eq!(optional, Some(&reason.starts_with("optional: ")), "{line}");
    }
    let needed = documented.iter().filter(|(_, optional)| !**optional);
    for (right, _) in needed {
        assert!(text.contains(&format!("\n  {right} # ")), "{right}");
    }
}

/// The words that turn each optional one off are inputs, and where those are not off by default the example has the right: what
/// runs every five minutes would warn each time.
#[test]
fn what_does_without_is_an_input_and_the_example_does_not() {
    use preview_action::inputs::registry::INPUTS;
    let text = read("README.md");
    let (_, example) = text.split_once("\npermissions:\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let (_, rest) = text.split_once("<!-- permissions -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- /permissions -->").unwrap();
    let rows: Vec<_> = table
        .lines()
        .filter(|row| row.contains(", as with `"))
        .collect();
    assert!(rows.len() > 2, "{rows:?}");
    for row in rows {
        let right = row.split('`').nth(1).unwrap();
        let (_, rest) = row.split_once(", as with `").unwrap();
        let (input, off) = rest.split_once('`').unwrap().0.split_once(": ").unwrap();
        let spec = INPUTS.iter().find(|spec| spec.name == input).unwrap();
        let is_off = spec.default == off || example.contains(&format!("{input}: {off}"));
        assert!(
            is_off || example.contains(&format!("  {right} # ")),
            "{right}"
        );
    }
}
