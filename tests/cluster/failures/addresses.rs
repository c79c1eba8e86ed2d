//! Previews whose pods are ready and whose address does not answer as it should.

use super::play::{Broken, Ends, USUAL, abreast};
use std::net::TcpListener;

/// A port that takes connections and never says a word.
fn silence() -> String {
    let listener = TcpListener::bind("10.88.0.1:0")
        .or_else(|_| TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let streams: Vec<_> = listener.incoming().collect();
        drop(streams);
    });
    address
}

const PUBLIC: &str =
    "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    public: true\n";

#[test]
fn addresses_that_do_not_answer_as_they_should() {
    abreast(vec![
        Broken {
            name: "no-name",
            config: PUBLIC,
            inputs: "health: required\nhealth-address: \"\"\ntimeout: 60s\n",
            reason: "name-not-found",
            cause: &["DNS knows no `pr-1.f-no-name.preview.example.test`"],
            remedy: &[
                "create the DNS record `*.f-no-name.preview.example.test` that leads to the ingress controller",
            ],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "certificate",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    public: true\ningress: {tls: {secret: wildcard}}\n",
            inputs: "health-address: 10.88.0.1:443\ntimeout: 60s\n",
            reason: "certificate-refused",
            cause: &["`pr-1.f-certificate.preview.example.test` is not trusted"],
            remedy: &["input `ca-bundle`"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "page-404",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    public: true\n    command: [/bin/httpd, -f, -p, \"8080\", -h, /tmp]\n",
            inputs: "timeout: 60s\n",
            reason: "unhealthy",
            cause: &["answers 404"],
            remedy: &["let the service answer at this path"],
            evidence: &["404 Not Found"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "page-502",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    public: true\n    command: [/bin/sh, -c, \"while true; do echo nonsense | nc -l -p 8080 >/dev/null; done\"]\n",
            inputs: "timeout: 60s\n",
            reason: "unhealthy",
            cause: &["answers 502"],
            remedy: &["the ingress does not get through to the service"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "page-503",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    public: true\n    command: [/bin/sh, -c, \"while true; do printf 'HTTP/1.1 503 No\\\\r\\\\nContent-Length: 0\\\\r\\\\nConnection: close\\\\r\\\\n\\\\r\\\\n' | nc -l -p 8080 >/dev/null; done\"]\n",
            inputs: "timeout: 60s\n",
            reason: "unhealthy",
            cause: &["answers 503"],
            remedy: &[
                "the ingress finds no ready pod behind the service, or the service says so itself",
            ],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "redirect",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    public: true\n    command: [/bin/sh, -c, \"while true; do printf 'HTTP/1.1 302 Found\\\\r\\\\nLocation: https://www.example.com/\\\\r\\\\nContent-Length: 0\\\\r\\\\nConnection: close\\\\r\\\\n\\\\r\\\\n' | nc -l -p 8080 >/dev/null; done\"]\n",
            inputs: "timeout: 60s\n",
            reason: "a warning",
            cause: &["redirects to another host, www.example.com"],
            remedy: &["let the application"],
            ends: Ends::Warned,
            ..USUAL
        },
        Broken {
            name: "silence",
            config: PUBLIC,
            local: Some(silence()),
            inputs: "health-address: ${local}\ntimeout: 60s\n",
            reason: "no-answer",
            cause: &["takes the connection and does not answer in time"],
            remedy: &["check that the service speaks HTTP on this port"],
            grace: 60,
            ..USUAL
        },
    ]);
}
