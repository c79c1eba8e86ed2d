//! Containers that start and end, that do not start, and those that keep others from starting.

use super::play::{Broken, USUAL, abreast};

/// A crash loop is known by its third restart, which back-off puts at 30 to 45 seconds.
const THIRD_RESTART: u64 = 45;
/// What waiting cannot mend is known by its second.
const SECOND_RESTART: u64 = 25;

#[test]
fn containers_that_exit() {
    abreast(vec![
        Broken {
            name: "exit-1",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    command: [/bin/sh, -c, \"echo 'fatal: DATABASE_URL is not set'; exit 1\"]\n",
            reason: "crash-loop",
            cause: &[
                "container web of Deployment/web exits again and again, last with code 1: the program reported an error",
            ],
            remedy: &["see its last log lines below"],
            evidence: &["fatal: DATABASE_URL is not set"],
            grace: THIRD_RESTART,
            ..USUAL
        },
        Broken {
            name: "exit-126",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    command: [/bin/sh, -c, /www/index.html]\n",
            reason: "crash-loop",
            cause: &["last with code 126: a command was found that may not be executed"],
            remedy: &[
                "make the file executable in image 127.0.0.1:5000/app:1",
                "services.web",
            ],
            evidence: &["Permission denied"],
            grace: THIRD_RESTART,
            ..USUAL
        },
        Broken {
            name: "exit-127",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    command: [/bin/sh, -c, serve]\n",
            reason: "crash-loop",
            cause: &["last with code 127: a command was not found"],
            remedy: &["correct command and args in services.web of .github/preview.yml, line 3"],
            evidence: &["serve: not found"],
            grace: SECOND_RESTART,
            ..USUAL
        },
        Broken {
            name: "exit-139",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    command: [/bin/sh, -c, \"exit 139\"]\n",
            reason: "crash-loop",
            cause: &["last with code 139: it used memory that is not its own (SIGSEGV)"],
            remedy: &["a library of another processor or C library"],
            grace: THIRD_RESTART,
            ..USUAL
        },
        Broken {
            name: "memory",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    command: [/bin/sh, -c, \"x=xxxxxxxxxxxxxxxx; while true; do x=$x$x; done\"]\n    resources: {limits: {memory: 64Mi}}\n",
            reason: "out-of-memory",
            cause: &[
                "container web of Deployment/web was killed because it used more memory than its limit of 64Mi",
            ],
            remedy: &[
                "raise resources.limits.memory in services.web of .github/preview.yml, line 3",
            ],
            grace: SECOND_RESTART,
            ..USUAL
        },
        Broken {
            name: "second",
            own: concat!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n",
                "    metadata: {labels: {app: own}}\n    spec:\n      containers:\n        - {name: first, image: \"${registry}/app:1\"}\n",
                "        - {name: second, image: \"${registry}/app:1\", command: [/bin/sh, -c, \"echo 'cannot find its leader'; exit 3\"]}\n",
            ),
            reason: "crash-loop",
            cause: &["container second of Deployment/own exits again and again, last with code 3"],
            evidence: &["last log lines of second in own-", "cannot find its leader"],
            grace: THIRD_RESTART,
            ..USUAL
        },
        Broken {
            name: "replica",
            own: concat!(
                "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: own}\nspec:\n  replicas: 2\n  serviceName: own\n  selector: {matchLabels: {app: own}}\n  template:\n",
                "    metadata: {labels: {app: own}}\n    spec:\n      containers:\n",
                "        - name: own\n          image: \"${registry}/app:1\"\n          command: [/bin/sh, -c, \"case $HOSTNAME in *-1) echo 'I am the second'; exit 4;; esac; exec httpd -f -p 8080 -h /www\"]\n",
            ),
            reason: "crash-loop",
            cause: &[
                "container own of StatefulSet/own (pod own-1) exits again and again, last with code 4",
            ],
            evidence: &["last log lines of own in own-1", "I am the second"],
            grace: THIRD_RESTART,
            ..USUAL
        },
        Broken {
            name: "command",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    command: [/nothing]\n",
            reason: "command-missing",
            cause: &[
                "the command of container web of Deployment/web does not exist in image 127.0.0.1:5000/app:1",
            ],
            remedy: &["correct command and args in services.web of .github/preview.yml, line 3"],
            evidence: &["/nothing"],
            grace: 20,
            ..USUAL
        },
    ]);
}

#[test]
fn containers_that_come_first_or_once() {
    abreast(vec![
        Broken {
            name: "init-fails",
            own: concat!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n",
                "    metadata: {labels: {app: own}}\n    spec:\n      initContainers:\n",
                "        - {name: migrate, image: \"${registry}/app:1\", command: [/bin/sh, -c, \"echo 'relation users is missing'; exit 2\"]}\n",
                "      containers: [{name: own, image: \"${registry}/app:1\"}]\n",
            ),
            reason: "init-container-failed",
            cause: &[
                "init container migrate of Deployment/own fails again and again, last with code 2",
            ],
            remedy: &["init container migrate in deploy/own.yaml, line 1"],
            evidence: &["relation users is missing"],
            grace: THIRD_RESTART,
            ..USUAL
        },
        Broken {
            name: "init-stuck",
            own: concat!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n",
                "    metadata: {labels: {app: own}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      initContainers:\n",
                "        - {name: wait, image: \"${registry}/app:1\", command: [/bin/sh, -c, \"echo 'waiting for db:5432'; sleep 600\"]}\n",
                "      containers: [{name: own, image: \"${registry}/app:1\"}]\n",
            ),
            inputs: "timeout: 60s\n",
            reason: "timed-out",
            cause: &["init container wait of Deployment/own was still running after"],
            remedy: &["see what it waits for in its last log lines below"],
            evidence: &["waiting for db:5432"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "job",
            own: concat!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {name: seed}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n",
                "        - {name: seed, image: \"${registry}/app:1\", command: [/bin/sh, -c, \"echo 'no such table'; exit 1\"]}\n",
            ),
            reason: "job-failed",
            cause: &["Job/seed failed: container seed exited with code 1"],
            remedy: &["see its last log lines below, mend the job in deploy/own.yaml, line 1"],
            evidence: &["no such table"],
            // at once, once its pod has started and ended
            grace: 5,
            ..USUAL
        },
        Broken {
            name: "job-deadline",
            own: concat!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {name: seed}\nspec:\n  activeDeadlineSeconds: 5\n  template:\n    spec:\n      restartPolicy: Never\n      terminationGracePeriodSeconds: 2\n      containers:\n",
                "        - {name: seed, image: \"${registry}/app:1\", command: [/bin/sh, -c, \"echo 'importing'; sleep 600\"]}\n",
            ),
            reason: "job-deadline",
            cause: &[
                "Job/seed was stopped because it ran longer than its activeDeadlineSeconds of 5 s",
            ],
            remedy: &["raise activeDeadlineSeconds in deploy/own.yaml, line 1"],
            evidence: &["importing"],
            grace: 5,
            ..USUAL
        },
    ]);
}
