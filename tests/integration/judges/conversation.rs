//! Everything that people and GitHub say to the action in the life of a few pull requests, in one go.
//! It looks only at how each run ends; what is said is the other tests' business.
//! Whoever judges requests needs all kinds of them, once each, in an order that makes sense.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Seen, Shop};
use preview_action::simulate::github::NewPull;

/// More than two pages of a hundred.
const CHATTER: usize = 230;

/// Own templates besides, so that the files of the repository are listed.
const WITH_TEMPLATES: &str = "templates: [deploy/*.yaml.j2]\n";

const TEMPLATE: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {sha: '{{ preview.sha }}'}\n";

/// The workflow whose end deploys.
const BUILD: &str = ".github/workflows/build.yml";

struct Talk<'a> {
    shop: &'a Shop,
    api: &'a str,
}

impl Talk<'_> {
    async fn hears(&self, event: &Event, inputs: &[(&str, &str)]) -> Seen {
        let run = self.shop.run(event).variable("GITHUB_API_URL", self.api);
        run.input("dashboard-issue", "true")
            .inputs(inputs)
            .go()
            .await
    }

    /// An event, and how its run ends.
    async fn event(&self, event: Event, reason: &str) -> Seen {
        let seen = self.hears(&event, &[]).await;
        seen.ends(0, reason);
        seen
    }

    /// What somebody writes, and how its run ends.
    async fn says(&self, pr: u64, who: &str, body: &str, reason: &str) {
        let seen = self.hears(&self.shop.says(pr, who, body), &[]).await;
        seen.ends(0, reason);
    }
}

/// Plays all of it, through this address of GitHub.
pub(crate) async fn play(shop: &Shop, api: &str) {
    shop.world.github.add_user("mia");
    shop.world
        .github
        .set_permission(SHOP, "mia", "admin", "admin");
    let talk = Talk { shop, api };
    a_life(&talk).await;
    settings(&talk).await;
    strangers(&talk).await;
    limits(&talk).await;
    talk.event(shop.schedule(), "swept").await;
    shop.ends();
}

/// One pull request from its first commit to its end, with every command in between.
async fn a_life(talk: &Talk<'_>) {
    let shop = talk.shop;
    talk.event(shop.opens(1), "deployed").await;
    talk.event(shop.pull_event(1, "labeled"), "event-ignored")
        .await;
    let own = format!("{ONE_SERVICE}{WITH_TEMPLATES}");
    let files = [
        (CONFIGURATION, own.as_str()),
        ("deploy/own.yaml.j2", TEMPLATE),
    ];
    talk.event(shop.pushes_files(1, &files), "deployed").await;
    for n in 0..CHATTER {
        shop.world
            .github
            .comment(SHOP, 1, "bob", &format!("remark {n}"));
    }
    for (body, reason) in [
        ("/status", "status-shown"),
        ("/help", "help-shown"),
        ("/logs", "logs-shown"),
        ("/logs web --previous", "logs-shown"),
        ("/diff", "diff-shown"),
        ("/check", "check-shown"),
        ("/extend 2d", "extended"),
        ("/pin", "pinned"),
        ("/unpin", "unpinned"),
        ("/sleep", "slept"),
        ("/wake", "woken"),
        ("/rollback", "rolled-back"),
        ("/deploy", "deployed"),
        ("/deply", "not-a-command"),
        ("/extend soon", "not-a-command"),
        ("thank you", "not-a-command"),
    ] {
        talk.says(1, "bob", body, reason).await;
    }
    let head = shop.world.github.head(SHOP, 1);
    talk.says(1, "alice", &format!("/deploy {head}"), "unchanged")
        .await;
    talk.says(1, "mallory", "/deploy", "permission-denied")
        .await;
    talk.event(shop.schedule(), "swept").await;
    talk.says(1, "alice", "/undeploy", "removed").await;
    talk.event(shop.dispatches(1, "deploy"), "deployed").await;
    talk.event(shop.closes(1), "removed").await;
    talk.says(1, "alice", "/deploy", "pull-request-closed")
        .await;
}

