//! Turns "the k-th request that looks like this goes wrong like that" into an armed fault that a site consults.
//! It must not know what the sites serve; a request is a method and a path to it.
//! Faults are data with one hook, because races and lost answers cannot be provoked reliably from outside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// What happens to a request that a fault matches.
#[derive(Clone)]
pub enum Action {
    /// Answers this instead of serving the request.
    Answer {
        /// The status.
        status: u16,
        /// The body; a JSON string is sent as plain text.
        body: Value,
        /// Extra headers, such as `retry-after`.
        headers: Vec<(String, String)>,
    },
    /// Serves the request, then answers this instead of the real answer.
    WriteThenAnswer {
        /// The status.
        status: u16,
        /// The body; a JSON string is sent as plain text.
        body: Value,
    },
    /// Closes the connection without an answer.
    Close,
    /// Serves the request, then closes the connection without an answer.
    WriteThenClose,
    /// Waits before the request is served.
    Delay(Duration),
    /// Waits before the request is served until somebody says go.
    Hold(Arc<tokio::sync::Notify>),
    /// Never answers.
    Hang,
    /// Runs a hook before the request is served, so that the world changes between two requests.
    Run(Arc<dyn Fn() + Send + Sync>),
    /// Lets a watch deliver so many events, then ends it by an `ERROR` event with code 410.
    WatchExpires {
        /// The number of events that still arrive.
        after: usize,
    },
    /// Lets a watch deliver so many events, then cuts its connection.
    WatchCut {
        /// The number of events that still arrive.
        after: usize,
    },
    /// Lets a watch begin and show nothing, as behind a proxy that collects answers before it passes them on.
    WatchSilent,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { status, .. } => write!(f, "Answer({status})"),
            Self::WriteThenAnswer { status, .. } => write!(f, "WriteThenAnswer({status})"),
            Self::Close => f.write_str("Close"),
            Self::WriteThenClose => f.write_str("WriteThenClose"),
            Self::Delay(by) => write!(f, "Delay({by:?})"),
            Self::Hold(_) => f.write_str("Hold"),
            Self::Hang => f.write_str("Hang"),
            Self::Run(_) => f.write_str("Run"),
            Self::WatchExpires { after } => write!(f, "WatchExpires({after})"),
            Self::WatchCut { after } => write!(f, "WatchCut({after})"),
            Self::WatchSilent => f.write_str("WatchSilent"),
        }
    }
}

/// A request to spoil, by method, path pattern and count.
///
/// Each `*` in a pattern stands for one path segment, a final `**` for any rest. The method `WATCH` means watches only,
/// `*` any method but a watch.
#[derive(Clone, Debug)]
pub struct Fault {
    method: String,
    pattern: String,
    from: usize,
    times: usize,
    seen: usize,
    action: Action,
}

impl Fault {
    /// Spoils the first request with this method and path pattern by the given action.
    pub fn on(method: &str, pattern: &str, action: Action) -> Self {
        Self {
            method: method.to_owned(),
            pattern: pattern.to_owned(),
            from: 1,
            times: 1,
            seen: 0,
            action,
        }
    }

    /// Answers the first matching request with a status and a body.
    pub fn answer(method: &str, pattern: &str, status: u16, body: Value) -> Self {
        let headers = Vec::new();
        Self::on(
            method,
            pattern,
            Action::Answer {
                status,
                body,
                headers,
            },
        )
    }

    /// Runs a hook before the first matching request is served.
    pub fn run(method: &str, pattern: &str, hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self::on(method, pattern, Action::Run(Arc::new(hook)))
    }

    /// Begins at the k-th matching request instead of the first.
    pub fn nth(mut self, k: usize) -> Self {
        self.from = k.max(1);
        self
    }

    /// Spoils so many matching requests in a row instead of one.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Spoils every matching request from the first on.
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// Adds a header to the answer of an answering fault.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Action::Answer { headers, .. } = &mut self.action {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Counts the request if it matches, and tells what happens to it.
    pub(super) fn consult(&mut self, method: &str, path: &str) -> Option<Action> {
        let method_fits = self.method == method || (self.method == "*" && method != "WATCH");
        if !method_fits || !matches(&self.pattern, path) {
            return None;
        }
        self.seen += 1;
        let due = self.seen >= self.from && self.seen - self.from < self.times;
        due.then(|| self.action.clone())
    }
}

/// Tells whether a path fits a pattern of [`Fault`].
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.trim_matches('/').split('/');
    let mut given = path.trim_matches('/').split('/');
    loop {
        match (wanted.next(), given.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(want), Some(have)) if want == have => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_segment_and_two_for_the_rest() {
        assert!(matches("/repos/*/*/pulls/7", "/repos/o/r/pulls/7"));
        assert!(!matches("/repos/*/*/pulls/7", "/repos/o/r/pulls/8"));
        assert!(!matches("/repos/*", "/repos/o/r"));
        assert!(matches("/repos/**", "/repos/o/r/pulls/8"));
        assert!(matches("/repos/**", "/repos"));
    }

    #[test]
    fn a_fault_hits_the_requests_it_counts_to() {
        let mut fault = Fault::on("GET", "/x", Action::Close).nth(2).times(2);
        let hits: Vec<bool> = (0..5)
            .map(|_| fault.consult("GET", "/x").is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(fault.consult("POST", "/x").is_none());
    }

    #[test]
    fn any_method_leaves_watches_alone() {
        let mut fault = Fault::on("*", "/x", Action::Close).always();
        assert!(fault.consult("WATCH", "/x").is_none());
        assert!(fault.consult("PUT", "/x").is_some());
    }
}
