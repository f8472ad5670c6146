//! The specs of HorizontalPodAutoscalers (`autoscaling/v2` and `v1` of Kubernetes) and of ScaledObjects and ScaledJobs (KEDA's
//! custom resource definitions), field by field.
//!
//! Metrics and triggers are left open in the specs: each is checked by itself, so that one that is refused is told apart.

use super::schema::{Field, Shape, at_least, field, needed};

const PERIOD_SECONDS_MAX: i64 = 1_800;
const STABILIZATION_SECONDS_MAX: i64 = 3_600;

static RULES: [Field; 4] = [
    field(
        "stabilizationWindowSeconds",
        Shape::Whole {
            least: 0,
            most: STABILIZATION_SECONDS_MAX,
        },
    ),
    field("selectPolicy", Shape::OneOf(&["Max", "Min", "Disabled"])),
    field(
        "policies",
        Shape::List {
            of: &Shape::Object(&[
                needed("type", Shape::OneOf(&["Pods", "Percent"])),
                needed("value", at_least(1)),
                needed(
                    "periodSeconds",
                    Shape::Whole {
                        least: 1,
                        most: PERIOD_SECONDS_MAX,
                    },
                ),
            ]),
            least: 1,
        },
    ),
    field("tolerance", Shape::Quantity),
];

static BEHAVIOR: [Field; 2] = [
    field("scaleUp", Shape::Object(&RULES)),
    field("scaleDown", Shape::Object(&RULES)),
];

static REFERENCE: [Field; 3] = [
    field("apiVersion", Shape::Text),
    needed("kind", Shape::Text),
    needed("name", Shape::Text),
];

/// `spec` of an HPA.
pub(super) static HPA: Shape = Shape::Object(&[
    needed("scaleTargetRef", Shape::Object(&REFERENCE)),
    field("minReplicas", at_least(0)),
    needed("maxReplicas", at_least(1)),
    field(
        "metrics",
        Shape::List {
            of: &Shape::Any,
            least: 0,
        },
    ),
    field("behavior", Shape::Object(&BEHAVIOR)),
]);

/// `spec` of an HPA of `autoscaling/v1`.
pub(super) static HPA_V1: Shape = Shape::Object(&[
    needed("scaleTargetRef", Shape::Object(&REFERENCE)),
    field("minReplicas", at_least(0)),
    needed("maxReplicas", at_least(1)),
    field("targetCPUUtilizationPercentage", at_least(1)),
]);

static METRIC_NAME: [Field; 2] = [
    field("name", Shape::Text),
    field(
        "selector",
        Shape::Object(&[
            field("matchLabels", Shape::Texts),
            field(
                "matchExpressions",
                Shape::List {
                    of: &Shape::Object(&[
                        needed("key", Shape::Text),
                        needed(
                            "operator",
                            Shape::OneOf(&["In", "NotIn", "Exists", "DoesNotExist"]),
                        ),
                        field(
                            "values",
                            Shape::List {
                                of: &Shape::Text,
                                least: 0,
                            },
                        ),
                    ]),
                    least: 0,
                },
            ),
        ]),
    ),
];

static TARGET: [Field; 4] = [
    field("type", Shape::Text),
    field("value", Shape::Any),
    field("averageValue", Shape::Any),
    field("averageUtilization", at_least(1)),
];

/// One metric of an HPA.
pub(super) static METRIC: Shape = Shape::Object(&[
    field("type", Shape::Text),
    field(
        "external",
        Shape::Object(&[
            field("metric", Shape::Object(&METRIC_NAME)),
            field("target", Shape::Object(&TARGET)),
        ]),
    ),
    field(
        "pods",
        Shape::Object(&[
            field("metric", Shape::Object(&METRIC_NAME)),
            field("target", Shape::Object(&TARGET)),
        ]),
    ),
    field(
        "object",
        Shape::Object(&[
            field("metric", Shape::Object(&METRIC_NAME)),
            field("target", Shape::Object(&TARGET)),
            field("describedObject", Shape::Object(&REFERENCE)),
        ]),
    ),
    field(
        "resource",
        Shape::Object(&[
            needed("name", Shape::Text),
            field("target", Shape::Object(&TARGET)),
        ]),
    ),
    field(
        "containerResource",
        Shape::Object(&[
            needed("name", Shape::Text),
            needed("container", Shape::Text),
            field("target", Shape::Object(&TARGET)),
        ]),
    ),
]);

