//! Turns the first line of a comment into a command, a near miss, or nothing.
//! It does not know who wrote the comment or whether that person may give commands.
//! The match is exact: prose that mentions a command, quotes and code blocks must never start anything.

use crate::{
    inputs,
    names::{CommitSha, PrNumber},
};
use std::time::Duration;

/// What somebody asks for in a comment or in a run started by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `/deploy`, with the commit that must be the head.
    Deploy(Option<CommitSha>),
    /// `/deploy --take`, with the pull request whose slot is taken.
    Take(PrNumber),
    /// `/approve`, with the one commit of a fork that may run.
    Approve(CommitSha),
    /// `/undeploy`.
    Undeploy,
    /// `/rollback`.
    Rollback,
    /// `/extend`, with how much longer the preview is to live.
    Extend(Duration),
    /// `/pin`.
    Pin,
    /// `/unpin`.
    Unpin,
    /// `/sleep`.
    Sleep,
    /// `/wake`.
    Wake,
    /// `/logs`, with what is to be shown.
    Logs(Which),
    /// `/diff`.
    Diff,
    /// `/check`.
    Check,
    /// `/status`.
    Status,
    /// `/help`.
    Help,
}

/// Whose log is to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Which {
    /// Service, or any other workload by its name; none for all.
    pub service: Option<String>,
    /// Container; none for the one that Kubernetes would show.
    pub container: Option<String>,
    /// True for the container's life before this one.
    pub previous: bool,
}

/// What the first line of a comment is, if it begins like a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstLine {
    /// A command.
    Command(Command),
    /// One word that is nearly a command; the word is untrusted but plain.
    NearMiss {
        /// The word as written.
        written: String,
        /// The command that it is nearly.
        meant: &'static str,
    },
    /// A command with something behind it that it does not take.
    BadArgument {
        /// The command.
        command: &'static str,
        /// What it takes.
        takes: &'static str,
    },
}

/// Every command as it is written.
pub const COMMANDS: [&str; 14] = [
    "/deploy",
    "/approve",
    "/undeploy",
    "/rollback",
    "/extend",
    "/pin",
    "/unpin",
    "/sleep",
    "/wake",
    "/logs",
    "/diff",
    "/check",
    "/status",
    "/help",
];

/// What `/logs` takes.
const LOGS: &str = "the name of one service, `--container` and the name of a container, and `--previous`, each at will";

/// Commands of other widespread bots that look like ours.
const FOREIGN: [&str; 12] = [
    "/improve",
    "/make",
    "/state",
    "/take",
    "/held",
    "/helm",
    "/hold",
    "/kelp",
    "/ping",
    "/pins",
    "/spin",
    "/deployed",
];

/// What `/approve` takes.
const APPROVAL: &str = "one commit id, in full: all 40 hexadecimal digits of the newest commit";

/// What `/extend` takes.
const EXTENSION: &str = "a time from 5m to 90d, such as `2d`";

/// The line of a comment that counts.
pub fn first_line(body: &str) -> &str {
    body.split(['\n', '\r']).next().unwrap_or_default()
}

/// Reads the first line of a comment; none when it does not look like a command of ours.
pub fn parse(body: &str) -> Option<FirstLine> {
    let line = first_line(body);
    let mut words = line.split_ascii_whitespace();
    let word = words.next()?;
    // A leading space would be skipped by the split.
    if !line.starts_with('/') {
        return None;
    }
    let Some(command) = COMMANDS.into_iter().find(|command| *command == word) else {
        return near_miss(word, words.next().is_some());
    };
    let bad = |takes| Some(FirstLine::BadArgument { command, takes });
    if command == "/logs" {
        let which = which(words);
        return which.map_or_else(
            || bad(LOGS),
            |which| Some(FirstLine::Command(Command::Logs(which))),
        );
    }
    if command == "/approve" {
        return approval(words);
    }
    let argument = words.next();
    let second = words.next();
    let more = second.is_some();
    let parsed = match (command, argument) {
        ("/deploy", None) => Command::Deploy(None),
        ("/deploy", Some("--take")) => match second.map(str::parse) {
            Some(Ok(pr)) if words.next().is_none() => Command::Take(pr),
            _ => {
                return bad(
                    "behind `--take` the number of one other pull request, such as `--take #12`",
                );
            }
        },
        ("/deploy", Some(text)) => match text.parse() {
            Ok(sha) if !more => Command::Deploy(Some(sha)),
            _ => {
                return bad(
                    "nothing, one full commit id, or `--take` and the number of another pull request",
                );
            }
        },
        ("/extend", Some(text)) => match inputs::extension(text) {
            Some(time) if !more => Command::Extend(time),
            _ => return bad(EXTENSION),
        },
        ("/extend", None) => return bad(EXTENSION),
        (_, Some(_)) => return bad("nothing"),
        ("/undeploy", None) => Command::Undeploy,
        ("/rollback", None) => Command::Rollback,
        ("/pin", None) => Command::Pin,
        ("/unpin", None) => Command::Unpin,
        ("/sleep", None) => Command::Sleep,
        ("/wake", None) => Command::Wake,
        ("/diff", None) => Command::Diff,
        ("/check", None) => Command::Check,
        ("/status", None) => Command::Status,
        (_, None) => Command::Help,
    };
    Some(FirstLine::Command(parsed))
}

