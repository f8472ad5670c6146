//! The rules of `src/signal/RULES.md`, scenario by scenario: what gateways expose, and the readings that must follow. Time
//! and pages are arguments, so hours pass in microseconds.

mod absence;
mod alternatives;
#[path = "../common/commits.rs"]
mod commits;
mod configured;
mod engines;
mod faults_of_a_peer;
mod filters;
mod freshness;
mod groups;
mod labels;
mod leadership;
mod left_out;
mod losses;
mod names;
mod not_known;
mod numbers;
mod objects;
mod page_changes;
mod pages;
mod passed_over;
mod real_pages;
mod reasons;
mod reconfigured;
mod recorded;
mod restarts;
mod scenario;
mod scope;
mod servers;
mod sources_down;
mod unlisted;
