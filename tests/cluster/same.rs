//! Turns what two worlds show into texts that are alike unless the worlds really differ.
//! It must not know scenarios; it knows how times, pods and ids look.
//! Each thing that may differ becomes a word in angle brackets, so that a missing one still shows.

use regex::{Captures, Regex};
use std::sync::LazyLock;

/// What differs between two runs anyway, and what is written instead, in this order.
static MAY_DIFFER: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // keeps GitHub from linking what looks like a commit
        ("\u{200b}", ""),
        (
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| UTC)?",
            "<time>",
        ),
        (r"\b\d+ (min|h|d)( \d+ (s|min|h))?\b", "<span>"),
        (r"\b\d+(\.\d+)? ?s\b", "<span>"),
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "<uid>",
        ),
        // a Deployment's pod: its name, the template's hash, five letters
        (
            r"\b([a-z][a-z0-9-]*)-[bcdf4-9]{6,10}-[a-z0-9]{5}",
            "$1-<pod>",
        ),
        // a Job's pod: its name has a hash of ours at its end
        (r"-([0-9a-f]{8})-[a-z0-9]{5}\b", "-$1-<pod>"),
        // a Job fails for us before its controller has told the event
        (r"(?s)<details><summary>events of Job/.*?</details>\n\n", ""),
        // how often something happened
        (r" ×\d+: ", ": "),
        // whether the kubelet came round before the container was gone, and whether it had begun to wait between two
        // tries when a crash was told, are matters of its rhythm
        (r"(?m)^(Unhealthy|BackOff): .*\n", ""),
        (
            r"<details><summary>events of [^<]*</summary>\n\n```text\n```\n\n</details>\n\n",
            "",
        ),
        (r#""tookMs": ?\d+"#, r#""tookMs": "<span>""#),
        (r"sha256:[0-9a-f]{64}", "<digest>"),
        (r"http://127\.0\.0\.1:\d+", "<github>"),
    ]
    .map(|(pattern, word)| (Regex::new(pattern).unwrap(), word))
    .into()
});

/// A controller that writes an object's status in the middle of a deploy makes it count as changed.
static OBJECTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(\d+) created, (\d+) changed, (\d+) unchanged").unwrap());

/// A text without what may differ.
pub(crate) fn normal(text: &str) -> String {
    let text = MAY_DIFFER
        .iter()
        .fold(text.to_owned(), |text, (pattern, word)| {
            pattern.replace_all(&text, *word).into_owned()
        });
    let text = OBJECTS.replace_all(&text, |found: &Captures<'_>| {
        let count = |at: usize| found[at].parse::<u32>().unwrap();
        format!("{} created, {} there before", count(1), count(2) + count(3))
    });
    // events come in the order of their last time, and each kubelet has a rhythm of its own
    let mut lines: Vec<&str> = text.lines().collect();
    for events in lines.chunk_by_mut(|one, next| is_event(one) == is_event(next)) {
        if is_event(events[0]) {
            events.sort_unstable();
        }
    }
    lines.join("\n")
}

/// A log as people see it on GitHub: its lines that hide secrets fill screens, and hide what went wrong.
pub(crate) fn readable(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.starts_with("::add-mask::"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_event(line: &str) -> bool {
    line.starts_with("Failed: ") || line.starts_with("BackOff: ")
}

/// How two texts differ, line by line; nothing if they do not.
pub(crate) fn difference(what: &str, real: &str, simulated: &str) -> Option<String> {
    if real == simulated {
        return None;
    }
    let (left, right): (Vec<_>, Vec<_>) = (real.lines().collect(), simulated.lines().collect());
    let mut lines = vec![format!("{what} differs (- real, + simulated):")];
    let same = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
    let rest = (left[same..].iter().rev()).zip(right[same..].iter().rev());
    let tail = rest.take_while(|(l, r)| l == r).count();
    lines.extend(
        left[same..left.len() - tail]
            .iter()
            .map(|line| format!("  - {line}")),
    );
    lines.extend(
        right[same..right.len() - tail]
            .iter()
            .map(|line| format!("  + {line}")),
    );
    Some(lines.join("\n"))
}

#[test]
fn what_is_a_matter_of_the_kubelets_rhythm_is_no_difference() {
    let events = |lines: &str| {
        let block = "<details><summary>events of Deployment/web</summary>";
        normal(&format!(
            "before\n\n{block}\n\n```text\n{lines}```\n\n</details>\n\nafter"
        ))
    };
    for lines in [
        "BackOff: Back-off restarting\n",
        "Unhealthy ×2: refused\nBackOff ×3: Back-off restarting\n",
    ] {
        assert_eq!(events(lines), "before\n\nafter");
    }
    assert!(
        events("BackOff: Back-off\nFailed ×2: no such image\n").contains("Failed: no such image")
    );
}
