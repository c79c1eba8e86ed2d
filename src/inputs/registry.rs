//! Turns the action's public contract into one table: every input and output with the sentence people read about it.
//! It must not know how a value is read, checked or used; `raw` and `settings` do that.
//! Why a table: `action.yml`, the README and the code would drift apart unless one test could compare them.

/// Describes one input of the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSpec {
    /// The name written under `with:`.
    pub name: &'static str,
    /// One sentence saying what the input is for.
    pub purpose: &'static str,
    /// The value used when the input is empty, as written in `action.yml`.
    pub default: &'static str,
    /// A value that would be accepted.
    pub example: &'static str,
    /// Whether the action cannot work without it.
    pub required: bool,
}

/// Describes one output of the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSpec {
    /// The name read as `steps.<id>.outputs.<name>`.
    pub name: &'static str,
    /// One sentence saying what the output holds, and when.
    pub purpose: &'static str,
}

/// Lists every input, in the order of `action.yml`.
pub const INPUTS: &[InputSpec] = &[
    InputSpec {
        name: "token",
        purpose: "Token for GitHub's API; it needs `contents: read` and `pull-requests: write`.",
        default: "${{ github.token }}",
        example: "secrets.PREVIEW_TOKEN",
        required: false,
    },
    InputSpec {
        name: "kubeconfig",
        purpose: "Kubeconfig of the cluster, as text, as base64 or as a path under the workspace; empty means the file named by `KUBECONFIG`, or else the account of the pod that the run is in.",
        default: "",
        example: "secrets.PREVIEW_KUBECONFIG",
        required: false,
    },
    InputSpec {
        name: "context",
        purpose: "Context of the kubeconfig to use; empty means its current context.",
        default: "",
        example: "staging",
        required: false,
    },
    InputSpec {
        name: "domain",
        purpose: "Domain under which previews answer; `*.` of it must resolve to the cluster's ingress controller.",
        default: "",
        example: "preview.example.com",
        required: false,
    },
    InputSpec {
        name: "config",
        purpose: "Path of the configuration file in the repository; without that file every entry of `images` is a service on port 8080.",
        default: ".github/preview.yml",
        example: "deploy/preview.yml",
        required: false,
    },
    InputSpec {
        name: "images",
        purpose: "Images by service, one `name=reference` a line; `{sha}`, `{short-sha}`, `{number}` and `{branch}` are filled for the commit that is deployed.",
        default: "",
        example: "web=ghcr.io/acme/shop:{sha}",
        required: false,
    },
    InputSpec {
        name: "max-previews",
        purpose: "How many previews of this repository and environment may be alive at once; 0 means none.",
        default: "3",
        example: "5",
        required: false,
    },
    InputSpec {
        name: "when-full",
        purpose: "What becomes of a preview that finds no free slot: `queue` lets it wait in line and deploys it once one is free, `refuse` does not.",
        default: "queue",
        example: "refuse",
        required: false,
    },
    InputSpec {
        name: "nodes",
        purpose: "Whether the cluster's nodes are all there will be: with `fixed` a preview that they have no room for waits or is refused before anything is applied, with `elastic` it is not looked at.",
        default: "fixed",
        example: "elastic",
        required: false,
    },
    InputSpec {
        name: "promote",
        purpose: "Who deploys a preview that waited in line once a slot is free: `run`, the run that freed it, or `dispatch`, a run of this workflow that is started for it.",
        default: "run",
        example: "dispatch",
        required: false,
    },
    InputSpec {
        name: "auto-deploy",
        purpose: "Whether opening and pushing deploys by itself; with `false` only the comment `/deploy` does.",
        default: "true",
        example: "false",
        required: false,
    },
    InputSpec {
        name: "mode",
        purpose: "Whether the run acts: `run` does, `plan` only decides and sets the outputs, without a cluster and without a kubeconfig.",
        default: "run",
        example: "plan",
        required: false,
    },
    InputSpec {
        name: "sha",
        purpose: "Output `sha` of the step that has planned: exactly this commit is deployed, or nothing when another one was pushed meanwhile.",
        default: "",
        example: "4be91f6aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        required: false,
    },
    InputSpec {
        name: "approval-gate",
        purpose: "With `mode: plan`, whether the job that deploys waits for the approval of a GitHub environment, so that the comment says so and the plan answers commands that come to nothing; `ended`, with the commit in `sha`, takes that back once the job has ended and nobody approved it, and `unbuilt`, likewise, answers that the build before it did not end well.",
        default: "false",
        example: "true",
        required: false,
    },
    InputSpec {
        name: "deploy-command",
        purpose: "Another first word of a comment that means `/deploy`.",
        default: "",
        example: "/build-and-deploy",
        required: false,
    },
    InputSpec {
        name: "build-workflow",
        purpose: "Path of the workflow that builds pull requests: its success, heard as `workflow_run`, deploys what it has built; empty means that `workflow_run` does nothing.",
        default: "",
        example: ".github/workflows/build.yml",
        required: false,
    },
    InputSpec {
        name: "labels",
        purpose: "Labels of which a pull request needs one to be deployed by itself, one a line; empty means none is needed.",
        default: "",
        example: "preview",
        required: false,
    },
    InputSpec {
        name: "ignore-labels",
        purpose: "Labels that keep a pull request from being deployed by itself, one a line.",
        default: "",
        example: "no-preview",
        required: false,
    },
    InputSpec {
        name: "drafts",
        purpose: "Whether drafts are deployed by themselves.",
        default: "true",
        example: "false",
        required: false,
    },
    InputSpec {
        name: "bots",
        purpose: "Whether pull requests that a bot has opened are deployed by themselves: `true`, `false`, or the logins of those bots whose are, one a line.",
        default: "false",
        example: "copilot-swe-agent[bot]",
        required: false,
    },
    InputSpec {
        name: "paths",
        purpose: "Files of which a pull request must change one to be deployed by itself, one pattern a line, read as `paths` of a workflow is; empty means any.",
        default: "",
        example: "src/**",
        required: false,
    },
    InputSpec {
        name: "ttl",
        purpose: "How long a preview lives after its last deploy or command, in `m`, `h` or `d`.",
        default: "7d",
        example: "36h",
        required: false,
    },
    InputSpec {
        name: "dashboard-issue",
        purpose: "Whether the scheduled run keeps one issue that shows all previews, and opens another when only an operator can help; needs `issues: write`.",
        default: "true",
        example: "false",
        required: false,
    },
    InputSpec {
        name: "expiry-warning",
        purpose: "Whether the pull request's author is told in a new comment before a preview expires; only then is it removed, by a later sweep.",
        default: "true",
        example: "false",
        required: false,
    },
    InputSpec {
        name: "sleep-after",
        purpose: "How long nobody has to use a preview until a sweep puts it to sleep, in `m`, `h` or `d`; empty means never.",
        default: "",
        example: "12h",
        required: false,
    },
    InputSpec {
        name: "sleep-keeps-slot",
        purpose: "Whether a sleeping preview keeps its slot, so that waking it never has to wait; with `url-mode: slot` it does anyway.",
        default: "false",
        example: "true",
        required: false,
    },
    InputSpec {
        name: "min-permission",
        purpose: "Which role somebody needs here to give commands: `write`, `maintain` or `admin`.",
        default: "write",
        example: "maintain",
        required: false,
    },
    InputSpec {
        name: "author-association",
        purpose: "What GitHub has to call the author of a command, besides the role: one or several of `OWNER`, `MEMBER`, `COLLABORATOR` and so on; empty means anything.",
        default: "",
        example: "OWNER, MEMBER",
        required: false,
    },
    InputSpec {
        name: "command-prefix",
        purpose: "A word before every command, where several bots listen: with `/preview` the commands are `/preview deploy` and so on.",
        default: "",
        example: "/preview",
        required: false,
    },
    InputSpec {
        name: "timeout",
        purpose: "How long one deploy may take until everything is ready, in `s`, `m` or `h`; to take a failed update back may take as long again.",
        default: "5m",
        example: "10m",
        required: false,
    },
    InputSpec {
        name: "on-failed-update",
        purpose: "What becomes of a live preview whose update failed: `restore` brings the last good commit back, `keep` leaves it as the failure left it, `remove` removes it.",
        default: "restore",
        example: "keep",
        required: false,
    },
    InputSpec {
        name: "namespace-pattern",
        purpose: "Name of a preview's Namespace, made of `{owner}`, `{repo}`, `{repo-id}`, `{number}` and `{environment}`; cut at 63 characters with a hash.",
        default: "pr-{repo}-{number}",
        example: "preview-{owner}-{repo}-{number}",
        required: false,
    },
    InputSpec {
        name: "url-mode",
        purpose: "What hosts are made of: `pr`, the number of the pull request, or `slot`, the number of its slot, so that call-backs of a sign-in service can be registered beforehand.",
        default: "pr",
        example: "slot",
        required: false,
    },
    InputSpec {
        name: "host-pattern",
        purpose: "Host of every public service, made of `{owner}`, `{repo}`, `{number}`, `{service}` and `{domain}`; empty means `pr-{number}.{domain}` for the first and `pr-{number}-{service}.{domain}` for the others.",
        default: "",
        example: "{repo}-{number}-{service}.{domain}",
        required: false,
    },
    InputSpec {
        name: "environment",
        purpose: "Name that keeps several clusters or set-ups of one repository apart: each has its own limit, its own comment and its own previews.",
        default: "preview",
        example: "eu-west",
        required: false,
    },
    InputSpec {
        name: "control-namespace",
        purpose: "Namespace that holds the record of who has which place; made by `preview-action setup`.",
        default: "preview-system",
        example: "platform-previews",
        required: false,
    },
    InputSpec {
        name: "config-from",
        purpose: "Where configuration and templates come from: `head` is the pull request's own commit, `base` its base branch.",
        default: "head",
        example: "base",
        required: false,
    },
    InputSpec {
        name: "job",
        purpose: "Number of the workflow's job, by which comments link to its own log; GitHub fills it in, and where it knows none they link to the run.",
        default: "${{ job.check_run_id }}",
        example: "51725241954",
        required: false,
    },
    InputSpec {
        name: "comment-author",
        purpose: "Login whose comments are the action's own; empty means that the API is asked whose token it is.",
        default: "",
        example: "acme-previews[bot]",
        required: false,
    },
    InputSpec {
        name: "comment",
        purpose: "When a status comment is begun: `sticky` with the first deploy, `on-failure` once something has failed or needs a person, `off` only by `/status`; one that is there is always kept true.",
        default: "sticky",
        example: "on-failure",
        required: false,
    },
    InputSpec {
        name: "comment-position",
        purpose: "Where the status comment stands: `keep` where it was begun, `bottom` below all others, where each deploy posts it anew and deletes the old one, which notifies people.",
        default: "keep",
        example: "bottom",
        required: false,
    },
    InputSpec {
        name: "commit-status",
        purpose: "Whether the status `preview` of each commit that is deployed says what became of it; needs `statuses: write`.",
        default: "true",
        example: "false",
        required: false,
    },
    InputSpec {
        name: "deployment",
        purpose: "Whether each preview is shown as a deployment of the environment `preview`: `auto`, unless GitHub has made its own for the commit, or `off`, for a job that has `environment:` itself; needs `deployments: write`.",
        default: "auto",
        example: "off",
        required: false,
    },
    InputSpec {
        name: "templates",
        purpose: "The repository's own manifest templates, one glob a line; they are deployed beside the services of the configuration file.",
        default: "",
        example: "deploy/preview/*.yaml.j2",
        required: false,
    },
    InputSpec {
        name: "manifests",
        purpose: "Manifests that earlier steps have written into the workspace, such as the output of `helm template` or `kustomize build`, one glob a line; never for forks.",
        default: "",
        example: "rendered/*.yaml",
        required: false,
    },
    InputSpec {
        name: "values",
        purpose: "Values for templates as a YAML or JSON mapping, seen there as `values.*`.",
        default: "",
        example: "{replicas: 2, feature: search}",
        required: false,
    },
    InputSpec {
        name: "pull-secret",
        purpose: "Registry secret as `namespace/name`; it is copied into every preview and used for its pods.",
        default: "",
        example: "preview-system/registry",
        required: false,
    },
    InputSpec {
        name: "health",
        purpose: "Whether a preview's URL is asked before it is called ready: `auto` warns when it cannot be reached, `required` fails, `off` does not ask.",
        default: "auto",
        example: "required",
        required: false,
    },
    InputSpec {
        name: "health-address",
        purpose: "Address to ask instead of resolving the host, as `IP` or `IP:port`, where DNS does not exist yet.",
        default: "",
        example: "203.0.113.7:443",
        required: false,
    },
    InputSpec {
        name: "ca-bundle",
        purpose: "Certificates to trust besides the usual ones, as PEM text or as a path under the workspace, for GitHub and for health checks alike.",
        default: "",
        example: "vars.COMPANY_CA",
        required: false,
    },
];

