//! Makes a page of every comment that the action writes, from the snapshots that hold their wording, as GitHub would show them.
//! It renders no view of its own: a picture of what no test holds would be a second truth.
//! The page is `target/gallery/index.html`; `.ci/gallery` takes the README's pictures from two pages beside it.

use super::{read, root};
use comrak::{Options, markdown_to_html};
use preview_action::inputs::registry::OUTPUTS;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write as _, fs};

/// What is no comment: the outputs of a step.
const NO_PICTURES: [&str; 1] = ["outputs"];

/// What every comment has, or parts of one that are pictured in it.
const PARTS: [&str; 6] = ["layout", "cut", "_holders", "_life", "_push", "_volumes"];

/// What the README shows, in its order: first column, second column.
const README: [&str; 4] = ["ready", "queued", "failed", "sleeping"];

/// The README's pictures, by name, and how many bytes each may have.
const PICTURES: [(&str, u64); 2] = [("gallery", 300_000), ("states", 900_000)];

/// Beside the pictures: what they were made of.
const MADE_OF: &str = "docs/gallery.sha256";

/// Every comment, by the name of its snapshot.
fn comments() -> BTreeMap<String, String> {
    let mut comments = BTreeMap::new();
    let folders = ["src/report/snapshots", "tests/integration/snapshots"];
    let files = folders.map(|folder| fs::read_dir(root().join(folder)).unwrap());
    for entry in files.into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "snap") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let name = name.rsplit("__").next().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once("---\n").unwrap();
        let (_, comment) = rest.split_once("\n---\n").unwrap();
        if !NO_PICTURES.contains(&name.as_str()) {
            comments.insert(name, comment.to_owned());
        }
    }
    comments
}

/// As GitHub shows it: by a port of its own renderer, with the extensions that it has on.
fn rendered(comment: &str) -> String {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.extension.alerts = true;
    options.extension.footnotes = true;
    // GitHub lets the HTML through that its own filter leaves, which comes behind this.
    options.render.r#unsafe = true;
    options.render.github_pre_lang = true;
    markdown_to_html(comment, &options)
}

fn picture(name: &str, comment: &str, linked: bool) -> String {
    let link = match linked {
        true => format!("<a href=\"#{name}\">{name}</a>"),
        false => String::new(),
    };
    format!(
        "<article class=\"picture\" id=\"{name}\"><header>{link}<b>github-actions</b> <i>bot</i> commented</header>\n<div class=\"body\">\n{}</div></article>\n",
        rendered(comment)
    )
}

/// A whole page, with the theme of who reads it where none is named.
fn page(theme: &str, class: &str, body: &str) -> String {
    let theme = match theme {
        "" => String::new(),
        named => format!(" data-theme=\"{named}\""),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"{theme}><meta charset=\"utf-8\"><title>What the action says</title>\n<style>\n{}</style>\n<body><main class=\"{class}\">\n{body}</main></body></html>\n",
        read("tests/contract/gallery.css")
    )
}

/// The page that one of the README's pictures is taken of: four comments, or one of every state.
fn of_readme(picture_name: &str, theme: &str) -> String {
    let comments = comments();
    let (names, class) = match picture_name {
        "gallery" => (README.to_vec(), "columns"),
        _ => (states(), "columns three"),
    };
    let pictures: String = names
        .iter()
        .map(|name| picture(name, &comments[*name], false))
        .collect();
    page(theme, class, &pictures)
}

/// Every state that the output of that name can have.
fn states() -> Vec<&'static str> {
    let output = OUTPUTS.iter().find(|output| output.name == "state");
    output
        .unwrap()
        .purpose
        .split('`')
        .skip(1)
        .step_by(2)
        .collect()
}

#[test]
fn every_state_and_every_kind_of_comment_has_a_picture_of_its_own_name() {
    let comments = comments();
    assert!(states().len() > 10);
    for state in states() {
        assert!(comments.contains_key(state), "no picture of {state}");
    }
    for entry in fs::read_dir(root().join("templates/comment")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".md.j2").unwrap();
        let pictured = comments.contains_key(name.trim_start_matches('_'));
        assert_eq!(pictured, !PARTS.contains(&name), "{file}");
    }
    let kinds: Vec<&str> = comments
        .values()
        .filter_map(|comment| {
            let (_, rest) = comment.split_once("<!-- preview-action v1 kind=")?;
            rest.split(' ').next()
        })
        .collect();
    for kind in [
        "status",
        "help",
        "logs",
        "diff",
        "check",
        "expiry",
        "dashboard",
        "operator",
    ] {
        assert!(kinds.contains(&kind), "no comment of the kind {kind}");
    }
}

