#![doc = include_str!("README.md")]

// ground: values and assets
pub mod names;
pub mod templates;
pub mod tls;
pub mod yaml;

// stages: pure, left to right
pub mod inputs;

pub mod event;

pub mod trigger;

pub mod plan;

pub mod manifests;
pub mod metrics;

pub mod capacity;

// edges: each knows one outside world
pub mod cluster;

pub mod report;

pub mod github;

pub mod health;

pub mod registry;

pub mod runner;

// composition and front doors
pub mod pipeline;

pub mod simulate;

pub mod cli;

pub mod telemetry;