/// Lists every output, in the order of `action.yml`.
pub const OUTPUTS: &[OutputSpec] = &[
    OutputSpec {
        name: "url",
        purpose: "URL of the first public service; empty while nothing answers there.",
    },
    OutputSpec {
        name: "urls",
        purpose: "JSON list of the URLs of all public services, the main one first; empty while nothing answers there.",
    },
    OutputSpec {
        name: "namespace",
        purpose: "Namespace of the preview.",
    },
    OutputSpec {
        name: "state",
        purpose: "What the preview has come to: `not-deployed`, `pending`, `deploying`, `ready`, `failed`, `removing`, `stuck`, `removed`, `expired`, `sleeping`, `degraded`, `queued`, `refused`, `approval-needed`, `superseded` or `cancelled`.",
    },
    OutputSpec {
        name: "decision",
        purpose: "What the event led to: `deploy`, `announce`, `remove`, `rollback`, `extend`, `pin`, `unpin`, `sleep`, `wake`, `logs`, `diff`, `check`, `approve`, `status`, `help`, `sweep`, `skip` where a filter kept it back, or `ignore`.",
    },
    OutputSpec {
        name: "reason-code",
        purpose: "Stable code of the reason for that state, fit for conditions in later steps.",
    },
    OutputSpec {
        name: "sha",
        purpose: "Full commit that was deployed or asked about.",
    },
    OutputSpec {
        name: "pr",
        purpose: "Number of the pull request.",
    },
    OutputSpec {
        name: "result",
        purpose: "All of this and the details as one JSON object with a `version` key.",
    },
];
