//! A HorizontalPodAutoscaler, a ScaledObject or a ScaledJob as a whole: what the API server or KEDA's webhook refuses of it, whatever
//! its metrics and triggers read (`pkg/apis/autoscaling/validation` of Kubernetes, `scaledobject_webhook.go` of KEDA).

use std::collections::HashSet;

use super::Said;
use super::schema;
use super::shapes::{HPA, HPA_V1, SCALED_JOB, SCALED_OBJECT};
use super::tree::{at, list, text};
use crate::yaml::{Kind, Node};

/// Of a label's value, which KEDA makes of names.
const NAME_CHARS_MAX: usize = 63;
/// What KEDA puts before the name of a ScaledObject for its HPA's.
const HPA_PREFIX: &str = "keda-hpa-";
/// Where `maxReplicaCount` is not given.
const MAX_REPLICAS_DEFAULT: i64 = 100;

/// Of an HPA. `false`: it is of a version that is not read any further.
pub(super) fn check_hpa(tree: &Node, scaler: &str, said: &mut Said) -> bool {
    check_name(tree, scaler, said);
    let version = text(tree, &["apiVersion"]).unwrap_or("");
    let line = at(tree, &["apiVersion"]).map_or(tree.line, |node| node.line);
    let mut shape = &HPA;
    match version {
        "autoscaling/v2" => {}
        "autoscaling/v1" => shape = &HPA_V1,
        "" => said.error(
            line,
            format!("{scaler}: apiVersion is missing; write apiVersion: autoscaling/v2"),
        ),
        "autoscaling/v2beta1" => {
            said.error(
                line,
                format!(
                    "{scaler}: autoscaling/v2beta1 is not served since Kubernetes 1.25; write it as autoscaling/v2"
                ),
            );
            return false;
        }
        "autoscaling/v2beta2" => said.error(
            line,
            format!("{scaler}: autoscaling/v2beta2 is not served since Kubernetes 1.26; autoscaling/v2 has the same keys"),
        ),
        other => said.error(
            line,
            format!("{scaler}: apiVersion {other} has no HorizontalPodAutoscaler; autoscaling/v2 has"),
        ),
    }
    let Some(spec) = spec(tree, scaler, said) else {
        return true;
    };
    schema::check(spec, shape, &format!("{scaler}: spec"), said);
    let (least, most) = (whole(spec, "minReplicas"), whole(spec, "maxReplicas"));
    if let (Some((least, _)), Some((most, line))) = (least, most)
        && least > most
    {
        let why = format!(
            "{scaler}: spec.maxReplicas {most} is below minReplicas {least}, which the API server refuses"
        );
        said.error(line, why);
    }
    let metrics = list(spec, &["metrics"]).iter();
    let wakes = |kind: &str| matches!(kind, "Object" | "External");
    let mut kinds = metrics.filter_map(|metric| text(metric, &["type"]));
    if let Some((0, line)) = least
        && !kinds.any(wakes)
    {
        let why = format!(
            "{scaler}: spec.minReplicas 0 needs a metric of type Object or External, which alone say when to start again"
        );
        said.error(line, why);
    }
    true
}

/// Of a ScaledObject or a ScaledJob.
pub(super) fn check_keda(tree: &Node, scaler: &str, said: &mut Said) {
    let name = check_name(tree, scaler, said);
    let version = text(tree, &["apiVersion"]).unwrap_or("");
    if version != "keda.sh/v1alpha1" {
        let line = at(tree, &["apiVersion"]).map_or(tree.line, |node| node.line);
        let why = match version {
            "" => "apiVersion is missing".to_owned(),
            "keda.k8s.io/v1alpha1" => format!("apiVersion {version} is that of KEDA 1"),
            _ => format!("apiVersion {version} is not KEDA's"),
        };
        said.error(
            line,
            format!("{scaler}: {why}; write apiVersion: keda.sh/v1alpha1"),
        );
    }
    let Some(spec) = spec(tree, scaler, said) else {
        return;
    };
    let place = format!("{scaler}: spec");
    let is_job = text(tree, &["kind"]) == Some("ScaledJob");
    let shape = match is_job {
        true => &SCALED_JOB,
        false => &SCALED_OBJECT,
    };
    schema::check(spec, shape, &place, said);
    names_of_triggers(spec, scaler, said);
    match is_job {
        true => job_counts(spec, &place, said),
        false => {
            counts(spec, &place, said);
            fallback(spec, &place, said);
            modifiers(spec, &place, said);
            hpa_name(spec, name, &place, said);
        }
    }
}

fn check_name<'n>(tree: &'n Node, scaler: &str, said: &mut Said) -> Option<&'n str> {
    let name = text(tree, &["metadata", "name"]).filter(|name| !name.is_empty());
    if name.is_none() && text(tree, &["metadata", "generateName"]).is_none() {
        said.error(tree.line, format!("{scaler}: metadata.name is missing"));
    }
    name
}

fn spec<'n>(tree: &'n Node, scaler: &str, said: &mut Said) -> Option<&'n Node> {
    let spec = at(tree, &["spec"]).filter(|spec| matches!(spec.kind, Kind::Map(_)));
    if spec.is_none() {
        said.error(tree.line, format!("{scaler}: spec is missing"));
    }
    spec
}

