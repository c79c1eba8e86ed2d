//! Checks patterns of names: placeholders are known and closed, and what stands between them fits the name.
//! It fills no placeholder; `plan` does, once the pull request is known.
//! A pattern without `{number}` would give two pull requests one name, so it is refused here and not when they meet.

use super::{
    UrlMode,
    reader::{Problem, shown},
};

/// One piece of a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text that stays.
    Literal(&'a str),
    /// The name between braces.
    Placeholder(&'a str),
}

/// Takes a pattern apart; every placeholder must be in `allowed`.
pub(super) fn pieces<'a>(text: &'a str, allowed: &[&str]) -> Result<Vec<Piece<'a>>, Problem> {
    let names = || {
        let names: Vec<String> = allowed.iter().map(|name| format!("`{{{name}}}`")).collect();
        format!("allowed are {}", names.join(", "))
    };
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        if !before.is_empty() {
            found.push(Piece::Literal(before));
        }
        let Some((name, behind)) = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
        else {
            return Err(Problem::new(
                format!("{} has a brace without its partner", shown(text)),
                names(),
            ));
        };
        if !allowed.contains(&name) {
            return Err(Problem::new(
                format!(
                    "{} has the unknown placeholder {}",
                    shown(text),
                    shown(name)
                ),
                names(),
            ));
        }
        found.push(Piece::Placeholder(name));
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Piece::Literal(rest));
    }
    Ok(found)
}

/// The pattern of the Namespace's name.
pub(super) fn namespace(text: &str) -> Result<String, Problem> {
    let allowed = [
        "owner",
        "repo",
        "number",
        "repo-id",
        "environment",
        "variant",
    ];
    let fix = "write one such as `pr-{repo}-{number}`";
    check(text, &allowed, "number", "-", fix)?;
    if text.starts_with("kube-") {
        return Err(Problem::new(
            format!(
                "{} begins with `kube-`, which Kubernetes keeps for itself",
                shown(text)
            ),
            fix,
        ));
    }
    Ok(text.into())
}

/// The pattern of the hosts' names; where hosts are made of slots, a slot tells previews apart as well as a number does.
pub(super) fn host(text: &str, mode: UrlMode) -> Result<String, Problem> {
    let allowed = [
        "number",
        "repo",
        "owner",
        "service",
        "domain",
        "environment",
        "slot",
    ];
    let (allowed, fix) = match mode {
        UrlMode::Pr => (
            &allowed[..6],
            "write one such as `pr-{number}-{service}.{domain}`",
        ),
        UrlMode::Slot => (
            &allowed[..],
            "write one such as `pr{slot}-{service}.{domain}`",
        ),
    };
    let distinct = match mode {
        UrlMode::Slot if text.contains("{slot}") => "slot",
        _ => "number",
    };
    check(text, allowed, distinct, "-.", fix)?;
    if text.contains("..") || text.contains(".-") || text.contains("-.") {
        return Err(Problem::new(
            format!("{} has a label that begins or ends wrongly", shown(text)),
            fix,
        ));
    }
    Ok(text.into())
}

/// Every placeholder is known, the one that tells previews apart is there, and the rest fits a name.
fn check(
    text: &str,
    allowed: &[&str],
    distinct: &str,
    signs: &str,
    fix: &str,
) -> Result<(), Problem> {
    let pieces = pieces(text, allowed)?;
    if !pieces.contains(&Piece::Placeholder(distinct)) {
        return Err(Problem::new(
            format!(
                "{} lacks `{{{distinct}}}`, so all pull requests would share one name",
                shown(text)
            ),
            fix,
        ));
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || signs.contains(c);
    let mut length = 0;
    for piece in &pieces {
        let Piece::Literal(literal) = piece else {
            continue;
        };
        length += literal.len();
        if let Some(wrong) = literal.chars().find(|&c| !fits(c)) {
            return Err(Problem::new(
                format!(
                    "{} contains {}, which the name cannot have",
                    shown(text),
                    shown(&wrong.to_string())
                ),
                fix,
            ));
        }
    }
    if text.starts_with(|c| signs.contains(c)) || text.ends_with(|c| signs.contains(c)) {
        return Err(Problem::new(
            format!("{} begins or ends with a sign", shown(text)),
            fix,
        ));
    }
    let most = if signs.contains('.') { 200 } else { 40 };
    if length > most {
        return Err(Problem::new(
            format!(
                "{} has more than {most} characters outside its placeholders",
                shown(text)
            ),
            fix,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn known_placeholders_pass() {
        for text in [
            "pr-{repo}-{number}",
            "{owner}-{repo-id}-{environment}-{variant}-{number}",
            "{number}",
        ] {
            assert_eq!(namespace(text).as_deref(), Ok(text));
        }
        for text in [
            "pr-{number}.{domain}",
            "{service}-{number}.{environment}.{owner}.{repo}.example.com",
            "{number}.preview.example.com",
        ] {
            assert_eq!(host(text, UrlMode::Pr).as_deref(), Ok(text));
        }
    }

    #[test]
    fn an_unknown_placeholder_is_refused_and_the_known_ones_are_named() {
        let problem = namespace("pr-{nummer}").unwrap_err();
        assert!(problem.problem.contains("nummer"), "{problem:?}");
        for name in [
            "{owner}",
            "{repo}",
            "{number}",
            "{repo-id}",
            "{environment}",
            "{variant}",
        ] {
            assert!(problem.fix.contains(name), "{problem:?}");
        }
        assert!(host("{slot}-{number}", UrlMode::Pr).is_err());
        for text in ["pr{slot}.{domain}", "{slot}-{number}", "{number}.{domain}"] {
            assert_eq!(host(text, UrlMode::Slot).as_deref(), Ok(text));
        }
        assert!(namespace("{number}-{service}").is_err());
    }

    #[test]
    fn what_cannot_become_a_name_is_refused() {
        for text in [
            "pr-{repo}",
            "preview",
            "pr-{number",
            "pr-number}",
            "PR-{number}",
            "pr_{number}",
            "pr {number}",
            "-{number}",
            "{number}-",
            "pr.{number}",
            "kube-{number}",
            &format!("{}{{number}}", "a".repeat(41)),
        ] {
            assert!(namespace(text).is_err(), "{text}");
        }
        for text in [
            "{number}..example.com",
            ".{number}",
            "{number}.",
            "{number}-.a",
            "*.{number}",
            "https://{number}.a",
            "{number}:80",
        ] {
            assert!(host(text, UrlMode::Pr).is_err(), "{text}");
        }
    }
}
