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
    /// `/deploy`, with the commit that is to be deployed.
    Deploy(Option<CommitSha>),
    /// `/deploy --take`, with the commit that is to be deployed, and the pull request whose slot is taken.
    Take(Option<CommitSha>, PrNumber),
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

/// What `/deploy` takes.
const DEPLOYMENT: &str = "at will one full commit id, and `--take` with the number of one other pull request, such as `--take #12`";

/// What `/approve` takes.
const APPROVAL: &str = "one commit id, in full: all 40 hexadecimal digits of the newest commit, with nothing around them";

/// What `/extend` takes.
const EXTENSION: &str = "a time from 5m to 90d, such as `2d`";

/// The line of a comment that counts.
pub fn first_line(body: &str) -> &str {
    body.split(['\n', '\r']).next().unwrap_or_default()
}

/// Reads the first line of a comment; none when it does not look like a command of ours.
pub fn parse(body: &str) -> Option<FirstLine> {
    read(body, false)
}

/// Reads a line whose words are all `ours`, or one that another bot may be meant by.
pub(super) fn read(body: &str, ours: bool) -> Option<FirstLine> {
    let line = first_line(body);
    let mut words = line.split_ascii_whitespace();
    let word = words.next()?;
    // A leading space would be skipped by the split.
    if !line.starts_with('/') {
        return None;
    }
    let Some(command) = COMMANDS.into_iter().find(|command| *command == word) else {
        return near_miss(word, words);
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
        return approval(words, ours);
    }
    if command == "/deploy" {
        let parsed = deployment(words);
        return parsed.map_or_else(|| bad(DEPLOYMENT), |found| Some(FirstLine::Command(found)));
    }
    let argument = words.next();
    let more = words.next().is_some();
    let parsed = match (command, argument) {
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

/// Reads what stands behind `/deploy`: a commit, whose slot is taken, both or neither.
fn deployment<'a>(words: impl Iterator<Item = &'a str>) -> Option<Command> {
    let mut words = words.peekable();
    let sha = match words.next_if(|word| *word != "--take") {
        Some(word) => Some(word.parse().ok()?),
        None => None,
    };
    let parsed = match words.next() {
        Some("--take") => Command::Take(sha, words.next()?.parse().ok()?),
        Some(_) => return None,
        None => Command::Deploy(sha),
    };
    words.next().is_none().then_some(parsed)
}

/// Reads what stands behind `/approve`; other words than a commit belong to another widespread bot, unless all are `ours`.
fn approval<'a>(mut words: impl Iterator<Item = &'a str>, ours: bool) -> Option<FirstLine> {
    let word = words.next().unwrap_or_default();
    let sha = word.parse().ok().filter(|_| words.next().is_none());
    if let Some(sha) = sha {
        return Some(FirstLine::Command(Command::Approve(sha)));
    }
    // A commit in back-ticks, or in the brackets of the help.
    let bare = word.trim_matches(['`', '<', '>']);
    let commit = bare.len() >= 4 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    (ours || commit || word.is_empty()).then_some(FirstLine::BadArgument {
        command: "/approve",
        takes: APPROVAL,
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

/// Reads a word that is no command; with more behind it, it counts only where that is what the command takes.
fn near_miss<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<FirstLine> {
    let plain = word
        .bytes()
        .skip(1)
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let lower = word.to_ascii_lowercase();
    if !plain || word.len() > 20 || FOREIGN.contains(&lower.as_str()) {
        return None;
    }
    // Half of a short word's neighbours are other bots' commands.
    let near = |distance, command: &str| distance == 1 || distance == 2 && command.len() > 6;
    let more: Vec<&str> = words.collect();
    let fits = |command: &str| {
        let whole = format!("{command} {}", more.join(" "));
        more.is_empty() || matches!(parse(&whole), Some(FirstLine::Command(_)))
    };
    COMMANDS
        .into_iter()
        .filter(|command| fits(command))
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
            format!("/approve `{SHA}`"),
            "/approve".to_owned(),
            format!("/approve\n{SHA}"),
        ] {
            let bad = matches!(parse(&body), Some(FirstLine::BadArgument { .. }));
            assert!(bad, "{body}");
        }
        for body in [
            "/approve cancel".to_owned(),
            "/approve no-issue".to_owned(),
            format!("> /approve {SHA}"),
        ] {
            assert_eq!(parse(&body), None, "{body}");
        }
    }

    #[test]
    fn take_takes_one_pull_request() {
        let of = |sha| Some(Command::Take(sha, PrNumber::new(12).unwrap()));
        let both = command(&format!("/deploy {SHA} --take #12"));
        assert_eq!(both, of(Some(SHA.parse().unwrap())));
        let expected = of(None);
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
    #[case(&format!("/deploy --take #12 {SHA}"))]
    #[case(&format!("/deploy {SHA} --take"))]
    #[case(&format!("/deploy {SHA} --take #12 now"))]
    #[case("/deploy main --take #12")]
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

    #[rstest]
    #[case("/extnd 2d", "/extend")]
    #[case("/Extend 2d", "/extend")]
    #[case("/Extend", "/extend")]
    #[case(&format!("/aprove {SHA}"), "/approve")]
    #[case(&format!("/Deploy {SHA}"), "/deploy")]
    #[case("/deplyo --take #12", "/deploy")]
    #[case("/log web --previous", "/logs")]
    fn what_a_command_takes_shows_which_one_was_meant(
        #[case] body: &str,
        #[case] meant: &'static str,
    ) {
        let word = body.split(' ').next().unwrap();
        let wanted = FirstLine::NearMiss {
            written: word.into(),
            meant,
        };
        assert_eq!(parse(body), Some(wanted), "{body}");
    }

    #[rstest]
    fn words_behind_what_is_nearly_a_command_are_prose(
        #[values(
            "/Deploy everything",
            "/extnd the deadline",
            "/aprove it",
            "/approved by me",
            "/lots of them",
            "/hold 2d",
            "/Status 12"
        )]
        body: &str,
    ) {
        assert_eq!(parse(body), None);
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
