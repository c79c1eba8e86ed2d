//! Tells by its name whether a value is a password, a token or the like: nothing else distinguishes one from an ordinary text.
//! It looks at no value.
//! Words that say where a secret is, such as `secretName`, make it none: masking those would hide what a failure is about.

const SECRETS: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "credential",
];

/// Words that mean something else as the end of another.
const WHOLE: [&str; 3] = ["dsn", "pass", "pwd"];

const PAIRS: [[&str; 2]; 4] = [
    ["api", "key"],
    ["private", "key"],
    ["access", "key"],
    ["connection", "string"],
];

const PLACES: [&str; 12] = [
    "name", "ref", "file", "path", "type", "ttl", "audience", "url", "host", "image", "issuer",
    "endpoint",
];

/// Words before `secret` by which that is an object of the cluster.
const OBJECTS: [&str; 4] = ["existing", "pull", "tls", "image"];

/// True when a value of this name is nobody's to read.
pub fn is_confidential(name: &str) -> bool {
    let words = words(name);
    let secret = |word: &String| {
        let one = word.strip_suffix('s').unwrap_or(word);
        SECRETS.iter().any(|secret| one.ends_with(secret))
            || WHOLE
                .iter()
                .any(|whole| [word.as_str(), one].contains(whole))
            || one == "connectionstring"
    };
    let pairs = words.windows(2);
    let pair = |pair: &[String]| {
        let second = pair[1].strip_suffix('s').unwrap_or(&pair[1]);
        PAIRS.contains(&[pair[0].as_str(), second])
    };
    !says_where(&words) && (words.iter().any(secret) || pairs.into_iter().any(pair))
}

/// True when a name says where a secret is, or which, and not what it is.
pub fn is_place(name: &str) -> bool {
    says_where(&words(name))
}

fn says_where(words: &[String]) -> bool {
    let mut back = words.iter().rev().map(String::as_str);
    match (back.next(), back.next()) {
        (Some("secret" | "secrets"), Some(before)) => OBJECTS.contains(&before),
        (Some("id"), Some(before)) => before == "key",
        (last, _) => last.is_some_and(|last| PLACES.contains(&last)),
    }
}

/// The words of `dbPassword`, `DB_PASSWORD`, `db-password` and `DBPassword`: the same two.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let begins = letter.is_uppercase()
            && (before.is_some_and(|before| !before.is_uppercase())
                || after.is_some_and(|after| after.is_lowercase()));
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    // Which of several it is says nothing of what it is.
    let digits = |word: &String| {
        let bare = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
        bare.to_owned()
    };
    let mut words: Vec<String> = words.iter().map(digits).collect();
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_a_secret_however_it_is_written() {
        for name in [
            "password",
            "dbPassword",
            "DB_PASSWORD",
            "db-passwd",
            "DBPassword",
            "dbpassword",
            "redis.password",
            "SECRET_KEY_BASE",
            "clientSecrets",
            "accessToken",
            "API_TOKEN_2",
            "apiKey",
            "API_KEYS",
            "stripe_apikey",
            "privateKey",
            "TLS private key",
            "AWS_SECRET_ACCESS_KEY",
            "credentials",
            "SENTRY_DSN",
            "connectionString",
            "ConnectionStrings__Default",
            "connectionstring",
            "dbPassword2",
            "API_TOKEN2",
            "apiKey2",
            "DB_PASS",
            "MYSQL_PWD",
            "SECRET_ID",
        ] {
            assert!(is_confidential(name), "{name}");
        }
    }

    #[test]
    fn an_ordinary_name_tells_none() {
        for name in [
            "",
            "host",
            "key",
            "tokenizer",
            "secretary",
            "keys",
            "publicKey",
            "API_URL",
            "adsn",
            "secretName",
            "PASSWORD_FILE",
            "tokenPath",
            "AWS_ACCESS_KEY_ID",
            "secretKeyRef",
            "existingSecret",
            "imagePullSecrets",
            "tlsSecret",
            "tokenUrl",
            "compass",
        ] {
            assert!(!is_confidential(name), "{name}");
        }
    }
}
