//! Turns failures of single objects into root causes, each with all the objects that it stops.
//! It judges no object; what the cluster says about each is all that it has.
//! One missing Secret fails every workload that uses it, and people mend it once.

use super::Symptom;
use crate::cluster::failures::FailureClass;

/// One root cause and the objects that it stops.
pub(super) struct Cause {
    symptom: Symptom,
    targets: Vec<usize>,
}

impl Cause {
    pub(super) fn targets(&self) -> impl Iterator<Item = usize> + '_ {
        self.targets.iter().copied()
    }

    /// The symptom of the first object, in the name of all.
    pub(super) fn named(mut self, name: impl Fn(usize) -> String) -> Symptom {
        let names: Vec<String> = self.targets.iter().map(|target| name(*target)).collect();
        if let Some((last, others)) = names.split_last()
            && !others.is_empty()
        {
            let all = format!("{} and {last}", others.join(", "));
            if let (Some(subject), Some(first)) =
                (self.symptom.facts.get_mut("subject"), names.first())
            {
                *subject = subject.replace(first, &all);
            }
            self.symptom.facts.insert("object", all);
        }
        self.symptom
    }
}

/// What two failures have in common that are mended by the same change.
#[derive(Debug, PartialEq, Eq)]
enum Root {
    /// An object that does not exist, or a key of it.
    Missing(String),
    Image(String),
    /// A rule of the cluster or of the Namespace, by its own words.
    Rule(FailureClass, String),
    /// Nobody else's.
    Own(usize, FailureClass, String),
}

/// One cause for each root of the failures that count; other objects that show the same are counted in at once.
pub(super) fn by_root(ripe: &[Symptom], all: &[Symptom]) -> Vec<Cause> {
    let mut causes = Vec::<(Root, Cause)>::new();
    for symptom in ripe {
        let own = root(symptom);
        match causes.iter_mut().find(|(root, _)| *root == own) {
            Some((_, cause)) => add(cause, symptom.target),
            None => causes.push((
                own,
                Cause {
                    symptom: symptom.clone(),
                    targets: vec![symptom.target],
                },
            )),
        }
    }
    for symptom in all {
        let own = root(symptom);
        if let Some((_, cause)) = causes.iter_mut().find(|(root, _)| *root == own) {
            add(cause, symptom.target);
        }
    }
    causes.into_iter().map(|(_, cause)| cause).collect()
}

fn add(cause: &mut Cause, target: usize) {
    if !cause.targets.contains(&target) {
        cause.targets.push(target);
    }
}

fn root(symptom: &Symptom) -> Root {
    use FailureClass as Class;
    let fact = |name: &str| symptom.facts.get(name).cloned().unwrap_or_default();
    let class = symptom.class;
    match class {
        Class::ImageMissing
        | Class::ImageForbidden
        | Class::ImagePlatform
        | Class::ImageName
        | Class::ImageNotOnNode
        | Class::ImagePull => Root::Image(fact("image")),
        Class::RegistryUnreachable | Class::RegistryLimit => Root::Rule(class, fact("registry")),
        Class::ReferenceMissing | Class::KeyMissing | Class::VolumeReference | Class::VolumeKey => {
            Root::Missing(["kind", "reference", "key"].map(fact).join(" "))
        }
        Class::ServiceAccount => Root::Missing(fact("account")),
        Class::ClaimMissing | Class::ClaimClassMissing | Class::ClaimNoClass => {
            Root::Rule(class, fact("claim"))
        }
        Class::Quota
        | Class::QuotaUnspecified
        | Class::LimitRange
        | Class::PodSecurity
        | Class::AdmissionPolicy
        | Class::AdmissionWebhook
        | Class::Admission
        | Class::UnschedulableResources
        | Class::UnschedulableSelector
        | Class::UnschedulableTaint
        | Class::Unschedulable => Root::Rule(class, rule(&symptom.message)),
        _ => Root::Own(symptom.target, class, fact("container")),
    }
}

/// The rule that refuses pods, without the name of the pod and what it asked for.
fn rule(message: &str) -> String {
    if let Some((_, rest)) = message.split_once("exceeded quota: ") {
        return rest.split(',').next().unwrap_or(rest).to_owned();
    }
    let refusal = message.split_once(" is forbidden: ");
    refusal.map_or(message, |(_, rule)| rule).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_the_same_for_every_pod() {
        for pod in ["web-1", "worker-2"] {
            let quota = format!(
                r#"pods "{pod}" is forbidden: exceeded quota: preview, requested: pods=1, used: pods=1, limited: pods=1"#
            );
            assert_eq!(rule(&quota), "preview");
            let security = format!(
                r#"pods "{pod}" is forbidden: violates PodSecurity "restricted:latest": privileged"#
            );
            assert_eq!(
                rule(&security),
                r#"violates PodSecurity "restricted:latest": privileged"#
            );
        }
    }
}
