//! Which requests are sent again after which answers, verb by verb, and how long before.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{
    Cluster, RetryPolicy,
    call::{Call, Only},
    conversations::world,
    kinds,
};
use crate::simulate::{Action, Fault, World};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

fn object(verb: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": verb.to_lowercase(), "namespace": "default"}})
}

/// A request of each verb, each to an object of its own.
fn call(verb: &str) -> Call {
    let namespace = "default".parse().unwrap();
    let (kind, within, name) = (&kinds::CONFIG_MAP, Some(&namespace), verb.to_lowercase());
    let object = object(verb);
    match verb {
        "GET" => Call::get(kind, within, &name),
        "POST" => Call::create(kind, within, &name, &object),
        "PUT" => Call::replace(kind, within, &name, &object),
        "PATCH" => Call::apply(kind, within, &name, &object),
        _ => Call::delete(
            kind,
            within,
            &name,
            Only {
                uid: "any".into(),
                version: None,
            },
            None,
        ),
    }
    .unwrap()
}

/// How often a request is made when its first answer goes wrong in this way.
async fn tries(world: &World, cluster: &Cluster, verb: &str, action: Action) -> usize {
    world.log.clear();
    world.cluster.clear_faults();
    world.cluster.inject(Fault::on(verb, "/**", action));
    // What comes of it is another test's matter.
    let _ = cluster.send(call(verb)).await;
    world.cluster.requests().len()
}

#[tokio::test]
async fn only_a_creation_of_which_nobody_knows_is_not_repeated() {
    let (world, cluster) = world().await;
    let answer = |status: u16| Action::Answer {
        status,
        body: json!("<h1>a proxy's page</h1>"),
        headers: Vec::new(),
    };
    let cases = [
        ("429", answer(429), true),
        ("503", answer(503), true),
        ("500", answer(500), false),
        ("502", answer(502), false),
        ("504", answer(504), false),
        ("cut before", Action::Close, false),
        ("cut after", Action::WriteThenClose, false),
    ];
    for verb in ["GET", "PUT", "PATCH", "DELETE", "POST"] {
        for (what, action, nothing_was_done) in &cases {
            let wanted = if verb != "POST" || *nothing_was_done {
                2
            } else {
                1
            };
            let tries = tries(&world, &cluster, verb, action.clone()).await;
            assert_eq!(tries, wanted, "{verb} after {what}");
        }
        for (what, status) in [("400", 400), ("403", 403), ("409", 409), ("422", 422)] {
            let tries = tries(&world, &cluster, verb, answer(status)).await;
            assert_eq!(tries, 1, "{verb} after {what}");
        }
    }
}

#[tokio::test]
async fn the_time_that_the_server_asks_for_is_waited_or_the_request_is_given_up() {
    let (world, mut cluster) = world().await;
    cluster.retry = RetryPolicy {
        longest_pause: Duration::from_millis(20),
        give_up_after: Duration::from_secs(3),
        ..cluster.retry
    };
    // A date is meant by the server's clock, and to the second.
    let date = |seconds| {
        let at = world.clock.now() + jiff::SignedDuration::from_secs(seconds);
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at)
    };
    let seconds = |text: &str| text.to_owned();
    for (asks, wanted, least) in [
        (seconds("1"), 2, 1000),
        (seconds("3600"), 1, 0),
        (date(2).unwrap(), 2, 900),
        (date(3600).unwrap(), 1, 0),
    ] {
        world.log.clear();
        let busy = Fault::answer("GET", "/**", 429, json!("slow down"));
        world.cluster.inject(busy.header("retry-after", &asks));
        let begun = Instant::now();
        let _ = cluster.send(call("GET")).await;
        let took = begun.elapsed();
        assert_eq!(world.cluster.requests().len(), wanted, "asked for {asks} s");
        assert!(
            took >= Duration::from_millis(least) && took < Duration::from_secs(3),
            "{took:?}"
        );
    }
}

#[tokio::test]
async fn repeating_has_an_end() {
    let (world, cluster) = world().await;
    for status in [429, 500, 503, 504] {
        world.log.clear();
        world.cluster.clear_faults();
        world
            .cluster
            .inject(Fault::answer("GET", "/**", status, json!("no")).always());
        let begun = Instant::now();
        assert!(cluster.send(call("GET")).await.is_err());
        let tries = world.cluster.requests().len();
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{status}: {:?}",
            begun.elapsed()
        );
        assert!((3..200).contains(&tries), "{status}: {tries} tries");
    }
}
