//! Holds `tests/threats/README.md` to what is there: files, tests and patches; and the words that stand for a defence.
//! It cannot know whether a test catches what its patch takes out; `.ci/soak threats` does.
//! A list that nobody holds to anything is out of date within a month.

use super::{read, root};
use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// One threat's part of the page.
struct Threat {
    number: usize,
    text: String,
}

fn threats() -> Vec<Threat> {
    let page = read("tests/threats/README.md");
    let mut parts = page.split("\n### ");
    parts.next();
    let threat = |part: &str| Threat {
        number: part.split('.').next().unwrap().parse().unwrap(),
        text: part.to_owned(),
    };
    parts.map(threat).collect()
}

fn found<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let pattern = Regex::new(pattern).unwrap();
    let all = pattern.captures_iter(text);
    all.map(|one| one.get(1).unwrap().as_str()).collect()
}

/// Every Rust file below a folder.
fn sources(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            into.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// How many attacks a test plays that a file of its modules has: its marked cases, or itself; none where there is no such test.
fn attacks(test: &str, all: &[(String, String)]) -> usize {
    let mut words = test.split("::");
    let first = words.next().unwrap_or_default();
    let name = test.rsplit("::").next().unwrap_or_default();
    let homes = [
        format!("src/{first}"),
        format!("tests/integration/{first}"),
        format!("tests/{first}"),
    ];
    // A name that is only the begin of a test's is a filter, as on the command line.
    let begins = Regex::new(&format!(
        r"(?:fn {0}\w*\s*[(<]|mod {0}\b)",
        regex::escape(name)
    ))
    .unwrap();
    let here = all.iter().filter(|(path, _)| {
        let home = homes.iter().any(|home| {
            path.strip_prefix(home.as_str())
                .is_some_and(|rest| rest.starts_with(['/', '.']))
        });
        home || first == "contract" && path == "tests/threats/list.rs"
    });
    let mut found = here.filter_map(|(_, text)| Some(&text[..begins.find(text)?.start()]));
    found.next().map_or(0, |before| {
        let own = before.rfind("\n}\n").map_or(before, |end| &before[end..]);
        let own = own.rfind("\n    }\n").map_or(own, |end| &own[end..]);
        own.matches("#[case").count().max(1)
    })
}

#[test]
fn marked_cases_are_counted_one_by_one() {
    let text = "fn other() {\n}\n\n#[rstest]\n#[case(1)]\n#[case::two(\n    2\n)]\nfn it_is(#[case] x: u8) {}\n";
    let all = [("src/names/guard.rs".to_owned(), text.to_owned())];
    assert_eq!(attacks("names::guard::tests::it_is", &all), 2);
    assert_eq!(attacks("names::guard::tests::other", &all), 1);
    assert_eq!(attacks("names::guard::tests::nobody", &all), 0);
    assert_eq!(attacks("forks::it_is", &all), 0);
}

#[test]
fn every_threat_has_a_defence_attacks_and_a_patch_or_a_reason_for_none() {
    let threats = threats();
    let numbers: Vec<usize> = threats.iter().map(|threat| threat.number).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>());
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root().join(folder), &mut all);
    }
    let mut played = BTreeMap::new();
    for Threat { number, text } in &threats {
        for file in found(r"`((?:src|templates|tests)/[\w./-]+|SECURITY\.md)`", text) {
            assert!(root().join(file).is_file(), "threat {number} names {file}");
        }
        let tests = found(r"(?m)^- `([\w:]+)`$", text);
        let lines = text.lines().filter(|line| line.starts_with("- ")).count();
        assert_eq!(
            tests.len(),
            lines,
            "threat {number} has a line that is no test"
        );
        assert!(lines > 0, "nobody plays threat {number}");
        for test in tests {
            let attacks = attacks(test, &all);
            assert!(attacks > 0, "threat {number}: there is no {test}");
            played.insert(test.to_owned(), attacks);
        }
        let patched = text.contains("\nPatch: [") || text.contains("\nPatches: [");
        assert_ne!(patched, text.contains("\nNo patch: "), "threat {number}");
    }
    let attacks: usize = played.values().sum();
    assert!(attacks >= 60, "{attacks} attacks: {played:#?}");
}

#[test]
fn every_patch_is_named_names_its_test_and_still_fits() {
    let page = read("tests/threats/README.md");
    let named: BTreeSet<String> = found(r"\]\((\d\d-[\w-]+\.patch)\)", &page)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let files = fs::read_dir(root().join("tests/threats")).unwrap();
    let there: BTreeSet<String> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".patch"))
        .collect();
    assert_eq!(named, there);
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root().join(folder), &mut all);
    }
    for name in &there {
        let patch = read(&format!("tests/threats/{name}"));
        let test = patch.lines().next().unwrap().strip_prefix("Test: --");
        let test = test.unwrap_or_else(|| panic!("{name} names no test"));
        let test = test.rsplit(' ').next().unwrap();
        assert!(attacks(test, &all) > 0, "{name}: there is no {test}");
        let parts = threats();
        let number: usize = name[..2].parse().unwrap();
        let part = &parts[number - 1].text;
        assert!(
            part.contains(name.as_str()),
            "{name} stands at another threat"
        );
        assert!(fits(&patch), "{name} does not apply any more: make it anew");
    }
}

/// True when all that a patch wants to find is there, piece by piece.
fn fits(patch: &str) -> bool {
    let mut file = String::new();
    let mut wanted = String::new();
    let mut fits = true;
    let mut in_hunk = false;
    for line in patch.lines().chain(["@@"]) {
        if line.starts_with("@@") || line.starts_with("diff ") {
            fits &= file.contains(&wanted);
            wanted.clear();
            in_hunk = line.starts_with("@@");
        } else if let Some(path) = line.strip_prefix("--- a/") {
            file = read(path);
        } else if in_hunk && !line.starts_with('+') {
            wanted.push_str(line.get(1..).unwrap_or_default());
            wanted.push('\n');
        }
    }
    fits
}

#[test]
fn a_patch_that_wants_other_lines_does_not_fit() {
    let patch = read("tests/threats/20-forks.patch");
    assert!(fits(&patch));
    assert!(!fits(&patch.replace("\n-", "\n-// once, ")));
}

#[test]
fn what_stays_with_people_is_said() {
    let page = read("SECURITY.md");
    for words in [
        "Serve previews from a domain of their own",
        "required reviewers",
        "Protect one environment, made beforehand",
        "Leave the job that removes without it",
    ] {
        assert!(page.contains(words), "SECURITY.md does not say: {words}");
    }
}
