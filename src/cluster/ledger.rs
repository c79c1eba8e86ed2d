//! Turns a pure step on a ledger into a change that either happened as a whole or not at all, by compare-and-swap.
//! It must not know what a step means; who may hold a slot is `capacity`'s to say.
//! One ConfigMap and its `resourceVersion` are the lock, so no server and no lease of ours has to be alive.

use super::{
    Cluster, answer::Class, call::Call, error::ClusterError, kinds, last_good::digest, packed,
    request::Answer, retry::RetryPolicy,
};
use crate::capacity::{Ledger, LedgerName, Newer};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{sync::PoisonError, time::Duration};
use tokio::time::Instant;

/// Patience with other writers: fifty that begin at once are through in a fraction of it.
///
/// Each lost try means that somebody else's write stands, so patience is never spent on a standstill. Pauses grow well beyond
/// what a request takes, also on a machine without a free processor, or else the losers keep each other from writing.
const CONTENTION: RetryPolicy = RetryPolicy {
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_secs(2),
    give_up_after: Duration::from_secs(120),
    try_timeout: Duration::from_secs(30),
};

/// What a step decides about the ledger that it was shown.
#[derive(Debug)]
pub enum Step<T> {
    /// Write it as it is now.
    Write(T),
    /// Leave it as it was.
    Keep(T),
}

impl<T> Step<T> {
    /// The same decision, with its outcome left here.
    pub fn leaving(self, outcome: &mut Option<T>) -> Step<()> {
        match self {
            Self::Write(what) => {
                *outcome = Some(what);
                Step::Write(())
            }
            Self::Keep(what) => {
                *outcome = Some(what);
                Step::Keep(())
            }
        }
    }
}

/// When a step happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The API server's time, which is the same for all runners.
    pub now: Timestamp,
}

/// A ledger as it was read or written last.
#[derive(Clone)]
pub(super) struct Read {
    object: Value,
    ledger: Ledger,
    moment: Moment,
    at: Instant,
}

impl Read {
    /// The server's time now, as far as the last answer tells.
    fn moment(&self) -> Moment {
        let passed = SignedDuration::try_from(self.at.elapsed()).unwrap_or_default();
        let now = self
            .moment
            .now
            .checked_add(passed)
            .unwrap_or(self.moment.now);
        Moment { now }
    }
}

impl Cluster {
    /// Changes a ledger by a step that may be run several times; none when the ledger does not exist.
    ///
    /// The first try compares with what this handle saw last, so that a run's later writes cost one request. What a step
    /// keeps is decided only on what was read just now. When the answer to a write is lost, the step runs again on what is
    /// there, so it must recognise its own work.
    pub async fn transact<T: Send>(
        &self,
        name: &LedgerName,
        mut step: impl FnMut(&mut Ledger, Moment) -> Step<T> + Send,
    ) -> Result<Option<T>, ClusterError> {
        let mut outcome = None;
        let mut step = |ledger: &mut Ledger, moment| step(ledger, moment).leaving(&mut outcome);
        let done = self.transacted(name, &mut step).await?;
        Ok(done.and(outcome))
    }

