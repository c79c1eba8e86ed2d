//! What a person may do in a repository, as GitHub's collaborator endpoint says it.
//! It does not decide what a level allows; `trigger` does.
//! Levels are ordered, so that a rule reads as a comparison.

/// A level of access to a repository, lowest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AccessLevel {
    /// No access, or nobody that GitHub knows.
    None,
    /// May read; every stranger on a public repository.
    Read,
    /// May push.
    Write,
    /// May change settings.
    Admin,
}

impl AccessLevel {
    /// Reads the `permission` field of the answer; anything unknown is no access.
    pub fn from_permission(text: &str) -> Self {
        match text {
            "admin" => Self::Admin,
            "write" | "maintain" | "push" => Self::Write,
            "read" | "triage" | "pull" => Self::Read,
            _ => Self::None,
        }
    }

    /// The level as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AccessLevel;

    #[test]
    fn an_unknown_permission_is_no_access() {
        for text in ["", "owner", "WRITE", "none"] {
            assert_eq!(
                AccessLevel::from_permission(text),
                AccessLevel::None,
                "{text}"
            );
        }
        assert!(AccessLevel::from_permission("maintain") >= AccessLevel::Write);
        assert!(AccessLevel::from_permission("triage") < AccessLevel::Write);
    }
}
