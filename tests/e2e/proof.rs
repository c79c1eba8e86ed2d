//! Turns promises into looks: at the comment, the outputs, the summary, the pods, the page, and at what must not be
//! there. It must not take the action's word alone: each claim is checked where it would show. A claim of readiness is
//! worth nothing until a page of that very commit came back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::environment::RUNTIME_TOKEN;
use crate::github::{Heading, StatusComment};
use crate::life::Life;
use crate::pods::is_ready;
use crate::runner::Finished;
use crate::world::text_of;

/// A run of the action that has ended, with the part of its time that pods took to start.
pub(crate) struct Ran {
    pub(crate) step: Finished,
    pub(crate) starting: Duration,
}

impl Ran {
    pub(crate) fn succeeded(&self) {
        assert_eq!(self.step.exit_code, 0, "{}", self.step.log);
    }

    pub(crate) fn took_at_most(&self, all: Duration, own: Option<Duration>) {
        let part = self.step.took.saturating_sub(self.starting);
        println!(
            "  {:.1} s in all, {:.1} s of it pods that start, {:.1} s our own",
            self.step.took.as_secs_f64(),
            self.starting.as_secs_f64(),
            part.as_secs_f64()
        );
        assert!(self.step.took <= all, "took {:?}", self.step.took);
        assert!(
            own.is_none_or(|own| part <= own),
            "our own part took {part:?}"
        );
    }

    /// It ended well, for that reason.
    pub(crate) fn ended(&self, reason: &str) {
        self.succeeded();
        assert_eq!(self.output("reason-code"), reason, "{}", self.step.log);
    }

    fn output(&self, name: &str) -> &str {
        self.step.outputs.get(name).map_or_else(
            || {
                panic!(
                    "no output {name} in {:#?}\n{}",
                    self.step.outputs, self.step.log
                )
            },
            String::as_str,
        )
    }
}

