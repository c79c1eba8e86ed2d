//! Turns a set that was deployed and found good into a Secret of the preview, and that Secret back into the set.
//! It must not decide when a set is good or when it is applied again, and it reads no other Secret.
//! It is plain JSON: no compressor is linked, and twenty objects take 30 kB of the 1 MiB that a Secret may hold.

use super::{
    Cluster,
    answer::Class,
    call::{Call, Selector},
    error::ClusterError,
    kinds,
    request::items,
};
use crate::{
    manifests::{Manifest, ManifestSet, Origin},
    names::{CommitSha, Namespace, ObjectId},
    plan::PublicUrl,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub use crate::manifests::LAST_GOOD;

/// What a Secret may hold altogether.
const MOST: usize = 1 << 20;

/// Images by the reference that asked for them and the identity that runs, with how many containers run it.
pub type Running = BTreeMap<(String, String), usize>;

/// A set that was deployed and found good.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LastGood {
    /// Commit.
    pub sha: CommitSha,
    /// Public addresses, the main one first.
    pub urls: Vec<PublicUrl>,
    /// What each image reference was when it ran.
    pub images: BTreeMap<String, String>,
    objects: Vec<Kept>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Kept {
    stage: u8,
    origin: Origin,
    object: Value,
    /// Plural of a kind that the policy had opened: a run that goes back renders nothing and asks for no policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plural: Option<String>,
}

impl LastGood {
    /// Keeps a set. Jobs and hooks are left out: what a migration did once must not be done again by going back.
    pub fn of(sha: CommitSha, urls: &[PublicUrl], set: &ManifestSet) -> Self {
        let again = |one: &&Manifest| one.id.kind != "Job" && !one.runs_once();
        let objects = set.objects.iter().filter(again);
        Self {
            sha,
            urls: urls.to_vec(),
            images: BTreeMap::new(),
            objects: objects
                .map(|one| Kept {
                    stage: one.stage,
                    origin: one.origin.clone(),
                    object: one.object.clone(),
                    plural: kinds::opened(&one.id).map(|kind| kind.plural.to_owned()),
                })
                .collect(),
        }
    }

    /// Keeps what each image was when the set ran.
    pub fn ran(&mut self, running: &Running) {
        let images = running.keys().cloned();
        self.images = images.collect();
    }

    /// What tells one rendered set from another, in this Namespace and no other.
    pub fn source(&self, uid: &str) -> String {
        // One object after the other: a copy of all of them would be the most that a run ever holds.
        let mut hash = Sha256::new();
        hash.update(json!([uid, self.sha, self.urls]).to_string());
        for one in &self.objects {
            // Where it is written may move without a change of what is applied.
            hash.update(json!([one.stage, one.plural]).to_string());
            hash.update(one.object.to_string());
        }
        hex(&hash.finalize())
    }

    /// The set as it is to be applied again.
    ///
    /// A workload whose containers all still run what ran then is left as it was, so that its pods stay; any other one names
    /// its images by digest, because a tag may have been pushed again meanwhile.
    pub fn set(&self, running: &Running) -> ManifestSet {
        let objects = self.objects.iter().filter_map(|kept| {
            let mut object = kept.object.clone();
            pin(&mut object, &self.images, running);
            let id = identity(&object)?;
            if let Some(plural) = &kept.plural {
                let version = object["apiVersion"].as_str()?;
                kinds::open(version, &id.kind, plural);
            }
            Some(Manifest {
                id,
                object,
                origin: kept.origin.as_of(&self.sha),
                stage: kept.stage,
            })
        });
        ManifestSet {
            objects: objects.collect(),
            warnings: Vec::new(),
        }
    }

    /// As it is stored.
    pub fn bytes(&self) -> Vec<u8> {
        json!(self).to_string().into_bytes()
    }
}

/// What the Secret holds: the last good set and the one before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Generations {
    /// The last one, as stored.
    pub current: Option<Vec<u8>>,
    /// The one before.
    pub previous: Option<Vec<u8>>,
}

impl Generations {
    /// The generation with this digest. Nothing else is believed: the ledger says what was kept, and pods cannot write there.
    pub fn stored(&self, wanted: &str) -> Option<&Vec<u8>> {
        [&self.current, &self.previous]
            .into_iter()
            .flatten()
            .find(|bytes| digest(bytes) == wanted)
    }

    /// The generation with this digest, read.
    pub fn find(&self, wanted: &str) -> Option<LastGood> {
        serde_json::from_slice(self.stored(wanted)?).ok()
    }

