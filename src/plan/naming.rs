//! Turns patterns such as `pr-{repo}-{number}` into names that Kubernetes and DNS accept, never the same for two previews.
//! It knows no settings and no service, only pieces of text and which of them may be cut.
//! A hash is added whenever cleaning or cutting lost something: without it two long names would meet at the cut.

use crate::names::Host;
use sha2::{Digest, Sha256};

/// Longest label of DNS and of Kubernetes.
const LONGEST: usize = 63;

/// Digits of a hash in a name; with 32 bits, two cut names of one repository meet once in thousands of years.
const HASH_DIGITS: usize = 8;

/// What a placeholder stands for.
#[derive(Debug, Clone)]
pub(super) struct Fill<'a> {
    pub(super) placeholder: &'static str,
    pub(super) text: &'a str,
    /// False for the number, which is what keeps previews apart.
    pub(super) may_be_cut: bool,
}

/// Says which placeholder of a pattern is unknown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownPlaceholder(pub(super) String);

/// Fills every `{placeholder}` of a text, each by one function.
pub(super) fn fill(
    text: &str,
    mut value: impl FnMut(&str) -> Option<String>,
) -> Result<String, UnknownPlaceholder> {
    let mut filled = String::new();
    for (literal, placeholder) in pieces(text) {
        filled.push_str(literal);
        if let Some(name) = placeholder {
            filled.push_str(&value(name).ok_or_else(|| UnknownPlaceholder(name.into()))?);
        }
    }
    Ok(filled)
}

/// True when a text has at least one placeholder.
pub(super) fn has_placeholder(text: &str) -> bool {
    pieces(text).any(|(_, placeholder)| placeholder.is_some())
}

/// Text and the placeholder behind it, in turn; a brace without its partner is text.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let found = text.split_once('{').and_then(|(before, behind)| {
            let (name, behind) = behind.split_once('}')?;
            Some((before, name, behind))
        });
        let Some((before, name, behind)) = found else {
            return Some((text, None));
        };
        rest = Some(behind);
        Some((before, Some(name)))
    })
}

/// Makes one label of at most 63 characters; `key` tells this preview from all others.
pub(super) fn label(
    pattern: &str,
    fills: &[Fill<'_>],
    key: &str,
) -> Result<String, UnknownPlaceholder> {
    let mut parts: Vec<(String, bool)> = Vec::new();
    let mut original = String::new();
    for (literal, placeholder) in pieces(pattern) {
        parts.push((literal.into(), false));
        original.push_str(literal);
        let Some(name) = placeholder else { continue };
        let fill = fills
            .iter()
            .find(|fill| fill.placeholder == name)
            .ok_or_else(|| UnknownPlaceholder(name.into()))?;
        parts.push((clean(fill.text), fill.may_be_cut));
        original.push_str(fill.text);
    }
    let whole: String = parts.iter().map(|(text, _)| text.as_str()).collect();
    // GitHub ignores the case of owners and repositories, so lower case loses nothing
    if whole == original.to_ascii_lowercase() && is_label(&whole) {
        return Ok(whole);
    }
    let mut length = whole.len();
    while length > LONGEST - HASH_DIGITS - 1 {
        let longest = parts
            .iter_mut()
            .filter(|(text, may_be_cut)| *may_be_cut && !text.is_empty())
            .max_by_key(|(text, _)| text.len());
        let Some((text, _)) = longest else { break };
        text.pop();
        length -= 1;
    }
    let whole: String = parts.into_iter().map(|(text, _)| text).collect();
    let kept: String = whole.chars().take(LONGEST - HASH_DIGITS - 1).collect();
    let hash = hash(&format!("{key}\n{original}"));
    Ok(match kept.trim_matches('-') {
        "" => hash,
        kept => format!("{kept}-{hash}"),
    })
}

/// Makes a host of a pattern, label by label, in which the domain is already filled.
pub(super) fn host(
    pattern: &str,
    fills: &[Fill<'_>],
    key: &str,
) -> Result<String, UnknownPlaceholder> {
    let labels: Result<Vec<_>, _> = pattern
        .split('.')
        .map(|pattern| label(pattern, fills, key))
        .collect();
    Ok(labels?.join("."))
}

/// True when a host lies below the domain and names a number as a number of its own.
pub fn host_belongs_to(host: &str, domain: &Host, number: u64) -> bool {
    host.strip_suffix(domain.as_str())
        .and_then(|head| head.strip_suffix('.'))
        .is_some_and(|head| {
            head.split(|c: char| !c.is_ascii_digit())
                .any(|digits| digits == number.to_string())
        })
}

/// A branch as the tag of an image, in the way that the usual build actions write it.
pub(super) fn branch_tag(branch: &str) -> String {
    let mut tag = String::new();
    for c in branch.chars() {
        let fits = c.is_ascii_alphanumeric() || "._-".contains(c);
        if fits {
            tag.push(c);
        } else if !tag.ends_with('-') {
            tag.push('-');
        }
    }
    let tag: String = tag
        .trim_start_matches(['.', '-'])
        .chars()
        .take(128)
        .collect();
    if tag.is_empty() { "branch".into() } else { tag }
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
            _ => '-',
        })
        .collect()
}

