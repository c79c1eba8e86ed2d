//! A preview of three hundred objects: no time-out, and little memory.

use crate::support::{CONFIGURATION, ONE_SERVICE, Shop};
use preview_action::simulate::Record;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the program may take, in KiB: 60 MB, of which 12 MB are for the code of a released binary.
const BAR: u64 = 48_000_000 / 1024;

const MANY: &str = r#"
{% for number in range(150) %}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "many-{{ number }}"}
data: {text: "{% for word in range(40) %}word {{ word }} of {{ number }}, at {{ preview.sha }}; {% endfor %}"}
---
apiVersion: v1
kind: Service
metadata: {name: "many-{{ number }}"}
spec:
  selector: {app: web}
  ports: [{port: 80}]
{% endfor %}
"#;

/// The most memory that a process ever had, as long as it lives, without the file it is run from: a debug build's is ten times a released one's.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let all = field("VmHWM:").unwrap_or_default();
    all.saturating_sub(field("RssFile:").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_objects_are_deployed_in_little_memory() {
    let configuration = format!("{ONE_SERVICE}templates: [many.yaml.j2]\n");
    let shop = Shop::selling(&configuration).await;
    shop.commit(&[(CONFIGURATION, &configuration), ("many.yaml.j2", MANY)]);
    for again in [false, true] {
        let event = if again { shop.pushes(1) } else { shop.opens(1) };
        let begun = std::time::Instant::now();
        let mut child = shop.run(&event).input("health", "off").spawn();
        let pid = child.id().unwrap();
        let most = AtomicU64::new(0);
        // Every request is a look, the last one at the comment's last word.
        let look = |_: &[Record]| {
            most.fetch_max(peak(pid), Ordering::Relaxed);
            false
        };
        let status = tokio::select! {
            status = child.wait() => status.unwrap(),
            () = shop.world.log.wait_until(look) => unreachable!("the look never ends"),
        };
        let most = most.into_inner();
        println!(
            "300 objects: {:.1} s, at most {} MiB",
            begun.elapsed().as_secs_f64(),
            most / 1024
        );
        assert!(status.success(), "{status}");
        assert!(most > 0 && most <= BAR, "{most} KiB");
        let comments = shop.status_comments(1);
        assert!(
            comments[0].body.contains("Preview ready"),
            "{}",
            comments[0].body
        );
    }
    assert_eq!(
        shop.world.cluster.objects("Service", "pr-shop-1").len(),
        151
    );
    shop.ends();
}
