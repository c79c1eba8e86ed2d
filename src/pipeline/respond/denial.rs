//! A denial that says who can help: nobody should have to find out by asking around.
//! Names are a courtesy: where GitHub does not give them, the denial says the role and stands as it is.
//! It mentions nobody, so that no stranger can ring anybody's bell through us.

use super::{Allows, Caller, Ending, Failure, Ports, Story, courtesy, quiet};
use crate::{
    inputs::MinPermission,
    trigger::{Asked, Denied, permission},
};

/// Names are enough.
const ENOUGH: usize = 3;

/// Lets through what may be asked by everybody who must be asked about.
pub(super) async fn may(
    ports: &Ports,
    caller: &Caller<'_>,
    asked: &Asked,
    (allows, needed): Allows,
) -> Result<Result<(), Denied>, Failure> {
    for login in asked.must_ask(caller.attempt, caller.actor) {
        let access = ports.github()?.access(login).await?;
        if let Err(denied) = allows(login, access.level, &access.role, needed) {
            return Ok(Err(with_helpers(ports, denied, needed).await));
        }
    }
    Ok(Ok(()))
}

/// Lets the schedule sweep, and by hand whoever may give commands.
pub(super) async fn may_sweep(
    ports: &Ports,
    caller: &Caller<'_>,
    asked: Option<&Asked>,
) -> Result<Result<(), Denied>, Failure> {
    let allows: Allows = (permission::may_command, ports.settings.min_permission);
    match asked {
        Some(asked) => may(ports, caller, asked, allows).await,
        None => Ok(Ok(())),
    }
}

impl Story<'_> {
    /// The ending of a command that nobody is asked about; who floods us with such ones is not even told.
    pub(super) async fn unheard(&self, denied: &Denied) -> Ending {
        let heard = match self.request.asked.is_strange() {
            true => self.heard().await,
            false => Ok(Ok(())),
        };
        match heard {
            Ok(Err(other)) => quiet(other),
            _ => quiet(denied.clone()),
        }
    }

    /// The role that maintainers have here.
    pub(super) fn maintainers(&self) -> MinPermission {
        let needed = self.ports.settings.min_permission;
        needed.max(MinPermission::Maintain)
    }
}

/// The denial with the names of some who have the role that is needed.
async fn with_helpers(ports: &Ports, mut denied: Denied, needed: MinPermission) -> Denied {
    let Some(github) = &ports.github else {
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
