//! The families of gateways: gateway-api-inference-extension v0.3 to v1.5 and llm-d-router v0.9 to the v0.11 line, from each
//! release's `pkg/epp/metrics`.

use super::family::{
    Class, Family, Measure, counted, demand, late, measuring, name, repeated, sometimes,
};

const QUEUE: &[&str] = &["fairness_id", "priority"];
/// Given to the queue's families by GIE v1.3.0, before any witness of flow control came to be.
const QUEUE_LATE: &[&str] = &["inference_pool", "model_name", "target_model_name"];
const FLOW: &[&str] = &[
    "fairness_id",
    "inference_pool",
    "model_name",
    "priority",
    "target_model_name",
];
const FLOW_OUTCOME: &[&str] = &[
    "fairness_id",
    "inference_pool",
    "model_name",
    "outcome",
    "priority",
    "target_model_name",
];
const INFLIGHT: &[&str] = &[
    "endpoint_name",
    "fairness_id",
    "namespace",
    "priority",
    "producer_name",
];
const L4: &[&str] = &["fairness_id", "model_name", "priority", "target_model_name"];
const MODELS: &[&str] = &["model_name", "target_model_name"];
const MODEL: &[&str] = &["model_name"];
const POOL: &[&str] = &["name"];
const INFERENCE_POOL: &[&str] = &["inference_pool"];

/// Every family that has had several names, and those whose meaning matters.
pub(super) const GATEWAYS: &[Family] = &[
    measuring(
        demand(
            Class::FlowControl,
            &[
                name("llm_d_epp_flow_control_queue_size", FLOW),
                late(
                    name("inference_extension_flow_control_queue_size", QUEUE),
                    QUEUE_LATE,
                ),
            ],
        ),
        Measure::Queue,
        "requests",
    ),
    measuring(
        demand(
            Class::FlowControl,
            &[
                name("llm_d_epp_flow_control_queue_bytes", FLOW),
                name("inference_extension_flow_control_queue_bytes", FLOW),
            ],
        ),
        Measure::Queue,
        "bytes",
    ),
    measuring(
        demand(
            Class::Request,
            &[
                name("llm_d_epp_request_running", L4),
                name("inference_objective_running_requests", MODEL),
                name("inference_model_running_requests", MODEL),
            ],
        ),
        Measure::Running,
        "requests",
    ),
    measuring(
        demand(
            Class::Inflight,
            &[name("llm_d_epp_inflight_requests", INFLIGHT)],
        ),
        Measure::Running,
        "requests",
    ),
    measuring(
        demand(
            Class::Inflight,
            &[name("llm_d_epp_inflight_tokens", INFLIGHT)],
        ),
        Measure::Running,
        "tokens",
    ),
    repeated(
        Class::FlowControl,
        &[
            sometimes(
                name("llm_d_epp_flow_control_pool_saturation", INFERENCE_POOL),
                &["stage"],
            ),
            sometimes(
                name(
                    "inference_extension_flow_control_pool_saturation",
                    INFERENCE_POOL,
                ),
                &["stage"],
            ),
        ],
    ),
    counted(
        Class::FlowControl,
        &[
            name(
                "llm_d_epp_flow_control_request_queue_duration_seconds",
                FLOW_OUTCOME,
            ),
            late(
                name(
                    "inference_extension_flow_control_request_queue_duration_seconds",
                    &["fairness_id", "outcome", "priority"],
                ),
                QUEUE_LATE,
            ),
        ],
    ),
    counted(
        Class::FlowControl,
        &[
            name(
                "llm_d_epp_flow_control_request_enqueue_duration_seconds",
                &["fairness_id", "outcome", "priority"],
            ),
            sometimes(
                name(
                    "inference_extension_flow_control_request_enqueue_duration_seconds",
                    &["outcome", "priority"],
                ),
                &["fairness_id"],
            ),
        ],
    ),
    counted(
        Class::FlowControl,
        &[
            name(
                "llm_d_epp_flow_control_dispatch_cycle_duration_seconds",
                &[],
            ),
            name(
                "inference_extension_flow_control_dispatch_cycle_duration_seconds",
                &[],
            ),
        ],
    ),
    measuring(
        repeated(
            Class::Pool,
            &[
                name("llm_d_epp_average_queue_size", POOL),
                name("inference_pool_average_queue_size", POOL),
            ],
        ),
        Measure::Queue,
        "requests",
    ),
    measuring(
        repeated(
            Class::Pool,
            &[
                name("llm_d_epp_average_running_requests", POOL),
                name("inference_pool_average_running_requests", POOL),
            ],
        ),
        Measure::Running,
        "requests",
    ),
    measuring(
        repeated(
            Class::Pool,
            &[
                name("llm_d_epp_average_kv_cache_utilization", POOL),
                name("inference_pool_average_kv_cache_utilization", POOL),
            ],
        ),
        Measure::Utilisation,
        "",
    ),
    repeated(
        Class::Pool,
        &[
            name("llm_d_epp_ready_endpoints", POOL),
            name("inference_pool_ready_pods", POOL),
        ],
    ),
    measuring(
        repeated(
            Class::Pool,
            &[
                name(
                    "llm_d_epp_per_endpoint_queue_size",
                    &["model_server_endpoint", "name"],
                ),
                name(
                    "inference_pool_per_pod_queue_size",
                    &["model_server_pod", "name"],
                ),
            ],
        ),
        Measure::Queue,
        "requests",
    ),
    measuring(
        counted(
            Class::Request,
            &[
                name("llm_d_epp_request_total", L4),
                sometimes(
                    name("inference_objective_request_total", MODELS),
                    &["priority"],
                ),
                name("inference_model_request_total", MODELS),
            ],
        ),
        Measure::Counter,
        "requests",
    ),
    measuring(
        counted(
            Class::Request,
            &[
                name(
                    "llm_d_epp_request_error_total",
                    &[
                        "error_code",
                        "fairness_id",
                        "model_name",
                        "priority",
                        "target_model_name",
                    ],
                ),
                name(
                    "inference_objective_request_error_total",
                    &["error_code", "model_name", "target_model_name"],
                ),
            ],
        ),
        Measure::Counter,
        "requests",
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_duration_seconds", L4),
            name("inference_objective_request_duration_seconds", MODELS),
            name("inference_model_request_duration_seconds", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_size_bytes", L4),
            name("inference_objective_request_sizes", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_response_size_bytes", L4),
            name("inference_objective_response_sizes", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_input_tokens", L4),
            name("inference_objective_input_tokens", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_output_tokens", L4),
            name("inference_objective_output_tokens", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_cached_tokens", L4),
            name("inference_objective_prompt_cached_tokens", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_ntpot_seconds", L4),
            name(
                "inference_objective_normalized_time_per_output_token_seconds",
                MODELS,
            ),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_scheduler_e2e_duration_seconds", &[]),
            name("inference_extension_scheduler_e2e_duration_seconds", &[]),
        ],
    ),
    repeated(
        Class::FlowControl,
        &[name(
            "llm_d_epp_flow_control_detector_saturation",
            &["detector", "stage"],
        )],
    ),
    measuring(
        counted(
            Class::Request,
            &[
                name("llm_d_epp_disagg_decision_total", &["decision_type"]),
                name(
                    "llm_d_inference_scheduler_disagg_decision_total",
                    &["decision_type"],
                ),
            ],
        ),
        Measure::Counter,
        "requests",
    ),
    measuring(
        counted(
            Class::Request,
            &[name("llm_d_epp_request_slo_violation_total", &["type"])],
        ),
        Measure::Counter,
        "requests",
    ),
];
