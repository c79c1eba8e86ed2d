//! Holds the direction in which data flows: which module may name which, and who alone may name an outside world.
//! It reads `src/` as text, without test modules, comments and strings, so that it needs no compiler and sees every path.
//! A test and not goodwill: import cycles are invisible in review, and every one of them was once a convenience.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Module, and what it may import from the crate. `a::b` allows that part of `a` alone.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("yaml", &[]),
    ("templates", &[]),
    ("tls", &[]),
    ("simulate", &["names"]),
    ("inputs", &["yaml", "names"]),
    ("event", &["yaml", "names"]),
    ("runner", &["yaml", "names"]),
    ("health", &["tls", "names"]),
    ("registry", &["tls", "names"]),
    ("github", &["event", "tls", "names"]),
    ("trigger", &["event", "inputs", "names"]),
    ("plan", &["trigger", "event", "inputs", "names"]),
    (
        "manifests",
        &["plan", "inputs", "templates", "yaml", "names"],
    ),
    ("capacity", &["manifests", "plan", "names"]),
    ("metrics", &["names"]),
    (
        "cluster",
        &[
            "metrics",
            "capacity",
            "manifests",
            "plan",
            "templates",
            "yaml",
            "names",
        ],
    ),
    (
        "report",
        &[
            "metrics",
            "cluster::outcome",
            "capacity",
            "manifests",
            "plan",
            "trigger",
            "inputs",
            "templates",
            "names",
        ],
    ),
    (
        "pipeline",
        &[
            "metrics",
            "report",
            "health",
            "registry",
            "cluster",
            "capacity",
            "manifests",
            "plan",
            "trigger",
            "github",
            "runner",
            "event",
            "inputs",
            "templates",
            "tls",
            "yaml",
            "names",
        ],
    ),
    ("telemetry", &["runner", "names"]),
    (
        "cli",
        &[
            "metrics",
            "pipeline",
            "report",
            "simulate",
            "runner",
            "event",
            "trigger",
            "inputs",
            "telemetry",
            "templates",
            "yaml",
            "names",
        ],
    ),
    ("main", &["cli", "telemetry", "tls"]),
];

/// Places that turn values into values: the same arguments give the same result on every machine and at every hour.
const PURE: &[&str] = &[
    "names",
    "yaml",
    "templates",
    "inputs",
    "event",
    "trigger",
    "plan",
    "manifests",
    "capacity",
    "report",
    "cluster/outcome.rs",
];

/// What a pure place may not name.
const IMPURE: &[&str] = &[
    "async",
    "tokio",
    "reqwest",
    "rand::",
    "std::env",
    "std::net::TcpStream",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
];

/// Crates that only these modules may name.
const SOLE_USERS: &[(&str, &[&str])] = &[
    ("octocrab", &["github"]),
    ("kube", &["cluster"]),
    ("k8s_openapi", &["cluster"]),
    ("anyhow", &["cli", "main"]),
];

/// Beginnings of strings that only these modules may write.
const SOLE_SPEAKERS: &[(&str, &[&str])] = &[("\"GITHUB_", &["runner"])];

