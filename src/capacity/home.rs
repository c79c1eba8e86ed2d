//! Where the ledger has a preview: the Namespace that its slot is bound to, or the one that sleeps.
//! Whether that exists is not known here.

use super::{Asleep, Holder, Ledger};
use crate::names::Namespace;

/// Where a preview lives: name and UID of its Namespace.
pub type Home = (Namespace, String);

impl Ledger {
    /// Where a preview lives.
    pub fn home(&self, key: &str) -> Option<Home> {
        let sleeps = || Some(self.previews.get(key)?.asleep.as_ref()?.home());
        self.holder(key).and_then(Holder::home).or_else(sleeps)
    }
}

impl Holder {
    /// What it is bound to.
    pub fn home(&self) -> Option<Home> {
        Some((self.namespace.clone(), self.uid.clone()?))
    }
}

impl Asleep {
    /// What sleeps.
    pub fn home(&self) -> Home {
        (self.namespace.clone(), self.uid.clone())
    }
}

/// True when what is there has the name of what was known, which is gone then: one name is one object.
pub fn is_replaced(known: &Home, there: &Home) -> bool {
    known.0 == there.0 && known.1 != there.1
}