/// Reads what stands behind `/approve`; without anything like a commit it is the word of another widespread bot.
fn approval<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<FirstLine> {
    let word = words.next()?;
    if word.len() < 4 || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(match word.parse() {
        Ok(sha) if words.next().is_none() => FirstLine::Command(Command::Approve(sha)),
        _ => FirstLine::BadArgument {
            command: "/approve",
            takes: APPROVAL,
        },
    })
}

/// Reads what stands behind `/logs`; names are those of Kubernetes, so nothing else can hide in them.
fn which<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Which> {
    let name = |word: &str| {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        let sound = !word.starts_with('-') && word.len() <= 253 && word.bytes().all(plain);
        sound.then(|| word.to_owned())
    };
    let mut which = Which::default();
    while let Some(word) = words.next() {
        match word {
            "--previous" if !which.previous => which.previous = true,
            "--container" if which.container.is_none() => {
                which.container = Some(name(words.next()?)?)
            }
            service if which.service.is_none() => which.service = Some(name(service)?),
            _ => return None,
        }
    }
    Some(which)
}

fn near_miss(word: &str, more: bool) -> Option<FirstLine> {
    let plain = word
        .bytes()
        .skip(1)
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let lower = word.to_ascii_lowercase();
    if more || !plain || word.len() > 20 || FOREIGN.contains(&lower.as_str()) {
        return None;
    }
    // Half of a short word's neighbours are other bots' commands.
    let near = |distance, command: &str| distance == 1 || distance == 2 && command.len() > 6;
    COMMANDS
        .into_iter()
        .map(|command| (strsim::damerau_levenshtein(&lower, command), command))
        .filter(|(distance, command)| lower == *command || near(*distance, command))
        .min()
        .map(|(_, meant)| FirstLine::NearMiss {
            written: word.into(),
            meant,
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const SHA: &str = "4f2a9c1d7e8b3a5f6c0d9e8f7a6b5c4d3e2f1a0b";

    fn command(body: &str) -> Option<Command> {
        match parse(body) {
            Some(FirstLine::Command(command)) => Some(command),
            _ => None,
        }
    }

    #[rstest]
    #[case("/deploy", Command::Deploy(None))]
    #[case("/undeploy", Command::Undeploy)]
    #[case("/rollback", Command::Rollback)]
    #[case("/extend 2d", Command::Extend(Duration::from_secs(2 * 86_400)))]
    #[case("/extend 90m", Command::Extend(Duration::from_secs(90 * 60)))]
    #[case("/pin", Command::Pin)]
    #[case("/unpin", Command::Unpin)]
    #[case("/sleep", Command::Sleep)]
    #[case("/wake", Command::Wake)]
    #[case("/check", Command::Check)]
    #[case("/status", Command::Status)]
    #[case("/help", Command::Help)]
    fn the_first_line_alone_is_the_command(#[case] line: &str, #[case] expected: Command) {
        for body in [
            line.to_owned(),
            format!("{line}\n"),
            format!("{line}\r\n\r\nthank you"),
            format!("{line}  \t\n/help"),
        ] {
            assert_eq!(command(&body).as_ref(), Some(&expected), "{body:?}");
        }
    }

    #[test]
    fn deploy_takes_one_full_commit() {
        let expected = Some(Command::Deploy(Some(SHA.parse().unwrap())));
        assert_eq!(command(&format!("/deploy {SHA}")), expected);
        assert_eq!(
            command(&format!("/deploy  {}\r\n", SHA.to_uppercase())),
            expected
        );
    }

    #[test]
    fn approve_takes_one_commit_in_full_and_leaves_other_bots_their_word() {
        let expected = Some(Command::Approve(SHA.parse().unwrap()));
        assert_eq!(command(&format!("/approve {SHA}")), expected);
        let upper = format!("/approve  {}\r\nlooks fine", SHA.to_uppercase());
        assert_eq!(command(&upper), expected);
        for body in [
            "/approve 4f2a9c1".to_owned(),
            format!("/approve {}", &SHA[..39]),
            format!("/approve {SHA}0"),
            format!("/approve {SHA} now"),
            format!("/approve {SHA} {SHA}"),
        ] {
            let bad = matches!(parse(&body), Some(FirstLine::BadArgument { .. }));
            assert!(bad, "{body}");
        }
        for body in [
            "/approve".to_owned(),
            "/approve cancel".to_owned(),
            "/approve no-issue".to_owned(),
            format!("/approve `{SHA}`"),
            format!("/approve\n{SHA}"),
            format!("> /approve {SHA}"),
        ] {
            assert_eq!(parse(&body), None, "{body}");
        }
    }

    #[test]
    fn take_takes_one_pull_request() {
        let expected = Some(Command::Take(PrNumber::new(12).unwrap()));
        for body in [
            "/deploy --take 12",
            "/deploy --take #12",
            "/deploy  --take  #12\r\nplease",
        ] {
            assert_eq!(command(body), expected, "{body:?}");
        }
    }

    #[rstest]
    #[case("/deploy --take")]
    #[case("/deploy --take it")]
    #[case("/deploy --take 0")]
    #[case("/deploy --take 12 13")]
    #[case("/deploy --take=12")]
    #[case("/deploy 12 --take")]
    #[case("/deploy 4f2a9c1")]
    #[case("/deploy main")]
    #[case("/deploy please")]
    #[case(&format!("/deploy {SHA} now"))]
    #[case("/undeploy now")]
    #[case("/rollback 4f2a9c1")]
    #[case("/extend")]
    #[case("/extend soon")]
    #[case("/extend 91d")]
    #[case("/extend 4m")]
    #[case("/extend -2d")]
    #[case("/extend 2d please")]
    #[case("/pin 2d")]
    #[case("/status 12")]
    #[case("/check web")]
    #[case("/help deploy")]
    fn anything_else_behind_a_command_makes_it_none(#[case] body: &str) {
        assert!(
            matches!(parse(body), Some(FirstLine::BadArgument { .. })),
            "{body}"
        );
    }

    #[rstest]
    fn prose_quotes_and_code_are_no_commands(
        #[values(
            "",
            " /deploy",
            "\t/deploy",
            "\n/deploy",
            "> /deploy",
            "`/deploy`",
            "```\n/deploy\n```",
            "    /deploy",
            "- /deploy",
            "please /deploy",
            "hello\n/deploy",
            "/deployment",
            "/deploy-prod",
            "/deploy/now",
            "/deploy!!!",
            "/deploy,please",
            "//deploy now",
            "deploy",
            "\u{feff}/deploy",
            "\u{a0}/deploy",
            "/approve",
            "/"
        )]
        body: &str,
    ) {
        assert_eq!(parse(body), None);
    }

    #[rstest]
    #[case("/Deploy", "/deploy")]
    #[case("/DEploy", "/deploy")]
    #[case("/deplyo", "/deploy")]
    #[case("/deploys", "/deploy")]
    #[case("/undeplyo", "/undeploy")]
    #[case("/stats", "/status")]
    #[case("/halp", "/help")]
    fn one_word_that_is_nearly_a_command_says_which(#[case] body: &str, #[case] meant: &str) {
        let Some(FirstLine::NearMiss { written, meant: is }) = parse(body) else {
            unreachable!("{body}: {:?}", parse(body));
        };
        assert_eq!((written.as_str(), is), (body, meant));
        assert_eq!(parse(&format!("{body} it")), None, "more than one word");
    }

    proptest! {
        #[test]
        fn only_the_first_line_counts(first in "[^\r\n]*", rest in "\\PC*") {
            prop_assert_eq!(parse(&format!("{first}\n{rest}")), parse(&first));
        }

        #[test]
        fn a_command_begins_with_its_exact_word(body in "/?(deploy|undeploy|rollback|extend|pin|unpin|sleep|wake|status|help)?\\PC{0,50}") {
            if command(&body).is_some() {
                prop_assert!(COMMANDS.contains(&body.split_ascii_whitespace().next().unwrap()));
            }
        }
    }
}
