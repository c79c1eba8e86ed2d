//! Turns the lines `name=reference` of the input `images` into images by service.
//! It asks no registry and fills no placeholder.
//! A reference is checked as far as its form goes, because a kubelet would say `InvalidImageName` minutes later.

use super::{
    ImageInput,
    patterns::{Piece, pieces},
    reader::{Problem, Reader, shown},
};
use crate::names::Label;
use std::collections::BTreeSet;

const PLACEHOLDERS: &[&str] = &["sha", "short-sha", "number", "branch"];

/// All images, in the order they are written in.
pub(super) fn list(read: &mut Reader<'_>) -> Vec<ImageInput> {
    let mut seen = BTreeSet::new();
    read.lines("images", |line| {
        let image = image(line)?;
        if !seen.insert(image.service.clone()) {
            return Err(Problem::new(
                format!("names the service `{}` twice", image.service),
                "write each service on one line",
            ));
        }
        Ok(image)
    })
}

fn image(line: &str) -> Result<ImageInput, Problem> {
    let fix = "write `name=reference`, such as `web=registry.example.com/acme/web:{sha}`";
    let Some((name, reference)) = line.split_once('=') else {
        return Err(Problem::new(format!("{} has no `=`", shown(line)), fix));
    };
    let (name, reference) = (name.trim(), reference.trim());
    let service: Label = name.parse().map_err(|error: crate::names::NameError| {
        Problem::new(format!("service {} {}", shown(name), error.problem), fix)
    })?;
    check_reference(reference)?;
    Ok(ImageInput {
        service,
        reference: reference.into(),
    })
}

/// Refuses what cannot be an image reference once its placeholders are filled.
pub(in crate::inputs) fn check_reference(reference: &str) -> Result<(), Problem> {
    let filled: String = pieces(reference, PLACEHOLDERS)?
        .into_iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text,
            Piece::Placeholder(_) => "0",
        })
        .collect();
    fault(&filled).map_or(Ok(()), |(problem, fix)| {
        Err(Problem::new(
            format!("image {} {problem}", shown(reference)),
            fix,
        ))
    })
}

fn fault(reference: &str) -> Option<(&'static str, &'static str)> {
    let example = "write one such as `registry.example.com/acme/web:{sha}`";
    if reference.is_empty() {
        return Some(("is empty", example));
    }
    if reference.contains("://") {
        return Some(("begins with a scheme", "leave out `https://`"));
    }
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Some((
            "has a digest that is not `sha256:` and 64 hexadecimal digits",
            "copy the whole digest",
        ));
    }
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match name[last..].find(':') {
        Some(at) => (&name[..last + at], Some(&name[last + at + 1..])),
        None => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Some((
            "has a tag that is not made of 1 to 128 letters, digits, `_`, `.` and `-`",
            example,
        ));
    }
    let path = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            if !is_registry(host) {
                return Some(("has a registry that is not `host` or `host:port`", example));
            }
            rest
        }
        _ => path,
    };
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Some((
            "has capital letters in its name, which no registry accepts",
            "write the name in lower case, also where it is the owner's",
        ));
    }
    if !path.split('/').all(is_component) {
        return Some(("is not an image reference", example));
    }
    None
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| word(b) || b"-.".contains(&b))
        && tag.bytes().next().is_some_and(word)
}

fn is_registry(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    name.split('.').all(|label| !label.is_empty())
        && name.bytes().all(plain)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Lower-case words joined by `.`, `_`, `__` or hyphens, none at either end.
fn is_component(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !part.is_empty()
        && part.bytes().all(|b| word(b) || b"._-".contains(&b))
        && part.bytes().next().is_some_and(word)
        && part.bytes().next_back().is_some_and(word)
        && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_as_people_write_them_pass() {
        let digest = format!("web=ghcr.io/acme/web@sha256:{}", "0a".repeat(32));
        let both = format!("web=ghcr.io/acme/web:v1@sha256:{}", "0a".repeat(32));
        for line in [
            "web=nginx",
            "web=nginx:1.27-alpine",
            "web=ghcr.io/acme/web:{sha}",
            "web = ghcr.io/acme/web:pr-{number}-{short-sha}",
            "web=registry.example.com:5000/team/sub/web_app:{branch}",
            "web=localhost/web:{sha}",
            "web=localhost:5000/web",
            "web=acme/web-{number}:latest",
            &digest,
            &both,
        ] {
            assert!(image(line).is_ok(), "{line}: {:?}", image(line));
        }
    }

    #[test]
    fn what_cannot_be_a_reference_is_refused_with_its_own_fix() {
        let short = "web=ghcr.io/acme/web@sha256:abc";
        for (line, expected) in [
            ("web", "name=reference"),
            ("web=", "registry.example.com/acme/web"),
            ("=nginx", "name=reference"),
            ("Web=nginx", "name=reference"),
            ("web=https://ghcr.io/acme/web", "https://"),
            ("web=ghcr.io/Acme/web:{sha}", "lower case"),
            (
                "web=nginx:{commit}",
                "`{sha}`, `{short-sha}`, `{number}`, `{branch}`",
            ),
            ("web=nginx:{sha", "`{sha}`"),
            ("web=nginx:", "registry.example.com/acme/web"),
            ("web=nginx:a b", "registry.example.com/acme/web"),
            ("web=nginx latest", "registry.example.com/acme/web"),
            ("web=ghcr.io//web", "registry.example.com/acme/web"),
            ("web=ghcr.io:x/web", "registry.example.com/acme/web"),
            ("web=../web", "registry.example.com/acme/web"),
            (short, "whole digest"),
        ] {
            match image(line) {
                Ok(image) => assert_eq!(line, "refused", "{image:?}"),
                Err(problem) => assert!(problem.fix.contains(expected), "{line}: {problem:?}"),
            }
        }
    }
}
