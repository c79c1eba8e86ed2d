//! Turns the input `kubeconfig` into its text or its path, and finds the secrets that a kubeconfig holds.
//! It opens no file and does not understand the kubeconfig; the cluster edge does.
//! Nothing of the value stands in any message: whoever pastes the wrong secret must not find it in a public log.

use super::{KubeconfigSource, reader::Problem};
use crate::names::Secret;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use std::path::PathBuf;

const FIX: &str = "give the kubeconfig itself, its base64, or the path of its file such as `./kubeconfig`; \
     `kubectl config view --raw --minify --flatten` prints one";

/// Longer words without any mark of a path are taken for a credential that was pasted, not for a file.
const LONGEST_BARE_PATH: usize = 100;

/// The text itself, its base64, or a path.
pub(super) fn source(text: &str) -> Result<KubeconfigSource, Problem> {
    if is_kubeconfig(text) {
        return Ok(KubeconfigSource::Text(Secret::new(text)));
    }
    let one_line =
        !text.chars().any(char::is_control) && text.len() <= 4096 && !text.ends_with('=');
    let marked = ["/", "./", "../", "~/"]
        .iter()
        .any(|mark| text.starts_with(mark));
    if one_line && marked {
        return Ok(KubeconfigSource::Path(PathBuf::from(text)));
    }
    if let Some(bytes) = decoded(text) {
        return match String::from_utf8(bytes) {
            Ok(inner) if is_kubeconfig(&inner) => Ok(KubeconfigSource::Text(Secret::new(inner))),
            _ if one_line && text.len() <= LONGEST_BARE_PATH && text.contains('/') => {
                Ok(KubeconfigSource::Path(PathBuf::from(text)))
            }
            _ => Err(Problem::new(
                "is base64, but not of a kubeconfig (`apiVersion` and `clusters` are missing)",
                FIX,
            )),
        };
    }
    if one_line && text.len() <= LONGEST_BARE_PATH {
        return Ok(KubeconfigSource::Path(PathBuf::from(text)));
    }
    Err(Problem::new(
        "is neither a kubeconfig nor base64 nor a path",
        FIX,
    ))
}

fn is_kubeconfig(text: &str) -> bool {
    ["apiVersion", "clusters"]
        .iter()
        .any(|key| values_of(text, key).next().is_some())
}

/// The bytes behind base64 of either alphabet, white space inside allowed; none for anything else.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let word: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    // Without padding, a short word such as `config` would be base64 as well.
    if !word.len().is_multiple_of(4) && word.len() <= LONGEST_BARE_PATH {
        return None;
    }
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(&word).ok())
}

/// Keys of a kubeconfig whose values are secret, or name a person who is nobody's business.
const SECRET_KEYS: &[&str] = &[
    "token",
    "password",
    "client-key-data",
    "client-certificate-data",
    "id-token",
    "refresh-token",
    "access-token",
    "client-secret",
];

/// Every secret text in a kubeconfig: the secret values, what they are base64 of, and the base64 of the whole.
pub(super) fn secrets(text: &str) -> Vec<Secret> {
    let mut found = Vec::new();
    for value in SECRET_KEYS.iter().flat_map(|key| values_of(text, key)) {
        if let Some(inner) = decoded(&value).and_then(|bytes| String::from_utf8(bytes).ok()) {
            // The marks around a PEM block stand in every certificate; hiding them would blank messages about them.
            let lines: Vec<&str> = inner
                .lines()
                .filter(|line| !line.starts_with("-----"))
                .collect();
            found.push(Secret::new(lines.join("\n")));
        }
        found.push(Secret::new(value));
    }
    let whole = STANDARD.encode(text);
    // `base64` breaks its lines after 76 characters, `openssl base64` after 64.
    for width in [whole.len().max(1), 76, 64] {
        let lines: Vec<String> = whole
            .as_bytes()
            .chunks(width)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        found.push(Secret::new(lines.join("\n")));
    }
    found
}

/// The values of a key, in block or flow style, quoted or not; several lines are joined by line breaks.
///
/// It works on text because a secret must be known before anybody tries to parse what may be broken.
/// Where the style is in doubt both readings count: hiding too much is the smaller harm.
fn values_of<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = String> + 'a {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(key)
        .filter_map(move |(at, _)| {
            let before = &text[..at];
            if before.chars().next_back().is_some_and(in_word) {
                return None;
            }
            let after = text[at + key.len()..].trim_start_matches(['"', '\'']);
            let after = after.trim_start_matches(' ').strip_prefix(':')?;
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            Some(readings(after, indent(&text[line_start..])))
        })
        .flatten()
}

fn readings(after: &str, key_indent: usize) -> Vec<String> {
    let (line, below) = after.split_once('\n').unwrap_or((after, ""));
    let line = line.trim();
    match line.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(after.trim_start(), quote),
        None | Some('|' | '>') => {
            let block: Vec<&str> = below
                .lines()
                .take_while(|line| line.trim().is_empty() || indent(line) > key_indent)
                .map(str::trim)
                .collect();
            vec![block.join("\n").trim().into()]
        }
        Some(_) => {
            let plain = line.find(" #").map_or(line, |at| &line[..at]).trim_end();
            let in_flow = plain.split([',', '}']).next().unwrap_or_default().trim();
            let mut readings = vec![plain.to_owned()];
            if in_flow != plain {
                readings.push(in_flow.into());
            }
            readings
        }
    }
}