impl Life<'_> {
    /// Nothing that leaves the container may hold what the job was trusted with; masking commands never leave the runner.
    pub(crate) async fn keeps_secrets(&self, step: &Finished) {
        let log: String = step
            .log
            .lines()
            .filter(|line| !line.contains("::add-mask::"))
            .collect::<Vec<_>>()
            .join("\n");
        let kubeconfig: Value = serde_saphyr::from_str(&self.with["kubeconfig"]).unwrap();
        let cluster_token = kubeconfig["users"][0]["user"]["token"]
            .as_str()
            .expect("a token in the kubeconfig");
        let comments = self.github.comments(self.number).await;
        let comments = format!("{comments:?}");
        let outputs = format!("{:?}", step.outputs);
        for (name, text) in [
            ("log", &log),
            ("summary", &step.summary),
            ("comments", &comments),
            ("outputs", &outputs),
        ] {
            for secret in [self.token.as_str(), cluster_token, RUNTIME_TOKEN] {
                assert!(!text.contains(secret), "the {name} shows a secret:\n{text}");
            }
        }
    }

    /// The commit is live: by the comment, the outputs, the summary, the pods and the page.
    pub(crate) async fn is_ready(&self, ran: &Ran, sha: &str) {
        self.is_live(ran, sha, &format!(":{sha}")).await;
    }

    /// The same of a commit that was rolled back to: its images are named by what they held then.
    pub(crate) async fn is_back(&self, ran: &Ran, sha: &str) {
        self.is_live(ran, sha, "@sha256:").await;
    }

    async fn is_live(&self, ran: &Ran, sha: &str, version: &str) {
        ran.succeeded();
        let url = format!("http://pr-{}.{}", self.number, self.world.address("DOMAIN"));
        let comment = self.says(Heading::Ready).await;
        assert!(
            comment.body.contains(&url),
            "no {url} in the comment:\n{}",
            comment.body
        );
        assert!(
            comment.body.contains(&sha[..7]),
            "no {} in the comment:\n{}",
            &sha[..7],
            comment.body
        );

        assert_eq!(ran.output("state"), "ready");
        assert_eq!(ran.output("url").trim_end_matches('/'), url);
        assert_eq!(ran.output("namespace"), self.namespace());
        assert_eq!(ran.output("sha"), sha);
        assert_eq!(ran.output("pr"), self.number.to_string());
        let result: Value =
            serde_json::from_str(ran.output("result")).expect("the output result is JSON");
        assert!(!result["version"].is_null(), "{result}");
        assert!(
            ran.step.summary.contains(&url),
            "no {url} in the summary:\n{}",
            ran.step.summary
        );

        let pods = self.pod_list();
        let wanted = format!("127.0.0.1:5000/web{version}");
        let image = |pod: &Value| {
            pod["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(!pods.is_empty(), "no pods in {}", self.namespace());
        for pod in &pods {
            assert!(is_ready(pod), "not ready: {pod:#}");
            assert!(
                image(pod).starts_with(&wanted),
                "runs {}, not {wanted}",
                image(pod)
            );
        }

        let page = self.page(&url).await;
        assert!(page.contains(sha), "the page is not of {sha}:\n{page}");
    }

    /// The status comment, which must be there and name that state.
    async fn says(&self, heading: Heading) -> StatusComment {
        let comment = self.github.status_comment(self.number).await;
        let comment = comment.expect("a comment");
        assert!(comment.says(heading), "{}", comment.body);
        comment
    }

    /// The comment of that kind, which must be there.
    pub(crate) async fn comment(&self, kind: &str) -> String {
        let mut comments = self.github.comments(self.number).await;
        let kinds: Vec<_> = comments.keys().cloned().collect();
        let comment = comments.remove(kind);
        comment.unwrap_or_else(|| panic!("no comment of kind {kind} among {kinds:?}"))
    }

    /// Nothing of it runs, nobody is lost of what it needs to wake, and the comment says so.
    pub(crate) async fn is_asleep(&self) {
        self.says(Heading::Asleep).await;
        assert_eq!(
            self.pod_list(),
            [Value::Null; 0],
            "pods in a sleeping preview"
        );
        let get = [
            "get",
            "deployment",
            "web",
            "-n",
            &self.namespace(),
            "-o",
            "jsonpath={.spec.replicas}",
        ];
        let replicas = text_of("kubectl get deployment", &self.world.kubectl(&get));
        assert_eq!(replicas, "0");
    }

    /// Nothing of the preview is left, and the comment says so.
    pub(crate) async fn is_removed(&self, ran: &Ran) {
        self.says(Heading::Removed).await;
        assert_eq!(ran.output("state"), "removed");
        let namespace = self.world.kubectl(&[
            "get",
            "namespace",
            &self.namespace(),
            "--ignore-not-found",
            "-o",
            "name",
        ]);
        assert_eq!(
            text_of("kubectl get namespace", &namespace),
            "",
            "the namespace is still there"
        );
        let ledgers = self.world.kubectl(&[
            "get",
            "configmap",
            "-n",
            "preview-system",
            "-o",
            "jsonpath={.items[*].data.state\\.json}",
        ]);
        assert!(
            !text_of("kubectl get configmap", &ledgers).contains(&self.namespace()),
            "a ledger still names the preview"
        );
    }

    /// The UIDs of the preview's pods.
    pub(crate) fn pods(&self) -> BTreeSet<String> {
        self.pod_list()
            .iter()
            .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The preview's pods but those that a rollout has replaced and that only end.
    fn pod_list(&self) -> Vec<Value> {
        let output = self
            .world
            .kubectl(&["get", "pods", "-n", &self.namespace(), "-o", "json"]);
        let list: Value = serde_json::from_str(&text_of("kubectl get pods", &output)).unwrap();
        let all = list["items"].as_array().unwrap();
        all.iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .cloned()
            .collect()
    }

    /// What a browser shows, if the preview's name led to the ingress.
    async fn page(&self, url: &str) -> String {
        let address: SocketAddr = self.world.address("HEALTH_ADDRESS").parse().unwrap();
        let host = reqwest::Url::parse(url)
            .unwrap()
            .host_str()
            .unwrap()
            .to_owned();
        let browser = reqwest::Client::builder()
            .no_proxy()
            .resolve(&host, address)
            .build()
            .unwrap();
        let answer = browser.get(url).send().await.unwrap();
        let status = answer.status();
        let page = answer.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status}\n{page}");
        page
    }
}