/// What a workflow may have set: builds that deploy, filters by path, a comment that moves, plans and approvals.
async fn settings(talk: &Talk<'_>) {
    let shop = talk.shop;
    let opened = shop.opens(2);
    let planned = [("mode", "plan"), ("kubeconfig", "")];
    let gate = [planned[0], planned[1], ("approval-gate", "true")];
    talk.hears(&opened, &planned).await.ends(0, "planned");
    talk.hears(&opened, &gate).await.ends(0, "planned");
    let head = shop.world.github.head(SHOP, 2);
    let ended = [
        planned[0],
        planned[1],
        ("approval-gate", "ended"),
        ("sha", &head),
    ];
    talk.hears(&opened, &ended).await.ends(0, "planned");
    let payload = shop.world.github.workflow_run_event(SHOP, 2, BUILD);
    let built = Event::new("workflow_run", payload, 2);
    let build = [("build-workflow", BUILD)];
    talk.hears(&built, &[planned[0], planned[1], build[0]])
        .await
        .ends(0, "planned");
    talk.hears(&built, &build).await.ends(0, "deployed");
    let paths = [("paths", "src/**")];
    let docs = shop.pushes_files(2, &[("docs/a.md", "text")]);
    talk.hears(&docs, &[("paths", "web/**")])
        .await
        .ends(0, "paths-skipped");
    let source = shop.pushes_files(2, &[("src/a.rs", "text")]);
    talk.hears(&source, &paths).await.ends(0, "deployed");
    shop.says(2, "bob", "a remark");
    let bottom = [("comment-position", "bottom")];
    talk.hears(&shop.pushes(2), &bottom)
        .await
        .ends(0, "deployed");
    let last = shop.world.github.comments(SHOP, 2).pop().unwrap();
    assert_eq!(last.author, "github-actions[bot]", "the comment has moved");
    talk.event(shop.closes(2), "removed").await;
}

/// A fork's pull request, approved, pushed over and closed.
async fn strangers(talk: &Talk<'_>) {
    let shop = talk.shop;
    // Its image is named by the whole commit.
    shop.commit(&[(CONFIGURATION, &ONE_SERVICE.replace("{short-sha}", "{sha}"))]);
    let fork = NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..NewPull::default()
    };
    let opened = shop.opens_as(6, fork);
    talk.event(opened, "approval-needed").await;
    let head = shop.world.github.head(SHOP, 6);
    talk.says(
        6,
        "mallory",
        &format!("/approve {head}"),
        "permission-denied",
    )
    .await;
    talk.says(6, "mia", &format!("/approve {head}"), "deployed")
        .await;
    talk.event(shop.pushes(6), "approval-needed").await;
    talk.says(6, "mia", "/undeploy", "removed").await;
    talk.event(shop.closes(6), "nothing-to-remove").await;
}

/// More pull requests than slots, and one that is called in by a run of its own.
async fn limits(talk: &Talk<'_>) {
    let shop = talk.shop;
    for pr in 11..=13 {
        talk.event(shop.opens(pr), "deployed").await;
    }
    for pr in 14..=15 {
        talk.event(shop.opens(pr), "queued").await;
    }
    talk.says(15, "mia", "/deploy --take #11", "deployed").await;
    let closed = shop.closes(12);
    let seen = talk.hears(&closed, &[("promote", "dispatch")]).await;
    seen.ends(0, "removed");
    assert_eq!(shop.world.github.started(SHOP).len(), 1);
    // It has not begun yet, so the next run looks whether it is under way.
    let pushed = shop.pushes(13);
    let seen = talk.hears(&pushed, &[("promote", "dispatch")]).await;
    seen.ends(0, "deployed");
    assert_eq!(shop.world.github.started(SHOP).len(), 1);
}
