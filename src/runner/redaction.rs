//! Shares one redactor between everything that writes, so that a secret learnt late is hidden everywhere from then on.
//! It does not know who writes or where to.
//! A handle and not an argument: the log is set up before the first secret is read.

use crate::names::{Redactor, Secret};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// A handle of the run's redactor; clones share it.
#[derive(Clone, Default)]
pub struct Redaction(Arc<RwLock<Redactor>>);

impl Redaction {
    /// Learns a secret in all its forms.
    pub fn learn(&self, secret: &str) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .learn(secret);
    }

    /// Learns several secrets.
    pub fn learn_all<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        for secret in secrets {
            self.learn(secret.expose());
        }
    }

    /// The text without any secret known so far.
    pub fn redact(&self, text: &str) -> String {
        self.read(|redactor| redactor.redact(text))
    }

    /// A redactor with everything known so far, for what lives no longer than the use case that asks.
    pub fn snapshot(&self) -> Redactor {
        self.read(Redactor::clone)
    }

    /// Every form that is hidden.
    pub fn forms(&self) -> Vec<String> {
        self.read(|redactor| redactor.forms().map(str::to_owned).collect())
    }

    fn read<T>(&self, with: impl FnOnce(&Redactor) -> T) -> T {
        with(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|redactor| redactor.fmt(f))
    }
}
