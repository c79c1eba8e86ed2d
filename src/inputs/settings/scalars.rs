//! Turns the text of one input into the one value that it means.
//! It knows no other input and opens nothing that a value names.
//! The runner's own rules count where it has any: booleans are YAML's six words and nothing else.

use super::{
    CommentMode, CommentPosition, ConfigFrom, Deployments, HealthMode, MinPermission, Nodes,
    OnFailedUpdate, Promote, SecretRef, TextOrPath, UrlMode, WhenFull,
    reader::{Problem, shown},
};
use crate::names::{Environment, Host, Namespace, Secret};
use std::{path::PathBuf, time::Duration};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `true` or `false` in the spellings that the runner's toolkit accepts.
pub(super) fn boolean(text: &str) -> Result<bool, Problem> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(Problem::new(
            format!("{} is not a boolean", shown(text)),
            "write `true` or `false`",
        )),
    }
}

/// A token that fits into a header.
pub(super) fn token(text: &str) -> Result<Secret, Problem> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Secret::new(text));
    }
    Err(Problem::new(
        "contains a space, a line break or a character that no token has",
        "give the token alone, such as `${{ github.token }}`",
    ))
}

/// A context's name.
pub(super) fn context(text: &str) -> Result<String, Problem> {
    if text.chars().any(char::is_control) {
        return Err(Problem::new(
            format!("{} has more than one line", shown(text)),
            "write the name of one context of the kubeconfig",
        ));
    }
    Ok(text.into())
}

/// The domain below which previews answer.
pub(super) fn domain(text: &str) -> Result<Host, Problem> {
    text.parse::<Host>().map_err(|error| {
        let fix = if text.contains("://") || text.contains('/') {
            "leave out scheme and path"
        } else if text.starts_with("*.") {
            "leave out `*.`"
        } else if text.contains(':') {
            "leave out the port"
        } else if text.ends_with('.') {
            "leave out the final dot"
        } else if text.chars().any(|c| c.is_ascii_uppercase()) {
            "write it in lower case"
        } else {
            "write a domain such as `preview.example.com`"
        };
        Problem::new(format!("{} {}", shown(text), error.problem), fix)
    })
}

/// The cap.
pub(super) fn max_previews(text: &str) -> Result<u32, Problem> {
    match text.parse() {
        Ok(number @ 0..=1000) => Ok(number),
        _ => Err(Problem::new(
            format!("{} is not a whole number from 0 to 1000", shown(text)),
            "write a number such as `3`; 0 means that nothing is deployed",
        )),
    }
}

/// How long a preview lives.
pub(super) fn ttl(text: &str) -> Result<Duration, Problem> {
    duration(text, 5 * MINUTE, 365 * DAY, "from 5m to 365d, such as `7d`")
}

/// How much longer somebody wants a preview to live.
pub(super) fn extension(text: &str) -> Result<Duration, Problem> {
    duration(text, 5 * MINUTE, 90 * DAY, "from 5m to 90d, such as `2d`")
}

/// How long a deploy may take.
pub(super) fn timeout(text: &str) -> Result<Duration, Problem> {
    duration(text, 10, 6 * HOUR, "from 10s to 6h, such as `5m`")
}

fn duration(text: &str, least: u64, most: u64, allowed: &str) -> Result<Duration, Problem> {
    let wrong = |problem| {
        Problem::new(
            format!("{} {problem}", shown(text)),
            format!("write a number with its unit, {allowed}"),
        )
    };
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let parsed: Duration = text
        .parse::<jiff::Span>()
        .and_then(|span| span.to_duration(relative))
        .and_then(Duration::try_from)
        .map_err(|_| wrong("is not a duration"))?;
    if parsed < Duration::from_secs(least) || parsed > Duration::from_secs(most) {
        return Err(wrong("is out of bounds"));
    }
    Ok(parsed)
}

/// A file in the repository, from its root.
pub(super) fn repository_path(text: &str) -> Result<String, Problem> {
    let inside = !text.starts_with('/')
        && !text.contains('\\')
        && !text.chars().any(char::is_control)
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if inside {
        return Ok(text.into());
    }
    Err(Problem::new(
        format!("{} is not a path inside the repository", shown(text)),
        "write it from the repository's root, without `./`, `..` and `\\`, such as `.github/preview.yml`",
    ))
}