    /// What of both fits into a Secret: the older one goes first; none when even the last one is too large.
    pub fn fitting(self) -> Option<Self> {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        match (size(&self.current), size(&self.previous)) {
            (last, _) if last > MOST => None,
            (last, before) if last + before > MOST => Some(Self {
                previous: None,
                ..self
            }),
            _ => Some(self),
        }
    }
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Cluster {
    /// Reads both generations; none of either when there is no Secret.
    pub async fn last_good(&self, namespace: &Namespace) -> Result<Generations, ClusterError> {
        let call = Call::get(&kinds::SECRET, Some(namespace), LAST_GOOD)?;
        let body = match self.send(call).await {
            Ok(answer) => answer.body,
            Err(error) => match error.class() {
                Some(Class::NotFound | Class::NamespaceMissing) => {
                    return Ok(Generations::default());
                }
                _ => return Err(error),
            },
        };
        let stored = |key: &str| STANDARD.decode(body["data"][key].as_str()?).ok();
        Ok(Generations {
            current: stored("current"),
            previous: stored("previous"),
        })
    }

    /// Writes both generations in the place of what was there.
    pub async fn keep_good(
        &self,
        namespace: &Namespace,
        generations: &Generations,
    ) -> Result<(), ClusterError> {
        let mut data = serde_json::Map::new();
        for (key, bytes) in [
            ("current", &generations.current),
            ("previous", &generations.previous),
        ] {
            if let Some(bytes) = bytes {
                data.insert(key.into(), STANDARD.encode(bytes).into());
            }
        }
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": LAST_GOOD, "namespace": namespace},
            "type": "Opaque",
            "data": data,
        });
        let call = Call::apply(&kinds::SECRET, Some(namespace), LAST_GOOD, &secret)?;
        self.send(call).await.map(|_| ())
    }

    /// The images that containers of a Namespace run now; pods that are going do not count.
    pub async fn running_images(&self, namespace: &Namespace) -> Result<Running, ClusterError> {
        let call = Call::list(&kinds::POD, Some(namespace), &Selector::default())?;
        let list = self.send(call).await?.body;
        let mut running = Running::new();
        for pod in items(&list) {
            if pod["metadata"]["deletionTimestamp"].is_string() {
                continue;
            }
            for (specs, states) in [
                ("containers", "containerStatuses"),
                ("initContainers", "initContainerStatuses"),
            ] {
                for spec in pod["spec"][specs].as_array().into_iter().flatten() {
                    let states = pod["status"][states].as_array().into_iter().flatten();
                    let state = states
                        .filter(|state| state["ready"] == true)
                        .find(|state| state["name"] == spec["name"]);
                    if let (Some(state), Some(reference)) = (state, spec["image"].as_str())
                        && let Some(identity) = state["imageID"].as_str().and_then(pullable)
                    {
                        *running
                            .entry((reference.to_owned(), identity.to_owned()))
                            .or_default() += 1;
                    }
                }
            }
        }
        Ok(running)
    }
}

/// An identity that a registry can be asked for: with a digest behind a name. Some runtimes put a scheme before it.
fn pullable(identity: &str) -> Option<&str> {
    let identity = identity.rsplit("://").next()?;
    let (name, digest) = identity.split_once('@')?;
    (!name.is_empty() && digest.starts_with("sha256:")).then_some(identity)
}

fn identity(object: &Value) -> Option<ObjectId> {
    let version = object["apiVersion"].as_str()?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    Some(ObjectId {
        group: group.into(),
        version: version.into(),
        kind: object["kind"].as_str()?.into(),
        name: object["metadata"]["name"].as_str()?.into(),
    })
}

