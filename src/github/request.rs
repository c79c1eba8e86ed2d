//! Sends one request, reads its answer, and repeats it where that is safe and worth it.
//! It knows methods, statuses and headers, and no endpoint.
//! The policy is our own, because octocrab repeats POST (duplicate comments) and obeys limits without a cap.

use super::{
    GitHub, GitHubError,
    refusal::{date, excerpt, left, refusal},
};
use crate::tls;
use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

/// How many pages of a list are asked for at once; GitHub asks clients not to send many requests side by side.
const PAGES_ABREAST: usize = 4;

/// How long is waited between the tries of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Before the second try.
    pub(super) first: Duration,
    /// Before any later one, at most.
    pub(super) longest: Duration,
    /// In all, at most; what a limit asks for is the breaker's to allow.
    pub(super) total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(300),
            longest: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

/// More bytes than any answer that we ask for may have.
const ANSWER_LIMIT: u64 = 32 << 20;

/// What is asked, and what to call it in an error.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Path below the API's base, or an absolute address on the same server.
    pub(super) uri: String,
    /// Such as `read pull request #12`.
    pub(super) doing: String,
    /// The line under `permissions:` that grants it.
    pub(super) needs: &'static str,
    pub(super) body: Option<serde_json::Value>,
    /// True when it may be sent again although it may have been carried out.
    pub(super) repeats: bool,
}

impl Call {
    pub(super) fn get(uri: String, doing: impl Into<String>, needs: &'static str) -> Self {
        Self::new(Method::GET, uri, doing, needs)
    }

    pub(super) fn new(
        method: Method,
        uri: String,
        doing: impl Into<String>,
        needs: &'static str,
    ) -> Self {
        Self {
            repeats: method != Method::POST,
            method,
            uri,
            doing: doing.into(),
            needs,
            body: None,
        }
    }

    pub(super) fn with_body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Says that carrying it out twice does no harm.
    pub(super) fn harmless(mut self) -> Self {
        self.repeats = true;
        self
    }
}

/// A 2xx answer.
pub(super) struct Answer {
    headers: HeaderMap,
    body: String,
}

impl Answer {
    /// GitHub's time; this machine's where GitHub says none.
    pub(super) fn date(&self) -> Timestamp {
        date(&self.headers)
    }

    pub(super) fn read<T: DeserializeOwned>(&self, doing: &str) -> Result<T, GitHubError> {
        serde_json::from_str(&self.body).map_err(|error| GitHubError::Unreadable {
            doing: doing.into(),
            problem: format!("{error} in {}", excerpt(&self.body)),
        })
    }

    /// The address of the next page.
    pub(super) fn next(&self) -> Option<String> {
        self.link("next")
    }

    /// The number of the last page, where pages are counted.
    fn last_page(&self) -> Option<u32> {
        let address: Uri = self.link("last")?.parse().ok()?;
        let mut parameters = address.query()?.split('&');
        parameters.find_map(|one| one.strip_prefix("page=")?.parse().ok())
    }

    fn link(&self, wanted: &str) -> Option<String> {
        let (quoted, plain) = (format!("rel=\"{wanted}\""), format!("rel={wanted}"));
        self.headers
            .get_all(http::header::LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|link| {
                let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
                let found = parameters
                    .split(';')
                    .any(|one| one.trim() == quoted || one.trim() == plain);
                found.then(|| address.to_owned())
            })
    }
}

/// A try that failed, and whether another may help.
pub(super) struct Failed {
    pub(super) error: GitHubError,
    pub(super) again: Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    Soon,
    /// A limit; not taken for more than the run can wait.
    After(Duration),
}

impl GitHub {
    /// Asks until there is a 2xx answer, an error that asking again won't mend, or no patience left.
    pub(super) async fn ask(&self, call: &Call) -> Result<Answer, GitHubError> {
        let safe = call.repeats;
        let give_up = Instant::now() + self.patience.total;
        let policy = ExponentialBuilder::default()
            .with_min_delay(self.patience.first)
            .with_max_delay(self.patience.longest)
            .with_max_times(5)
            .with_jitter();
        (|| self.try_once(call))
            .retry(policy)
            // what a limit turns away has not been done, so even POST may come again
            .when(|failed| match failed.again {
                Again::Never => false,
                Again::Soon => safe,
                Again::After(_) => true,
            })
            .adjust(|failed, planned| {
                let planned = planned?;
                let worth = match failed.again {
                    Again::After(asked) => return self.waits(failed, planned.max(asked)),
                    _ => Instant::now() + planned < give_up && self.breaker.may_wait(planned),
                };
                worth.then_some(planned)
            })
            .notify(|failed, wait| {
                tracing::debug!(error = %failed.error, wait_ms = wait.as_millis(), "asking GitHub again");
            })
            .await
            .map_err(|failed| failed.error)
    }

    /// Asks once, and waits for a limit before it is told: whoever asks again looks first at what there is then.
    pub(super) async fn once(&self, call: &Call) -> Result<Answer, GitHubError> {
        match self.try_once(call).await {
            Ok(answer) => Ok(answer),
            Err(failed) => {
                if let Again::After(asked) = failed.again
                    && let Some(wait) = self.waits(&failed, asked)
                {
                    tokio::time::sleep(wait).await;
                }
                Err(failed.error)
            }
        }
    }

