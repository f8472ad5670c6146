//! The families of model servers: what waits, what runs and how full they are, under every prefix and name that releases and
//! frameworks around them give it.
//!
//! Each pack has witnesses: metrics that are on the page of such a server whenever it is up, so that a target of the kind is
//! known as one. They prove no 0: servers show the gauges of this table from their start, or with the first request that
//! makes them known, so that one that is missing is not known. The exception is a pack whose page names the models that it
//! serves before they are asked for ([`Pack::absence`]).

use super::family::{Class, Engine, Family, Measure, counted, demand, measuring, name, sometimes};

/// The families of one server.
pub(super) struct Pack {
    pub(super) engine: Engine,
    /// On the page whenever the server is up.
    pub(super) witnesses: &'static [&'static str],
    /// On the page with every model that is served: a family that is missing beside it has counted nothing yet.
    pub(super) absence: &'static [&'static str],
    pub(super) families: &'static [Family],
}

const MODEL: &[&str] = &["model_name"];
const VLLM: &[&str] = &["engine"];
const NONE: &[&str] = &[];

const fn queue(engine: Engine, names: &'static [super::family::Name]) -> Family {
    measuring(
        demand(Class::Engine(engine), names),
        Measure::Queue,
        "requests",
    )
}

const fn running(engine: Engine, names: &'static [super::family::Name]) -> Family {
    measuring(
        demand(Class::Engine(engine), names),
        Measure::Running,
        "requests",
    )
}

const fn share(engine: Engine, names: &'static [super::family::Name]) -> Family {
    measuring(
        counted(Class::Engine(engine), names),
        Measure::Utilisation,
        "",
    )
}

const fn counter(
    engine: Engine,
    names: &'static [super::family::Name],
    unit: &'static str,
) -> Family {
    measuring(
        counted(Class::Engine(engine), names),
        Measure::Counter,
        unit,
    )
}

/// A family of vLLM under its three prefixes.
macro_rules! vllm {
    ($name:literal) => {
        &[
            sometimes(name(concat!("vllm:", $name), MODEL), VLLM),
            sometimes(name(concat!("ray_vllm_", $name), MODEL), VLLM),
            sometimes(name(concat!("ray_vllm:", $name), MODEL), VLLM),
            sometimes(name(concat!("kserve_vllm:", $name), MODEL), VLLM),
        ]
    };
}

/// A family of SGLang, with a colon and, since Prometheus' own names, an underscore.
macro_rules! sglang {
    ($name:literal) => {
        &[
            name(concat!("sglang:", $name), MODEL),
            name(concat!("sglang_", $name), MODEL),
        ]
    };
}

