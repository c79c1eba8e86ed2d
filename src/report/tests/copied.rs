//! What people copy out of a comment is what it looks like: nothing that cannot be seen stands in a command, a name or a commit.

use super::*;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Names in which GitHub would see commits, addresses, other repositories' issues and people.
const AWKWARD: [&str; 4] = [
    "pr-next-js-12-3f9a1c02",
    "pr-123456789-12",
    "pr-gh-pages-12",
    "www-gh-12-deadbeef",
];

/// The texts of all fences and code spans, and where each link leads.
fn copied(body: &str) -> Vec<String> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for event in Parser::new_ext(body, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => fenced = true,
            Event::End(TagEnd::CodeBlock) => fenced = false,
            Event::Text(text) if fenced => found.push(text.to_string()),
            Event::Code(text) => found.push(text.to_string()),
            Event::Start(Tag::Link { dest_url, .. }) => found.push(dest_url.to_string()),
            _ => {}
        }
    }
    found
}

/// An example in which everything is called so.
fn called(mut view: StatusView, name: &str) -> StatusView {
    let host = format!("{name}.preview.example.com");
    view.namespace = view.namespace.map(|_| name.parse().unwrap());
    view.repository = format!("gh-1234567/{name}").parse().unwrap();
    for one in &mut view.urls {
        *one = url("web", &host);
    }
    for service in &mut view.services {
        service.id.name = name.into();
        service.message = format!("run `kubectl -n {name} get pods`");
    }
    for image in &mut view.images {
        image.image = format!(
            "registry.example.com:5000/{name}@sha256:{}",
            "4be91f60".repeat(8)
        );
        image.service = name.into();
    }
    view.pruned = view.services.iter().map(|one| one.id.clone()).collect();
    for failure in &mut view.failures {
        failure.remedy = format!("run `kubectl -n {name} get configmap {name} -o yaml`");
        for piece in &mut failure.evidence {
            piece.text = format!("kubectl -n {name} get pods\n{name} 4be91f6000 https://{host}");
        }
    }
    view.warnings = vec![format!("look at `{name}` with `kubectl -n {name} get all`")];
    if let Some(gone) = &mut view.removal {
        gone.namespace = name.parse().unwrap();
        for volume in &mut gone.volumes {
            volume.claim = name.into();
            volume.volume = Some(name.into());
        }
    }
    view
}

#[test]
fn what_is_copied_from_a_comment_has_nothing_in_it_that_is_not_seen() {
    let mut lines = 0;
    for name in AWKWARD {
        for (state, view) in examples() {
            let view = called(view, name);
            let text = summary(&Summary {
                view: Some(&view),
                decision: "deploy",
                reason: ReasonCode::Deployed,
                lines: &[format!("run `kubectl delete namespace {name}`")],
                applied: &[],
                timings: &[],
            });
            for body in [comment(&view, &marker()).unwrap(), text.unwrap()] {
                for text in copied(&body) {
                    assert!(!text.contains('\u{200b}'), "{state}: {text:?}");
                    lines += text.matches(&format!("kubectl -n {name} ")).count();
                }
            }
        }
    }
    assert!(
        lines > 100,
        "the commands are among what was looked at: {lines}"
    );
}