    /// Asks and reads the JSON of the answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, GitHubError> {
        self.ask(call).await?.read(&call.doing)
    }

    /// Asks for a list, page after page.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        first: Call,
        most_pages: u32,
    ) -> Result<Vec<T>, GitHubError> {
        Ok(self.dated_pages(first, most_pages).await?.0)
    }

    /// The same, and GitHub's time at the last page.
    pub(super) async fn dated_pages<T: DeserializeOwned>(
        &self,
        first: Call,
        most_pages: u32,
    ) -> Result<(Vec<T>, Timestamp), GitHubError> {
        let at = |uri: String| Call {
            uri,
            ..first.clone()
        };
        let mut answer = self.ask(&first).await?;
        let mut items: Vec<T> = answer.read(&first.doing)?;
        let mut page = 1;
        // Those that the first page speaks of come side by side, and whatever has been added meanwhile one by one.
        let second = answer.next().filter(|next| self.is_ours(next));
        let last = answer.last_page().filter(|last| *last <= most_pages);
        if let (Some(second), Some(last)) = (second, last) {
            let further = (2..=last).map(|page| at(with_page(&second, page)));
            let mut rest = stream::iter(further)
                .map(|call| async move { self.ask(&call).await })
                .buffered(PAGES_ABREAST);
            while let Some(next) = rest.next().await {
                answer = next?;
                items.extend(answer.read::<Vec<T>>(&first.doing)?);
                page += 1;
            }
        }
        while let Some(next) = answer.next() {
            if page == most_pages {
                return Err(GitHubError::Unreadable {
                    doing: first.doing,
                    problem: format!("it has more than {most_pages} pages"),
                });
            }
            page += 1;
            // an address elsewhere is not followed: our own, counted on, says the same
            let uri = match self.is_ours(&next) {
                true => next,
                false => with_page(&first.uri, page),
            };
            answer = self.ask(&at(uri)).await?;
            items.extend(answer.read::<Vec<T>>(&first.doing)?);
        }
        Ok((items, answer.date()))
    }

    /// The wait for a limit, if the run can afford it.
    fn waits(&self, failed: &Failed, wait: Duration) -> Option<Duration> {
        let GitHubError::RateLimited { until, .. } = failed.error else {
            return None;
        };
        self.breaker.limited(wait, until).then_some(wait)
    }

    fn is_ours(&self, address: &str) -> bool {
        address.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme() == self.base.scheme() && uri.authority() == self.base.authority()
        })
    }

    async fn try_once(&self, call: &Call) -> Result<Answer, Failed> {
        self.breaker.pass(call).await.map_err(|error| Failed {
            error,
            again: Again::Never,
        })?;
        let started = Instant::now();
        let result = self.send(call).await;
        let elapsed_ms = started.elapsed().as_millis();
        let (method, uri) = (&call.method, &call.uri);
        match &result {
            Ok((status, ..)) => {
                tracing::debug!(http.method = %method, http.path = uri, http.status = status.as_u16(), elapsed_ms, "GitHub answered");
            }
            Err(failed) => {
                tracing::debug!(http.method = %method, http.path = uri, error = %failed.error, elapsed_ms, "GitHub did not answer");
            }
        }
        let (status, headers, body) = match result {
            Ok(answer) => answer,
            Err(failed) => return Err(self.noted(failed)),
        };
        if let Some((requests, until)) = left(&headers) {
            self.breaker.left(requests, until);
        }
        if status.is_success() {
            self.breaker.answered();
            return Ok(Answer { headers, body });
        }
        Err(self.noted(refusal(call, status, &headers, &body)))
    }

    /// Notes whether a try that failed was an answer.
    fn noted(&self, failed: Failed) -> Failed {
        match failed.again {
            Again::Soon => self.breaker.silent(),
            Again::Never | Again::After(_) => self.breaker.answered(),
        }
        failed
    }

    async fn send(&self, call: &Call) -> Result<(StatusCode, HeaderMap, String), Failed> {
        let uri = match call.uri.starts_with('/') {
            true => self.whole(&call.uri),
            false => call.uri.clone(),
        };
        let request = http::Request::builder()
            .method(call.method.clone())
            .uri(uri);
        let sent = async {
            let request = self.octocrab.build_request(request, call.body.as_ref())?;
            self.octocrab.execute(request).await
        };
        let answer = sent.await.map_err(|error| self.silence(call, &error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        self.clock.notice(date(&headers), Timestamp::now());
        let length = headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > ANSWER_LIMIT) {
            return Err(Failed {
                error: GitHubError::Unreadable {
                    doing: call.doing.clone(),
                    problem: format!("it has more than {ANSWER_LIMIT} bytes"),
                },
                again: Again::Never,
            });
        }
        let body = self.octocrab.body_to_string(answer).await;
        let body = body.map_err(|error| self.silence(call, &error))?;
        Ok((status, headers, body))
    }

    /// No answer, or half of one.
    fn silence(&self, call: &Call, error: &octocrab::Error) -> Failed {
        let doing = call.doing.clone();
        let server = self
            .base
            .authority()
            .map_or_else(String::new, ToString::to_string);
        if let Some(problem) = tls::certificate_problem(error) {
            return Failed {
                error: GitHubError::Untrusted {
                    doing,
                    server,
                    problem,
                },
                again: Again::Never,
            };
        }
        let http = in_chain::<reqwest::Error>(error);
        let cause = match http {
            Some(error) if error.is_timeout() => "no answer in time".into(),
            _ => tls::root_cause(error),
        };
        Failed {
            error: GitHubError::Unreachable {
                doing,
                server,
                cause,
                sent: !http.is_some_and(reqwest::Error::is_connect),
            },
            again: Again::Soon,
        }
    }
}

fn in_chain<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        // octocrab boxes its own error inside its service error
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The address of a page, from that of the list or of another page.
fn with_page(address: &str, page: u32) -> String {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let others = query.split('&').filter(|one| !one.starts_with("page="));
    let mut query: Vec<String> = others.map(str::to_owned).collect();
    query.push(format!("page={page}"));
    format!("{path}?{}", query.join("&"))
}
