//! The probe against small servers in this process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use super::*;
use crate::tls::CertificateProblem;
use axum::{Router, http::StatusCode, response::IntoResponse};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::io::AsyncWriteExt as _;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A server that answers 503 so many times, then as told; it tells its port and counts.
async fn server(
    bad: u32,
    good: impl IntoResponse + Clone + Send + Sync + 'static,
) -> (u16, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let router = Router::new().fallback(move || {
        let asked = counted.fetch_add(1, Ordering::SeqCst);
        let good = good.clone();
        async move {
            match asked < bad {
                true => {
                    (StatusCode::SERVICE_UNAVAILABLE, "<html><b>warming\n up</b>").into_response()
                }
                false => good.into_response(),
            }
        }
    });
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (port, count)
}

fn options() -> Options {
    Options {
        deadline: Duration::from_millis(1_200),
        unreachable_after: Duration::from_millis(600),
        answer_within: Duration::from_millis(500),
        extra_ca: None,
        allow_loopback: true,
    }
}

fn target(url: &str, port: Option<u16>) -> Target {
    Target {
        url: url.into(),
        address: port.map(|port| (HERE, Some(port))),
    }
}

async fn outcome(target: &Target, options: &Options) -> HealthOutcome {
    probe(target, options, &CancellationToken::new())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_bad_answer_may_become_a_good_one() {
    let (port, count) = server(1, "hello").await;
    let target = target("http://pr-1.preview.test/healthz", Some(port));
    let HealthOutcome::Healthy {
        status, attempts, ..
    } = outcome(&target, &options()).await
    else {
        panic!()
    };
    assert_eq!(
        (status, attempts, count.load(Ordering::SeqCst)),
        (200, 2, 2)
    );
}

#[tokio::test]
async fn a_log_in_and_a_redirect_are_healthy_and_not_followed() {
    for status in [204, 302, 401, 403] {
        let answer = (
            StatusCode::from_u16(status).unwrap(),
            [("location", "http://169.254.169.254/x")],
        );
        let (port, count) = server(0, answer).await;
        let target = target("http://pr-1.preview.test/", Some(port));
        let HealthOutcome::Healthy { redirects_to, .. } = outcome(&target, &options()).await else {
            panic!("{status}")
        };
        assert_eq!(redirects_to.as_deref(), Some("169.254.169.254"));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
    let (port, _) = server(0, (StatusCode::FOUND, [("location", "/login")])).await;
    let target = target("http://pr-1.preview.test/", Some(port));
    assert!(matches!(
        outcome(&target, &options()).await,
        HealthOutcome::Healthy {
            redirects_to: None,
            ..
        }
    ));
}

#[tokio::test]
async fn what_stays_bad_is_told_with_its_attempts() {
    let (port, _) = server(99, "").await;
    let target = target("http://pr-1.preview.test/", Some(port));
    let HealthOutcome::Unhealthy(trouble) = outcome(&target, &options()).await else {
        panic!()
    };
    assert_eq!(trouble.cause, "`http://pr-1.preview.test/` answers 503");
    assert!(
        trouble.remedy.contains("no ready pod"),
        "{}",
        trouble.remedy
    );
    assert_eq!(trouble.attempts.len(), 1);
    assert!(trouble.attempts[0].times >= 2);
    assert!(
        trouble
            .evidence()
            .contains("503 Service Unavailable: warming up ("),
        "{}",
        trouble.evidence()
    );
}

#[tokio::test]
async fn no_connection_and_no_name_are_unreachable() {
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let target = target("http://pr-1.preview.test/", Some(port));
    let HealthOutcome::Unreachable(trouble) = outcome(&target, &options()).await else {
        panic!()
    };
    assert!(
        trouble.cause.contains("takes no connection"),
        "{}",
        trouble.cause
    );
    let nowhere = Target {
        url: "http://pr-1.preview.invalid/".into(),
        address: None,
    };
    let HealthOutcome::Unreachable(trouble) = outcome(&nowhere, &options()).await else {
        panic!()
    };
    assert_eq!(trouble.cause, "DNS knows no `pr-1.preview.invalid`");
    assert!(
        trouble.remedy.contains("`*.preview.invalid`"),
        "{}",
        trouble.remedy
    );
}

#[tokio::test]
async fn this_machine_is_not_asked() {
    let (port, count) = server(0, "secret").await;
    let strict = Options {
        allow_loopback: false,
        ..options()
    };
    for target in [
        Target {
            url: format!("http://localhost:{port}/"),
            address: None,
        },
        Target {
            url: format!("http://127.0.0.1:{port}/"),
            address: None,
        },
        Target {
            url: format!("http://[::ffff:127.0.0.1]:{port}/"),
            address: None,
        },
        target("http://pr-1.preview.test/", Some(port)),
    ] {
        let HealthOutcome::Unreachable(trouble) = outcome(&target, &strict).await else {
            panic!("{target:?}")
        };
        assert!(trouble.cause.contains("never asked"), "{}", trouble.cause);
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_host_header_is_the_urls_own_whatever_is_connected_to() {
    let seen = Arc::new(Mutex::new(String::new()));
    let noted = seen.clone();
    let router = Router::new().fallback(move |headers: http::HeaderMap| async move {
        *noted.lock().unwrap() = headers["host"].to_str().unwrap().to_owned();
    });
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    for (url, host) in [
        ("http://pr-1.preview.test/", "pr-1.preview.test"),
        ("http://pr-1.preview.test:8443/", "pr-1.preview.test:8443"),
    ] {
        outcome(&target(url, Some(port)), &options()).await;
        assert_eq!(*seen.lock().unwrap(), host);
    }
}

#[tokio::test]
async fn a_silent_server_is_unhealthy() {
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let held = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok(connection) = listener.accept().await {
            open.push(connection);
        }
    });
    let HealthOutcome::Unhealthy(trouble) =
        outcome(&target("http://pr-1.preview.test/", Some(port)), &options()).await
    else {
        panic!()
    };
    assert!(
        trouble.cause.contains("does not answer in time"),
        "{}",
        trouble.cause
    );
    held.abort();
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named() {
    let key = rcgen::generate_simple_self_signed(["other.preview.test".into()]).unwrap();
    let acceptor = tls::tests::acceptor(&key.cert, &key.signing_key);
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let target = target("https://pr-1.preview.test/", Some(port));
    let HealthOutcome::Unhealthy(trouble) = outcome(&target, &options()).await else {
        panic!()
    };
    assert_eq!(
        trouble.attempts[0].answer,
        Answer::Certificate(CertificateProblem::UnknownIssuer)
    );
    assert!(trouble.remedy.contains("`ca-bundle`"));
    let trusting = Options {
        extra_ca: Some(key.cert.pem()),
        ..options()
    };
    let HealthOutcome::Unhealthy(trouble) = outcome(&target, &trusting).await else {
        panic!()
    };
    assert_eq!(
        trouble.cause,
        "`pr-1.preview.test` is not trusted: its certificate is for other.preview.test"
    );
    assert!(
        trouble.remedy.contains("`*.preview.test`"),
        "{}",
        trouble.remedy
    );
}

#[tokio::test]
async fn a_certificate_that_is_trusted_says_until_when_it_is_valid() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["pr-1.preview.test".into()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let made = parameters.self_signed(&key).unwrap();
    let acceptor = tls::tests::acceptor(&made, &key);
    let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let target = target("https://pr-1.preview.test/", Some(port));
    let trusting = Options {
        extra_ca: Some(made.pem()),
        ..options()
    };
    let (answer, _, until) = once(&target, &trusting).await.unwrap();
    assert!(
        matches!(answer, Answer::Status { status: 200, .. }),
        "{answer:?}"
    );
    assert_eq!(until.unwrap().to_string(), "2049-12-31T00:00:00Z");
}

#[tokio::test]
async fn stopping_ends_the_asking_at_once() {
    let (port, _) = server(999, "").await;
    let stop = CancellationToken::new();
    stop.cancel();
    let long = Options {
        deadline: Duration::from_secs(600),
        ..options()
    };
    let target = target("http://pr-1.preview.test/", Some(port));
    assert_eq!(
        probe(&target, &long, &stop).await,
        Ok(HealthOutcome::Stopped)
    );
}

#[tokio::test]
async fn what_is_no_web_address_is_an_error() {
    for wrong in [
        "",
        "pr-1.preview.test",
        "ftp://x/",
        "http://user@x/",
        "file:///etc/passwd",
    ] {
        let target = Target {
            url: wrong.into(),
            address: None,
        };
        assert!(
            probe(&target, &options(), &CancellationToken::new())
                .await
                .is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn different_answers_are_remembered_and_bounded() {
    let mut attempts = Vec::new();
    for n in 0..100 {
        remember(&mut attempts, Duration::ZERO, Answer::Broken(n.to_string()));
        remember(&mut attempts, Duration::ZERO, Answer::Broken(n.to_string()));
    }
    assert_eq!(attempts.len(), MOST_ATTEMPTS);
    assert_eq!(attempts[0].answer, Answer::Broken("0".into()));
    assert_eq!(
        (&attempts[MOST_ATTEMPTS - 1].answer, attempts[0].times),
        (&Answer::Broken("99".into()), 2)
    );
}
