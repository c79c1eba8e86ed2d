//! Shows that watches deliver, bookmark and end in every way.

use serde_json::{Value, json};

use super::{NS, apply, map, path, within, world};
use crate::simulate::probe::Probe;
use crate::simulate::{Action, Fault};

struct Lines {
    response: reqwest::Response,
    rest: String,
}

impl Lines {
    async fn open(probe: &Probe, path: &str) -> Self {
        let response = probe.request("GET", path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            response,
            rest: String::new(),
        }
    }

    /// Returns the next event; none at the end, an error when the connection is cut.
    async fn next(&mut self) -> Result<Option<Value>, reqwest::Error> {
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let event = serde_json::from_str(line).unwrap();
                self.rest = rest.to_owned();
                return Ok(Some(event));
            }
            match within(self.response.chunk()).await? {
                Some(bytes) => self.rest.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => return Ok(None),
            }
        }
    }

    async fn event(&mut self) -> (String, String) {
        let event = self.next().await.unwrap().expect("an event");
        let name = event["object"]["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        (event["type"].as_str().unwrap().to_owned(), name.to_owned())
    }
}

#[tokio::test]
async fn a_watch_shows_what_happens_after_a_list() {
    let (_world, probe) = world().await;
    let list = probe.get(&format!("{NS}/configmaps")).await.json();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = Lines::open(
        &probe,
        &format!("{NS}/configmaps?watch=true&resourceVersion={version}"),
    )
    .await;
    apply(&probe, &map("a", json!({}))).await;
    apply(&probe, &map("a", json!({"x": "y"}))).await;
    probe.delete(&path("ConfigMap", "a")).await;
    let of = |kind: &str| (kind.to_owned(), "a".to_owned());
    assert_eq!(watch.event().await, of("ADDED"));
    assert_eq!(watch.event().await, of("MODIFIED"));
    assert_eq!(watch.event().await, of("DELETED"));
}

#[tokio::test]
async fn an_object_that_leaves_the_selection_is_deleted_to_the_watch() {
    let (_world, probe) = world().await;
    let mut watch = Lines::open(
        &probe,
        &format!("{NS}/configmaps?watch=true&labelSelector=on%3Dyes"),
    )
    .await;
    let labelled = |value: &str| {
        let mut object = map("a", json!({}));
        object["metadata"]["labels"] = json!({"on": value});
        object
    };
    for value in ["no", "yes", "no"] {
        apply(&probe, &labelled(value)).await;
    }
    assert_eq!(watch.event().await.0, "ADDED");
    assert_eq!(watch.event().await.0, "DELETED");
}

#[tokio::test]
async fn watches_end_in_every_scripted_way() {
    let (world, probe) = world().await;
    let all = format!("{NS}/configmaps?watch=true");
    let pattern = format!("{NS}/configmaps");
    world.cluster.inject(Fault::on(
        "WATCH",
        &pattern,
        Action::WatchExpires { after: 1 },
    ));
    let mut watch = Lines::open(&probe, &all).await;
    assert_eq!(watch.event().await.0, "ADDED");
    let error = watch.next().await.unwrap().unwrap();
    assert_eq!(
        (&error["type"], &error["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(error["object"]["reason"], "Expired");
    assert_eq!(watch.next().await.unwrap(), None);

    world
        .cluster
        .inject(Fault::on("WATCH", &pattern, Action::WatchCut { after: 1 }));
    let mut watch = Lines::open(&probe, &all).await;
    assert_eq!(watch.event().await.0, "ADDED");
    assert!(watch.next().await.is_err());

    world
        .cluster
        .inject(Fault::answer("WATCH", &pattern, 500, json!("broken")));
    assert_eq!(probe.get(&all).await.status, 500);

    let ended = probe.get(&format!("{all}&timeoutSeconds=0")).await;
    assert_eq!((ended.status, ended.text.lines().count()), (200, 1));
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_expires() {
    let (world, probe) = world().await;
    apply(&probe, &map("a", json!({}))).await;
    world.cluster.compact();
    let mut watch = Lines::open(
        &probe,
        &format!("{NS}/configmaps?watch=true&resourceVersion=301"),
    )
    .await;
    let error = watch.next().await.unwrap().unwrap();
    assert_eq!(error["object"]["code"], 410);
    let text = error["object"]["message"].as_str().unwrap();
    assert!(
        text.starts_with("too old resource version: 301 ("),
        "{text}"
    );
}

#[tokio::test]
async fn bookmarks_come_when_asked_for() {
    let (_world, probe) = world().await;
    let query = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut watch = Lines::open(&probe, &format!("{NS}/configmaps?{query}")).await;
    assert_eq!(
        watch.event().await,
        ("ADDED".to_owned(), "kube-root-ca.crt".to_owned())
    );
    let bookmark = watch.next().await.unwrap().unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
}

#[tokio::test]
async fn a_world_that_ends_ends_its_watches() {
    let (world, probe) = world().await;
    let mut watch = Lines::open(&probe, &format!("{NS}/configmaps?watch=true")).await;
    watch.event().await;
    drop(world);
    assert!(matches!(watch.next().await, Ok(None) | Err(_)));
}
