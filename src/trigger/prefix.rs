//! The word that may stand before every command, so that several bots can share a pull request.
//! It knows which words are commands and nothing of what they do; texts everywhere say `/deploy`, and are spelled here.
//! Behind the prefix everything is ours, so what is no command is answered there.

use super::command::{self, COMMANDS, FirstLine};

/// Reads the first line of a comment; with a prefix nothing counts that does not begin with it.
pub fn parse(prefix: Option<&str>, body: &str) -> Option<FirstLine> {
    let Some(prefix) = prefix else {
        return command::parse(body);
    };
    let rest = command::first_line(body).strip_prefix(prefix)?;
    if rest.trim().is_empty() {
        return command::parse("/help");
    }
    // `/previews` is another bot's.
    let rest = rest.strip_prefix([' ', '\t'])?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let word = rest.split_ascii_whitespace().next()?;
    let plain = word.len() <= 20 && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let nearly = |meant| FirstLine::NearMiss {
        written: format!("{prefix} {word}"),
        meant,
    };
    match command::read(&format!("/{rest}"), true) {
        Some(FirstLine::NearMiss { meant, .. }) => Some(nearly(meant)),
        None => plain.then(|| nearly("/help")),
        found => found,
    }
}

/// The text with every command of ours as people here have to write it.
pub fn spell(prefix: Option<&str>, text: &str) -> String {
    let Some(prefix) = prefix else {
        return text.into();
    };
    let mut spelled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, from) = rest.split_at(at);
        spelled.push_str(before);
        let begins = spelled
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || "`(\">".contains(c));
        let end = from[1..]
            .find(|c: char| !c.is_ascii_alphanumeric() && !"-_/".contains(c))
            .map_or(from.len(), |length| length + 1);
        let (word, after) = from.split_at(end);
        if begins && COMMANDS.contains(&word) {
            spelled.push_str(prefix);
            spelled.push(' ');
            spelled.push_str(&word[1..]);
        } else {
            spelled.push_str(word);
        }
        rest = after;
    }
    spelled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::command::Command;
    use rstest::rstest;

    #[rstest]
    #[case("/preview deploy", Some(FirstLine::Command(Command::Deploy(None))))]
    #[case("/preview   status\nplease", Some(FirstLine::Command(Command::Status)))]
    #[case("/preview", Some(FirstLine::Command(Command::Help)))]
    #[case("/preview \t", Some(FirstLine::Command(Command::Help)))]
    #[case("/deploy", None)]
    #[case("/previews deploy", None)]
    #[case("/preview-deploy", None)]
    #[case(" /preview deploy", None)]
    #[case("> /preview deploy", None)]
    #[case("/preview /deploy", None)]
    #[case("/preview::deploy", None)]
    #[case("see /preview deploy", None)]
    fn only_what_begins_with_the_prefix_counts(
        #[case] body: &str,
        #[case] wanted: Option<FirstLine>,
    ) {
        assert_eq!(parse(Some("/preview"), body), wanted, "{body:?}");
    }

    #[test]
    fn behind_the_prefix_a_word_that_is_no_command_is_answered() {
        for (body, written, meant) in [
            ("/preview deply", "/preview deply", "/deploy"),
            ("/preview dance", "/preview dance", "/help"),
            ("/preview hold", "/preview hold", "/help"),
            ("/preview extnd 2d", "/preview extnd", "/extend"),
            ("/preview extnd soon", "/preview extnd", "/help"),
        ] {
            let wanted = FirstLine::NearMiss {
                written: written.into(),
                meant,
            };
            assert_eq!(parse(Some("/preview"), body), Some(wanted), "{body}");
        }
    }

    #[rstest]
    fn behind_the_prefix_an_approval_of_no_commit_says_what_it_takes(
        #[values("", " abc", " 4f2a9c1", " `4f2a9c1`", " cancel", " <sha>")] argument: &str,
    ) {
        let found = parse(Some("/preview"), &format!("/preview approve{argument}"));
        let Some(FirstLine::BadArgument { command, takes }) = found else {
            unreachable!("{found:?}");
        };
        assert_eq!(command, "/approve");
        assert!(takes.contains("all 40 hexadecimal digits"), "{takes}");
    }

    #[test]
    fn without_a_prefix_everything_is_as_it_was() {
        for body in ["/deploy", "/deploy x", "/dply", "text", "/hold"] {
            assert_eq!(parse(None, body), command::parse(body));
        }
        assert_eq!(spell(None, "comment `/deploy`"), "comment `/deploy`");
    }

    #[rstest]
    #[case("comment `/deploy`", "comment `/preview deploy`")]
    #[case("/extend 2d", "/preview extend 2d")]
    #[case("```\n/wake\n```", "```\n/preview wake\n```")]
    #[case("it: /approve abc", "it: /preview approve abc")]
    #[case(
        "(/help) /undeploy, /pin.",
        "(/preview help) /preview undeploy, /preview pin."
    )]
    #[case("https://x/deploy", "https://x/deploy")]
    #[case("a/help b /helpful /help/me", "a/help b /helpful /help/me")]
    #[case("comment/help.md.j2", "comment/help.md.j2")]
    #[case("é/deploy /deploy", "é/deploy /preview deploy")]
    fn commands_are_spelled_and_nothing_else(#[case] text: &str, #[case] wanted: &str) {
        assert_eq!(spell(Some("/preview"), text), wanted);
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_spelled(text in ".*") {
            proptest::prop_assert!(spell(Some("/p"), &text).len() >= text.len());
        }
    }
}
