//! A denial that says who can help: nobody should have to find out by asking around.
//! Names are a courtesy: where GitHub does not give them, the denial says the role and stands as it is.
//! It mentions nobody, so that no stranger can ring anybody's bell through us.

use super::{Story, courtesy};
use crate::{inputs::MinPermission, trigger::Denied};

/// Names are enough.
const ENOUGH: usize = 3;

impl Story<'_> {
    /// The role that maintainers have here.
    pub(super) fn maintainers(&self) -> MinPermission {
        let needed = self.ports.settings.min_permission;
        needed.max(MinPermission::Maintain)
    }

    /// The denial with the names of some who have the role that is needed.
    pub(super) async fn with_helpers(&self, mut denied: Denied, needed: MinPermission) -> Denied {
        let Some(github) = &self.ports.github else {
            return denied;
        };
        let permission = match needed {
            MinPermission::Write => "push",
            MinPermission::Maintain => "maintain",
            MinPermission::Admin => "admin",
        };
        let asked = github.who_has(permission);
        let names = courtesy("nobody is named who could help", asked).await;
        let names: Vec<_> = names.into_iter().flatten().take(ENOUGH).collect();
        if !names.is_empty() {
            denied.remedy = format!("{}; who has it here: {}", denied.remedy, names.join(", "));
        }
        denied
    }
}