/// A whole number with its line; nothing where it is none, which the schema says.
fn whole(spec: &Node, key: &str) -> Option<(i64, usize)> {
    let node = at(spec, &[key])?;
    let number = text(spec, &[key])?.parse().ok()?;
    Some((number, node.line))
}

/// KEDA's `CheckReplicaCountBoundsAreValid`: a minimum of 0 is 1 for the HPA, and none is 0.
fn counts(spec: &Node, place: &str, said: &mut Said) {
    let least = whole(spec, "minReplicaCount");
    let most = whole(spec, "maxReplicaCount");
    let limit = most.map_or(MAX_REPLICAS_DEFAULT, |(most, _)| most);
    if let Some((least, line)) = least
        && least.max(1) > limit
        && limit >= 1
    {
        let why = match most {
            Some(_) => format!("above maxReplicaCount {limit}"),
            None => format!("above maxReplicaCount, which is {limit} where it is not given"),
        };
        said.error(
            most.map_or(line, |(_, line)| line),
            format!("{place}.minReplicaCount {least} is {why}; KEDA refuses that"),
        );
    }
    let needed = least.map_or(0, |(least, _)| least.max(1));
    if let Some((idle, line)) = whole(spec, "idleReplicaCount")
        && idle >= needed
    {
        let fix = match least {
            Some((least, _)) => format!("minReplicaCount {least}"),
            None => "minReplicaCount, which has to be given beside it".to_owned(),
        };
        said.error(
            line,
            format!(
                "{place}.idleReplicaCount {idle} has to be below {fix}; KEDA refuses it otherwise"
            ),
        );
    }
}

fn job_counts(spec: &Node, place: &str, said: &mut Said) {
    if let (Some((least, line)), Some((most, _))) = (
        whole(spec, "minReplicaCount"),
        whole(spec, "maxReplicaCount"),
    ) && least > most
    {
        said.warn(
            line,
            format!("{place}.minReplicaCount {least} is above maxReplicaCount {most}, and KEDA takes {most} for both"),
        );
    }
}

/// KEDA's `CheckFallbackValid`.
fn fallback(spec: &Node, place: &str, said: &mut Said) {
    let Some(fallback) = at(spec, &["fallback"]) else {
        return;
    };
    let triggers = list(spec, &["triggers"]);
    let is_of_resources =
        |trigger: &Node| matches!(text(trigger, &["type"]), Some("cpu" | "memory"));
    let has_formula = at(spec, &["advanced", "scalingModifiers", "formula"]).is_some();
    if !has_formula && !triggers.is_empty() && triggers.iter().all(is_of_resources) {
        said.error(
            fallback.line,
            format!("{place}.fallback needs a trigger that is not cpu or memory"),
        );
    }
}

/// KEDA's `ValidateAndCompileScalingModifiers`, without the formula's language.
fn modifiers(spec: &Node, place: &str, said: &mut Said) {
    let Some(modifiers) = at(spec, &["advanced", "scalingModifiers"]) else {
        return;
    };
    let of = |key: &str| text(modifiers, &[key]).filter(|text| !text.is_empty());
    let place = format!("{place}.advanced.scalingModifiers");
    match (of("formula"), of("target")) {
        (Some(_), None) => said.error(
            modifiers.line,
            format!("{place}.target is missing, which a formula needs"),
        ),
        (_, Some(target)) if !target.parse::<f64>().is_ok_and(|target| target > 0.0) => said.error(
            at(modifiers, &["target"]).map_or(modifiers.line, |node| node.line),
            format!("{place}.target {target:?} has to be a number above 0"),
        ),
        _ => {}
    }
}

/// KEDA's `verifyName`.
fn hpa_name(spec: &Node, name: Option<&str>, place: &str, said: &mut Said) {
    let of_hpa = text(spec, &["advanced", "horizontalPodAutoscalerConfig", "name"]);
    let made = name.map(|name| format!("{HPA_PREFIX}{name}"));
    let Some(made) = of_hpa.map(str::to_owned).or(made) else {
        return;
    };
    if made.len() > NAME_CHARS_MAX {
        said.error(
            spec.line,
            format!(
                "{place}: its HPA would be named {made}, which has {} characters, and {NAME_CHARS_MAX} are the most; shorten \
                 the name, or give advanced.horizontalPodAutoscalerConfig.name",
                made.len()
            ),
        );
    }
}

/// KEDA's `ValidateTriggers`: what refers to a trigger does so by its name.
fn names_of_triggers(spec: &Node, scaler: &str, said: &mut Said) {
    let mut names = HashSet::new();
    for (position, trigger) in list(spec, &["triggers"]).iter().enumerate() {
        let name = text(trigger, &["name"]).filter(|name| !name.is_empty());
        if let Some(name) = name
            && !names.insert(name)
        {
            said.error(
                trigger.line,
                format!("{scaler}: triggers[{position}]: another trigger has the name {name}; KEDA refuses that"),
            );
        }
    }
}