/// A glob of files in the repository, from its root.
pub(super) fn glob(text: &str) -> Result<String, Problem> {
    repository_path(text)?;
    match glob::Pattern::new(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(Problem::new(
            format!(
                "{} is not a glob: {} at character {}",
                shown(text),
                error.msg,
                error.pos + 1
            ),
            "write one such as `deploy/*.yaml.j2`",
        )),
    }
}

/// The environment that previews are counted in.
pub(super) fn environment(text: &str) -> Result<Environment, Problem> {
    text.parse::<Environment>().map_err(|error| {
        Problem::new(
            format!("{} {}", shown(text), error.problem),
            "write a name such as `preview` or `eu-west`",
        )
    })
}

/// A Namespace.
pub(super) fn namespace(text: &str) -> Result<Namespace, Problem> {
    text.parse::<Namespace>().map_err(|error| {
        Problem::new(
            format!("{} {}", shown(text), error.problem),
            "write the name of a Namespace such as `preview-system`",
        )
    })
}

/// Whose configuration counts.
pub(super) fn config_from(text: &str) -> Result<ConfigFrom, Problem> {
    match text {
        "head" => Ok(ConfigFrom::Head),
        "base" => Ok(ConfigFrom::Base),
        _ => Err(one_of(text, "`head` or `base`")),
    }
}

/// What becomes of a live preview whose update failed.
pub(super) fn on_failed_update(text: &str) -> Result<OnFailedUpdate, Problem> {
    match text {
        "restore" => Ok(OnFailedUpdate::Restore),
        "keep" => Ok(OnFailedUpdate::Keep),
        "remove" => Ok(OnFailedUpdate::Remove),
        _ => Err(one_of(text, "`restore`, `keep` or `remove`")),
    }
}

/// Whether the cluster's nodes are all there will be.
pub(super) fn nodes(text: &str) -> Result<Nodes, Problem> {
    match text {
        "fixed" => Ok(Nodes::Fixed),
        "elastic" => Ok(Nodes::Elastic),
        _ => Err(one_of(text, "`fixed` or `elastic`")),
    }
}

/// What becomes of a preview that finds no free slot.
pub(super) fn comment(text: &str) -> Result<CommentMode, Problem> {
    match text {
        "sticky" => Ok(CommentMode::Sticky),
        "on-failure" => Ok(CommentMode::OnFailure),
        "off" => Ok(CommentMode::Off),
        _ => Err(one_of(text, "`sticky`, `on-failure` or `off`")),
    }
}

/// Where the status comment stands.
pub(super) fn comment_position(text: &str) -> Result<CommentPosition, Problem> {
    match text {
        "keep" => Ok(CommentPosition::Keep),
        "bottom" => Ok(CommentPosition::Bottom),
        _ => Err(one_of(text, "`keep` or `bottom`")),
    }
}

/// Whether deployments are made on GitHub.
pub(super) fn deployment(text: &str) -> Result<Deployments, Problem> {
    match text {
        "auto" => Ok(Deployments::Auto),
        "off" => Ok(Deployments::Off),
        _ => Err(one_of(text, "`auto` or `off`")),
    }
}

pub(super) fn when_full(text: &str) -> Result<WhenFull, Problem> {
    match text {
        "queue" => Ok(WhenFull::Queue),
        "refuse" => Ok(WhenFull::Refuse),
        _ => Err(one_of(text, "`queue` or `refuse`")),
    }
}

/// Which role somebody needs to give commands.
pub(super) fn min_permission(text: &str) -> Result<MinPermission, Problem> {
    match text {
        "write" => Ok(MinPermission::Write),
        "maintain" => Ok(MinPermission::Maintain),
        "admin" => Ok(MinPermission::Admin),
        _ => Err(one_of(text, "`write`, `maintain` or `admin`")),
    }
}

/// What GitHub calls authors of comments, closest first.
pub const ASSOCIATIONS: [&str; 8] = [
    "OWNER",
    "MEMBER",
    "COLLABORATOR",
    "CONTRIBUTOR",
    "FIRST_TIME_CONTRIBUTOR",
    "FIRST_TIMER",
    "MANNEQUIN",
    "NONE",
];

/// Some of GitHub's associations.
pub(super) fn associations(text: &str) -> Result<Vec<String>, Problem> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace());
    let words = words.filter(|word| !word.is_empty());
    words
        .map(|word| match ASSOCIATIONS.contains(&word) {
            true => Ok(word.to_owned()),
            false => Err(one_of(word, "`OWNER`, `MEMBER`, `COLLABORATOR` or another of GitHub's author associations, in capitals")),
        })
        .collect()
}