fn pin(object: &mut Value, images: &BTreeMap<String, String>, running: &Running) {
    let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
    let path = match object["kind"].as_str() {
        Some("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => "/spec/template/spec",
        Some("CronJob") => "/spec/jobTemplate/spec/template/spec",
        Some("Pod") => "/spec",
        _ => return,
    };
    let Some(pod) = object.pointer_mut(path) else {
        return;
    };
    let still_runs = |container: &Value| {
        let reference = container["image"].as_str().unwrap_or_default();
        reference.contains('@')
            || images.get(reference).is_none_or(|identity| {
                let key = (reference.to_owned(), identity.clone());
                running.get(&key).is_some_and(|count| *count >= wanted)
            })
    };
    let lists = ["containers", "initContainers"];
    let containers = lists
        .iter()
        .filter_map(|list| pod[*list].as_array())
        .flatten();
    if containers.into_iter().all(still_runs) {
        return;
    }
    for list in lists {
        for container in pod[list].as_array_mut().into_iter().flatten() {
            let reference = container["image"].as_str().unwrap_or_default();
            if let Some(identity) = images.get(reference)
                && !reference.contains('@')
            {
                container["image"] = identity.clone().into();
                // What the node still has need not be in the registry any more.
                container["imagePullPolicy"] = "IfNotPresent".into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const ID: &str = "registry.example/web@sha256:aa";

    fn set() -> ManifestSet {
        let manifest = |kind: &str, stage| {
            let object = json!({
                "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"},
                "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
            });
            Manifest {
                id: identity(&object).unwrap(),
                object,
                origin: Origin {
                    file: "a.yaml".into(),
                    line: 1,
                },
                stage,
            }
        };
        ManifestSet {
            objects: vec![manifest("Deployment", 5), manifest("Job", 4)],
            warnings: Vec::new(),
        }
    }

    fn running(count: usize) -> Running {
        Running::from([(("web:1".to_owned(), ID.to_owned()), count)])
    }

    fn good() -> LastGood {
        let mut good = LastGood::of("a".repeat(40).parse().unwrap(), &[], &set());
        good.ran(&running(2));
        good
    }

    fn image(set: &ManifestSet) -> &Value {
        &set.objects[0].object["spec"]["template"]["spec"]["containers"][0]["image"]
    }

    #[test]
    fn jobs_are_not_kept_because_they_must_not_run_again() {
        assert_eq!(good().set(&running(2)).objects.len(), 1);
        let mut hook = set();
        hook.objects[0].stage = 4;
        let good = LastGood::of("a".repeat(40).parse().unwrap(), &[], &hook);
        assert_eq!(good.set(&running(2)).objects.len(), 0);
    }

    #[test]
    fn a_line_that_moves_makes_no_other_set() {
        let of = |set: &ManifestSet| LastGood::of("a".repeat(40).parse().unwrap(), &[], set);
        let before = of(&set()).source("uid");
        let mut moved = set();
        moved.objects[0].origin = Origin {
            file: "b.yaml".into(),
            line: 7,
        };
        assert_eq!(of(&moved).source("uid"), before);
        let mut changed = set();
        changed.objects[0].object["spec"]["replicas"] = 3.into();
        assert_ne!(of(&changed).source("uid"), before);
        assert_ne!(of(&set()).source("another"), before);
    }

    #[test]
    fn what_comes_back_names_the_commit_and_not_the_lines_of_today() {
        let back = good().set(&running(2));
        let origin = &back.objects[0].origin;
        assert_eq!(origin.shown().as_deref(), Some("a.yaml (as of aaaaaaa)"));
    }

    #[test]
    fn pods_that_still_run_stay_and_others_come_back_by_digest() {
        let good = good();
        assert_eq!(image(&good.set(&running(2))), "web:1");
        assert_eq!(image(&good.set(&running(1))), ID);
        assert_eq!(image(&good.set(&Running::new())), ID);
    }

    #[test]
    fn a_kind_that_a_policy_opened_is_known_again_when_its_objects_come_back() {
        let tap = |group: &str| -> Manifest {
            let object = json!({"apiVersion": format!("{group}/v1"), "kind": "Tap", "metadata": {"name": "a"}});
            Manifest {
                id: identity(&object).unwrap(),
                object,
                ..set().objects[0].clone()
            }
        };
        kinds::open("kept.example.com/v1", "Tap", "taps");
        let kept = ManifestSet {
            objects: vec![tap("kept.example.com")],
            warnings: Vec::new(),
        };
        let good = LastGood::of("a".repeat(40).parse().unwrap(), &[], &kept);
        // Another process reads it, which has opened nothing yet.
        let text = String::from_utf8(good.bytes()).unwrap();
        let text = text.replace("kept.example.com", "back.example.com");
        let back: LastGood = serde_json::from_str(&text).unwrap();
        assert_eq!(kinds::Kind::of(&tap("back.example.com").id), None);
        let objects = back.set(&Running::new()).objects;
        assert_eq!(kinds::Kind::of(&objects[0].id).unwrap().plural, "taps");
    }

    #[test]
    fn only_what_the_ledger_knows_is_believed() {
        let bytes = good().bytes();
        let stored = Generations {
            current: Some(b"{}".to_vec()),
            previous: Some(bytes.clone()),
        };
        assert_eq!(stored.find(&digest(&bytes)), Some(good()));
        assert_eq!(stored.find(&digest(b"{}")), None);
        assert_eq!(stored.find("none"), None);
    }

    #[test]
    fn what_does_not_fit_goes_the_older_one_first() {
        let of = |last: usize, before: usize| {
            let both = Generations {
                current: Some(vec![0; last]),
                previous: Some(vec![0; before]),
            };
            both.fitting().map(|kept| {
                (
                    kept.current.map(|v| v.len()),
                    kept.previous.map(|v| v.len()),
                )
            })
        };
        assert_eq!(of(10, 10), Some((Some(10), Some(10))));
        assert_eq!(of(MOST, 1), Some((Some(MOST), None)));
        assert_eq!(of(MOST + 1, 1), None);
    }

    #[test]
    fn an_identity_without_a_registry_cannot_be_pulled() {
        assert_eq!(
            pullable("docker-pullable://nginx@sha256:1"),
            Some("nginx@sha256:1")
        );
        assert_eq!(pullable("sha256:1"), None);
        assert_eq!(pullable(""), None);
    }
}
