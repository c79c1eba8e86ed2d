//! What a kind is called in paths and in quotas, where nobody has said so.
//! It knows no kind by name; whoever knows better asks nobody here.
//! One rule for the policy's own kinds and for what quotas count.

/// The plural as Kubernetes' own generators make it.
pub fn plural(kind: &str) -> String {
    let name = kind.to_ascii_lowercase();
    let vowel = |name: &str| name.ends_with(['a', 'e', 'i', 'o', 'u']);
    match name.strip_suffix('y') {
        Some(stem) if !vowel(stem) => format!("{stem}ies"),
        _ if ["s", "x", "z", "ch", "sh"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            format!("{name}es")
        }
        _ => format!("{name}s"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn kinds_have_the_plural_that_generators_give_them() {
        for (kind, plural) in [
            ("ConfigMap", "configmaps"),
            ("Gateway", "gateways"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
        ] {
            assert_eq!(super::plural(kind), plural);
        }
    }
}
