//! What must hold of any text at all that is read as a command: the judge of the tests and of the fuzzer.
//! It shares nothing with the parser but its answer, and names no command, so that it holds of those to come.
//! It panics, because that is what a fuzzer listens for.

use preview_action::trigger::{
    command::{COMMANDS, FirstLine, parse},
    prefix,
};

const PREFIX: &str = "/preview";

/// Holds the reading of a text behind a prefix to the rules: nothing counts without it, and it adds no meaning.
fn hold_behind(body: &str) {
    let line = body.split(['\n', '\r']).next().unwrap_or_default();
    let read = |text: &str| prefix::parse(Some(PREFIX), text);
    assert!(read(body).is_none() || line.starts_with(PREFIX), "{body:?}");
    let behind = format!("{PREFIX} {}", body.strip_prefix('/').unwrap_or(body));
    let bare = parse(body);
    match (&bare, read(&behind)) {
        (Some(FirstLine::Command(_)), found) => assert_eq!(found, bare, "{behind:?}"),
        (_, Some(FirstLine::Command(_))) => {
            let word = line
                .trim_start_matches(['/', ' ', '\t'])
                .split_ascii_whitespace()
                .next();
            let known = word.is_none_or(|word| COMMANDS.contains(&format!("/{word}").as_str()));
            assert!(known, "{behind:?}");
        }
        _ => {}
    }
    for before in ["> ", "`", " ", "\n"] {
        let told = format!("{before}{behind}");
        assert_eq!(read(&told), None, "{told:?}");
    }
}

/// Holds the reading of a text to the rules.
pub(super) fn hold(body: &str) {
    hold_behind(body);
    let read = parse(body);
    let line = body.split(['\n', '\r']).next().unwrap_or_default();
    assert_eq!(
        read,
        parse(line),
        "more than the first line counts: {body:?}"
    );
    // Quotes, code, lists, prose and indented lines are somebody's words about a command.
    for before in [
        "> ", "`", " ", "\t", "    ", "- ", "please ", "\u{feff}", "\u{a0}", "```\n", "\n",
    ] {
        let told = format!("{before}{body}");
        assert_eq!(parse(&told), None, "{told:?}");
    }
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    match read {
        None => {}
        Some(FirstLine::Command(_)) => {
            assert!(
                line.starts_with('/') && COMMANDS.contains(&first),
                "{body:?}"
            );
            let plain = |c: char| c.is_ascii_alphanumeric() || "/-.#".contains(c);
            assert!(words.all(|word| word.chars().all(plain)), "{body:?}");
            let once: Vec<&str> = line.split_ascii_whitespace().collect();
            assert_eq!(
                read,
                parse(&once.join(" ")),
                "blanks mean something: {body:?}"
            );
            let more = format!("{line} and two more");
            assert!(
                !matches!(parse(&more), Some(FirstLine::Command(_))),
                "{more:?}"
            );
        }
        Some(FirstLine::NearMiss { written, meant }) => {
            let rest: Vec<&str> = words.collect();
            let meant_so = parse(&format!("{meant} {}", rest.join(" ")));
            let fits = rest.is_empty() || matches!(meant_so, Some(FirstLine::Command(_)));
            assert!(written == first && fits, "{body:?}");
            assert!(
                !COMMANDS.contains(&first) && COMMANDS.contains(&meant),
                "{body:?}"
            );
            let plain = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c);
            assert!(
                written.len() <= 20 && written.chars().all(plain),
                "{body:?}"
            );
        }
        Some(FirstLine::BadArgument { command, .. }) => assert_eq!(command, first, "{body:?}"),
    }
}