    /// The same for steps that leave their outcome elsewhere: one function for all of them, which are many.
    async fn transacted(
        &self,
        name: &LedgerName,
        step: &mut (dyn FnMut(&mut Ledger, Moment) -> Step<()> + Send),
    ) -> Result<Option<()>, ClusterError> {
        let started = Instant::now();
        let mut pauses = CONTENTION.pauses();
        let mut tries = 0;
        let mut remembered = self.remembered(name);
        loop {
            tries += 1;
            let (read, fresh) = match remembered.take() {
                Some(read) => (read, false),
                None => match self.read(name).await? {
                    Some(read) => (read, true),
                    None => return Ok(None),
                },
            };
            let mut ledger = read.ledger.clone();
            match step(&mut ledger, read.moment()) {
                Step::Keep(()) if !fresh => continue,
                Step::Keep(()) => {
                    self.remember(name, read);
                    return Ok(Some(()));
                }
                Step::Write(()) => {}
            }
            match self.replace(name, read.object, &ledger).await {
                Ok(answer) => {
                    tracing::debug!(ledger = name.object(), tries, "ledger written");
                    self.remember(
                        name,
                        Read {
                            object: answer.body,
                            ledger,
                            moment: moment(answer.date),
                            at: Instant::now(),
                        },
                    );
                    return Ok(Some(()));
                }
                Err(error) if lost(&error) => self.forget(),
                Err(error) => return Err(error),
            }
            if !fresh {
                continue;
            }
            let pause = pauses.next().unwrap_or(CONTENTION.longest_pause);
            if started.elapsed() + pause > CONTENTION.give_up_after {
                return Err(ClusterError::LedgerBusy {
                    namespace: name.namespace.clone(),
                    name: name.object(),
                    tries,
                    over: started.elapsed(),
                });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Begins a ledger; one that somebody else began meanwhile is left alone. After a lost answer nobody knows which it was,
    /// so the caller reads next in any case.
    pub async fn create_ledger(
        &self,
        name: &LedgerName,
        ledger: &Ledger,
    ) -> Result<(), ClusterError> {
        match self.create(name, ledger).await {
            Ok(_) => Ok(()),
            Err(error) if lost(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads a ledger; none if it was never begun.
    pub async fn read_ledger(&self, name: &LedgerName) -> Result<Option<Ledger>, ClusterError> {
        Ok(self.read(name).await?.map(|read| read.ledger))
    }

    /// The ledger as this handle has read or written it last, and the server's time now; nobody is asked.
    pub fn ledger_seen(&self, name: &LedgerName) -> Option<(Ledger, Timestamp)> {
        let read = self.remembered(name)?;
        let now = read.moment().now;
        Some((read.ledger, now))
    }

    fn remembered(&self, name: &LedgerName) -> Option<Read> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref()
            .filter(|(of, _)| of == name)
            .map(|(_, read)| read.clone())
    }

    fn remember(&self, name: &LedgerName, read: Read) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((name.clone(), read));
    }

    fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Puts this ledger in the place of one that cannot be read, whose text is kept beside it; says under which name, or
    /// nothing when somebody else was first.
    ///
    /// The copy is named by its text and only ever created, so that runs that meet the same ruin make one copy.
    pub async fn replace_corrupt_ledger(
        &self,
        name: &LedgerName,
        ledger: &Ledger,
    ) -> Result<Option<String>, ClusterError> {
        let Some(answer) = self.fetch(name).await? else {
            return Ok(None);
        };
        match parsed(name, &answer.body) {
            Ok(_) => return Ok(None),
            Err(ClusterError::LedgerCorrupt { .. }) => {}
            Err(other) => return Err(other),
        }
        let mut object = packed::ruin(&answer.body);
        let mut hash = digest(object.to_string().as_bytes());
        hash.truncate(10);
        let copy = format!("{}-broken-{hash}", name.object());
        object["apiVersion"] = "v1".into();
        object["kind"] = "ConfigMap".into();
        object["metadata"] =
            json!({"name": copy, "namespace": name.namespace, "labels": labels(name)});
        let call = Call::create(&kinds::CONFIG_MAP, Some(&name.namespace), &copy, &object)?;
        match self.send(call).await {
            Ok(_) => {}
            Err(error) if error.class() == Some(&Class::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
        match self.replace(name, answer.body, ledger).await {
            Ok(_) => Ok(Some(copy)),
            Err(error) if lost(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self, name: &LedgerName) -> Result<Option<Answer>, ClusterError> {
        let call = Call::get(&kinds::CONFIG_MAP, Some(&name.namespace), &name.object())?;
        match self.send(call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, name: &LedgerName) -> Result<Option<Read>, ClusterError> {
        let Some(answer) = self.fetch(name).await? else {
            return Ok(None);
        };
        let moment = moment(answer.date);
        let ledger = parsed(name, &answer.body)?;
        Ok(Some(Read {
            object: answer.body,
            ledger,
            moment,
            at: Instant::now(),
        }))
    }

    async fn create(&self, name: &LedgerName, ledger: &Ledger) -> Result<Answer, ClusterError> {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name.object(), "namespace": name.namespace, "labels": labels(name)},
        });
        put(name, &mut object, ledger)?;
        let call = Call::create(
            &kinds::CONFIG_MAP,
            Some(&name.namespace),
            &name.object(),
            &object,
        )?;
        self.send(call).await.map_err(|error| match error.class() {
            Some(Class::NamespaceMissing) => ClusterError::ControlNamespaceMissing {
                namespace: name.namespace.clone(),
            },
            _ => error,
        })
    }

    async fn replace(
        &self,
        name: &LedgerName,
        mut object: Value,
        ledger: &Ledger,
    ) -> Result<Answer, ClusterError> {
        // The object goes back as it was read, its resourceVersion included: that is the comparison.
        put(name, &mut object, ledger)?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let call = Call::replace(
            &kinds::CONFIG_MAP,
            Some(&name.namespace),
            &name.object(),
            &object,
        )?;
        self.send(call).await
    }
}

fn labels(name: &LedgerName) -> Value {
    json!({
        "app.kubernetes.io/managed-by": super::FIELD_MANAGER,
        "preview-action/repository-id": name.repository.to_string(),
        "preview-action/environment": name.environment,
    })
}

fn parsed(name: &LedgerName, object: &Value) -> Result<Ledger, ClusterError> {
    let text = packed::text(object).map_err(|problem| corrupt(name, problem))?;
    if let Some(newer) = Newer::of(&text) {
        return Err(ClusterError::LedgerNewer {
            namespace: name.namespace.clone(),
            name: name.object(),
            newer,
        });
    }
    serde_json::from_str(&text).map_err(|error| corrupt(name, error.to_string()))
}

fn put(name: &LedgerName, object: &mut Value, ledger: &Ledger) -> Result<(), ClusterError> {
    let text = serde_json::to_string(ledger).map_err(|error| corrupt(name, error.to_string()))?;
    packed::put(object, text).map_err(|error| corrupt(name, error.to_string()))
}

fn corrupt(name: &LedgerName, problem: String) -> ClusterError {
    ClusterError::LedgerCorrupt {
        namespace: name.namespace.clone(),
        name: name.object(),
        problem,
    }
}

/// True when the write did not happen because of another one, or nobody can say whether it happened.
fn lost(error: &ClusterError) -> bool {
    match error {
        ClusterError::Refused { refusal, .. } => match refusal.class {
            Class::Conflict | Class::AlreadyExists | Class::NotFound => true,
            Class::Busy => matches!(refusal.code, 500 | 502 | 504),
            _ => false,
        },
        ClusterError::Unreachable { .. }
        | ClusterError::Timeout { .. }
        | ClusterError::Unintelligible { .. } => true,
        _ => false,
    }
}

/// A proxy may take the date away; then this machine's clock has to do.
fn moment(date: Option<Timestamp>) -> Moment {
    let now = date.unwrap_or_else(|| {
        tracing::warn!("the API server sends no date, this machine's clock is used");
        Timestamp::now()
    });
    Moment { now }
}