fn is_label(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

/// The beginning of a SHA-256 in hexadecimal.
fn hash(text: &str) -> String {
    let mut digits: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.truncate(HASH_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::names::Label;
    use proptest::prelude::*;

    fn name(pattern: &str, owner: &str, repo: &str, number: u64) -> String {
        let number = number.to_string();
        let fill = |placeholder, text, may_be_cut| Fill {
            placeholder,
            text,
            may_be_cut,
        };
        let fills = [
            fill("owner", owner, true),
            fill("repo", repo, true),
            fill("number", &number, false),
        ];
        label(pattern, &fills, &format!("{owner}/{repo}/{number}")).unwrap()
    }

    #[test]
    fn a_plain_name_stays_and_a_changed_one_gets_a_hash() {
        let pattern = "pr-{repo}-{number}";
        assert_eq!(name(pattern, "acme", "shop", 12), "pr-shop-12");
        assert_eq!(name(pattern, "acme", "Shop", 12), "pr-shop-12");
        insta::assert_snapshot!(name(pattern, "acme", "web.shop", 12), @"pr-web-shop-12-32e9199b");
        insta::assert_snapshot!(name(pattern, "acme", &"long".repeat(25), 1234567), @"pr-longlonglonglonglonglonglonglonglonglonglon-1234567-6b26d129");
        insta::assert_snapshot!(name("{repo}", "acme", "---", 1), @"eaece840");
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        assert_eq!(
            label("{slot}", &[], ""),
            Err(UnknownPlaceholder("slot".into()))
        );
        assert!(!has_placeholder("nginx:1.27"));
        assert!(has_placeholder("nginx:{sha}"));
    }

    #[test]
    fn a_host_belongs_to_the_number_it_names() {
        let domain = "preview.example.com".parse().unwrap();
        for host in ["pr-12", "pr-12-api", "12", "api.pr12", "v2-12"] {
            let host = format!("{host}.preview.example.com");
            assert!(host_belongs_to(&host, &domain, 12), "{host}");
        }
        for host in [
            "pr-1.preview.example.com",
            "pr-123.preview.example.com",
            "pr-012.preview.example.com",
            "pr-12.example.com",
            "pr-12preview.example.com",
            "preview.example.com",
            "pr-12.preview.example.com.evil.example",
            "12",
        ] {
            assert!(!host_belongs_to(host, &domain, 12), "{host}");
        }
    }

    #[test]
    fn a_branch_becomes_a_legal_tag() {
        for (branch, tag) in [
            ("main", "main"),
            ("feature/Login_2", "feature-Login_2"),
            ("--x//y", "x-y"),
            ("ä", "branch"),
            (".hidden", "hidden"),
        ] {
            assert_eq!(branch_tag(branch), tag);
        }
        assert_eq!(branch_tag(&"x".repeat(300)).len(), 128);
    }

    const GITHUB_NAME: &str = "[A-Za-z0-9._-]{1,100}";

    proptest! {
        #[test]
        fn every_name_is_valid_and_keeps_its_number(
            owner in "[A-Za-z0-9-]{1,39}", repo in GITHUB_NAME, number in 1..u64::MAX,
        ) {
            for pattern in ["pr-{repo}-{number}", "{owner}-{repo}-{number}", "{number}-{repo}"] {
                let name = name(pattern, &owner, &repo, number);
                prop_assert!(name.parse::<Label>().is_ok(), "{name}");
                prop_assert!(name.split('-').any(|part| part == number.to_string()), "{name}");
            }
        }

        #[test]
        fn two_previews_never_share_a_name(
            repo in GITHUB_NAME, other in GITHUB_NAME, tail in "[A-Za-z._-]{0,3}",
            number in 1..10_000_u64, other_number in 1..10_000_u64,
        ) {
            let similar = format!("{repo}{tail}");
            for other in [&repo, &other, &similar] {
                if repo.eq_ignore_ascii_case(other) && number == other_number {
                    continue;
                }
                prop_assert_ne!(
                    name("pr-{repo}-{number}", "acme", &repo, number),
                    name("pr-{repo}-{number}", "acme", other, other_number)
                );
            }
        }

        #[test]
        fn any_branch_becomes_a_legal_tag(branch in ".{0,300}") {
            let tag = branch_tag(&branch);
            prop_assert!((1..=128).contains(&tag.len()));
            prop_assert!(tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
            prop_assert!(!tag.starts_with(['.', '-']));
        }
    }
}