/// `spec` of a ScaledObject.
pub(super) static SCALED_OBJECT: Shape = Shape::Object(&[
    needed(
        "scaleTargetRef",
        Shape::Object(&[
            field("apiVersion", Shape::Text),
            field("kind", Shape::Text),
            needed("name", Shape::Text),
            field("envSourceContainerName", Shape::Text),
        ]),
    ),
    field("pollingInterval", at_least(1)),
    field("initialCooldownPeriod", at_least(0)),
    field("cooldownPeriod", at_least(0)),
    field("idleReplicaCount", at_least(0)),
    field("minReplicaCount", at_least(0)),
    field("maxReplicaCount", at_least(1)),
    field(
        "advanced",
        Shape::Object(&[
            field(
                "horizontalPodAutoscalerConfig",
                Shape::Object(&[
                    field("behavior", Shape::Object(&BEHAVIOR)),
                    field("name", Shape::Text),
                ]),
            ),
            field("restoreToOriginalReplicaCount", Shape::Flag),
            field(
                "scalingModifiers",
                Shape::Object(&[
                    field("formula", Shape::Text),
                    field("target", Shape::Text),
                    field("activationTarget", Shape::Text),
                    field("metricType", Shape::OneOf(&["AverageValue", "Value"])),
                ]),
            ),
        ]),
    ),
    field("triggers", TRIGGERS),
    field(
        "fallback",
        Shape::Object(&[
            needed("failureThreshold", at_least(0)),
            needed("replicas", at_least(0)),
            field(
                "behavior",
                Shape::OneOf(&[
                    "static",
                    "currentReplicas",
                    "currentReplicasIfHigher",
                    "currentReplicasIfLower",
                    "scalingModifiers",
                ]),
            ),
        ]),
    ),
]);

/// `spec` of a ScaledJob; what its jobs are is not looked at.
pub(super) static SCALED_JOB: Shape = Shape::Object(&[
    needed("jobTargetRef", Shape::Any),
    field("pollingInterval", at_least(1)),
    field("successfulJobsHistoryLimit", at_least(0)),
    field("failedJobsHistoryLimit", at_least(0)),
    field("rolloutStrategy", Shape::OneOf(&["gradual", "immediate"])),
    field(
        "rollout",
        Shape::Object(&[
            field("strategy", Shape::OneOf(&["gradual", "immediate"])),
            field(
                "propagationPolicy",
                Shape::OneOf(&["foreground", "background"]),
            ),
        ]),
    ),
    field("envSourceContainerName", Shape::Text),
    field("minReplicaCount", at_least(0)),
    field("maxReplicaCount", at_least(1)),
    field(
        "scalingStrategy",
        Shape::Object(&[
            field(
                "strategy",
                Shape::OneOf(&["default", "custom", "accurate", "eager"]),
            ),
            field("customScalingQueueLengthDeduction", at_least(0)),
            field("customScalingRunningJobPercentage", Shape::Text),
            field(
                "pendingPodConditions",
                Shape::List {
                    of: &Shape::Text,
                    least: 0,
                },
            ),
            field(
                "multipleScalersCalculation",
                Shape::OneOf(&["min", "avg", "sum", "max"]),
            ),
        ]),
    ),
    field("triggers", TRIGGERS),
]);

const TRIGGERS: Shape = Shape::List {
    of: &Shape::Any,
    least: 0,
};

/// The fields of a trigger beside `metadata`.
pub(super) const TRIGGER_KEYS: [&str; 6] = [
    "type",
    "name",
    "metadata",
    "authenticationRef",
    "metricType",
    "useCachedMetrics",
];

/// One trigger. Keys of its own are looked at by name, so that one in the wrong place is told where it belongs.
pub(super) static TRIGGER: [Field; 6] = [
    field(TRIGGER_KEYS[0], Shape::Text),
    field(TRIGGER_KEYS[1], Shape::Text),
    field(TRIGGER_KEYS[2], Shape::Texts),
    field(
        TRIGGER_KEYS[3],
        Shape::Object(&[
            needed("name", Shape::Text),
            field(
                "kind",
                Shape::OneOf(&["TriggerAuthentication", "ClusterTriggerAuthentication"]),
            ),
        ]),
    ),
    field(TRIGGER_KEYS[4], Shape::Text),
    field(TRIGGER_KEYS[5], Shape::Flag),
];