/// The word before every command.
pub(super) fn command_prefix(text: &str) -> Result<String, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match text.strip_prefix('/') {
        Some(word) if (1..=30).contains(&word.len()) && word.bytes().all(plain) => Ok(text.into()),
        _ => Err(Problem::new(
            format!("{} is not a slash and one word", shown(text)),
            "write it such as `/preview`; the commands are `/preview deploy` and so on then",
        )),
    }
}

/// Who deploys a preview that waited in line.
pub(super) fn promote(text: &str) -> Result<Promote, Problem> {
    match text {
        "run" => Ok(Promote::Run),
        "dispatch" => Ok(Promote::Dispatch),
        _ => Err(one_of(text, "`run` or `dispatch`")),
    }
}

/// What hosts are made of.
pub(super) fn url_mode(text: &str) -> Result<UrlMode, Problem> {
    match text {
        "pr" => Ok(UrlMode::Pr),
        "slot" => Ok(UrlMode::Slot),
        _ => Err(one_of(text, "`pr` or `slot`")),
    }
}

/// What the health of the URL decides.
pub(super) fn health(text: &str) -> Result<HealthMode, Problem> {
    match text {
        "auto" => Ok(HealthMode::Auto),
        "required" => Ok(HealthMode::Required),
        "off" => Ok(HealthMode::Off),
        _ => Err(one_of(text, "`auto`, `required` or `off`")),
    }
}

fn one_of(text: &str, allowed: &str) -> Problem {
    Problem::new(
        format!("{} is not known", shown(text)),
        format!("write {allowed}"),
    )
}

/// A login on GitHub, of a person or of an app.
pub(super) fn login(text: &str) -> Result<String, Problem> {
    let name = text.strip_suffix("[bot]").unwrap_or(text);
    let valid = (1..=100).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if valid {
        return Ok(text.into());
    }
    Err(Problem::new(
        format!("{} is not a login", shown(text)),
        "write it without `@`, such as `github-actions[bot]`",
    ))
}

/// A mapping in JSON or YAML.
pub(super) fn values(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    let fix = "write a mapping such as `{replicas: 2}`, or one `name: value` on each line";
    match mapping(text) {
        Ok(serde_json::Value::Object(values)) => Ok(values),
        Ok(_) => Err(Problem::new("is not a mapping", fix)),
        Err(problem) => Err(Problem::new(problem, fix)),
    }
}

fn mapping(text: &str) -> Result<serde_json::Value, String> {
    crate::yaml::parse_one(text).map_err(|error| {
        format!(
            "cannot be read at line {}, column {}",
            error.line(),
            error.column()
        )
    })
}

/// A Secret, written `namespace/name`.
pub(super) fn secret_ref(text: &str) -> Result<SecretRef, Problem> {
    let parts = text.split_once('/').and_then(|(namespace, name)| {
        // A Secret's name is a DNS subdomain: the same rule as a host's.
        let name: Host = name.parse().ok()?;
        Some(SecretRef {
            namespace: namespace.parse().ok()?,
            name: name.as_str().into(),
        })
    });
    parts.ok_or_else(|| {
        Problem::new(
            format!("{} is not of the form `namespace/name`", shown(text)),
            "name the Secret with its Namespace, such as `preview-system/registry`",
        )
    })
}

/// Certificates as PEM text, or the file that holds them.
pub(super) fn ca_bundle(text: &str) -> Result<TextOrPath, Problem> {
    let fix = "give `-----BEGIN CERTIFICATE-----` blocks, or the path of a file that holds them";
    if text.contains("PRIVATE KEY-----") {
        return Err(Problem::new("holds a private key", fix));
    }
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return if text.contains("-----END CERTIFICATE-----") {
            Ok(TextOrPath::Text(text.into()))
        } else {
            Err(Problem::new(
                "holds a certificate that has no end",
                "give it with its line `-----END CERTIFICATE-----`",
            ))
        };
    }
    if text.chars().any(char::is_control) || text.len() > 4096 {
        return Err(Problem::new("is neither PEM text nor a path", fix));
    }
    Ok(TextOrPath::Path(PathBuf::from(text)))
}
