//! Turns public services into hosts, paths and addresses.
//! It asks no DNS and no cluster; whether a host is free is found out before anything is applied.
//! The first public service has the shortest host, because that is the address people type.

use super::{
    Facts, PlanError, PublicUrl,
    naming::{self, Fill, UnknownPlaceholder},
};
use crate::{
    inputs::{
        Settings,
        configuration::{Configuration, Public, Service, Tls},
    },
    names::{Host, Label, ReasonCode},
};

const FIRST: &str = "pr-{number}.{domain}";
const OTHERS: &str = "pr-{number}-{service}.{domain}";
const FIRST_BY_SLOT: &str = "pr{slot}.{domain}";
const OTHERS_BY_SLOT: &str = "pr{slot}-{service}.{domain}";

/// The public addresses, the main one first.
pub(super) fn decide(
    settings: &Settings,
    configuration: &Configuration,
    facts: &Facts,
    slot: Option<u32>,
    key: &str,
) -> Result<Vec<PublicUrl>, PlanError> {
    let scheme = match configuration.ingress.tls {
        Tls::Off => "http",
        _ => "https",
    };
    let public: Vec<_> = configuration
        .services
        .iter()
        .filter_map(|(name, service)| Some((name, service, service.public.as_ref()?)))
        .collect();
    let first = public
        .iter()
        .find(|(_, _, public)| public.host.is_none() && public.path.is_none())
        .or_else(|| public.iter().find(|(_, _, public)| public.host.is_none()))
        .map(|(name, _, _)| *name);
    let hosts = Hosts {
        settings,
        facts,
        slot,
        key,
        first,
    };
    let mut urls = Vec::new();
    for (name, service, public) in public {
        let host = hosts.host(name, public)?;
        let path = public.path.clone().unwrap_or_else(|| "/".into());
        let url = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
        let url = PublicUrl {
            service: name.clone(),
            health_path: health_path(service, public),
            host,
            path,
            url,
        };
        let main = Some(name) == first;
        urls.insert(if main { 0 } else { urls.len() }, url);
    }
    refuse_twins(&urls)?;
    Ok(urls)
}

struct Hosts<'a> {
    settings: &'a Settings,
    facts: &'a Facts,
    /// Slot that hosts are made of, if they are.
    slot: Option<u32>,
    key: &'a str,
    /// The service that the main host belongs to.
    first: Option<&'a Label>,
}

impl Hosts<'_> {
    fn host(&self, name: &Label, public: &Public) -> Result<Host, PlanError> {
        let shares_main = public.path.is_some() && self.first.is_some();
        let main = self.first == Some(name) || shares_main;
        match (&public.host, &self.settings.host_pattern) {
            (Some(pattern), _) => self.own_host(name, pattern),
            (None, Some(pattern)) if main => {
                let service = self.first.unwrap_or(name);
                self.fill(pattern, service).map_err(bad_pattern)
            }
            (None, Some(pattern)) if pattern.contains("{service}") => {
                self.fill(pattern, name).map_err(bad_pattern)
            }
            (None, Some(pattern)) => {
                let end = pattern.find('.').unwrap_or(pattern.len());
                let (label, rest) = pattern.split_at(end);
                self.fill(&format!("{label}-{{service}}{rest}"), name)
                    .map_err(bad_pattern)
            }
            (None, None) => {
                let pattern = match (self.slot, main) {
                    (None, true) => FIRST,
                    (None, false) => OTHERS,
                    (Some(_), true) => FIRST_BY_SLOT,
                    (Some(_), false) => OTHERS_BY_SLOT,
                };
                self.fill(pattern, name).map_err(bad_pattern)
            }
        }
    }

    /// A host that the configuration names: fenced, because a configuration must not take another preview's place.
    fn own_host(&self, name: &Label, pattern: &str) -> Result<Host, PlanError> {
        let refused = |cause: String| PlanError {
            reason: ReasonCode::BadConfiguration,
            cause: format!("`services.{name}.public.host`: {cause}"),
            remedy: format!("write one such as `{name}-{{number}}.{{domain}}`"),
        };
        let host = self.fill(pattern, name).map_err(|fault| match fault {
            Fault::NoDomain => no_domain(name),
            Fault::Unknown(unknown) => {
                refused(format!("the placeholder `{{{}}}` is unknown", unknown.0))
            }
            Fault::NotAHost(host) => refused(format!("`{host}` is no host name")),
        })?;
        let domain = self
            .settings
            .domain
            .as_ref()
            .ok_or_else(|| no_domain(name))?;
        let number = self.slot.map_or(self.facts.pr.get(), u64::from);
        if !naming::host_belongs_to(host.as_str(), domain, number) {
            return Err(refused(format!(
                "`{host}` is not below `{domain}` with the number {number} in it"
            )));
        }
        Ok(host)
    }

    fn fill(&self, pattern: &str, service: &Label) -> Result<Host, Fault> {
        let pattern = match &self.settings.domain {
            Some(domain) => pattern.replace("{domain}", domain.as_str()),
            None if pattern.contains("{domain}") => return Err(Fault::NoDomain),
            None => pattern.to_owned(),
        };
        let number = self.facts.pr.to_string();
        let fill = |placeholder, text, may_be_cut| Fill {
            placeholder,
            text,
            may_be_cut,
        };
        let slot = self.slot.map(|slot| slot.to_string());
        let slot = slot.iter().map(|slot| fill("slot", slot.as_str(), false));
        let mut fills = vec![
            fill("number", number.as_str(), false),
            fill("owner", self.facts.repository.owner(), true),
            fill("repo", self.facts.repository.name(), true),
            fill("service", service.as_str(), true),
            fill("environment", self.settings.environment.as_str(), true),
        ];
        fills.extend(slot);
        let host = naming::host(&pattern, &fills, self.key).map_err(Fault::Unknown)?;
        host.parse().map_err(|_| Fault::NotAHost(host))
    }
}

