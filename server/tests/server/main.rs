//! The whole server on loopback, as its clients and targets see it: one module per subject, one binary for all, because
//! each would link the server once more.
//!
//! `against_*`, `formats`, `found_as_in_prometheus`, `real_clients` and others use programs that a clone does not contain (`stillwell_testing::outside`).

mod adapter_rules;
mod against_adapter;
mod against_prometheus;
mod alerts;
mod api_service;
mod apis;
mod bulkheads;
mod clients;
mod cluster_size;
mod common;
mod configurations;
mod configured;
mod console;
mod console_views;
mod custom_rules;
mod delegated;
mod demo;
mod events;
mod field;
mod for_each;
mod formats;
mod found_as_in_prometheus;
mod hpa_reads;
mod keda;
mod keda_grpcio;
mod keda_prometheus;
mod kill;
mod kube_state;
mod kubernetes_discovery;
mod manifests;
mod monitors;
mod nothing_matches;
mod objects;
mod openapi;
mod otlp;
mod own_metrics;
mod pages;
mod real_clients;
mod reloads;
mod remote_read;
mod remote_write;
mod replicas;
mod restart;
mod retain;
mod rules;
mod same_everywhere;
mod scraping;
mod secure;
mod several_elements;
mod shards;
mod targets;
mod web_config;
