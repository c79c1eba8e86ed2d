//! The closed lists that workflows and tests branch on: states and reason codes.
//! No sentence stands here; wording lives in `templates/`.
//! Both lists are append-only: a code that was once published keeps its meaning.

/// The state of a preview as the comment, the outputs and the Namespace label say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Auto-deploy is off and nobody asked yet.
    NotDeployed,
    /// The run has started and nothing is applied yet.
    Pending,
    /// Objects are applied, or pods are starting.
    Deploying,
    /// Every workload is ready and the URL answers.
    Ready,
    /// The last deploy failed.
    Failed,
    /// The Namespace is being deleted.
    Removing,
    /// The Namespace does not go: something holds its deletion.
    Stuck,
    /// Nothing is left in the cluster.
    Removed,
    /// Nothing is left in the cluster, because its time was over; a push brings it back.
    Expired,
    /// Its workloads are scaled to none and its data stays; a push or `/wake` wakes it.
    Sleeping,
    /// It was ready and broke since.
    Degraded,
    /// The cap is reached; it waits in line.
    Queued,
    /// The cap is reached; nothing was deployed.
    Refused,
    /// A newer run took over.
    Superseded,
    /// The run was cancelled.
    Cancelled,
    /// The newest commit comes from a fork, and no maintainer has approved it.
    ApprovalNeeded,
}

