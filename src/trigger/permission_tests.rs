#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::{
    event::User,
    names::{PrNumber, RepoId},
};

fn pull() -> PullRequest {
    PullRequest {
        number: PrNumber::new(12).unwrap(),
        title: "Add a search box".into(),
        open: true,
        merged: false,
        draft: false,
        labels: Vec::new(),
        author: user("alice"),
        head_sha: "a".repeat(40).parse().unwrap(),
        head_branch: "search".into(),
        head_repository: Some(RepoId(4711)),
        base_sha: "b".repeat(40).parse().unwrap(),
        base_branch: "main".into(),
        base_repository: RepoId(4711),
    }
}

fn user(login: &str) -> User {
    User {
        login: login.into(),
        bot: false,
    }
}

#[test]
fn a_command_needs_write_and_the_denial_shows_the_role() {
    for level in [AccessLevel::Write, AccessLevel::Admin] {
        assert_eq!(
            may_command("alice", level, "maintain", MinPermission::Write),
            Ok(())
        );
    }
    for (level, role, shown) in [
        (AccessLevel::None, "", "none"),
        (AccessLevel::Read, "", "read"),
        (AccessLevel::Read, "triage", "triage"),
        (AccessLevel::None, "admin", "admin"),
    ] {
        let denied = may_command("alice", level, role, MinPermission::Write).unwrap_err();
        assert_eq!(denied.reason, ReasonCode::PermissionDenied);
        assert_eq!(
            denied.cause,
            format!("alice has the role `{shown}` here, and commands need `write`")
        );
        assert!(denied.remedy.contains("`write`"), "{}", denied.remedy);
    }
}

#[test]
fn a_higher_role_may_be_asked_for() {
    use MinPermission::{Admin, Maintain, Write};
    for (level, role, highest) in [
        (AccessLevel::Read, "maintain", None),
        (AccessLevel::Read, "admin", None),
        (AccessLevel::Write, "write", Some(Write)),
        (AccessLevel::Write, "admin", Some(Write)),
        (AccessLevel::Write, "maintain", Some(Maintain)),
        (AccessLevel::Admin, "", Some(Admin)),
    ] {
        for needed in [Write, Maintain, Admin] {
            let allowed = may_command("alice", level, role, needed).is_ok();
            let expected = highest.is_some_and(|highest| needed <= highest);
            assert_eq!(allowed, expected, "{level:?} {role} {needed:?}");
            let taking = may_take("alice", level, role, needed).is_ok();
            assert_eq!(
                taking,
                expected && highest > Some(Write),
                "{level:?} {role}"
            );
        }
    }
}

#[test]
fn only_who_maintains_may_take_a_slot() {
    assert_eq!(
        may_take(
            "alice",
            AccessLevel::Write,
            "maintain",
            MinPermission::Write
        ),
        Ok(())
    );
    assert_eq!(
        may_take("alice", AccessLevel::Admin, "admin", MinPermission::Write),
        Ok(())
    );
    for (level, role) in [
        (AccessLevel::Write, "write"),
        (AccessLevel::Write, ""),
        (AccessLevel::Read, "maintain"),
        (AccessLevel::None, "admin"),
    ] {
        let denied = may_take("alice", level, role, MinPermission::Write).unwrap_err();
        assert_eq!(denied.reason, ReasonCode::PermissionDenied);
        assert!(
            denied.cause.contains("`maintain` or `admin`"),
            "{}",
            denied.cause
        );
    }
}

#[test]
fn of_a_fork_only_the_approved_commit_that_is_the_head_is_deployed() {
    let other: CommitSha = "c".repeat(40).parse().unwrap();
    let head = pull().head_sha;
    let of = |head_repository| PullRequest {
        head_repository,
        ..pull()
    };
    use ReasonCode::{ApprovalNeeded, ForkRefused};
    let (fork, deleted) = (of(Some(RepoId(9822))), of(None));
    for (pull, approved, reason) in [
        (&fork, None, Some(ApprovalNeeded)),
        (&fork, Some(&other), Some(ApprovalNeeded)),
        (&fork, Some(&head), None),
        (&deleted, None, Some(ForkRefused)),
        (&deleted, Some(&head), Some(ForkRefused)),
        (&pull(), None, None),
        (&pull(), Some(&other), None),
    ] {
        let denied = may_deploy(pull, approved).err();
        assert_eq!(denied.map(|denied| denied.reason), reason, "{approved:?}");
    }
    let remedy = may_deploy(&fork, None).unwrap_err().remedy;
    assert!(remedy.ends_with(&format!("/approve {head}")), "{remedy}");
    assert_eq!(may_be_approved(&fork), Ok(()));
    assert!(may_be_approved(&deleted).is_err());
    assert_eq!(may_live(&deleted), Ok(()), "what runs may be used");
}