#[test]
fn data_flows_one_way() {
    let sources = sources();
    assert!(
        sources.len() > 10,
        "only {} files found in src/",
        sources.len()
    );
    let faults: Vec<String> = sources.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_module_has_a_direction() {
    let found: BTreeSet<String> = sources()
        .iter()
        .map(|source| source.module.clone())
        .filter(|module| module != "lib")
        .collect();
    let known: BTreeSet<String> = DIRECTIONS
        .iter()
        .map(|(module, _)| (*module).to_owned())
        .collect();
    assert_eq!(found, known, "modules of src/ against the table");
}

#[test]
fn the_table_has_no_cycle() {
    // A module may only import what stands above it in the table, except for what it reaches through nothing else.
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for (module, imports) in DIRECTIONS {
        for import in *imports {
            let (first, _) = import.split_once("::").unwrap_or((import, ""));
            assert!(
                done.contains(first),
                "`{module}` imports `{first}`, which stands below it"
            );
        }
        done.insert(module);
    }
}

#[test]
fn the_map_shows_the_same_table() {
    let path = root().join("src/README.md");
    let text = fs::read_to_string(&path).unwrap();
    let expected = table();
    let (start, end) = ("<!-- directions -->\n", "<!-- /directions -->");
    let (before, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("src/README.md has no line {start}"));
    let (shown, after) = rest
        .split_once(end)
        .unwrap_or_else(|| panic!("src/README.md has no line {end}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{start}{expected}{end}{after}")).unwrap();
        return;
    }
    assert!(
        shown == expected,
        "src/README.md differs from the table; UPDATE_DOCS=1 cargo test --test architecture writes:\n{expected}"
    );
}

/// One planted fault each, so that a checker that sees nothing can't pass.
#[test]
fn planted_faults_are_found() {
    let cases = [
        (
            "plan/mod.rs",
            "use crate::cluster::Cluster;",
            "`plan` imports `cluster`",
        ),
        (
            "plan/mod.rs",
            "use crate::{names::Host, report::{self, Report}};",
            "`plan` imports `report`",
        ),
        (
            "plan/mod.rs",
            "use crate::{\n    names::{Host, Label},\n    github,\n};",
            "`plan` imports `github`",
        ),
        (
            "plan/mod.rs",
            "fn f() -> crate::pipeline::Failure { todo() }",
            "`plan` imports `pipeline`",
        ),
        (
            "plan/mod.rs",
            "use super::cluster;",
            "`plan` imports `cluster`",
        ),
        (
            "plan/naming.rs",
            "use super::super::cluster;",
            "`super::super`",
        ),
        (
            "report/mod.rs",
            "use crate::cluster::connect;",
            "`report` imports `cluster::connect`",
        ),
        (
            "main.rs",
            "use preview_action::pipeline;",
            "`main` imports `pipeline`",
        ),
        ("trigger/mod.rs", "async fn decide() {}", "`async`"),
        (
            "plan/expiry.rs",
            "fn f() { jiff::Timestamp::now(); }",
            "`Timestamp::now`",
        ),
        (
            "inputs/raw.rs",
            "use std::{collections::BTreeMap, env};",
            "`std::env`",
        ),
        (
            "cluster/outcome.rs",
            "use std::time::Instant;",
            "`std::time::Instant`",
        ),
        ("cli/mod.rs", "use octocrab::Octocrab;", "`octocrab`"),
        ("pipeline/mod.rs", "fn f(e: kube::Error) {}", "`kube`"),
        (
            "pipeline/mod.rs",
            "const A: &str = \"GITHUB_TOKEN\";",
            "`GITHUB_`",
        ),
        (
            "report/mod.rs",
            "fn f() -> anyhow::Result<()> { Ok(()) }",
            "`anyhow`",
        ),
        ("sideways.rs", "fn f() {}", "`sideways` has no direction"),
    ];
    for (path, text, expected) in cases {
        let found = faults(&Source::new(Path::new(path), text));
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{path}: {text}\nfound {found:?}, not {expected}"
        );
    }
}

