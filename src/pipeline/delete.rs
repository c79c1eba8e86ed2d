//! Deletes one Namespace of ours in the very version that was judged, and words what it means when it does not go.
//! It waits for nothing and frees no slot.
//! A Namespace that somebody changed between look and deletion is judged again: it might be a new preview's by now.

use super::{Blame, Failure};
use crate::{
    cluster::{Cluster, Deleted, NamespaceInfo, Obstacle, Obstacles},
    names::{Namespace, ReasonCode},
};
use std::time::Duration;

/// A Namespace that changes again and again is left to the next run after this many looks.
const LOOKS: usize = 8;

/// What a deletion came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    /// It has begun, or had before.
    Begun,
    /// There is none of this UID any more.
    Gone,
    /// At a second look it was not to be deleted.
    Spared,
}

/// Deletes a Namespace that was just read and found due; `due` judges it again whenever it has changed since.
pub(super) async fn delete(
    cluster: &Cluster,
    found: &NamespaceInfo,
    due: impl Fn(&NamespaceInfo) -> bool,
) -> Result<Deletion, Failure> {
    let mut version = found.version.clone();
    for _ in 0..LOOKS {
        let deleted = cluster.delete_namespace(&found.name, &found.uid, Some(&version));
        match deleted.await? {
            Deleted::Begun => return Ok(Deletion::Begun),
            Deleted::AlreadyGone => return Ok(Deletion::Gone),
            Deleted::Changed => {}
        }
        match cluster.namespace(&found.name).await? {
            Some(now) if now.uid == found.uid => {
                if now.deleting.is_some() {
                    return Ok(Deletion::Begun);
                }
                if !due(&now) {
                    return Ok(Deletion::Spared);
                }
                version = now.version;
            }
            _ => return Ok(Deletion::Gone),
        }
    }
    Err(Failure::new(
        Blame::Theirs,
        ReasonCode::ClusterRefused,
        format!(
            "namespace {} was changed by somebody else each of the {LOOKS} times it was to be deleted",
            found.name
        ),
        "look who else writes it; the next scheduled run tries again",
    ))
}

/// A Namespace that does not go away, with what holds it and the commands that would help.
pub(super) fn stuck(
    reason: ReasonCode,
    name: &Namespace,
    after: Duration,
    by: &Obstacles,
) -> Failure {
    let mut failure = Failure::new(
        Blame::Theirs,
        reason,
        format!(
            "namespace {name} is still being deleted after {} seconds: {}",
            after.as_secs(),
            held_by(by)
        ),
        "let an operator look at what holds it; its slot stays taken until it is gone",
    );
    if let Some(cause) = failure.causes.first_mut() {
        cause.evidence = evidence(name, by);
    }
    failure
}

/// The first and most telling obstacle in a few words.
fn held_by(by: &Obstacles) -> String {
    let held = by.objects.iter().find(|one| !one.finalizers.is_empty());
    if let Some(one) = held {
        let more = match by.objects.len() {
            1 => String::new(),
            all => format!(", and {} more", all - 1),
        };
        return format!(
            "finalizer {} of {}/{} holds it{more}",
            one.finalizers.join(", "),
            one.resource,
            one.name
        );
    }
    match (by.conditions.first(), by.objects.first()) {
        (Some(condition), _) => condition.clone(),
        (None, Some(one)) => format!("{}/{} is still there", one.resource, one.name),
        (None, None) => "the server does not say why".into(),
    }
}

fn evidence(name: &Namespace, by: &Obstacles) -> Vec<crate::cluster::outcome::Evidence> {
    let piece = |title: &str, text: String| crate::cluster::outcome::Evidence {
        title: title.into(),
        text,
    };
    let mut left: Vec<String> = by.objects.iter().map(line).collect();
    let unseen = by.unseen.iter();
    left.extend(unseen.map(|resource| format!("{resource}: this credential may not list them")));
    let commands: Vec<String> = by.objects.iter().flat_map(|one| help(name, one)).collect();
    [
        ("What the cluster says", by.conditions.join("\n")),
        ("What is left", left.join("\n")),
        (
            "What would help; only for who knows what the finalizer guards",
            commands.join("\n"),
        ),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(title, text)| piece(title, text))
    .collect()
}

fn line(one: &Obstacle) -> String {
    let since = one
        .deleting
        .map_or_else(String::new, |at| format!(", to be deleted since {at}"));
    match one.finalizers.as_slice() {
        [] => format!("{}/{}{since}", one.resource, one.name),
        all => format!(
            "{}/{}{since}, finalizers {}",
            one.resource,
            one.name,
            all.join(", ")
        ),
    }
}

/// The commands that would free an object; none for a name that a shell might take for something else.
fn help(namespace: &Namespace, one: &Obstacle) -> Vec<String> {
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    if one.finalizers.is_empty() || !plain(&one.name) || !plain(&one.resource) {
        return Vec::new();
    }
    let (resource, name) = (&one.resource, &one.name);
    vec![
        format!("kubectl -n {namespace} get {resource} {name} -o yaml"),
        format!(
            r#"kubectl -n {namespace} patch {resource} {name} --type=merge -p '{{"metadata":{{"finalizers":null}}}}'"#
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle(name: &str, finalizers: &[&str]) -> Obstacle {
        Obstacle {
            resource: "configmaps".into(),
            name: name.into(),
            finalizers: finalizers.iter().map(|&one| one.into()).collect(),
            deleting: None,
        }
    }

    #[test]
    fn the_finalizer_comes_before_the_counts() {
        let by = Obstacles {
            conditions: vec!["Some resources are remaining: configmaps. has 2".into()],
            objects: vec![obstacle("held", &["example.com/block"]), obstacle("x", &[])],
            unseen: Vec::new(),
        };
        assert_eq!(
            held_by(&by),
            "finalizer example.com/block of configmaps/held holds it, and 1 more"
        );
    }

    #[test]
    fn no_command_is_offered_for_a_name_that_a_shell_would_run() {
        let name: Namespace = "pr-1".parse().unwrap_or_else(|_| unreachable!());
        assert_eq!(help(&name, &obstacle("a;reboot", &["x/y"])), [""; 0]);
        assert_eq!(help(&name, &obstacle("a", &["x/y"])).len(), 2);
    }
}
