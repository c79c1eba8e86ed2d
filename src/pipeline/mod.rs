//! The use cases: what the stages and edges do together to deploy, remove, sweep, show and render a preview.
//! It knows that GitHub and a cluster both exist; nothing below it does.
//! Each use case takes open ports and returns an [`Ending`], so that every door tells the same story.

mod acknowledge;
mod adopt;
mod approval;
mod ask;
mod assess;
mod delete;
mod deploy;
mod desk;
mod diff;
mod ending;
mod existing;
mod failure;
mod filter;
mod hosts;
mod inspect;
mod issues;
mod life;
mod logs;
mod metrics;
mod ports;
mod promote;
mod remove;
mod render;
mod request;
mod respond;
mod restore;
mod rollback;
mod sandbox;
mod show;
mod sleep;
mod sources;
mod sweep;
mod take;
mod teller;

pub use crate::{capacity::RunId, cluster::LastFailure};
pub use adopt::{Adopted, adopt, adoptable};
pub use assess::{Verdict, assess};
pub use deploy::{DeployRequest, Entrance, deploy};
pub use diff::diff;
pub use ending::{Ending, Exit, Subject};
pub use failure::{Blame, Failure};
pub use inspect::{Listed, Status, list, status};
pub use metrics::metrics;
pub use ports::{Connections, Links, Ports};
pub use promote::{Promoted, first_in_line};
pub use remove::{RemoveReason, RemoveRequest, remove};
pub use render::manifests;
pub use respond::{Caller, Planned, ignored, plan, respond, without_credentials};
pub use rollback::rollback;
pub use sandbox::{RENDER_COMMAND, Sandbox, render_templates};
pub use sources::{Sources, checked_out};
pub use sweep::{Due, Outlook, Swept, sweep, sweep_by_hand, would_sweep};
pub use teller::{Audience, Teller};