#[test]
fn a_page_shows_all_of_them() {
    let comments = comments();
    let mut body = String::from("<h1>What the action says</h1>\n");
    for (name, comment) in &comments {
        body.push_str(&picture(name, comment, true));
    }
    let page = page("", "", &body);
    for name in comments.keys() {
        let article = format!("<article class=\"picture\" id=\"{name}\">");
        assert_eq!(page.matches(&article).count(), 1, "{name}");
    }
    let folder = root().join("target/gallery");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("index.html"), page).unwrap();
    for (name, _) in PICTURES {
        for theme in ["light", "dark"] {
            let file = folder.join(format!("{name}-{theme}.html"));
            fs::write(file, of_readme(name, theme)).unwrap();
        }
    }
}

/// The text of a rendered comment without what is in code type, and without tags.
fn words(html: &str) -> String {
    let mut words = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        words.push_str(&rest[..at]);
        let code = rest[at..].starts_with("<code");
        let end = if code { "</code>" } else { ">" };
        let length = rest[at..].find(end).unwrap() + end.len();
        rest = &rest[at + length..];
    }
    words + rest
}

#[test]
fn nothing_is_left_that_should_have_been_rendered() {
    for (name, comment) in comments() {
        let html = rendered(&comment);
        let words = words(&html);
        for raw in [
            "**", "|--", "|:-", "](", "```", "`", "~~", "###", "{{", "{%",
        ] {
            assert!(!words.contains(raw), "{name} shows {raw:?}: {words}");
        }
        for line in words.lines() {
            assert!(!line.trim_start().starts_with("| "), "{name}: {line}");
        }
    }
}

#[test]
fn every_fold_is_closed_and_has_one_title() {
    let mut folds = 0;
    for (name, comment) in comments() {
        let html = rendered(&comment);
        let mut depth = 0_i32;
        for (at, _) in html.match_indices('<') {
            let tag = html[at..].split(['>', ' ']).next().unwrap();
            match tag {
                "<details" => {
                    depth += 1;
                    folds += 1;
                    let title = html[at..].split_once('>').unwrap().1.trim_start();
                    assert!(title.starts_with("<summary>"), "{name}");
                }
                "</details" => depth -= 1,
                _ => {}
            }
            assert!((0..=1).contains(&depth), "{name}: {html}");
        }
        assert_eq!(depth, 0, "{name}");
        let titles = ["<summary>", "</summary>", "<details"].map(|tag| html.matches(tag).count());
        assert!(titles.iter().all(|count| *count == titles[0]), "{name}");
    }
    assert!(folds > 10, "{folds}");
}

/// A picture cannot be compared with a page by a program that has no browser; what it was made of can.
#[test]
fn the_readmes_pictures_are_of_what_is_said_today() {
    let pages = PICTURES.map(|(name, _)| of_readme(name, "light"));
    let made_of = Sha256::digest(pages.concat());
    let mut text = String::new();
    for byte in made_of {
        write!(text, "{byte:02x}").unwrap();
    }
    let now = format!("{text}\n");
    let wanted = root().join("target/gallery/sha256");
    fs::create_dir_all(wanted.parent().unwrap()).unwrap();
    fs::write(wanted, &now).unwrap();
    // `.ci/gallery` is making them.
    if std::env::var_os("GALLERY").is_some() {
        return;
    }
    assert_eq!(
        read(MADE_OF),
        now,
        "the pictures are old; `.ci/gallery` makes them anew"
    );
    for (name, most) in PICTURES {
        for theme in ["light", "dark"] {
            let path = format!("docs/{name}-{theme}.png");
            assert!(read("README.md").contains(&path), "{path}");
            let size = fs::metadata(root().join(&path)).unwrap().len();
            assert!((10_000..most).contains(&size), "{path}: {size} bytes");
        }
    }
}