impl State {
    /// The state as text, the same everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotDeployed => "not-deployed",
            Self::Pending => "pending",
            Self::Deploying => "deploying",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Removing => "removing",
            Self::Stuck => "stuck",
            Self::Removed => "removed",
            Self::Expired => "expired",
            Self::Sleeping => "sleeping",
            Self::Degraded => "degraded",
            Self::Queued => "queued",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::ApprovalNeeded => "approval-needed",
        }
    }
}

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Why a run ended as it did; the output `reason-code`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ReasonCode { $($(#[$doc])* $variant,)* }

        impl ReasonCode {
            /// Every code, in the order of this list.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code as text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

reason_codes! {
    /// The preview was deployed and is ready.
    Deployed = "deployed",
    /// Same commit, same objects, healthy: nothing had to be changed.
    Unchanged = "unchanged",
    /// The preview was taken back to an earlier commit and stays there until the next push.
    RolledBack = "rolled-back",
    /// There is no earlier commit to go back to.
    NothingToRollBack = "nothing-to-roll-back",
    /// The preview was removed.
    Removed = "removed",
    /// There was no preview to remove.
    NothingToRemove = "nothing-to-remove",
    /// Auto-deploy is off; the comment shows the command.
    AutoDeployOff = "auto-deploy-off",
    /// The preview was removed by command and stays so until `/deploy`.
    RemovedByCommand = "removed-by-command",
    /// The status was shown.
    StatusShown = "status-shown",
    /// The help was shown.
    HelpShown = "help-shown",
    /// The end of the logs was shown.
    LogsShown = "logs-shown",
    /// What a deploy would change was shown.
    DiffShown = "diff-shown",
    /// What would keep a deploy from going well was looked for and shown.
    CheckShown = "check-shown",
    /// The sweep has finished.
    Swept = "swept",
    /// The event starts nothing.
    EventIgnored = "event-ignored",
    /// The comment is on an issue.
    NotAPullRequest = "not-a-pull-request",
    /// The comment's first line is no command.
    NotACommand = "not-a-command",
    /// The comment was changed or deleted before the run came to it, or is too old by now.
    CommentWithdrawn = "comment-withdrawn",
    /// Who asked gave too many commands within a minute.
    TooManyCommands = "too-many-commands",
    /// The comment is by a bot.
    BotIgnored = "bot-ignored",
    /// The run has no token or no kubeconfig.
    NoCredentials = "no-credentials",
    /// The pull request comes from a fork, and nothing of it can be approved.
    ForkRefused = "fork-refused",
    /// Who asked lacks write permission.
    PermissionDenied = "permission-denied",
    /// There is no slot that could be taken from there.
    NothingToTake = "nothing-to-take",
    /// The pull request is closed.
    PullRequestClosed = "pull-request-closed",
    /// A newer commit or run took over.
    Superseded = "superseded",
    /// The commit that was named is none of the pull request's.
    CommitUnknown = "commit-unknown",
    /// All slots are taken.
    AtCapacity = "at-capacity",
    /// The run was cancelled.
    Cancelled = "cancelled",
    /// An input is missing or wrong.
    BadInput = "bad-input",
    /// The event cannot be read.
    BadEvent = "bad-event",
    /// `.github/preview.yml` cannot be read.
    BadConfiguration = "bad-configuration",
    /// Neither configuration nor images say what to deploy.
    NothingToDeploy = "nothing-to-deploy",
    /// A template cannot be rendered.
    TemplateError = "template-error",
    /// A manifest cannot be read.
    BadManifest = "bad-manifest",
    /// A manifest asks for something that is not allowed.
    PolicyRefused = "policy-refused",
    /// The Namespace belongs to something else.
    NamespaceTaken = "namespace-taken",
    /// The Namespace is still being deleted.
    NamespaceTerminating = "namespace-terminating",
    /// An image does not exist.
    ImageMissing = "image-missing",
    /// An image may not be pulled.
    ImageForbidden = "image-forbidden",
    /// An image cannot be pulled for another reason.
    ImagePull = "image-pull",
    /// A container exits again and again.
    CrashLoop = "crash-loop",
    /// A container was killed for its memory.
    OutOfMemory = "out-of-memory",
    /// A container cannot be started as configured.
    ContainerConfig = "container-config",
    /// Quota refused something.
    QuotaExceeded = "quota-exceeded",
    /// An admission rule refused something.
    AdmissionRefused = "admission-refused",
    /// No node can take a pod.
    Unschedulable = "unschedulable",
    /// A Job failed.
    JobFailed = "job-failed",
    /// A rollout failed for another reason.
    RolloutFailed = "rollout-failed",
    /// The preview was not ready in time.
    TimedOut = "timed-out",
    /// The URL does not answer as it should.
    Unhealthy = "unhealthy",
    /// GitHub cannot be reached, or takes no more requests for now.
    GithubUnreachable = "github-unreachable",
    /// GitHub refused a request.
    GithubRefused = "github-refused",
    /// The cluster cannot be reached.
    ClusterUnreachable = "cluster-unreachable",
    /// The cluster refused the credential.
    ClusterUnauthorized = "cluster-unauthorized",
    /// The cluster's RBAC refused a request.
    ClusterForbidden = "cluster-forbidden",
    /// The cluster refused a request.
    ClusterRefused = "cluster-refused",
    /// The ledger cannot be read.
    LedgerCorrupt = "ledger-corrupt",
    /// A bug of ours.
    InternalError = "internal-error",
    /// A host of the preview is served from another Namespace.
    HostTaken = "host-taken",
    /// The Namespace of a removal does not go: something holds its deletion.
    RemovalStuck = "removal-stuck",
    /// An image is not built for the nodes' processor.
    ImagePlatform = "image-platform",
    /// An image's name is not valid.
    ImageName = "image-name",
    /// A node cannot reach an image's registry.
    RegistryUnreachable = "registry-unreachable",
    /// A registry limits the number of pulls.
    RegistryLimit = "registry-limit",
    /// A container's command is missing or may not be executed.
    CommandMissing = "command-missing",
    /// A container is restarted again and again because its probe fails.
    ProbeFailing = "probe-failing",
    /// An init container fails again and again.
    InitContainerFailed = "init-container-failed",
    /// A volume cannot be bound or mounted.
    VolumeFailed = "volume-failed",
    /// A service account does not exist.
    ServiceAccountMissing = "service-account-missing",
    /// A Job ran longer than its own deadline.
    JobDeadline = "job-deadline",
    /// The node cannot make a pod.
    NodeFailed = "node-failed",
    /// DNS knows no such name.
    NameNotFound = "name-not-found",
    /// The certificate of an address is refused.
    CertificateRefused = "certificate-refused",
    /// An address takes no connection or does not answer.
    NoAnswer = "no-answer",
    /// No slot is free, and the preview waits in line for one.
    Queued = "queued",
    /// The cluster's nodes have no room for the preview, whatever ends.
    NoRoom = "no-room",
    /// The time of the preview was over, so it was removed.
    Expired = "expired",
    /// The preview lives longer now.
    Extended = "extended",
    /// The preview does not expire any more.
    Pinned = "pinned",
    /// The preview expires again.
    Unpinned = "unpinned",
    /// There is no preview that the command could be about.
    NoPreview = "no-preview",
    /// The author was told that the preview will expire.
    ExpiryWarned = "expiry-warned",
    /// The preview was put to sleep.
    Slept = "slept",
    /// The preview was woken.
    Woken = "woken",
    /// A run ended without a word.
    RunLost = "run-lost",
    /// A preview that was ready broke.
    Degraded = "degraded",
    /// The ledger was written by a newer version.
    LedgerNewer = "ledger-newer",
    /// The newest commit comes from a fork and waits for a maintainer's approval.
    ApprovalNeeded = "approval-needed",
    /// What a run would do was decided, and nothing was done.
    Planned = "planned",
    /// The workflow run that ended is none whose success deploys.
    BuildIgnored = "build-ignored",
    /// No open pull request has that commit as its newest.
    NoPullRequest = "no-pull-request",
    /// A label that the input `ignore-labels` names keeps the pull request from being deployed by itself.
    LabelIgnored = "label-ignored",
    /// The pull request has none of the labels that it needs to be deployed by itself.
    LabelMissing = "label-missing",
    /// The pull request is a draft, and drafts are not deployed by themselves.
    DraftSkipped = "draft-skipped",
    /// A bot has opened the pull request, and it is none whose pull requests are deployed by themselves.
    BotSkipped = "bot-skipped",
    /// The pull request changes none of the files that the input `paths` names.
    PathsSkipped = "paths-skipped",
    /// There is nothing that could be approved, or it is another commit than the one that was named.
    NothingToApprove = "nothing-to-approve",
    /// What was planned was approved too late to be deployed.
    ApprovalLapsed = "approval-lapsed",
    /// Another run was at work on the preview for longer than was waited.
    Busy = "busy",
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for ReasonCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ReasonCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown reason code {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::ReasonCode;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_in_kebab_case() {
        let texts: BTreeSet<_> = ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), ReasonCode::ALL.len());
        assert!(
            texts
                .iter()
                .all(|text| text.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        );
    }
}
