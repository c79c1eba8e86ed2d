//! Turns the text of a kubeconfig into the one cluster and user that it names, or into advice.
//! It must not show the text: errors name a line and a key, never a value, because every second line is a secret.
//! What only works on a laptop (plug-ins, files of the host) is refused here and not when the first request fails.

use super::error::ClusterError;
use crate::yaml;
use kube::config::{AuthInfo, Cluster, Kubeconfig};

/// Whether a kubeconfig may name files of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// It may: the command line runs where the files are.
    Allowed,
    /// It may not: a container action does not see the files of the host.
    Refused,
}

/// The cluster and the user of one context.
pub(super) struct Entry {
    pub(super) cluster: Cluster,
    pub(super) user: AuthInfo,
}

pub(super) fn problem(problem: impl Into<String>, remedy: impl Into<String>) -> ClusterError {
    ClusterError::Kubeconfig {
        problem: problem.into(),
        remedy: remedy.into(),
    }
}

const TOKEN_REMEDY: &str = "use a ServiceAccount's token instead: apply `preview-action setup` and run the commands that it prints; `kubectl -n preview-system create token preview-action --duration=8760h` makes the token";

/// Reads a kubeconfig and picks a context, the current one if none is named.
pub(super) fn read(text: &str, context: Option<&str>, files: Files) -> Result<Entry, ClusterError> {
    let config = parse(text)?;
    let name = match (context, config.current_context.as_deref()) {
        (Some(name), _) => name,
        (None, Some(name)) if !name.is_empty() => name,
        _ => {
            return Err(problem(
                "the kubeconfig has no current-context",
                format!("set the input context to one of: {}", contexts(&config)),
            ));
        }
    };
    let Some(found) = config.contexts.iter().find(|found| found.name == name) else {
        return Err(problem(
            format!("the kubeconfig has no context {name:?}"),
            format!("set the input context to one of: {}", contexts(&config)),
        ));
    };
    let incomplete = |what: &str| {
        problem(
            format!("context {name:?} of the kubeconfig names {what} that is not in it"),
            "make it with `kubectl config view --minify --flatten --raw`",
        )
    };
    let reference = found
        .context
        .as_ref()
        .ok_or_else(|| incomplete("a cluster"))?;
    let cluster = config
        .clusters
        .iter()
        .find(|cluster| cluster.name == reference.cluster)
        .and_then(|cluster| cluster.cluster.clone())
        .ok_or_else(|| incomplete("a cluster"))?;
    let user = match reference.user.as_deref() {
        None | Some("") => AuthInfo::default(),
        Some(user) => config
            .auth_infos
            .iter()
            .find(|found| found.name == user)
            .and_then(|found| found.auth_info.clone())
            .ok_or_else(|| incomplete("a user"))?,
    };
    refuse_plugins(&user)?;
    if files == Files::Refused {
        refuse_files(&cluster, &user)?;
    }
    Ok(Entry { cluster, user })
}

/// A parse error's own text quotes the lines around the fault, so only its place is kept.
fn parse(text: &str) -> Result<Kubeconfig, ClusterError> {
    const REMEDY: &str = "paste the output of `kubectl config view --minify --flatten --raw` into the secret, as it is or in base64";
    const PROBLEM: &str = "the kubeconfig is not valid YAML of its kind";
    // By way of JSON, as kubectl reads it.
    let value = yaml::parse_one(text).map_err(|error| {
        let place = match error.line() {
            0 => String::new(),
            line => format!(" (line {line}, column {})", error.column()),
        };
        problem(format!("{PROBLEM}{place}"), REMEDY)
    })?;
    let config: Kubeconfig = serde_json::from_value(value).map_err(|_| problem(PROBLEM, REMEDY))?;
    if config.clusters.is_empty() {
        return Err(problem("the kubeconfig has no clusters", REMEDY));
    }
    Ok(config)
}

fn contexts(config: &Kubeconfig) -> String {
    let names: Vec<_> = config
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect();
    if names.is_empty() {
        "(there is none)".into()
    } else {
        names.join(", ")
    }
}

