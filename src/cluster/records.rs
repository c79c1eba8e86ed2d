//! Keeps what runs leave behind for the metrics: one key of a ConfigMap for each, added in one request that reads nothing.
//! It must not fail a run: whoever calls it says so in the log and goes on.
//! A merge patch with one new key cannot collide with another run's, so no run waits for another to write its record.

use super::{Cluster, answer::Class, call::Call, error::ClusterError, kinds};
use crate::{capacity::LedgerName, metrics::RunRecord};
use serde_json::{Map, Value, json};

/// Records that are kept; about 100 kB.
const KEPT: usize = 400;

/// From so many on the oldest are dropped, down to [`KEPT`].
const MOST: usize = 600;

impl Cluster {
    /// Adds a run's record; `mark` tells runs apart that end in the same millisecond.
    pub async fn leave_record(
        &self,
        of: &LedgerName,
        mark: &str,
        record: &RunRecord,
    ) -> Result<(), ClusterError> {
        let key = format!("{:015}.{mark}", record.at.as_millisecond());
        let text = serde_json::to_string(record).map_err(|error| unreadable(&error.to_string()))?;
        let data = Map::from_iter([(key, Value::String(text))]);
        let known = match self.patch_records(of, &data).await {
            Ok(object) => object,
            Err(error) if absent(&error) => return self.begin_records(of, data).await,
            Err(error) => return Err(error),
        };
        let keys = known["data"].as_object().into_iter().flat_map(Map::keys);
        let mut keys: Vec<&String> = keys.collect();
        if keys.len() <= MOST {
            return Ok(());
        }
        keys.sort_unstable();
        keys.truncate(keys.len() - KEPT);
        let old = keys.into_iter().map(|key| (key.clone(), Value::Null));
        self.patch_records(of, &old.collect()).await.map(drop)
    }

    /// Every record that is kept, the oldest first; what cannot be read is left out.
    pub async fn records(&self, of: &LedgerName) -> Result<Vec<RunRecord>, ClusterError> {
        let call = Call::get(&kinds::CONFIG_MAP, Some(&of.namespace), &object_name(of))?;
        let object = match self.send(call).await {
            Ok(answer) => answer.body,
            Err(error) if absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let data = object["data"].as_object().into_iter().flatten();
        let mut records: Vec<RunRecord> = data
            .filter_map(|(_, text)| serde_json::from_str(text.as_str()?).ok())
            .collect();
        records.sort_by_key(|record| record.at);
        Ok(records)
    }

    async fn patch_records(
        &self,
        of: &LedgerName,
        data: &Map<String, Value>,
    ) -> Result<Value, ClusterError> {
        let patch = json!({"data": data});
        let call = Call::merge(&kinds::CONFIG_MAP, &of.namespace, &object_name(of), &patch)?;
        Ok(self.send(call).await?.body)
    }

    async fn begin_records(
        &self,
        of: &LedgerName,
        data: Map<String, Value>,
    ) -> Result<(), ClusterError> {
        let name = object_name(of);
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": of.namespace, "labels": {
                "app.kubernetes.io/managed-by": super::FIELD_MANAGER,
                "preview-action/repository-id": of.repository.to_string(),
                "preview-action/environment": of.environment,
            }},
            "data": data,
        });
        let call = Call::create(&kinds::CONFIG_MAP, Some(&of.namespace), &name, &object)?;
        match self.send(call).await {
            Ok(_) => Ok(()),
            // Another run began it a moment ago.
            Err(error) if error.class() == Some(&Class::AlreadyExists) => {
                self.patch_records(of, &data).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }
}

/// Name of the ConfigMap beside the ledger's.
fn object_name(of: &LedgerName) -> String {
    format!("{}-runs", of.object())
}

fn absent(error: &ClusterError) -> bool {
    error.is_not_found()
}

fn unreadable(problem: &str) -> ClusterError {
    ClusterError::Unintelligible {
        attempt: super::Attempt {
            verb: "write",
            object: "the record of a run".into(),
            namespace: None,
        },
        problem: problem.into(),
    }
}