/// What is allowed must not be reported, or the checker would be switched off one day.
#[test]
fn allowed_code_is_not_reported() {
    let cases = [
        (
            "plan/mod.rs",
            "use crate::{names::{Host, Label}, inputs::Settings, trigger};",
        ),
        (
            "plan/mod.rs",
            "// use crate::cluster;\n/* crate::report /* nested */ async */\nfn f() {}",
        ),
        (
            "plan/mod.rs",
            "const A: &str = \"crate::cluster async\"; const B: &str = r#\"crate::\"report\"#;",
        ),
        (
            "plan/mod.rs",
            "fn f<'a>(x: &'a str) -> char { let _ = '\"'; let _ = '\\''; 'c' }",
        ),
        (
            "plan/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::report::{A, B};\n    fn f() { if true { tokio(); } }\n}",
        ),
        (
            "plan/mod.rs",
            "#[cfg(test)]\n#[allow(x)]\nuse crate::report::A;\nfn f() {}",
        ),
        (
            "plan/naming.rs",
            "use super::Plan;\nuse crate::plan::PreviewUrl;",
        ),
        (
            "report/comment.rs",
            "use crate::cluster::outcome::{Change, Rollout};",
        ),
        ("cluster/mod.rs", "use kube::Client; async fn f() {}"),
        ("runner/context.rs", "const A: &str = \"GITHUB_OUTPUT\";"),
        ("capacity/mod.rs", "let random = branded; /// async\n"),
        (
            "pipeline/mod.rs",
            "/// Reads `GITHUB_SHA` never.\nfn f(kube_config: ()) {}",
        ),
    ];
    for (path, text) in cases {
        let found = faults(&Source::new(Path::new(path), text));
        assert!(found.is_empty(), "{path}: {text}\nreported {found:?}");
    }
}

/// One file of `src/`.
struct Source {
    /// Path below `src/`.
    path: String,
    /// Its top-level module; `main` and `lib` for the roots.
    module: String,
    /// How deep its module lies below the crate root.
    depth: usize,
    /// Text without comments and tests.
    text: String,
    /// The same without the contents of strings.
    code: String,
}

impl Source {
    fn new(path: &Path, text: &str) -> Self {
        let mut parts: Vec<String> = path
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        let (text, code) = without_comments(text);
        let tests = test_spans(&code);
        let blank = |from: String| -> String {
            from.char_indices()
                .map(|(at, c)| {
                    if c != '\n' && tests.iter().any(|span| span.contains(&at)) {
                        ' '
                    } else {
                        c
                    }
                })
                .collect()
        };
        Self {
            path: path.to_str().unwrap().to_owned(),
            module: parts.first().unwrap().clone(),
            depth: parts.len(),
            text: blank(text),
            code: blank(code),
        }
    }
}

/// Everything that this file names and may not.
fn faults(source: &Source) -> Vec<String> {
    let Source {
        path, module, code, ..
    } = source;
    if module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = DIRECTIONS.iter().find(|(name, _)| name == module) else {
        return vec![format!(
            "src/{path}: `{module}` has no direction; add it to the table in tests/architecture.rs"
        )];
    };
    let mut found = Vec::new();

    let mut imports: BTreeSet<Vec<String>> = ["crate", "preview_action"]
        .iter()
        .flat_map(|root| paths_below(code, root))
        .collect();
    let above = paths_below(code, "super");
    if above
        .iter()
        .any(|path| path.first().is_some_and(|part| part == "super"))
    {
        found.push(format!(
            "src/{path}: `super::super` hides where a path leads; write `crate::`"
        ));
    }
    if source.depth == 1 {
        imports.extend(above);
    }
    let modules: BTreeMap<&str, ()> = DIRECTIONS.iter().map(|(name, _)| (*name, ())).collect();
    for import in imports {
        let Some(first) = import.first().map(String::as_str) else {
            continue;
        };
        if first == module || !modules.contains_key(first) {
            continue;
        }
        let name = import.join("::");
        if allowed.contains(&first)
            || allowed
                .iter()
                .any(|part| name == *part || name.starts_with(&format!("{part}::")))
        {
            continue;
        }
        let partly = allowed
            .iter()
            .any(|part| part.starts_with(&format!("{first}::")));
        let shown = if partly { name.as_str() } else { first };
        found.push(format!(
            "src/{path}: `{module}` imports `{shown}`, but may import only {allowed:?}"
        ));
    }

    if PURE.contains(&module.as_str()) || PURE.contains(&path.as_str()) {
        let std_paths: Vec<String> = paths_below(code, "std")
            .iter()
            .map(|parts| format!("std::{}", parts.join("::")))
            .collect();
        for word in IMPURE {
            let named = std_paths
                .iter()
                .any(|path| path == word || path.starts_with(&format!("{word}::")));
            if named || has_word(code, word) {
                found.push(format!("src/{path}: `{word}` in a pure place; make it an argument, or do it in an edge or the pipeline"));
            }
        }
    }
    for (name, users) in SOLE_USERS {
        if !users.contains(&module.as_str())
            && (has_word(code, &format!("{name}::")) || has_word(code, &format!("use {name}")))
        {
            found.push(format!(
                "src/{path}: `{name}` may be named only in {users:?}"
            ));
        }
    }
    for (beginning, speakers) in SOLE_SPEAKERS {
        if !speakers.contains(&module.as_str()) && source.text.contains(beginning) {
            found.push(format!(
                "src/{path}: `{}` may be written only in {speakers:?}",
                beginning.trim_start_matches('"')
            ));
        }
    }
    found.dedup();
    found
}