enum Fault {
    NoDomain,
    Unknown(UnknownPlaceholder),
    NotAHost(String),
}

fn bad_pattern(fault: Fault) -> PlanError {
    let (cause, remedy) = match fault {
        Fault::NoDomain => (
            "a service is public, but the input `domain` is not set".to_owned(),
            "set `domain` to the domain whose names lead to the cluster, or take `public` from the services",
        ),
        Fault::Unknown(unknown) => (
            format!(
                "input `host-pattern` has the unknown placeholder `{{{}}}`",
                unknown.0
            ),
            "use `{number}`, `{service}`, `{repo}`, `{owner}`, `{environment}` and `{domain}`",
        ),
        Fault::NotAHost(host) => (
            format!("input `host-pattern` gives `{host:.260}`, which is no host name"),
            "write one such as `pr-{number}-{service}.{domain}`",
        ),
    };
    PlanError {
        reason: ReasonCode::BadInput,
        cause,
        remedy: remedy.into(),
    }
}

fn no_domain(name: &Label) -> PlanError {
    PlanError {
        reason: ReasonCode::BadInput,
        cause: format!("service `{name}` is public, but the input `domain` is not set"),
        remedy: "set `domain` to the domain whose names lead to the cluster, or take `public` from the service".into(),
    }
}

/// The health path as it is seen from outside, to be put behind the address.
fn health_path(service: &Service, public: &Public) -> String {
    let prefix = public.path.as_deref().unwrap_or("/");
    match &service.health {
        Some(health) if public.strip_prefix || prefix == "/" => health.path.clone(),
        Some(health) => match health.path.strip_prefix(prefix) {
            Some(rest) if rest.starts_with('/') => rest.into(),
            _ => String::new(),
        },
        None if prefix == "/" => "/".into(),
        None => String::new(),
    }
}

fn refuse_twins(urls: &[PublicUrl]) -> Result<(), PlanError> {
    for (index, url) in urls.iter().enumerate() {
        let twin = urls[..index]
            .iter()
            .find(|other| other.host == url.host && other.path == url.path);
        if let Some(twin) = twin {
            return Err(PlanError {
                reason: ReasonCode::BadConfiguration,
                cause: format!(
                    "services `{}` and `{}` both have the address {}",
                    twin.service, url.service, url.url
                ),
                remedy: "give one of them another `public.path` or `public.host`, or put `{service}` into the input `host-pattern`".into(),
            });
        }
    }
    Ok(())
}
