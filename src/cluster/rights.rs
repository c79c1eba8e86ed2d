//! Turns the shipped rules into what this credential lacks of them, and whether the admission policy holds it to previews.
//! It must not write: reviews leave no object behind, and the one creation is a dry run that is to be refused.
//! The rules are read from the very text that `setup` prints, so that a check can't ask for less than a deploy needs.

use super::{
    Attempt, Cluster,
    answer::Class,
    call::{Call, How, LOOKER, Repeat},
    error::ClusterError,
    kinds::{self, Kind},
};
use crate::{names::Namespace, templates, yaml};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

/// A Namespace that nobody has: what is granted there is granted everywhere, and the policy refuses to have it made.
const NOWHERE: &str = "preview-action-check";

/// Reviews that are asked for at once.
const ABREAST: usize = 16;

/// What the shipped rules grant and a credential lacks, of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What would grant it, such as `ClusterRole preview-action`.
    pub role: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Resource, such as `pods/log`.
    pub resource: String,
    /// The one name that the rule is about; empty for all.
    pub name: String,
    /// Verbs.
    pub verbs: Vec<String>,
}

impl Missing {
    /// The rule as it stands in a Role.
    pub fn rule(&self) -> String {
        let names = match self.name.as_str() {
            "" => String::new(),
            name => format!(", resourceNames: [{name}]"),
        };
        format!(
            "{{apiGroups: [\"{}\"], resources: [{}]{names}, verbs: [{}]}}",
            self.group,
            self.resource,
            self.verbs.join(", ")
        )
    }
}

/// The rules that a credential has in a Namespace.
struct Rules {
    rules: Vec<Value>,
    /// True when an authorizer that lists no rules may grant more.
    incomplete: bool,
}

impl Cluster {
    /// What of the shipped rules this credential lacks: two questions, and one more for each verb that no list shows.
    pub async fn missing_rights(&self, control: &Namespace) -> Result<Vec<Missing>, ClusterError> {
        let (everywhere, there) =
            tokio::try_join!(self.rules(NOWHERE), self.rules(control.as_str()))?;
        let mut lacking = Vec::new();
        for (need, namespaced) in needs()? {
            let (rules, namespace) = match namespaced {
                true => (&there, control.as_str()),
                false => (&everywhere, ""),
            };
            for verb in &need.verbs {
                if !rules.grant(&need, verb) {
                    lacking.push((one(&need, verb), namespace, rules.incomplete));
                }
            }
        }
        let mut asked = stream::iter(lacking)
            .map(|(need, namespace, unsure)| async move {
                let granted = unsure && self.grants(&need, namespace).await?;
                Ok::<_, ClusterError>((!granted).then_some(need))
            })
            .buffered(ABREAST);
        let mut missing: Vec<Missing> = Vec::new();
        while let Some(next) = asked.try_next().await? {
            let Some(next) = next else { continue };
            match missing.last_mut() {
                Some(last) if one(last, &next.verbs[0]) == next => last.verbs.extend(next.verbs),
                _ => missing.push(next),
            }
        }
        Ok(missing)
    }

    async fn rules(&self, namespace: &str) -> Result<Rules, ClusterError> {
        let spec = json!({"namespace": namespace});
        let mut status = self.review(&kinds::RULES_REVIEW, spec).await?;
        let rules = match status["resourceRules"].take() {
            Value::Array(rules) => rules,
            _ => Vec::new(),
        };
        Ok(Rules {
            rules,
            incomplete: status["incomplete"] == true,
        })
    }

    async fn grants(&self, need: &Missing, namespace: &str) -> Result<bool, ClusterError> {
        let (resource, sub) = need
            .resource
            .split_once('/')
            .unwrap_or((&need.resource, ""));
        let spec = json!({"resourceAttributes": {
            "verb": need.verbs[0], "group": need.group, "resource": resource, "subresource": sub,
            "namespace": namespace, "name": need.name,
        }});
        let status = self.review(&kinds::ACCESS_REVIEW, spec).await?;
        Ok(status["allowed"] == true)
    }

    async fn review(&self, kind: &Kind, spec: Value) -> Result<Value, ClusterError> {
        let id = kind.object("");
        let review = json!({"apiVersion": id.api_version(), "kind": kind.kind, "spec": spec});
        let mut call = Call::create(kind, None, "own", &review)?;
        // It makes nothing, so it may be asked again.
        call.repeat = Repeat::Safe;
        Ok(self.send(call).await?.body["status"].take())
    }

    /// True when the shipped policy keeps this credential from making a Namespace that is no preview, as a dry run shows.
    pub async fn is_held(&self) -> Result<bool, ClusterError> {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NOWHERE}});
        let how = How {
            manager: LOOKER,
            force: false,
            dry_run: true,
        };
        match self
            .send(Call::apply_as(
                &kinds::NAMESPACE,
                None,
                NOWHERE,
                &object,
                &how,
            )?)
            .await
        {
            Ok(_) => Ok(false),
            Err(error) => match error.refusal() {
                Some(refusal)
                    if refusal.class == Class::Admission
                        && refusal.message.contains("'preview-action'") =>
                {
                    Ok(true)
                }
                _ => Err(error),
            },
        }
    }

    /// Names of the classes that an Ingress may have, and which of them is the default; none when they may not be listed.
    pub async fn ingress_classes(&self) -> Result<Option<Vec<(String, bool)>>, ClusterError> {
        let list = self.everywhere(&kinds::INGRESS_CLASS).await?;
        let read = |class: &Value| {
            let metadata = &class["metadata"];
            let name = metadata["name"].as_str().unwrap_or_default().to_owned();
            let default = &metadata["annotations"]["ingressclass.kubernetes.io/is-default-class"];
            (name, default == "true")
        };
        Ok(list.map(|list| list.iter().map(read).collect()))
    }
}