/// Every path that begins at `root`, groups taken apart: `crate::{a::b, c}` gives `a::b` and `c`.
fn paths_below(code: &str, root: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| is_word(c) || c == ':') {
            continue;
        }
        let rest = code[at + root.len()..].trim_start();
        if let Some(rest) = rest.strip_prefix("::") {
            path_tree(rest, &[], &mut found);
        }
    }
    found
}

/// Reads one path tree, adds its leaves, and gives what follows it.
fn path_tree<'a>(text: &'a str, prefix: &[String], found: &mut BTreeSet<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = path_tree(rest, prefix, found).trim_start();
            rest = after.strip_prefix(',').unwrap_or(after);
            if rest.len() == after.len() && !rest.starts_with('}') {
                // Not a group of paths after all, such as a block in an expression.
                return rest;
            }
        }
    }
    let length = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let mut path = prefix.to_vec();
    if !name.is_empty() && name != "self" {
        path.push(name.to_owned());
    }
    let after = rest.trim_start();
    if let Some(next) = after
        .strip_prefix("::")
        .filter(|next| !next.trim_start().starts_with('<'))
        && !name.is_empty()
    {
        return path_tree(next, &path, found);
    }
    found.insert(path);
    let rest = after.strip_prefix('*').unwrap_or(rest);
    // A new name, `as x`, is no path.
    match rest.trim_start().strip_prefix("as ") {
        Some(renamed) => renamed.trim_start().trim_start_matches(is_word),
        None => rest,
    }
}

/// Gives the text without comments, and the same without the contents of strings; positions stay.
fn without_comments(source: &str) -> (String, String) {
    let chars: Vec<char> = source.chars().collect();
    let (mut text, mut code) = (String::new(), String::new());
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    // One byte for each character, so that positions in both results are the same.
    let plain = |c: char| if c.is_ascii() { c } else { '_' };
    let space = |c: char| if c == '\n' { '\n' } else { ' ' };
    let mut i = 0;
    while i < chars.len() {
        let raw_hashes = || {
            let mut hashes = 0;
            while at(i + 1 + hashes) == '#' {
                hashes += 1;
            }
            (at(i + 1 + hashes) == '"').then_some(hashes)
        };
        let in_word = i > 0 && is_word(at(i - 1)) && !(at(i - 1) == 'b' && at(i) == 'r');
        let end;
        let comment = match at(i) {
            '/' if at(i + 1) == '/' => {
                end = (i..chars.len())
                    .find(|&j| at(j) == '\n')
                    .unwrap_or(chars.len());
                true
            }
            '/' if at(i + 1) == '*' => {
                let (mut depth, mut j) = (1, i + 2);
                while depth > 0 && j < chars.len() {
                    match (at(j), at(j + 1)) {
                        ('/', '*') => (depth, j) = (depth + 1, j + 2),
                        ('*', '/') => (depth, j) = (depth - 1, j + 2),
                        _ => j += 1,
                    }
                }
                end = j;
                true
            }
            '"' => {
                let mut j = i + 1;
                while j < chars.len() && at(j) != '"' {
                    j += if at(j) == '\\' { 2 } else { 1 };
                }
                end = (j + 1).min(chars.len());
                false
            }
            'r' if !in_word && raw_hashes().is_some() => {
                let hashes = raw_hashes().unwrap();
                let mut j = i + hashes + 2;
                let closed = |j: usize| at(j) == '"' && (1..=hashes).all(|k| at(j + k) == '#');
                while j < chars.len() && !closed(j) {
                    j += 1;
                }
                end = (j + hashes + 1).min(chars.len());
                false
            }
            '\'' if at(i + 1) == '\\' => {
                end = (i + 3..chars.len())
                    .find(|&j| at(j) == '\'')
                    .unwrap_or(chars.len() - 1)
                    + 1;
                false
            }
            '\'' if at(i + 2) == '\'' => {
                end = i + 3;
                false
            }
            c => {
                text.push(plain(c));
                code.push(plain(c));
                i += 1;
                continue;
            }
        };
        for &c in &chars[i..end] {
            text.push(if comment { space(c) } else { plain(c) });
            code.push(space(c));
        }
        i = end;
    }
    (text, code)
}

