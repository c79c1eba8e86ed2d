//! Turns nothing into a whole small world to deploy previews in: a GitHub and a Kubernetes cluster, both over real HTTP.
//! It must not know the product; it imports nothing from the crate, and the product's clients cannot tell it from the real thing.
//! It is part of the product because `simulate` shows a stranger a pull request's life without network, cluster or token.

use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

#[cfg(test)]
mod clients;
mod clock;
pub mod cluster;
mod fault;
pub mod github;
mod http;
mod log;
#[cfg(test)]
mod probe;
pub mod scenario;
mod wire;

pub use self::clock::Clock;
pub use self::fault::{Action, Fault};
pub use self::log::{Log, Record, request_depth};

/// How a world starts.
#[derive(Clone, Debug, Default)]
pub struct WorldOptions {
    /// The simulated GitHub.
    pub github: github::Options,
    /// The simulated cluster.
    pub cluster: cluster::Options,
    /// The date and time at which the world starts; the present one by default.
    pub now: Option<Timestamp>,
    /// How far GitHub's clock is ahead of the cluster's; 0 by default.
    pub github_ahead: SignedDuration,
}

/// A simulated GitHub and a simulated cluster that share one passing of time and one request log.
#[derive(Debug)]
pub struct World {
    /// The simulated GitHub.
    pub github: github::Handle,
    /// The simulated cluster.
    pub cluster: cluster::Handle,
    /// The time of this world.
    pub clock: Clock,
    /// All requests to all sites of this world.
    pub log: Log,
}

impl World {
    /// Starts both servers on free loopback ports; they stop when the world is dropped.
    ///
    /// # Errors
    ///
    /// Fails if no port can be opened.
    pub async fn start(options: WorldOptions) -> io::Result<Self> {
        let clock = Clock::starting_at(options.now.unwrap_or_else(Timestamp::now));
        let log = Log::default();
        let github = github::Handle::start(
            options.github,
            clock.ahead_by(options.github_ahead),
            log.clone(),
        )
        .await?;
        let cluster = cluster::Handle::start(options.cluster, clock.clone(), log.clone()).await?;
        Ok(Self {
            github,
            cluster,
            clock,
            log,
        })
    }

    /// Moves the time of this world ahead, and lets controllers do what has become due.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.cluster.wake();
    }

    /// Returns all requests to both servers so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Record> {
        self.log.records()
    }

    /// Returns every request that no route of either server knows.
    pub fn unexpected(&self) -> Vec<String> {
        let mut unknown = self.github.unexpected();
        unknown.extend(self.cluster.unexpected());
        unknown
    }
}