#[test]
fn only_who_maintains_may_approve() {
    use MinPermission::{Admin, Maintain, Write};
    for (level, role, needed, allowed) in [
        (AccessLevel::Admin, "admin", Write, true),
        (AccessLevel::Admin, "", Admin, true),
        (AccessLevel::Write, "maintain", Write, true),
        (AccessLevel::Write, "maintain", Maintain, true),
        (AccessLevel::Write, "maintain", Admin, false),
        (AccessLevel::Write, "write", Write, false),
        (AccessLevel::Write, "", Write, false),
        (AccessLevel::Write, "admin", Write, false),
        (AccessLevel::Read, "maintain", Write, false),
        (AccessLevel::None, "admin", Write, false),
    ] {
        let answer = may_approve("alice", level, role, needed);
        assert_eq!(answer.is_ok(), allowed, "{level:?} {role} {needed:?}");
        if let Err(denied) = answer {
            assert_eq!(denied.reason, ReasonCode::PermissionDenied);
            assert!(denied.cause.contains("`admin`"), "{}", denied.cause);
        }
    }
}

#[test]
fn a_closed_pull_request_is_not_deployed() {
    for (merged, word) in [(false, "closed"), (true, "merged")] {
        for head_repository in [Some(RepoId(4711)), Some(RepoId(9822)), None] {
            let pull = PullRequest {
                open: false,
                merged,
                head_repository,
                ..pull()
            };
            for denied in [
                may_deploy(&pull, Some(&pull.head_sha)),
                may_be_approved(&pull),
            ] {
                let denied = denied.unwrap_err();
                assert_eq!(denied.reason, ReasonCode::PullRequestClosed);
                assert!(denied.cause.ends_with(word), "{}", denied.cause);
            }
        }
    }
}

#[test]
fn a_comment_is_asked_about_and_so_is_who_runs_it_again() {
    let comment = Asked::Comment {
        id: 1,
        author: user("alice"),
        line: "/deploy".into(),
        written: jiff::Timestamp::UNIX_EPOCH,
        known: true,
    };
    assert_eq!(comment.must_ask(1, "bob"), ["alice"]);
    assert_eq!(comment.must_ask(2, "bob"), ["alice", "bob"]);
    assert_eq!(comment.must_ask(2, "Alice"), ["alice"]);
    let dispatch = Asked::Dispatch {
        sender: user("alice"),
    };
    assert_eq!(dispatch.must_ask(1, "alice"), ["alice"]);
    assert_eq!(dispatch.must_ask(2, "bob"), ["alice", "bob"]);
    let workflow = User {
        login: "github-actions[bot]".into(),
        bot: true,
    };
    let own = Asked::Dispatch { sender: workflow };
    assert_eq!(own.must_ask(1, "alice"), [""; 0]);
    assert_eq!(own.must_ask(2, "github-actions[bot]"), [""; 0]);
    assert_eq!(own.must_ask(2, "bob"), ["bob"]);
    let posing = Asked::Dispatch {
        sender: user("github-actions[bot]"),
    };
    assert_eq!(posing.must_ask(1, "alice"), ["github-actions[bot]"]);
}

#[test]
fn the_commit_is_the_events_the_head_or_the_one_that_was_named() {
    let (head, other): (CommitSha, CommitSha) = (
        "a".repeat(40).parse().unwrap(),
        "c".repeat(40).parse().unwrap(),
    );
    assert_eq!(
        Commit::Payload(other.clone()).pin(&pull()),
        Ok(other.clone())
    );
    assert_eq!(Commit::Head.pin(&pull()), Ok(head.clone()));
    assert_eq!(Commit::Named(head.clone()).pin(&pull()), Ok(head.clone()));
    let denied = Commit::Named(other).pin(&pull()).unwrap_err();
    assert_eq!(denied.reason, ReasonCode::Superseded);
    assert!(denied.remedy.contains(head.as_str()), "{}", denied.remedy);
}

#[test]
fn only_a_commit_that_github_lists_may_be_named() {
    let sha = |digit: &str| digit.repeat(40).parse::<CommitSha>().unwrap();
    let (named, mut listed) = (sha("c"), vec![sha("d"), sha("c"), sha("a")]);
    assert_eq!(may_name(&named, &pull(), &listed), Ok(()));
    listed.remove(1);
    let denied = may_name(&named, &pull(), &listed).unwrap_err();
    assert_eq!(denied.reason, ReasonCode::CommitUnknown);
    assert_eq!(denied.cause, "ccccccc is no commit of pull request #12");
    assert!(
        denied.remedy.ends_with(&format!("`/deploy {}`", sha("a"))),
        "{}",
        denied.remedy
    );
    let many = vec![sha("d"); 250];
    let denied = may_name(&named, &pull(), &many).unwrap_err();
    assert!(
        denied.cause.contains("250 commits"),
        "what GitHub does not list is not called foreign: {}",
        denied.cause
    );
}

#[test]
fn github_is_asked_only_about_another_commit_of_the_repositorys_own_open_pull_request() {
    let other: CommitSha = "c".repeat(40).parse().unwrap();
    let named = Commit::Named(other.clone());
    assert_eq!(named.names_another(&pull()), Some(&other));
    let fork = PullRequest {
        head_repository: Some(RepoId(9822)),
        ..pull()
    };
    let closed = PullRequest {
        open: false,
        ..pull()
    };
    for pull in [fork, closed] {
        assert_eq!(named.names_another(&pull), None);
    }
    for commit in [
        Commit::Head,
        Commit::Named(pull().head_sha),
        Commit::Planned(other.clone()),
        Commit::Payload(other),
    ] {
        assert_eq!(commit.names_another(&pull()), None);
    }
}