/// Where items marked `#[cfg(test)]` stand, from the mark to their closing brace or semicolon.
fn test_spans(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut spans = Vec::new();
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let mut at = start + mark.len();
        // Further attributes of the same item.
        while code[at..].trim_start().starts_with("#[") {
            at += code[at..].find(']').unwrap() + 1;
        }
        let Some(open) = code[at..].find(['{', ';']).map(|offset| at + offset) else {
            continue;
        };
        let is_import = code[at..].trim_start().starts_with("use ");
        let end = if is_import || code[open..].starts_with(';') {
            code[at..].find(';').map(|offset| at + offset + 1)
        } else {
            let mut depth = 0_i32;
            code[open..].char_indices().find_map(|(offset, c)| {
                depth += match c {
                    '{' => 1,
                    '}' => -1,
                    _ => 0,
                };
                (depth == 0).then_some(open + offset + 1)
            })
        };
        spans.push(start..end.unwrap_or(code.len()));
    }
    spans
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let open = word.ends_with(':');
        !before.is_some_and(is_word) && (open || !after.is_some_and(is_word))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The table as Markdown.
fn table() -> String {
    let mut text = String::from("| module | may import |\n| --- | --- |\n");
    for (module, imports) in DIRECTIONS {
        let imports: Vec<String> = imports.iter().map(|import| format!("`{import}`")).collect();
        let imports = if imports.is_empty() {
            "nothing from the crate".to_owned()
        } else {
            imports.join(", ")
        };
        writeln!(text, "| `{module}` | {imports} |").unwrap();
    }
    text
}

/// Every file of `src/` that isn't a test module of its own.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let tests: BTreeSet<PathBuf> = files.iter().flat_map(|file| test_files(file)).collect();
    files
        .iter()
        .filter(|file| !tests.iter().any(|test| file.starts_with(test)))
        .map(|file| {
            Source::new(
                file.strip_prefix(&src).unwrap(),
                &fs::read_to_string(file).unwrap(),
            )
        })
        .collect()
}

/// Files and folders that `#[cfg(test)] mod name;` in this file refers to.
fn test_files(file: &Path) -> Vec<PathBuf> {
    let (_, code) = without_comments(&fs::read_to_string(file).unwrap());
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let folder = match stem {
        "mod" | "lib" | "main" => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    test_spans(&code)
        .into_iter()
        .filter_map(|span| {
            let item = code[span].trim_end().strip_suffix(';')?;
            let (_, name) = item.rsplit_once("mod ")?;
            Some([
                folder.join(format!("{}.rs", name.trim())),
                folder.join(name.trim()),
            ])
        })
        .flatten()
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
