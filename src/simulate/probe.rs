//! Turns a method, a path and a JSON body into a request to a simulated site, for the tests of this module.
//! It must not know what a site serves.
//! It is a plain HTTP client, so that a test shows exactly what goes over the wire.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed request fails the test that made it"
)]

use http::HeaderMap;
use serde_json::Value;

/// A client of one site.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// An answer, read completely.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    }
}

pub(super) const APPLY: &str = "application/apply-patch+yaml";
pub(super) const MERGE: &str = "application/merge-patch+json";

impl Probe {
    pub(super) fn new(base: &str, token: &str) -> Self {
        // An error means that another test of this process installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            client,
            base: base.to_owned(),
            token: token.to_owned(),
        }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        self.client.request(method, url).bearer_auth(&self.token)
    }

    pub(super) async fn try_send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer {
            status,
            headers,
            text,
        })
    }

    pub(super) async fn send(&self, method: &str, path: &str, media: &str, body: &Value) -> Answer {
        let request = self
            .request(method, path)
            .header("content-type", media)
            .body(body.to_string());
        self.try_send(request).await.expect("an answer")
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.try_send(self.request("GET", path))
            .await
            .expect("an answer")
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "application/json", body).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, "application/json", body).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.try_send(self.request("DELETE", path))
            .await
            .expect("an answer")
    }
}