fn refuse_plugins(user: &AuthInfo) -> Result<(), ClusterError> {
    let plugin = match (&user.exec, &user.auth_provider) {
        (Some(exec), _) => {
            let command = exec.command.as_deref().unwrap_or("without a command");
            format!("the exec plug-in {command}")
        }
        (None, Some(provider)) => format!("the auth-provider {}", provider.name),
        (None, None) => return Ok(()),
    };
    Err(problem(
        format!("the kubeconfig logs in by {plugin}, which does not exist where this action runs"),
        TOKEN_REMEDY,
    ))
}

fn refuse_files(cluster: &Cluster, user: &AuthInfo) -> Result<(), ClusterError> {
    // The inline form wins over the file, as kubectl has it.
    let named = [
        (
            "certificate-authority",
            &cluster.certificate_authority,
            cluster.certificate_authority_data.is_some(),
        ),
        (
            "client-certificate",
            &user.client_certificate,
            user.client_certificate_data.is_some(),
        ),
        (
            "client-key",
            &user.client_key,
            user.client_key_data.is_some(),
        ),
        ("tokenFile", &user.token_file, user.token.is_some()),
    ];
    for (key, file, inline) in named {
        if file.as_deref().is_some_and(|file| !file.is_empty()) && !inline {
            return Err(problem(
                format!("the kubeconfig names a file of another machine as {key}"),
                "make it self-contained with `kubectl config view --minify --flatten --raw`",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn kubeconfig(user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             clusters: [{{name: c, cluster: {{server: 'https://c.example.com'}}}}]\n\
             users: [{{name: u, user: {user}}}]\n\
             contexts: [{{name: a, context: {{cluster: c, user: u}}}}, {{name: b, context: {{cluster: x, user: u}}}}]\n"
        )
    }

    fn refusal(text: &str, context: Option<&str>, files: Files) -> (String, String) {
        match read(text, context, files) {
            Err(ClusterError::Kubeconfig { problem, remedy }) => (problem, remedy),
            _ => (String::new(), String::new()),
        }
    }

    #[test]
    fn a_plug_in_is_named_with_the_way_out() {
        let text =
            kubeconfig("{exec: {apiVersion: v1, command: aws-iam-authenticator, args: [token]}}");
        let (problem, remedy) = refusal(&text, None, Files::Allowed);
        assert!(problem.contains("aws-iam-authenticator"), "{problem}");
        assert!(
            remedy.contains("kubectl -n preview-system create token"),
            "{remedy}"
        );
        let text = kubeconfig("{auth-provider: {name: gcp}}");
        assert!(
            refusal(&text, None, Files::Allowed)
                .0
                .contains("auth-provider gcp")
        );
    }

    #[test]
    fn a_file_of_the_host_is_refused_in_the_action_only() {
        let text = kubeconfig("{tokenFile: /home/me/token}");
        let (problem, remedy) = refusal(&text, None, Files::Refused);
        assert!(problem.contains("tokenFile"), "{problem}");
        assert!(remedy.contains("--flatten"), "{remedy}");
        assert!(!problem.contains("/home/me"), "{problem}");
        assert!(read(&text, None, Files::Allowed).is_ok());
        let inline = kubeconfig("{tokenFile: /home/me/token, token: abc}");
        assert!(read(&inline, None, Files::Refused).is_ok());
    }

    #[test]
    fn an_unknown_context_lists_the_known_ones() {
        let (problem, remedy) = refusal(&kubeconfig("{}"), Some("z"), Files::Refused);
        assert!(
            problem.contains("\"z\"") && remedy.contains("a, b"),
            "{problem} {remedy}"
        );
        assert!(
            refusal(&kubeconfig("{}"), Some("b"), Files::Refused)
                .0
                .contains("a cluster")
        );
    }

    #[test]
    fn no_broken_kubeconfig_shows_its_content() {
        for broken in [
            "users:\n- name: u\n  user:\n    token: hunter2-token\n   oops: [",
            "users: hunter2-token",
            "hunter2-token",
            "clusters: [hunter2-token]",
            "users: [{name: u, user: {token: [hunter2-token]}}]",
            "token: hunter2-token",
            "",
        ] {
            let error = read(broken, None, Files::Refused).err().unwrap();
            let shown = format!("{error} {error:?} {}", error.remedy());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
