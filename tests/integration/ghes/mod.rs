//! Enterprise Server: another address with `/api/v3`, a private authority, a proxy, no limits that are counted, no names of roles.
//! Every run of these tests, as of all others, is also held to name no host of GitHub's own.
//! Who needs the proxy runs as a process of its own, because the environment of a process is one for all its tests.

mod wire;

use crate::{
    judges::conversation,
    support::{CONFIGURATION, ONE_SERVICE, Run, SHOP, Seen, Shop, binary},
};
use preview_action::simulate::{Record, WorldOptions, github};
use wire::{Authority, Front, Proxy};

/// A server of one's own; links in its answers name this address, if any is given.
async fn enterprise(advertised: Option<String>) -> Shop {
    let github = github::Options {
        prefix: "/api/v3".into(),
        rate_limit: None,
        shows_roles: false,
        advertised,
        ..github::Options::default()
    };
    let options = WorldOptions {
        github,
        ..WorldOptions::default()
    };
    Shop::with(options, ONE_SERVICE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_conversation_is_the_same_on_a_server_of_ones_own() {
    let shop = enterprise(None).await;
    let api = shop.world.github.url();
    assert!(api.ends_with("/api/v3"), "{api}");
    conversation::play(&shop, &api).await;
    let asked = shop.requests("github", 0);
    let known = |path: &str| path.starts_with("/api/v3/") || path == "/api/graphql";
    let outside = asked.iter().find(|one| !known(&one.path));
    assert!(outside.is_none(), "{outside:?}");
    let second_page = |one: &Record| one.path.starts_with("/api/v3/repositories/");
    assert!(asked.iter().any(second_page), "no list was long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_server_does_not_name_is_no_role() {
    let shop = enterprise(None).await;
    let people = [("mia", "write", "maintain"), ("ada", "admin", "admin")];
    for (login, permission, role) in people {
        shop.world.github.add_user(login);
        shop.world
            .github
            .set_permission(SHOP, login, permission, role);
    }
    shop.deployed(1).await;
    for (who, asked, reason) in [
        ("bob", "maintain", "permission-denied"),
        ("mia", "maintain", "permission-denied"),
        ("ada", "maintain", "extended"),
        ("bob", "write", "extended"),
        ("mallory", "write", "permission-denied"),
    ] {
        let event = shop.says(1, who, "/extend 2d");
        let run = shop.run(&event).input("min-permission", asked);
        run.go().await.ends(0, reason);
    }
    shop.ends();
}

/// No service is public: whoever runs as a process of its own asks no health of this very machine.
fn inside(shop: &Shop) {
    let own = ONE_SERVICE
        .replace("    public: true\n", "")
        .replace("    health: {path: /}\n", "");
    shop.commit(&[(CONFIGURATION, &own)]);
}

/// How a server is reached: address of its API, its authority, and what else stands in the environment.
struct Way<'a> {
    api: String,
    authority: &'a Authority,
    environment: Vec<(&'static str, String)>,
}

impl Way<'_> {
    fn run<'a>(&self, run: Run<'a>) -> Run<'a> {
        let server = self.api.trim_end_matches("/api/v3");
        let given = run
            .variable("GITHUB_API_URL", &self.api)
            .variable("GITHUB_SERVER_URL", server)
            .input("ca-bundle", &self.authority.pem);
        self.environment
            .iter()
            .fold(given, |run, (name, value)| run.variable(name, value))
    }

    /// What every pull request meets, and the schedule.
    async fn live(&self, shop: &Shop) {
        inside(shop);
        let opened = shop.opens(1);
        self.ends(shop.run(&opened), 0, "deployed").await;
        let pushed = shop.pushes(1);
        let seen = self.ends(shop.run(&pushed), 0, "deployed").await;
        let run = format!(
            "{}/acme/shop/actions/runs/",
            self.api.trim_end_matches("/api/v3")
        );
        seen.says(&run);
        for (says, reason) in [("/status", "status-shown"), ("/logs", "logs-shown")] {
            let event = shop.says(1, "alice", says);
            self.ends(shop.run(&event), 0, reason).await;
        }
        let schedule = shop.schedule();
        self.ends(shop.run(&schedule), 0, "swept").await;
        let closed = shop.closes(1);
        self.ends(shop.run(&closed), 0, "removed").await;
        shop.ends();
    }

    async fn ends(&self, run: Run<'_>, exit: i32, reason: &str) -> Seen {
        let seen = self.run(run).go_alone().await;
        seen.ends(exit, reason);
        seen
    }

    /// What the command line shows of the preview, with the address where a workflow has it.
    async fn list(&self, shop: &Shop) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (kubeconfig, ca) = (folder.path().join("kubeconfig"), folder.path().join("ca"));
        std::fs::write(&kubeconfig, shop.world.cluster.kubeconfig()).unwrap();
        std::fs::write(&ca, &self.authority.pem).unwrap();
        let output = tokio::process::Command::new(binary())
            .args(["status", "--repository", SHOP, "--pr", "1", "--ca-bundle"])
            .arg(&ca)
            .env_clear()
            .env("GITHUB_API_URL", &self.api)
            .env("PREVIEW_TOKEN", shop.world.github.token())
            .env("KUBECONFIG", &kubeconfig)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_and_a_proxy_are_all_that_it_takes() {
    let authority = Authority::of("git.acme.test");
    let shop = enterprise(Some("https://git.acme.test/api/v3".into())).await;
    let front = Front::open(&authority).await;
    front.lead_to(&shop.world.github.url());
    let proxy = Proxy::leading_to(front.port).await;
    let way = Way {
        api: "https://git.acme.test/api/v3".into(),
        authority: &authority,
        // The cluster is this very machine.
        environment: vec![
            ("HTTPS_PROXY", proxy.address()),
            ("NO_PROXY", "127.0.0.1".into()),
        ],
    };
    way.live(&shop).await;
    let shown = way.list(&shop).await;
    assert!(shown.contains("slots are taken"), "{shown}");
    assert_eq!(proxy.tunnels(), ["git.acme.test:443"]);
    // Two pages and more, whose links name the server as people do.
    for n in 0..130 {
        let remark = format!("remark {n}");
        shop.world.github.comment(SHOP, 1, "bob", &remark);
    }
    let says = shop.says(1, "alice", "/status");
    let since = shop.now();
    way.ends(shop.run(&says), 0, "status-shown").await;
    assert!(shop.now() > since);
    assert_eq!(proxy.tunnels(), ["git.acme.test:443"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_no_proxy_leads_to_is_asked_directly() {
    let authority = Authority::of("localhost");
    let front = Front::open(&authority).await;
    let api = format!("https://localhost:{}/api/v3", front.port);
    let shop = enterprise(Some(api.clone())).await;
    front.lead_to(&shop.world.github.url());
    let proxy = Proxy::leading_to(front.port).await;
    let way = Way {
        api,
        authority: &authority,
        environment: vec![
            ("HTTPS_PROXY", proxy.address()),
            ("NO_PROXY", "acme.test,localhost,127.0.0.1".into()),
        ],
    };
    way.live(&shop).await;
    assert_eq!(proxy.tunnels(), [""; 0]);
    assert!(front.connections() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_authority_the_input_is_named_that_helps() {
    let authority = Authority::of("localhost");
    let front = Front::open(&authority).await;
    let shop = enterprise(None).await;
    front.lead_to(&shop.world.github.url());
    let opened = shop.opens(1);
    let seen = shop
        .run(&opened)
        .variable(
            "GITHUB_API_URL",
            &format!("https://localhost:{}/api/v3", front.port),
        )
        .variable(
            "GITHUB_SERVER_URL",
            &format!("https://localhost:{}", front.port),
        )
        .go_alone()
        .await;
    seen.ends(3, "github-unreachable");
    assert!(seen.log.contains("`ca-bundle`"), "{}", seen.log);
    assert_eq!(shop.requests("github", 0).len(), 0);
}
