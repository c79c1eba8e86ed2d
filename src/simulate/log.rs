//! Turns the requests that reach a simulated world into a list that tests can count, search and wait on.
//! It must not know what a request means; it sees method, path and times only.
//! One log serves all sites of a world, because a round trip to GitHub can wait for one to the cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The position among all requests of this world, from 1.
    pub seq: usize,
    /// The site that was asked: `github`, `cluster` or `ingress`.
    pub site: &'static str,
    /// The HTTP method, or `WATCH` for a watch.
    pub method: String,
    /// The path without query.
    pub path: String,
    /// The query as it was sent, without the question mark.
    pub query: String,
    /// The body as text.
    pub body: String,
    /// The status that was answered; none while it is open, or when the connection was cut.
    pub status: Option<u16>,
    /// The time since the world began at which the request arrived.
    pub started: Duration,
    /// The time since the world began at which the answer was handed out.
    pub ended: Option<Duration>,
    /// The length of the longest chain of requests that ends here, each begun after the one before was answered.
    pub depth: usize,
    /// Whether no route knew this request.
    pub unexpected: bool,
}

impl Record {
    /// Tells whether this was a watch, which nobody waits for.
    pub fn is_watch(&self) -> bool {
        self.method == "WATCH"
    }
}

/// All requests of one world, in the order of their arrival.
#[derive(Clone, Debug)]
pub struct Log {
    records: Arc<Mutex<Vec<Record>>>,
    changed: Arc<watch::Sender<usize>>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            records: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Log {
    /// Returns a copy of all requests so far.
    pub fn records(&self) -> Vec<Record> {
        self.with(|records| records.clone())
    }

    /// Forgets all requests so far; open ones are no longer followed.
    pub fn clear(&self) {
        self.with(Vec::clear);
    }

    /// Waits until the log satisfies a condition, which is asked after every arrival and every answer.
    pub async fn wait_until(&self, condition: impl Fn(&[Record]) -> bool) {
        let mut changes = self.changed.subscribe();
        while !self.with(|records| condition(records)) {
            // The sender lives in `self`, so the channel cannot close meanwhile.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn begin(&self, mut record: Record) -> usize {
        let seq = self.with(|records| {
            record.seq = records.last().map_or(1, |last| last.seq + 1);
            record.depth = 1 + deepest_answered(records, record.started);
            let seq = record.seq;
            records.push(record);
            seq
        });
        self.notify();
        seq
    }

    pub(super) fn end(&self, seq: usize, status: u16, ended: Duration, unexpected: bool) {
        self.with(|records| {
            if let Some(record) = records.iter_mut().rev().find(|record| record.seq == seq) {
                record.status = Some(status);
                record.ended = Some(ended);
                record.unexpected = unexpected;
            }
        });
        self.notify();
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn with<T>(&self, read: impl FnOnce(&mut Vec<Record>) -> T) -> T {
        read(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the longest chain of requests of which each began after the one before was answered; watches do not count.
///
/// Requests sent together overlap only if answering takes time: give the world a latency of a few milliseconds where
/// this number is asserted.
pub fn request_depth(log: &[Record]) -> usize {
    let mut waited: Vec<&Record> = log.iter().filter(|record| !record.is_watch()).collect();
    waited.sort_by_key(|record| record.started);
    let mut chains: Vec<(Option<Duration>, usize)> = Vec::with_capacity(waited.len());
    for record in waited {
        let before = chains
            .iter()
            .filter(|(ended, _)| ended.is_some_and(|ended| ended <= record.started))
            .map(|(_, depth)| *depth)
            .max()
            .unwrap_or(0);
        chains.push((record.ended, before + 1));
    }
    chains.iter().map(|(_, depth)| *depth).max().unwrap_or(0)
}

fn deepest_answered(records: &[Record], started: Duration) -> usize {
    records
        .iter()
        .filter(|record| !record.is_watch())
        .filter(|record| record.ended.is_some_and(|ended| ended <= started))
        .map(|record| record.depth)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(started: u64, ended: Option<u64>) -> Record {
        Record {
            seq: 0,
            site: "cluster",
            method: "GET".into(),
            path: "/".into(),
            query: String::new(),
            body: String::new(),
            status: Some(200),
            started: Duration::from_millis(started),
            ended: ended.map(Duration::from_millis),
            depth: 0,
            unexpected: false,
        }
    }

    #[test]
    fn requests_sent_together_are_one_depth() {
        let log = [
            record(0, Some(10)),
            record(1, Some(11)),
            record(2, Some(12)),
        ];
        assert_eq!(request_depth(&log), 1);
    }

    #[test]
    fn a_request_begun_after_an_answer_is_one_deeper() {
        let log = [
            record(0, Some(10)),
            record(10, Some(20)),
            record(5, Some(15)),
            record(21, Some(30)),
        ];
        assert_eq!(request_depth(&log), 3);
    }

    #[test]
    fn watches_and_open_requests_carry_no_depth_on() {
        let mut watch = record(0, Some(1));
        watch.method = "WATCH".into();
        assert_eq!(
            request_depth(&[watch, record(2, None), record(9, Some(10))]),
            1
        );
    }

    #[test]
    fn an_empty_log_has_no_depth() {
        assert_eq!(request_depth(&[]), 0);
    }
}
