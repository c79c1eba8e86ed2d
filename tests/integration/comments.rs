//! One comment a pull request, whatever others write, delete or answer.

use crate::support::{Event, SHOP, Shop};
use preview_action::simulate::{Action, Fault, github::Access};
use serde_json::json;

const BOT: &str = "github-actions[bot]";

fn marker(shop: &Shop, pr: u64) -> String {
    let id = shop.world.github.create_repository(SHOP);
    format!("<!-- preview-action v1 kind=status repo={id} pr={pr} env=preview -->")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_comment_tells_a_whole_life() {
    let shop = Shop::open().await;
    let hears = async |event: Event| shop.hears(&event).await;
    hears(shop.opens(1)).await.says("Preview ready");
    hears(shop.pushes(1)).await.says("Preview ready");
    hears(shop.says(1, "alice", "/status"))
        .await
        .says("Preview ready");
    hears(shop.says(1, "alice", "/undeploy"))
        .await
        .says("removed");
    hears(shop.says(1, "alice", "/deploy"))
        .await
        .says("Preview ready");
    let last = hears(shop.closes(1)).await;
    last.says("removed");
    last.one_comment();
    let all = shop.world.github.all_comments(SHOP, 1);
    let ours: Vec<_> = all.iter().filter(|comment| comment.author == BOT).collect();
    assert_eq!(ours.len(), 1, "none was written and deleted again");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_comments_of_ours_the_older_is_kept() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let older = shop
        .world
        .github
        .comment(SHOP, 1, BOT, &format!("{}\nolder", marker(&shop, 1)));
    shop.world.github.comment(SHOP, 1, "bob", "nice");
    shop.world
        .github
        .comment(SHOP, 1, BOT, &format!("{}\nyounger", marker(&shop, 1)));
    let seen = shop.hears(&opened).await;
    seen.ends(0, "deployed");
    let left = shop.status_comments(1);
    assert_eq!(
        left.iter().map(|comment| comment.id).collect::<Vec<_>>(),
        [older]
    );
    seen.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_is_left_alone_even_with_our_marker() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let body = format!(
        "{}\n### 🟢 Preview ready\n\nhttps://evil.example",
        marker(&shop, 1)
    );
    let strangers = shop.world.github.comment(SHOP, 1, "mallory", &body);
    // Ours, but about another environment and another pull request.
    let others = [
        marker(&shop, 1).replace("env=preview", "env=staging"),
        marker(&shop, 1).replace("pr=1", "pr=11"),
        format!("before {}", marker(&shop, 1)),
    ]
    .map(|body| (shop.world.github.comment(SHOP, 1, BOT, &body), body));
    let seen = shop.hears(&opened).await;
    seen.ends(0, "deployed");
    let left = shop.world.github.comments(SHOP, 1);
    let text = |id: u64| {
        left.iter()
            .find(|comment| comment.id == id)
            .unwrap()
            .body
            .clone()
    };
    assert_eq!(text(strangers), body);
    for (id, body) in others {
        assert_eq!(text(id), body);
    }
    assert_eq!(left.len(), 5, "{left:#?}");
    assert!(seen.everything().contains("Preview ready"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_somebody_deleted_is_written_anew() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let id = shop.status_comments(1)[0].id;
    shop.world.github.delete_comment(SHOP, id);
    let seen = shop.hears(&shop.pushes(1)).await;
    seen.ends(0, "deployed");
    seen.one_comment();
    seen.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_is_deleted_while_the_run_works_is_written_anew() {
    let shop = std::sync::Arc::new(Shop::open().await);
    let opened = shop.opens(1);
    let weak = std::sync::Arc::downgrade(&shop);
    let delete = Fault::run("PATCH", "/apis/apps/v1/**", move || {
        if let Some(shop) = weak.upgrade() {
            let id = shop.status_comments(1)[0].id;
            shop.world.github.delete_comment(SHOP, id);
        }
    });
    shop.world.cluster.inject(delete);
    let seen = shop.hears(&opened).await;
    seen.ends(0, "deployed");
    seen.one_comment();
    seen.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_write_makes_no_second_comment() {
    let html = json!("<html><body><h1>502 Bad Gateway</h1></body></html>");
    for (method, pattern) in [
        ("POST", "/repos/acme/shop/issues/1/comments"),
        ("PATCH", "/repos/acme/shop/issues/comments/*"),
    ] {
        for action in [
            Action::WriteThenAnswer {
                status: 502,
                body: html.clone(),
            },
            Action::WriteThenClose,
        ] {
            let shop = Shop::open().await;
            let opened = shop.opens(1);
            shop.world
                .github
                .inject(Fault::on(method, pattern, action.clone()));
            let seen = shop.hears(&opened).await;
            seen.ends(0, "deployed");
            let all = shop.world.github.all_comments(SHOP, 1);
            assert_eq!(all.len(), 1, "{method} {action:?}: {all:#?}");
            seen.says("Preview ready");
            shop.ends();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_did_not_arrive_is_made_again() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let posts = "/repos/acme/shop/issues/1/comments";
    shop.world.github.inject(Fault::answer(
        "POST",
        posts,
        503,
        json!({"message": "busy"}),
    ));
    shop.world.github.inject(Fault::on(
        "PATCH",
        "/repos/acme/shop/issues/comments/*",
        Action::Close,
    ));
    let seen = shop.hears(&opened).await;
    seen.ends(0, "deployed");
    seen.one_comment();
    seen.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_say_who_it_is_finds_its_own_comments() {
    let shop = Shop::open().await;
    shop.world
        .github
        .add_token("app-token", "acme-previews[bot]", Access::Write);
    shop.world.github.show_user(true);
    let hears = async |event: Event| shop.run(&event).input("token", "app-token").go().await;
    hears(shop.opens(1)).await.ends(0, "deployed");
    hears(shop.pushes(1)).await.ends(0, "deployed");
    let authors: Vec<String> = shop
        .status_comments(1)
        .into_iter()
        .map(|comment| comment.author)
        .collect();
    assert_eq!(authors, ["acme-previews[bot]"]);
    shop.ends();
}

/// The token of an App, whose `GET /user` is refused: nothing is posted to find out who we are.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_posts_no_comment_to_find_out_who_it_is() {
    const APP: &str = "acme-previews[bot]";
    for tells in [true, false] {
        let shop = Shop::open().await;
        let github = &shop.world.github;
        github.add_token("app-token", APP, Access::Write);
        github.show_viewer(tells);
        let hears = async |event: Event| shop.run(&event).input("token", "app-token").go().await;
        hears(shop.opens(1)).await.ends(0, "deployed");
        let forged = shop.status_comments(1)[0].body.clone();
        let foreign = github.comment(SHOP, 1, "mallory", &forged);
        let posted = || shop.world.github.all_comments(SHOP, 1).len();
        for _ in 0..2 {
            let before = posted();
            hears(shop.pushes(1)).await.ends(0, "deployed");
            assert_eq!(posted(), before, "{tells}");
        }
        // Where nobody says who we are, only the ledger knows, and only of the status comment.
        if tells {
            for command in ["/help", "/help", "/check", "/check"] {
                hears(shop.says(1, "alice", command)).await;
            }
            let theirs = shop.world.github.all_comments(SHOP, 1);
            let ours = theirs.iter().filter(|one| one.author == APP);
            assert_eq!(ours.count(), 3, "status, help, check: {theirs:#?}");
        }
        let all = shop.world.github.all_comments(SHOP, 1);
        let foreign = all.iter().find(|one| one.id == foreign).unwrap();
        assert_eq!(foreign.history.len(), 1, "{tells}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_comment_author_does_not_make_a_comment_a_run() {
    let shop = Shop::open().await;
    let hears = async |event: Event| {
        let run = shop.run(&event).input("comment-author", "somebody-else");
        run.go().await.ends(0, "deployed");
    };
    hears(shop.opens(1)).await;
    hears(shop.pushes(1)).await;
    hears(shop.pushes(1)).await;
    assert_eq!(
        shop.status_comments(1).len(),
        1,
        "{:#?}",
        shop.status_comments(1)
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn our_comment_is_found_behind_hundreds_of_others() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    for count in 0..250 {
        let body = format!("comment {count}");
        shop.world.github.comment(SHOP, 1, "bob", &body);
    }
    shop.hears(&opened).await.ends(0, "deployed");
    let seen = shop.hears(&shop.pushes(1)).await;
    seen.ends(0, "deployed");
    seen.one_comment();
    assert_eq!(shop.world.github.comments(SHOP, 1).len(), 251);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_is_a_comment_of_its_own_and_one_for_ever() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    for _ in 0..2 {
        let seen = shop.hears(&shop.says(1, "bob", "/help")).await;
        seen.ends(0, "help-shown");
        assert_eq!(seen.comments.len(), 2, "{seen:#?}");
        seen.says("Preview ready");
    }
    shop.ends();
}