fn quoted(text: &str, quote: char) -> Vec<String> {
    let mut escaped = false;
    let end = text[1..].find(|c| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped && quote == '"';
        closes
    });
    let raw = &text[1..end.map_or(text.len(), |end| end + 1)];
    let mut readings = vec![raw.to_owned()];
    readings.extend(serde_json::from_str::<String>(&format!("\"{raw}\"")).ok());
    readings
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '-']).len()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const YAML: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {server: https://10.0.0.1}\nusers:\n- name: u\n  user:\n    token: plain-token-1234\n    password: a,b}c-secret # old\n    client-key-data: LS0tLS1CRUdJTiBLRVktLS0tLQpzM2NyM3QtbGluZQo=\n    client-certificate-data: >-\n      Zm9sZGVkLWJs\n      b2NrLXZhbHVl\n";

    fn text(input: &str) -> String {
        match source(input).unwrap() {
            KubeconfigSource::Text(text) => text.expose().to_owned(),
            KubeconfigSource::Path(path) => format!("path {}", path.display()),
        }
    }

    fn known(text: &str) -> Vec<String> {
        secrets(text)
            .iter()
            .map(|secret| secret.expose().to_owned())
            .collect()
    }

    #[test]
    fn text_stays_and_base64_is_decoded() {
        assert_eq!(text(YAML), YAML);
        let json = r#"{"apiVersion":"v1","clusters":[]}"#;
        assert_eq!(text(json), json);
        let base64 = STANDARD.encode(YAML);
        assert_eq!(text(&base64), YAML);
        let wrapped: Vec<&str> = base64
            .as_bytes()
            .chunks(76)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        assert_eq!(text(&wrapped.join("\r\n  ")), YAML);
        assert_eq!(text(base64.trim_end_matches('=')), YAML);
        assert_eq!(text(&base64.replace('+', "-").replace('/', "_")), YAML);
    }

    #[test]
    fn what_looks_like_a_path_is_one() {
        for path in [
            "/github/runner_temp/kubeconfig",
            "./kube",
            "../x",
            "kubeconfig",
            "config",
            "kube/config",
            "dir/kube/conf",
            "my kubeconfig.yaml",
        ] {
            assert_eq!(text(path), format!("path {path}"));
        }
    }

    #[test]
    fn rubbish_is_refused_and_not_shown() {
        let jwt = format!(
            "eyJhbGciOiJSUzI1NiJ9.{}.c2lnbmF0dXJl",
            "eyJzdWIiOiJ4In0".repeat(20)
        );
        for rubbish in [
            STANDARD.encode("hello world, this is not a kubeconfig at all"),
            STANDARD.encode([0xff, 0xfe, 0x00, 0x01].repeat(40)),
            "aGVsbG8gd29ybGQh".into(),
            jwt,
            "two\nlines of text".into(),
            format!("/{}", "x".repeat(5000)),
        ] {
            let problem = source(&rubbish).unwrap_err();
            let said = format!("{} {}", problem.problem, problem.fix);
            for word in rubbish
                .split(['.', '\n', ' '])
                .filter(|word| word.len() > 5)
            {
                assert!(!said.contains(&word[..6]), "{said}");
            }
            assert!(said.contains("kubectl config view"), "{said}");
        }
    }

    #[test]
    fn every_secret_of_a_kubeconfig_is_known() {
        let known = known(YAML);
        for secret in [
            "plain-token-1234",
            "a,b}c-secret",
            "LS0tLS1CRUdJTiBLRVktLS0tLQpzM2NyM3QtbGluZQo=",
            "s3cr3t-line",
            "Zm9sZGVkLWJs\nb2NrLXZhbHVl",
            "folded-block-value",
            &STANDARD.encode(YAML),
        ] {
            assert!(known.iter().any(|text| text == secret), "{secret}");
        }
        for harmless in ["kind: Config", "-----BEGIN"] {
            assert!(!known.iter().any(|text| text.contains(harmless)));
        }
    }

    #[test]
    fn secrets_are_known_in_every_style() {
        for (text, secret) in [
            (r#"{"user":{"token":"json-token"}}"#, "json-token"),
            (r#"{"password" : "with \"quote\""}"#, "with \"quote\""),
            ("user: {token: flow-token, x: y}", "flow-token"),
            ("  'token': 'single-quoted'", "single-quoted"),
            ("token:\n  next-line-token\nother: x", "next-line-token"),
            ("- token: |\n    block-token\n  x: y", "block-token"),
            ("id-token: oidc-token\r\nx: y", "oidc-token"),
            ("token: \"never closed", "never closed"),
        ] {
            assert!(known(text).iter().any(|known| known == secret), "{text}");
        }
        assert_eq!(known("my-token: x\ntokens: y\ntoken-file: z").len(), 3);
    }

    #[test]
    fn the_redactor_hides_all_of_them() {
        let mut redactor = crate::names::Redactor::default();
        for secret in secrets(YAML) {
            redactor.learn(secret.expose());
        }
        let log = redactor.redact(&format!("{YAML}\n{}\ns3cr3t-line", STANDARD.encode(YAML)));
        for part in [
            "plain-token",
            "c-secret",
            "s3cr3t",
            "Zm9sZGVk",
            "b2NrLXZh",
            "LS0tLS1C",
        ] {
            assert!(!log.contains(part), "{part} in {log}");
        }
        assert!(log.contains("kind: Config"), "{log}");
    }
}
