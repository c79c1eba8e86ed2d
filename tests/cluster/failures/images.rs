//! Images that cannot be had, each by a registry's own words.

use super::play::{Broken, USUAL, abreast};
use crate::world::{root, text};
use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Command,
};

/// A registry that gives every request the same answer; its address.
fn registry(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // A client of TLS is told by an answer that is none, and tries again without.
            if stream.read(&mut request).is_ok() {
                stream.write_all(answer.as_bytes()).ok();
            }
        }
    });
    address
}

const WITH_PASSWORD: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"registry\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const LIMITED: &str =
    "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// An image for another processor than any node's.
fn foreign() {
    let script = root().join("tests/cluster/cluster");
    let crane = text(Command::new(script).args(["path", "crane"]));
    let crane = |arguments: &[&str]| drop(text(Command::new(crane.trim()).args(arguments)));
    let (one, index) = ("127.0.0.1:5000/foreign:one", "127.0.0.1:5000/foreign:index");
    crane(&[
        "mutate",
        "--set-platform",
        "linux/s390x",
        "-t",
        one,
        "127.0.0.1:5000/app:1",
    ]);
    crane(&["index", "append", "-m", one, "-t", index]);
}

#[test]
fn images_that_cannot_be_had() {
    abreast(vec![
        Broken {
            name: "tag",
            config: "services:\n  web:\n    image: ${registry}/app:none\n    port: 8080\n",
            reason: "image-missing",
            cause: &[
                "image 127.0.0.1:5000/app:none of Deployment/web does not exist in its registry",
            ],
            remedy: &[
                "push the image before the deploy step",
                "services.web of .github/preview.yml, line 3",
                "input images",
            ],
            evidence: &["not found"],
            grace: 15,
            ..USUAL
        },
        Broken {
            name: "password",
            config: "services:\n  web:\n    image: ${local}/app:1\n    port: 8080\n",
            local: Some(registry(WITH_PASSWORD)),
            reason: "image-forbidden",
            cause: &[
                "does not let the cluster pull image 127.0.0.1:",
                "of Deployment/web",
            ],
            remedy: &["set the input pull-secret"],
            grace: 20,
            ..USUAL
        },
        Broken {
            name: "unreachable",
            config: "services:\n  web:\n    image: 127.0.0.1:1/app:1\n    port: 8080\n",
            inputs: "timeout: 3m\n",
            reason: "registry-unreachable",
            cause: &["the node cannot reach the registry 127.0.0.1:1 of image 127.0.0.1:1/app:1"],
            remedy: &["correct the registry's name in services.web of .github/preview.yml, line 3"],
            evidence: &["connection refused"],
            grace: 90,
            ..USUAL
        },
        Broken {
            name: "limited",
            config: "services:\n  web:\n    image: ${local}/app:1\n    port: 8080\n",
            local: Some(registry(LIMITED)),
            inputs: "timeout: 3m\n",
            reason: "registry-limit",
            cause: &["limits the number of pulls and refuses image 127.0.0.1:"],
            remedy: &["pull-secret"],
            grace: 90,
            ..USUAL
        },
        Broken {
            name: "platform",
            config: "services:\n  web:\n    image: ${registry}/foreign:index\n    port: 8080\n",
            before: |_| foreign(),
            reason: "image-platform",
            cause: &[
                "image 127.0.0.1:5000/foreign:index of Deployment/web is not built for the processor",
            ],
            remedy: &["linux/amd64"],
            grace: 15,
            ..USUAL
        },
        Broken {
            name: "image-name",
            own: "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers: [{name: own, image: \"${registry}/App:1\"}]\n",
            reason: "image-name",
            cause: &["the image name 127.0.0.1:5000/App:1 of Pod/own is not valid"],
            remedy: &["correct the image in deploy/own.yaml, line 1"],
            grace: 0,
            ..USUAL
        },
    ]);
}