pub(super) const PACKS: &[Pack] = &[
    Pack {
        engine: Engine::Vllm,
        witnesses: &[
            "vllm:num_requests_running",
            "vllm:num_requests_waiting",
            "vllm:cache_config_info",
            "ray_vllm_num_requests_running",
            "ray_vllm:num_requests_running",
            "kserve_vllm:num_requests_running",
        ],
        absence: NONE,
        families: &[
            queue(Engine::Vllm, vllm!("num_requests_waiting")),
            running(Engine::Vllm, vllm!("num_requests_running")),
            share(
                Engine::Vllm,
                &[
                    sometimes(name("vllm:kv_cache_usage_perc", MODEL), VLLM),
                    sometimes(name("vllm:gpu_cache_usage_perc", MODEL), VLLM),
                    sometimes(name("ray_vllm_kv_cache_usage_perc", MODEL), VLLM),
                    sometimes(name("ray_vllm_gpu_cache_usage_perc", MODEL), VLLM),
                    sometimes(name("ray_vllm:kv_cache_usage_perc", MODEL), VLLM),
                    sometimes(name("kserve_vllm:kv_cache_usage_perc", MODEL), VLLM),
                    sometimes(name("kserve_vllm:gpu_cache_usage_perc", MODEL), VLLM),
                ],
            ),
            counter(Engine::Vllm, vllm!("request_success_total"), "requests"),
            counter(Engine::Vllm, vllm!("prompt_tokens_total"), "tokens"),
            counter(Engine::Vllm, vllm!("generation_tokens_total"), "tokens"),
        ],
    },
    Pack {
        engine: Engine::Sglang,
        witnesses: &[
            "sglang:num_running_reqs",
            "sglang_num_running_reqs",
            "sglang:token_usage",
            "sglang_token_usage",
        ],
        absence: NONE,
        families: &[
            queue(Engine::Sglang, sglang!("num_queue_reqs")),
            running(Engine::Sglang, sglang!("num_running_reqs")),
            share(Engine::Sglang, sglang!("token_usage")),
            counter(Engine::Sglang, sglang!("num_requests_total"), "requests"),
        ],
    },
    Pack {
        engine: Engine::Tgi,
        witnesses: &["tgi_queue_size", "tgi_batch_current_size"],
        absence: NONE,
        families: &[
            queue(Engine::Tgi, &[name("tgi_queue_size", NONE)]),
            running(Engine::Tgi, &[name("tgi_batch_current_size", NONE)]),
            counter(Engine::Tgi, &[name("tgi_request_count", NONE)], "requests"),
        ],
    },
    Pack {
        engine: Engine::Triton,
        witnesses: &[
            "nv_inference_pending_request_count",
            "nv_inference_request_success",
        ],
        absence: NONE,
        families: &[
            queue(
                Engine::Triton,
                &[name(
                    "nv_inference_pending_request_count",
                    &["model", "version"],
                )],
            ),
            counter(
                Engine::Triton,
                &[name("nv_inference_request_success", &["model", "version"])],
                "requests",
            ),
            counter(
                Engine::Triton,
                &[name(
                    "nv_inference_queue_duration_us",
                    &["model", "version"],
                )],
                "microseconds",
            ),
            counter(
                Engine::Triton,
                &[name(
                    "nv_inference_request_duration_us",
                    &["model", "version"],
                )],
                "microseconds",
            ),
            counter(
                Engine::Triton,
                &[name(
                    "nv_inference_compute_infer_duration_us",
                    &["model", "version"],
                )],
                "microseconds",
            ),
        ],
    },
    Pack {
        engine: Engine::Dynamo,
        witnesses: &[
            "dynamo_frontend_model_context_length",
            "dynamo_frontend_model_total_kv_blocks",
            "dynamo_frontend_inflight_requests",
        ],
        absence: &[
            "dynamo_frontend_model_context_length",
            "dynamo_frontend_model_total_kv_blocks",
        ],
        families: &[
            queue(
                Engine::Dynamo,
                &[name("dynamo_frontend_queued_requests", &["model"])],
            ),
            running(
                Engine::Dynamo,
                &[name("dynamo_frontend_inflight_requests", &["model"])],
            ),
            counter(
                Engine::Dynamo,
                &[name("dynamo_frontend_requests_total", &["model"])],
                "requests",
            ),
        ],
    },
    Pack {
        engine: Engine::Kthena,
        witnesses: &[
            "kthena_router_active_downstream_requests",
            "kthena_router_requests_total",
        ],
        absence: NONE,
        families: &[
            running(
                Engine::Kthena,
                &[name("kthena_router_active_downstream_requests", &["model"])],
            ),
            running(
                Engine::Kthena,
                &[name("kthena_router_active_upstream_requests", NONE)],
            ),
            counter(
                Engine::Kthena,
                &[name("kthena_router_requests_total", &["model"])],
                "requests",
            ),
        ],
    },
    Pack {
        engine: Engine::LlamaCpp,
        witnesses: &["llamacpp:requests_deferred", "llamacpp:requests_processing"],
        absence: NONE,
        families: &[
            queue(
                Engine::LlamaCpp,
                &[name("llamacpp:requests_deferred", NONE)],
            ),
            running(
                Engine::LlamaCpp,
                &[name("llamacpp:requests_processing", NONE)],
            ),
            share(
                Engine::LlamaCpp,
                &[name("llamacpp:kv_cache_usage_ratio", NONE)],
            ),
            counter(
                Engine::LlamaCpp,
                &[name("llamacpp:tokens_predicted_total", NONE)],
                "tokens",
            ),
        ],
    },
    Pack {
        engine: Engine::JetStream,
        witnesses: &[
            "jetstream_prefill_backlog_size",
            "jetstream_slots_used_percentage",
        ],
        absence: NONE,
        families: &[
            queue(
                Engine::JetStream,
                &[name("jetstream_prefill_backlog_size", NONE)],
            ),
            share(
                Engine::JetStream,
                &[name("jetstream_slots_used_percentage", NONE)],
            ),
        ],
    },
    Pack {
        engine: Engine::RayServe,
        witnesses: &[
            "ray_serve_deployment_replica_healthy",
            "ray_serve_deployment_queued_queries",
        ],
        absence: &["ray_serve_deployment_replica_healthy"],
        families: &[
            queue(
                Engine::RayServe,
                &[name("ray_serve_deployment_queued_queries", &["deployment"])],
            ),
            running(
                Engine::RayServe,
                &[name(
                    "ray_serve_replica_processing_queries",
                    &["deployment"],
                )],
            ),
        ],
    },
    Pack {
        engine: Engine::LlmDAsync,
        witnesses: &["async_broker_backlog"],
        absence: NONE,
        families: &[queue(
            Engine::LlmDAsync,
            &[name("async_broker_backlog", NONE)],
        )],
    },
    Pack {
        engine: Engine::AiBrix,
        witnesses: &["aibrix_queue_depth", "aibrix_running_requests"],
        absence: NONE,
        families: &[
            queue(Engine::AiBrix, &[name("aibrix_queue_depth", NONE)]),
            running(Engine::AiBrix, &[name("aibrix_running_requests", NONE)]),
        ],
    },
    Pack {
        engine: Engine::KServe,
        witnesses: &["revision_queue_depth", "revision_app_request_count"],
        absence: NONE,
        families: &[
            queue(Engine::KServe, &[name("revision_queue_depth", NONE)]),
            counter(
                Engine::KServe,
                &[name("revision_app_request_count", NONE)],
                "requests",
            ),
        ],
    },
];

/// The pack of a server.
pub(super) fn pack(engine: Engine) -> Option<&'static Pack> {
    PACKS.iter().find(|pack| pack.engine == engine)
}
