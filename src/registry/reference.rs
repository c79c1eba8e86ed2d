//! Takes the name of an image apart: registry, repository, tag and digest.
//! It asks nobody, and whether there is such an image it does not know.
//! A pull request's configuration may write anything there, so what is no name is refused before an address is made of it.

/// The parts of an image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) tag: Option<String>,
    pub(super) digest: Option<String>,
}

impl Reference {
    /// Host of the registry, with a port if it has one.
    pub(super) fn host(&self) -> &str {
        match self.registry.as_str() {
            "docker.io" => "index.docker.io",
            other => other,
        }
    }

    /// What the registry knows the image by.
    pub(super) fn version(&self) -> &str {
        let tag = || self.tag.as_deref().unwrap_or("latest");
        self.digest.as_deref().unwrap_or_else(tag)
    }
}

/// Takes an image's name apart, as container engines do. A test holds them to a library that does so too.
pub(super) fn reference(image: &str) -> Option<Reference> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (registry, repository) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("docker.io", name),
    };
    let registry = match registry {
        "index.docker.io" => "docker.io",
        other => other,
    };
    let official = registry == "docker.io" && !repository.contains('/');
    let repository = match official {
        true => format!("library/{repository}"),
        false => repository.to_owned(),
    };
    let host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let part = |part: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().last())
            && part.chars().all(|c| edge(Some(c)) || "._-".contains(c))
    };
    let tagged = |tag: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        tag.len() <= 128
            && tag.starts_with(word)
            && tag.chars().all(|c| word(c) || ".-".contains(c))
    };
    let digested = |digest: &str| {
        let hex = |text: &str| text.len() >= 32 && text.chars().all(|c| c.is_ascii_hexdigit());
        digest.split_once(':').is_some_and(|(name, text)| {
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && hex(text)
        })
    };
    let valid = registry.chars().all(host)
        && repository.len() <= 255
        && repository.split('/').all(part)
        && tag.is_none_or(tagged)
        && digest.is_none_or(digested);
    valid.then(|| Reference {
        registry: registry.to_owned(),
        repository,
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

/// True for a digest that this process can check: no other one may stand in a path.
pub(super) fn is_digest(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:");
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_the_library_does() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        let names = [
            "web",
            "web:1",
            "acme/web",
            "acme/web:v1.2-rc",
            "ghcr.io/acme/web:1",
            "localhost/web",
            "localhost:5000/a/b:x",
            "docker.io/web",
            "index.docker.io/web:2",
            "docker.io/acme/web",
            "registry.example:5000/deep/er/web",
            "registry.example/a_b/c-d/e.f:T_1",
            "",
            "WEB",
            "acme/Web",
            "web:",
            "web:-x",
            "web:a b",
            "a//b",
            "/a",
            "a/",
            "ghcr.io/",
            "web@sha256:12",
            "web@",
            "-a",
            "a-",
            "ghcr.io/acme/web:tag:tag",
            "NOT AN IMAGE",
        ];
        let mut all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        all.extend(["web", "ghcr.io/acme/web", "web:1"].map(|name| format!("{name}@{digest}")));
        for name in all {
            let theirs = name.parse::<oci_client::Reference>().ok();
            let theirs = theirs.map(|one| Reference {
                registry: one.registry().to_owned(),
                repository: one.repository().to_owned(),
                tag: one
                    .tag()
                    .filter(|_| one.digest().is_none() || name.matches(':').count() > 1)
                    .map(str::to_owned),
                digest: one.digest().map(str::to_owned),
            });
            let ours = reference(&name).map(|ours| match (&ours.tag, &ours.digest) {
                (None, None) => Reference {
                    tag: Some("latest".into()),
                    ..ours
                },
                _ => ours,
            });
            assert_eq!(ours, theirs, "{name}");
        }
    }
}
