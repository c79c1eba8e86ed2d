//! Finds in a `.dockerconfigjson` who we are at a registry, and all that is secret in it.
//! It sends nothing.
//! Whatever is secret there is known to the redactor before it is used, because a registry's own words may repeat it.

use crate::names::Secret;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Name and password for a registry.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// The entry for a registry: `auth`, or `username` and `password`.
pub(super) fn login(dockerconfig: &Secret, registry: &str) -> Option<Login> {
    let config: Value = serde_json::from_str(dockerconfig.expose()).ok()?;
    let auths = config.get("auths")?.as_object()?;
    let bare = |name: &str| {
        let name = name
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        name.split('/').next().unwrap_or(name).to_owned()
    };
    let (_, entry) = auths.iter().find(|(name, _)| bare(name) == registry)?;
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let (user, password) = match (text("username"), text("password")) {
        (Some(user), Some(password)) => (user.to_owned(), password.to_owned()),
        _ => decoded(text("auth")?)?,
    };
    Some(Login { user, password })
}

/// Name and password of an `auth`.
fn decoded(auth: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Everything in a `.dockerconfigjson` that nobody may read: passwords, tokens, and what they are encoded as.
pub fn secrets_in(dockerconfig: &Secret) -> Vec<Secret> {
    let mut found = vec![dockerconfig.clone()];
    let config: Value = serde_json::from_str(dockerconfig.expose()).unwrap_or_default();
    let auths = config.get("auths").and_then(Value::as_object);
    for entry in auths.into_iter().flat_map(|auths| auths.values()) {
        for key in ["password", "auth", "identitytoken", "registrytoken"] {
            if let Some(text) = entry.get(key).and_then(Value::as_str) {
                found.push(Secret::new(text));
                let pair = decoded(text).filter(|_| key == "auth");
                found.extend(pair.map(|(_, password)| Secret::new(password)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Redactor;

    #[test]
    fn nothing_of_a_pull_secret_is_left_readable() {
        let config = Secret::new(
            serde_json::json!({"auths": {
                "ghcr.io": {"auth": STANDARD.encode("robot:hunter-two")},
                "harbor.example": {"username": "robot$ci", "password": "correct horse"},
                "quay.io": {"identitytoken": "ident-0123", "registrytoken": "regis-0123"},
            }})
            .to_string(),
        );
        let mut redactor = Redactor::default();
        for secret in secrets_in(&config) {
            redactor.learn(secret.expose());
        }
        for text in [
            "hunter-two".to_owned(),
            STANDARD.encode("robot:hunter-two"),
            STANDARD.encode("hunter-two"),
            "correct horse".to_owned(),
            STANDARD.encode("correct horse"),
            "ident-0123".to_owned(),
            "regis-0123".to_owned(),
            config.expose().to_owned(),
        ] {
            assert_eq!(redactor.redact(&text), "***", "{text}");
        }
    }

    #[test]
    fn what_is_no_pull_secret_is_secret_as_a_whole() {
        assert_eq!(secrets_in(&Secret::new("no JSON at all")).len(), 1);
        assert!(login(&Secret::new("no JSON at all"), "ghcr.io").is_none());
    }
}
