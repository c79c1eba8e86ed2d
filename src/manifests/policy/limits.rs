//! Texts that are made to be too much: each ends in one clear error, soon and within the stack of a thread.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows the times that it took"
)]

use super::tests::{container, ingress, judged, plan};
use crate::{
    inputs::configuration::Policy,
    manifests::{Rendered, assemble},
};

#[test]
fn hostile_sizes_end_in_an_error_within_time_and_memory() {
    let map =
        |name: usize| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{name}}}\n");
    let deep = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {}{}",
        "{a: ".repeat(5_000),
        "}".repeat(5_000)
    );
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let flat_bomb = format!(
        "a: &a [{}]\nb: [{}]\n",
        "x, ".repeat(1_000),
        "*a, ".repeat(900)
    );
    let documents: String = (0..4_000).map(|name| map(name) + "---\n").collect();
    let wrong: String = (0..4_000)
        .map(|_| "apiVersion: v1\nkind: 7\nmetadata: {name: 1}\n---\n")
        .collect();
    let values = format!("a: [{}]\n", "1,".repeat(600_000));
    let env = format!("[{}]", "{name: A, value: 1},".repeat(40_000));
    let twins = map(1) + &format!("---\n{}", map(1)).repeat(900);
    let hosts = ingress(&format!(
        "spec: {{rules: [{}]}}",
        "{host: x.example.com},".repeat(40_000)
    ));
    for (name, text) in [
        ("deep", deep),
        ("laughs", bomb),
        ("aliases", flat_bomb),
        ("documents", documents),
        ("faults", wrong),
        ("values", values),
        ("env", container(&format!("env: {env}"))),
        ("twins", twins),
        ("hosts", hosts),
        ("10 MB", format!("a: {}\n", "x".repeat(10 << 20))),
        (
            "a line",
            format!("{}data: {{a: [{}]}}\n", map(1), "x".repeat(7 << 20)),
        ),
    ] {
        let begun = std::time::Instant::now();
        let errors = judged(&Policy::default(), &text).unwrap_err();
        let took = begun.elapsed();
        assert!(errors.0.len() <= 100, "{name}: {}", errors.0.len());
        assert!(errors.to_string().len() < 200_000, "{name}");
        // slow machines, unoptimised code
        assert!(
            took < std::time::Duration::from_secs(20),
            "{name}: {took:?}"
        );
        eprintln!("{name}: {took:?}: {:.200}", errors.to_string());
    }
    let many: Vec<Rendered> = (0..150)
        .map(|name| Rendered {
            file: format!("{name}.yaml"),
            text: format!(
                "a: &a [{}]\nb: [{}]\n",
                "x, ".repeat(100),
                "*a, ".repeat(90)
            ),
            built_in: false,
        })
        .collect();
    let errors = assemble(&plan(), &many).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("more values than a preview needs"),
        "{errors:.500}"
    );
}