impl ClusterError {
    /// True when a webhook stood in the way that may do more than answer (`sideEffects`): it says nothing about the object.
    pub fn refuses_dry_runs(&self) -> bool {
        let refusal = self.refusal();
        refusal.is_some_and(|one| one.message.contains("does not support dry run"))
    }
}

impl Rules {
    fn grant(&self, need: &Missing, verb: &str) -> bool {
        let sub = need
            .resource
            .split_once('/')
            .map(|(_, sub)| format!("*/{sub}"));
        let has = |list: &Value, wanted: &str| {
            let mut all = list.as_array().into_iter().flatten();
            all.any(|one| one == wanted || one == "*")
        };
        let names = |list: &Value| {
            let all = list.as_array();
            all.is_none_or(|all| all.is_empty() || all.iter().any(|one| one == need.name.as_str()))
        };
        self.rules.iter().any(|rule| {
            let resources = &rule["resources"];
            has(&rule["verbs"], verb)
                && has(&rule["apiGroups"], &need.group)
                && (has(resources, &need.resource)
                    || sub.as_ref().is_some_and(|sub| has(resources, sub)))
                && names(&rule["resourceNames"])
        })
    }
}

/// The same need of one verb alone.
fn one(need: &Missing, verb: &str) -> Missing {
    Missing {
        verbs: vec![verb.to_owned()],
        ..need.clone()
    }
}

/// What the shipped file grants, one resource each, and whether that is in the control namespace alone.
fn needs() -> Result<Vec<(Missing, bool)>, ClusterError> {
    let documents = yaml::parse_many(templates::RBAC);
    let documents = documents.map_err(|error| ClusterError::Unintelligible {
        attempt: Attempt {
            verb: "read",
            object: "the shipped rules".into(),
            namespace: None,
        },
        problem: error.to_string(),
    })?;
    let texts = |list: &Value| -> Vec<String> {
        let all = list.as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut needs = Vec::new();
    for (_, role) in &documents {
        let kind = role["kind"].as_str().unwrap_or_default();
        for rule in role["rules"].as_array().into_iter().flatten() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    let need = Missing {
                        role: format!(
                            "{kind} {}",
                            role["metadata"]["name"].as_str().unwrap_or_default()
                        ),
                        group: group.clone(),
                        resource,
                        name: texts(&rule["resourceNames"]).pop().unwrap_or_default(),
                        verbs: texts(&rule["verbs"]),
                    };
                    needs.push((need, kind == "Role"));
                }
            }
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn rules(rules: Value) -> Rules {
        Rules {
            rules: rules.as_array().unwrap().clone(),
            incomplete: false,
        }
    }

    fn need(group: &str, resource: &str, name: &str, verb: &str) -> Missing {
        Missing {
            role: "ClusterRole preview-action".into(),
            group: group.into(),
            resource: resource.into(),
            name: name.into(),
            verbs: vec![verb.into()],
        }
    }

    #[test]
    fn every_rule_of_the_shipped_file_is_needed() {
        let needs = needs().unwrap();
        let all: usize = needs.iter().map(|(need, _)| need.verbs.len()).sum();
        assert!(needs.len() > 25 && all > 100, "{} {all}", needs.len());
        assert!(needs.iter().any(|(need, namespaced)| *namespaced
            && need.role == "Role preview-action-ledger"
            && need.verbs.contains(&"update".into())));
        assert!(
            needs
                .iter()
                .any(|(need, _)| need.name == "preview-last-good")
        );
        // A rule about several names would be checked for one of them only.
        assert_eq!(
            templates::RBAC
                .matches("resourceNames: [preview-last-good]")
                .count(),
            1
        );
        assert_eq!(templates::RBAC.matches("resourceNames:").count(), 1);
    }

    #[test]
    fn a_rule_grants_what_it_names_and_what_its_stars_cover() {
        let some = rules(json!([
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["*/log"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["preview-last-good"], "verbs": ["get"]},
        ]));
        for (need, granted) in [
            (need("apps", "deployments", "", "get"), true),
            (need("apps", "deployments", "", "patch"), false),
            (need("", "deployments", "", "get"), false),
            (need("", "pods/log", "", "get"), true),
            (need("", "pods", "", "get"), false),
            (need("", "secrets", "preview-last-good", "get"), true),
            (need("", "secrets", "", "get"), false),
        ] {
            assert_eq!(some.grant(&need, &need.verbs[0]), granted, "{need:?}");
        }
        let admin = rules(json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
        assert!(admin.grant(&need("x", "pods/log", "a", "get"), "get"));
    }

    #[test]
    fn a_missing_rule_is_spelled_as_in_a_role() {
        let mut missing = need("apps", "deployments", "", "get");
        missing.verbs.push("list".into());
        assert_eq!(
            missing.rule(),
            "{apiGroups: [\"apps\"], resources: [deployments], verbs: [get, list]}"
        );
        let named = need("", "secrets", "preview-last-good", "get").rule();
        assert!(
            named.contains("resourceNames: [preview-last-good]"),
            "{named}"
        );
    }
}
