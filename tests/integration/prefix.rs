//! Where several bots listen, commands have a word before them, and every text says so.

use crate::support::{SHOP, Seen, Shop};
use preview_action::trigger::command::COMMANDS;
use serde_json::json;

async fn hears(shop: &Shop, login: &str, body: &str) -> Seen {
    let event = shop.says(1, login, body);
    let run = shop.run(&event).input("command-prefix", "/preview");
    run.go().await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_prefix_nothing_else_is_a_command_and_every_text_says_so() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let announced = shop
        .run(&opened)
        .inputs(&[("command-prefix", "/preview"), ("auto-deploy", "false")])
        .go()
        .await;
    announced.ends(0, "auto-deploy-off");
    announced.says("/preview deploy");
    for body in ["/deploy", "/previews deploy", "preview deploy", "/status"] {
        hears(&shop, "alice", body).await.ends(0, "not-a-command");
    }
    assert_eq!(shop.namespaces().len(), 0);
    for (body, reason) in [
        ("/preview deploy", "deployed"),
        ("/preview", "help-shown"),
        ("/preview status", "status-shown"),
        ("/preview deply", "not-a-command"),
        ("/preview extend", "not-a-command"),
        ("/preview sleep", "slept"),
        ("/preview sleep", "no-preview"),
        ("/preview wake", "woken"),
        ("/preview rollback", "nothing-to-roll-back"),
        ("/preview logs", "logs-shown"),
        ("/preview undeploy", "removed"),
        ("/preview wake", "no-preview"),
        ("/preview undeploy", "nothing-to-remove"),
        ("/preview rollback", "nothing-to-roll-back"),
    ] {
        let seen = hears(&shop, "alice", body).await;
        println!("{body}: {}", seen.output("reason-code"));
        assert_eq!(seen.output("reason-code"), reason, "{body}: {seen:#?}");
        if reason == "not-a-command" {
            seen.says("`/preview ");
        }
        assert_eq!(bare(&seen.log), None, "{body}: {}", seen.log);
        assert_eq!(bare(&seen.summary), None, "{body}: {}", seen.summary);
    }
    // Under a comment that stands, beside it, and without any.
    shop.world.github.set_draft(SHOP, 1, true);
    let settings = [("command-prefix", "/preview"), ("drafts", "false")];
    let skipped = shop.run(&shop.pushes(1)).inputs(&settings).go().await;
    skipped.ends(0, "draft-skipped");
    assert!(
        skipped.summary.contains("/preview deploy"),
        "{}",
        skipped.summary
    );
    assert_eq!(bare(&skipped.summary), None, "{}", skipped.summary);
    shop.world.github.set_draft(SHOP, 1, false);
    shop.pushes_files(1, &[(".github/preview.yml", "version: 1\nservices: 7\n")]);
    let failed = hears(&shop, "alice", "/preview deploy").await;
    assert_eq!(failed.exit, 1, "{}", failed.log);
    for comment in shop.world.github.all_comments(SHOP, 1) {
        for (_, text) in &comment.history {
            if comment.author != "alice" {
                // Programs read the hidden line, where a back-tick is written as its number.
                assert_eq!(bare(&text.replace("\\u0060", "`")), None, "{text}");
            }
        }
    }
    shop.ends();
}

/// A command that stands somewhere without its prefix.
fn bare(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || "`(\"".contains(c));
    let plain = words.map(|word| word.trim_end_matches([',', '.', ')', ';', ':']));
    let mut bare = plain.filter(|word| COMMANDS.contains(word));
    bare.next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_association_only_takes_away() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let asks = async |login: &str, association: &str, wanted: &str| {
        let mut event = shop.says(1, login, "/status");
        event.payload["comment"]["author_association"] = json!(association);
        let since = shop.now();
        let seen = shop
            .run(&event)
            .input("author-association", wanted)
            .go()
            .await;
        (seen, shop.requests("github", since).len())
    };
    for (login, association, wanted, reason) in [
        ("alice", "MEMBER", "OWNER, MEMBER", "status-shown"),
        (
            "alice",
            "COLLABORATOR",
            "OWNER, MEMBER",
            "permission-denied",
        ),
        ("alice", "NONE", "", "status-shown"),
        ("alice", "", "OWNER", "permission-denied"),
        ("mallory", "OWNER", "OWNER", "permission-denied"),
    ] {
        let (seen, asked) = asks(login, association, wanted).await;
        seen.ends(0, reason);
        // Nothing is asked of GitHub but to show that it was read and who may not.
        let refused_unasked = reason == "permission-denied" && login == "alice";
        assert_eq!(asked <= 2, refused_unasked, "{association}: {}", seen.log);
        let comments = shop.world.github.comments(SHOP, 1);
        let given = comments.iter().rfind(|one| one.author == login).unwrap();
        let last = given.reactions.iter().any(|(_, content)| content == "-1");
        assert_eq!(last, reason == "permission-denied", "{association}");
    }
    let (seen, _) = asks("alice", "MEMBER", "member").await;
    seen.ends(1, "bad-input");
    shop.ends();
}
