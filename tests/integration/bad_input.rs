//! Everything that can be wrong from outside: exit code, place and fix; and no secret in any output.
//!
//! Each case is a process of its own with `RUNNER_DEBUG`, so that standard error and every logged request count as well.

use crate::support::{CONFIGURATION, Event, LEDGER, ONE_SERVICE, Run, Seen, Shop};
use futures::{StreamExt, stream};
use preview_action::simulate::{Action, Fault, cluster};
use serde_json::json;

const GITHUB_TOKEN: &str = "hunter2-github-token";
const CLUSTER_TOKEN: &str = "hunter2-cluster-token";

/// A configuration with a secret in it that should not be there, and templates of its own.
const CONFIG: &str = "version: 1
templates: [deploy/*.yaml.j2]
services:
  web:
    image: registry.example/web:{short-sha}
    port: 8080
    public: true
    env: {DATABASE_PASSWORD: hunter2-in-env}
";

/// A Secret as somebody might write it into a template.
const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: database}
stringData: {password: hunter2-in-secret}
";

/// What happens on the pull request.
type Happen = Box<dyn Fn(&Shop) -> Event + Send + Sync>;
type Arrange = Box<dyn Fn(&Shop) + Send + Sync>;
type Tune = Box<dyn for<'a> Fn(Run<'a>, &Shop) -> Run<'a> + Send + Sync>;

/// One thing that is wrong, and what must come of it.
struct Case {
    name: &'static str,
    arrange: Arrange,
    happen: Happen,
    tune: Tune,
    exit: i32,
    reason: &'static str,
    /// Texts of the annotations.
    says: &'static [&'static str],
    /// Texts of the comment; none means that there is no comment.
    comment: Option<&'static [&'static str]>,
}

fn case(
    name: &'static str,
    exit: i32,
    reason: &'static str,
    says: &'static [&'static str],
) -> Case {
    Case {
        name,
        arrange: Box::new(|_| {}),
        happen: Box::new(|shop| shop.opens(1)),
        tune: Box::new(|run, _| run),
        exit,
        reason,
        says,
        comment: Some(says),
    }
}

impl Case {
    /// Changes the world before the pull request is opened.
    fn when(mut self, arrange: impl Fn(&Shop) + Send + Sync + 'static) -> Self {
        self.arrange = Box::new(arrange);
        self
    }

    /// Alice gives a command instead of opening the pull request alone.
    fn commanded(mut self) -> Self {
        self.happen = Box::new(|shop| {
            shop.opens(1);
            shop.says(1, "alice", "/deploy")
        });
        self
    }

    /// Changes what the run gets.
    fn with(
        mut self,
        tune: impl for<'a> Fn(Run<'a>, &Shop) -> Run<'a> + Send + Sync + 'static,
    ) -> Self {
        self.tune = Box::new(tune);
        self
    }

    fn input(self, name: &'static str, value: &'static str) -> Self {
        self.with(move |run, _| run.input(name, value))
    }

    fn configuration(self, text: &'static str) -> Self {
        self.when(move |shop| shop.commit(&[(CONFIGURATION, text)]))
    }

    fn template(self, text: &'static str) -> Self {
        self.when(move |shop| shop.commit(&[("deploy/own.yaml.j2", text)]))
    }

    /// It comes to nothing that could be told on GitHub.
    fn untold(mut self) -> Self {
        self.comment = None;
        self
    }

    /// What stands in the comment, where that is not what stands in the annotations.
    fn telling(mut self, comment: &'static [&'static str]) -> Self {
        self.comment = Some(comment);
        self
    }

    async fn play(self) -> Result<(), String> {
        let shop = Shop::with_tokens(GITHUB_TOKEN, CLUSTER_TOKEN, CONFIG).await;
        shop.commit(&[("deploy/secret.yaml.j2", SECRET)]);
        (self.arrange)(&shop);
        let event = (self.happen)(&shop);
        // The product asks no loopback address, and everything here is one.
        let run = shop
            .run(&event)
            .variable("RUNNER_DEBUG", "1")
            .input("health", "off");
        let seen = (self.tune)(run, &shop).go_alone().await;
        let mut wrong = self.differences(&seen);
        wrong.extend(world_told(&shop));
        if wrong.is_empty() {
            return Ok(());
        }
        let masks = |line: &&str| !line.starts_with("::add-mask::");
        let log: Vec<&str> = seen.log.lines().filter(masks).collect();
        Err(format!(
            "── {}:\n{}\nlog:\n{}\ncomment:\n{}",
            self.name,
            wrong.join("\n"),
            log.join("\n"),
            seen.comment()
        ))
    }

    fn differences(&self, seen: &Seen) -> Vec<String> {
        let mut wrong = Vec::new();
        if (seen.exit, seen.output("reason-code")) != (self.exit, self.reason) {
            wrong.push(format!(
                "exit {}, reason {}",
                seen.exit,
                seen.output("reason-code")
            ));
        }
        let annotations = seen.annotations().join("\n");
        for text in self.says {
            if !annotations.contains(text) {
                wrong.push(format!("no annotation says {text:?}"));
            }
        }
        match self.comment {
            None if !seen.comments.is_empty() => wrong.push("there is a comment".into()),
            None => {}
            Some(texts) => {
                for text in texts {
                    if !plain(seen.comment()).contains(text) {
                        wrong.push(format!("the comment does not say {text:?}"));
                    }
                }
            }
        }
        // The runner learns secrets by this one command, and shows `***` in its place.
        let everything = seen.everything();
        let shown = everything
            .lines()
            .filter(|line| !line.starts_with("::add-mask::"));
        for line in shown.filter(|line| secret(line)) {
            wrong.push(format!("a secret is shown: {line}"));
        }
        wrong
    }
}

/// The comment as it reads, without Markdown's escapes.
fn plain(markdown: &str) -> String {
    let pairs = [
        ("\\", ""),
        ("\u{200b}", ""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#45;", "-"),
        ("&#124;", "|"),
    ];
    pairs.iter().fold(markdown.to_owned(), |text, (from, to)| {
        text.replace(from, to)
    })
}

fn secret(line: &str) -> bool {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    line.contains("hunter2")
        || [GITHUB_TOKEN, CLUSTER_TOKEN]
            .iter()
            .any(|token| line.contains(&encode(token)))
}

/// Comments and Namespaces must not hold the secrets either, in none of the versions that they ever had.
fn world_told(shop: &Shop) -> Vec<String> {
    let comments = shop.world.github.all_comments(crate::support::SHOP, 1);
    comments
        .into_iter()
        .flat_map(|comment| comment.history)
        .filter(|(_, body)| secret(body))
        .map(|(_, body)| format!("a secret was in the comment: {body}"))
        .chain(shop.world.unexpected())
        .collect()
}

async fn all(cases: Vec<Case>, at_once: usize) {
    let count = cases.len();
    let wrong: Vec<String> = stream::iter(cases)
        .map(Case::play)
        .buffer_unordered(at_once)
        .filter_map(async |result| result.err())
        .collect()
        .await;
    assert!(
        wrong.is_empty(),
        "{} of {count} cases:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

fn kubeconfig(user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'https://10.0.0.1:6443'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {user}}}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_inputs() {
    let cases = vec![
        case("the event is no JSON", 1, "bad-event", &["event `pull_request`", "line 1, column 20"])
            .with(|run, _| run.payload(Some("{\"action\": \"opened\",")))
            .untold(),
        case("the event is empty", 1, "bad-event", &["not JSON", "line 1"])
            .with(|run, _| run.payload(Some("")))
            .untold(),
        case("the event is a list", 1, "bad-event", &["`action` is missing"])
            .with(|run, _| run.payload(Some("[]")))
            .untold(),
        case("there is no event", 1, "bad-event", &["event.json", "No such file"])
            .with(|run, _| run.payload(None))
            .untold(),
        case("the event has no number", 1, "bad-event", &["pull_request.number"])
            .with(|run, _| run.payload(Some("{\"action\":\"opened\",\"repository\":{\"id\":1,\"full_name\":\"acme/shop\"},\"pull_request\":{}}")))
            .untold(),
        case("several inputs are wrong", 1, "bad-input", &["max-previews", "ttl", "health", "images", "namespace-pattern", "values"])
            .with(|run, _| {
                run.inputs(&[
                    ("max-previews", "many"),
                    ("ttl", "soon"),
                    ("health", "perhaps"),
                    ("images", "web"),
                    ("namespace-pattern", "pr_{number}"),
                    ("values", "[a"),
                ])
            })
            .untold(),
        case("an input is misspelt", 0, "deployed", &["max_previews", "did you mean `max-previews`?"])
            .with(|run, _| run.input("max_previews", "5"))
            .telling(&["Preview ready"]),
        case("no domain for a public service", 1, "bad-input", &["domain"]).input("domain", ""),
        case("an image without commit", 1, "bad-input", &["`web`", "no placeholder and no digest", "{sha}"])
            .commanded()
            .input("images", "web=registry.example/web:latest"),
        case("no token", 1, "no-credentials", &["`token`", "${{ github.token }}"]).input("token", "").untold(),
        case("GitHub is nowhere", 3, "github-unreachable", &["127.0.0.1:1", "Connection refused"])
            .with(|run, _| run.variable("GITHUB_API_URL", "http://127.0.0.1:1"))
            .untold(),
        case("nothing to deploy", 1, "nothing-to-deploy", &["`other.yml`", "`images`"])
            .with(|run, _| run.input("config", "other.yml"))
            .telling(&["version: 1", "services:"]),
    ];
    all(cases, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_and_templates() {
    let cases = vec![
        case("an unknown key", 1, "bad-configuration", &["preview.yml:3:1", "servces", "did you mean `services`?"])
            .configuration("version: 1\n# x\nservces: {web: {}}\n"),
        case("several faults", 1, "bad-configuration", &["file=.github/preview.yml,line=1", "`version`", "file=.github/preview.yml,line=4", "services.web.prot"])
            .configuration("version: 2\nservices:\n  web:\n    prot: 80\n")
            .telling(&["preview.yml:1:10", "did you mean `port`?", "preview.yml:4:5"]),
        case("a wrong type", 1, "bad-configuration", &["preview.yml:5:11", "services.web.port", "1 to 65535"])
            .configuration("version: 1\nservices:\n  web:\n    image: registry.example/web:{sha}\n    port: \"http\"\n"),
        case("a key twice", 1, "bad-configuration", &["preview.yml:5:5", "duplicate key port"])
            .configuration("version: 1\nservices:\n  web:\n    port: 80\n    port: 81\n"),
        case("no YAML", 1, "bad-configuration", &["preview.yml:2:17", "unclosed bracket"]).configuration("version: 1\nservices: {web: [\n"),
        case("tabs", 1, "bad-configuration", &["preview.yml:3:2", "tabs"]).configuration("version: 1\nservices:\n\tweb: {}\n"),
        case("a secret in a wrong place", 1, "bad-configuration", &["services.web.environment"])
            .configuration("version: 1\nservices:\n  web:\n    environment: {A: hunter2-x}\n"),
        case("a glob without files", 1, "bad-input", &["deploy/nothing/*"])
            .configuration("version: 1\ntemplates: [deploy/nothing/*]\nservices: {web: {image: 'a:{sha}'}}\n"),
        case("a glob that leads out", 1, "bad-input", &["../*", "leads out of the repository"])
            .configuration("version: 1\ntemplates: [../*]\nservices: {web: {image: 'a:{sha}'}}\n"),
        case("a variable that is not there", 1, "template-error", &["deploy/own.yaml.j2", "line=4", "previw"])
            .template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {a: {{ previw.number }}}\n")
            .telling(&["deploy/own.yaml.j2", "previw", "^"]),
        case("a template that cannot be read", 1, "template-error", &["deploy/own.yaml.j2", "line=4", "end of block"])
            .template("apiVersion: v1\nkind: ConfigMap\n{% if x %}\nmetadata: {name: own}\n")
            .telling(&["deploy/own.yaml.j2"]),
        case("a template without end", 1, "template-error", &["deploy/own.yaml.j2"])
            .template("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}"),
        case("a template that leaves the repository", 1, "template-error", &["deploy/own.yaml.j2"])
            .template("{% include '/etc/passwd' %}"),
        case("broken YAML", 1, "bad-manifest", &["deploy/own.yaml.j2", "line="])
            .template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own\ndata: {a: b}\n")
            .telling(&["deploy/own.yaml.j2"]),
        case("a key twice in a manifest", 1, "bad-manifest", &["deploy/own.yaml.j2", "line=6", "duplicate key a"])
            .template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata:\n  a: b\n  a: c\n")
            .telling(&["deploy/own.yaml.j2"]),
        case("broken YAML around a secret", 1, "bad-manifest", &["deploy/own.yaml.j2"])
            .template("apiVersion: v1\nkind: Secret\nmetadata: {name: own}\nstringData:\n  password: hunter2-broken\n  password: hunter2-broken\n"),
        case("no kind", 1, "bad-manifest", &["deploy/own.yaml.j2", "kind"])
            .template("apiVersion: v1\nmetadata: {name: own}\n"),
        case("another Namespace", 1, "policy-refused", &["deploy/own.yaml.j2", "line=3", "pr-shop-1"])
            .template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, namespace: kube-system}\n")
            .telling(&["deploy/own.yaml.j2", "pr-shop-1"]),
        case("a ClusterRole", 1, "policy-refused", &["deploy/own.yaml.j2", "ClusterRole", "allowed are"])
            .template("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: own}\nrules: []\n"),
        case("a path of the host", 1, "policy-refused", &["deploy/own.yaml.j2", "hostPath"])
            .template("apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers: [{name: a, image: 'a:1'}]\n  volumes: [{name: host, hostPath: {path: /}}]\n"),
        case("a privileged container", 1, "policy-refused", &["deploy/own.yaml.j2", "privileged"])
            .template("apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers: [{name: a, image: 'a:1', securityContext: {privileged: true}}]\n"),
        case("all violations of all files at once", 1, "policy-refused", &["line=5", "line=7", "spec.hostNetwork", "policy: {allow: [load-balancer]}", "spec.volumes[0].hostPath"])
            .template("apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  hostNetwork: true\n  containers: [{name: a, image: 'a:1'}]\n  volumes: [{name: host, hostPath: {path: /}}]\n---\napiVersion: v1\nkind: Service\nmetadata: {name: own}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n")
            .telling(&["hostNetwork"]),
        case("a kind that a policy could open", 1, "policy-refused", &["policy: {kinds: [{api-version: cert-manager.io/v1, kind: Certificate}]}"])
            .template("apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: own}\n"),
        case("a finalizer", 1, "policy-refused", &["metadata.finalizers", "line=3"])
            .template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, finalizers: [example.com/hold]}\n")
            .telling(&["metadata.finalizers"]),
        case("a snippet for the ingress controller", 1, "policy-refused", &["configuration-snippet", "ingress-annotations"])
            .template("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: own\n  annotations: {nginx.ingress.kubernetes.io/configuration-snippet: 'deny all;'}\nspec: {rules: [{host: '{{ preview.host }}'}]}\n"),
        case("aliases that multiply", 1, "bad-manifest", &["deploy/own.yaml.j2"])
            .template("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"),
        case("manifests that no step has written", 1, "bad-input", &["no file matches the manifests rendered/*.yaml", "earlier step"])
            .input("manifests", "rendered/*.yaml"),
        case("manifests that lead out of the workspace", 1, "bad-input", &["manifests"])
            .input("manifests", "../*.yaml")
            .untold(),
        case("a field that does not exist", 1, "bad-manifest", &["Deployment/own", "deploy/own.yaml.j2", "replcas"])
            .template("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  replcas: 1\n  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: 'a:1'}]}}\n"),
    ];
    all(cases, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubeconfigs() {
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let garbage = base64(
        "hunter2-but-no-kubeconfig, only words in base64 that are long enough to be a secret, and longer",
    );
    let broken = format!("apiVersion: v1\nclusters: [\n  token: {CLUSTER_TOKEN}\n");
    let cases = vec![
        case("no kubeconfig", 1, "no-credentials", &["kubeconfig"]).input("kubeconfig", ""),
        case(
            "rubbish",
            1,
            "bad-input",
            &["input `kubeconfig`", "kubectl config view"],
        )
        .input(
            "kubeconfig",
            "hunter2 is my password\nand this is no kubeconfig",
        )
        .untold(),
        case(
            "base64 of rubbish",
            1,
            "bad-input",
            &["input `kubeconfig`", "base64"],
        )
        .with(move |run, _| run.input("kubeconfig", &garbage))
        .untold(),
        case("broken YAML", 1, "bad-input", &["kubeconfig", "line"])
            .with(move |run, _| run.input("kubeconfig", &broken)),
        case(
            "a file that is not there",
            1,
            "bad-input",
            &["kubeconfig", "No such file"],
        )
        .input("kubeconfig", "./kubeconfig")
        .untold(),
        case(
            "a plug-in",
            1,
            "bad-input",
            &[
                "exec plug-in gke-gcloud-auth-plugin",
                "create token preview-action",
            ],
        )
        .with(|run, _| {
            run.input(
                "kubeconfig",
                &kubeconfig("{exec: {apiVersion: v1, command: gke-gcloud-auth-plugin}}"),
            )
        }),
        case(
            "a file of another machine",
            1,
            "bad-input",
            &["client-key", "--flatten"],
        )
        .with(|run, _| {
            run.input(
                "kubeconfig",
                &kubeconfig(
                    "{client-key: /home/me/key.pem, client-certificate-data: aHVudGVyMg==}",
                ),
            )
        }),
        case(
            "another context",
            1,
            "bad-input",
            &["no context \"production\"", "simulated"],
        )
        .input("context", "production"),
        case("a wrong token", 3, "cluster-unauthorized", &["token"]).with(|run, shop| {
            run.input(
                "kubeconfig",
                &shop
                    .world
                    .cluster
                    .kubeconfig()
                    .replace(CLUSTER_TOKEN, "hunter2-expired"),
            )
        }),
        case(
            "the ledgers' namespace is missing",
            3,
            "cluster-refused",
            &["preview-system", "preview-action setup"],
        )
        .when(|shop| {
            assert!(shop.world.cluster.delete("Namespace", "", "preview-system"));
        })
        .with(|run, _| run),
    ];
    all(cases, 4).await;
}

/// A refusal of GitHub.
fn github(
    method: &'static str,
    pattern: &'static str,
    status: u16,
) -> impl Fn(&Shop) + Send + Sync + 'static {
    move |shop| {
        let body = match status {
            502 => {
                json!("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>")
            }
            401 => {
                json!({"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
            }
            403 => json!({"message": "Resource not accessible by integration"}),
            404 => json!({"message": "Not Found"}),
            _ => json!({"message": "Server Error"}),
        };
        shop.world
            .github
            .inject(Fault::answer(method, pattern, status, body).always());
    }
}

/// A refusal of the cluster.
fn refusal(
    method: &'static str,
    pattern: &'static str,
    status: u16,
) -> impl Fn(&Shop) + Send + Sync + 'static {
    move |shop| {
        let reason = match status {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            _ => "InternalError",
        };
        let body = match status {
            502 => {
                json!("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>")
            }
            _ => json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason,
                "message": format!("{reason}: the simulated server says no"),
            }),
        };
        shop.world
            .cluster
            .inject(Fault::answer(method, pattern, status, body).always());
    }
}

const PULL: &str = "/repos/acme/shop/pulls/1";
const FILE: &str = "/repos/acme/shop/contents/**";
const POST: &str = "/repos/acme/shop/issues/1/comments";
const EDIT: &str = "/repos/acme/shop/issues/comments/*";

fn refusals_of_github() -> Vec<Case> {
    let mut cases = vec![
        case(
            "401 at the pull request",
            3,
            "github-refused",
            &[
                "read pull request #1",
                "does not accept the token",
                "`token`",
            ],
        )
        .when(github("GET", PULL, 401))
        .untold(),
        case(
            "403 at the pull request",
            3,
            "github-refused",
            &["read pull request #1", "pull-requests: "],
        )
        .when(github("GET", PULL, 403))
        .untold(),
        case(
            "404 at the pull request",
            3,
            "github-refused",
            &["read pull request #1", "the token may see"],
        )
        .when(github("GET", PULL, 404))
        .untold(),
        case(
            "401 at the file",
            3,
            "github-refused",
            &["does not accept the token"],
        )
        .when(github("GET", FILE, 401)),
        case("403 at the file", 3, "github-refused", &["contents: read"])
            .when(github("GET", FILE, 403)),
        case("404 at the file", 1, "nothing-to-deploy", &[])
            .when(github("GET", FILE, 404))
            .telling(&["services:"]),
        case(
            "403 at the comment",
            3,
            "github-refused",
            &["write a comment on #1", "pull-requests: write"],
        )
        .when(github("POST", POST, 403))
        .untold(),
        case("404 at the comment", 3, "github-refused", &["comment"])
            .when(github("POST", POST, 404))
            .untold(),
        case(
            "401 at the token's owner",
            3,
            "github-refused",
            &["does not accept the token"],
        )
        .when(github("POST", "/graphql", 401))
        .untold(),
        case(
            "500 at the permission",
            3,
            "github-unreachable",
            &["alice", "GitHub answers 500"],
        )
        .commanded()
        .when(github(
            "GET",
            "/repos/acme/shop/collaborators/alice/permission",
            500,
        ))
        .untold(),
        case(
            "403 at the last edit",
            3,
            "github-refused",
            &["edit our comment on #1", "pull-requests: write"],
        )
        .when(github("PATCH", EDIT, 403))
        .telling(&[]),
    ];
    for (pattern, name) in [
        (PULL, "the pull request"),
        (POST, "the list of comments"),
        (FILE, "the file"),
    ] {
        for status in [500, 502] {
            let told: Option<&'static [&'static str]> =
                (pattern == FILE).then_some(&["GitHub answers"]);
            let mut one = case(
                name,
                3,
                "github-unreachable",
                &["GitHub answers 50", "run the job again"],
            )
            .when(github("GET", pattern, status));
            one.comment = told;
            cases.push(one);
        }
    }
    cases
}

/// A right that the ServiceAccount lacks.
fn denied(verb: &'static str, resource: &'static str) -> impl Fn(&Shop) + Send + Sync + 'static {
    move |shop| {
        shop.world
            .cluster
            .deny(cluster::Denial::new(verb, resource))
    }
}

fn refusals_of_the_cluster() -> Vec<Case> {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/pr-shop-1/deployments/web";
    const NAMESPACES: &str = "/api/v1/namespaces";
    let mut cases = vec![
        case(
            "403 at the ledger",
            3,
            "cluster-forbidden",
            &["preview-action setup"],
        )
        .when(denied("get", "configmaps")),
        case("401 at the ledger", 3, "cluster-unauthorized", &["token"])
            .when(refusal("GET", LEDGER, 401)),
        case(
            "403 at the Namespace",
            3,
            "cluster-forbidden",
            &["preview-action setup"],
        )
        .when(denied("create", "namespaces")),
        case(
            "403 at a Deployment",
            3,
            "cluster-forbidden",
            &["Deployment/web", "resources: [deployments], verbs: [patch]"],
        )
        .when(denied("patch", "deployments")),
        case(
            "404 at a Deployment",
            3,
            "cluster-refused",
            &["Deployment/web"],
        )
        .when(refusal("PATCH", DEPLOYMENT, 404)),
        case(
            "no right to watch",
            3,
            "cluster-forbidden",
            &["resources: [pods], verbs: [list]"],
        )
        .when(|shop| {
            // What is ready at once needs no look at its pods.
            let never = ONE_SERVICE.replace("web:{", "web:never-{");
            shop.commit(&[(CONFIGURATION, &never)]);
            shop.world
                .cluster
                .deny(cluster::Denial::new("watch", "pods"));
            shop.world
                .cluster
                .deny(cluster::Denial::new("list", "pods"));
        }),
        case(
            "nobody listens",
            3,
            "cluster-unreachable",
            &["cannot be reached", "loopback"],
        )
        .with(|run, _| {
            run.input(
                "kubeconfig",
                &kubeconfig("{token: hunter2-x}")
                    .replace("https://10.0.0.1:6443", "https://127.0.0.1:1"),
            )
        }),
    ];
    for (pattern, method, name) in [
        (LEDGER, "GET", "the ledger"),
        (NAMESPACES, "POST", "the Namespace"),
        (DEPLOYMENT, "PATCH", "a Deployment"),
    ] {
        for status in [500, 502] {
            cases.push(
                case(name, 3, "cluster-refused", &["run again"])
                    .when(refusal(method, pattern, status)),
            );
        }
    }
    let silent = |shop: &Shop| {
        shop.world
            .cluster
            .inject(Fault::on("GET", LEDGER, Action::Close).always())
    };
    cases.push(
        case(
            "every connection is cut",
            3,
            "cluster-unreachable",
            &["API server"],
        )
        .when(silent),
    );
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_github_and_of_the_cluster() {
    let mut cases = refusals_of_github();
    cases.extend(refusals_of_the_cluster());
    // Tries take their time: all at once.
    all(cases, 40).await;
}
