//! Which metrics prove what of others that are not on a page: that its process would expose them (S3a), or that they have no
//! series (S4a).

use super::engines;
use super::family::Class;
use super::lookup::Names;
use super::well_known::INFO;

impl Names {
    /// Yields whether a page with the given metric is that of a gateway which may expose `metric` (S3a).
    pub fn witnesses<'n>(&'n self, metric: &'n str) -> impl Fn(&str) -> bool + 'n {
        let class = self.family(metric).map(|(family, _, _)| family.class);
        move |present| {
            self.is_users_witness(metric, present)
                || class.is_some_and(|class| is_class_witness(class, present))
        }
    }

    /// Yields whether a page with the given metric and without `metric` proves that `metric` has no series (S4a). Gauges of
    /// the pool are exposed whenever their value is known, so nothing proves that they are 0.
    pub fn absence_witnesses<'n>(&'n self, metric: &'n str) -> impl Fn(&str) -> bool + 'n {
        let class = self
            .family(metric)
            .filter(|(family, _, _)| !family.replicated)
            .map(|(family, _, _)| family.class);
        move |present| {
            self.is_users_witness(metric, present)
                || class.is_some_and(|class| proves_absence(class, present))
        }
    }

    /// Whether a metric's series are there whenever its value is known, so that no page proves that one of them is 0 (S4a). A
    /// user's witness says otherwise.
    pub(crate) fn is_never_absent(&self, metric: &str) -> bool {
        self.family(metric).is_some() && !self.has_absence_witness(metric)
    }

    /// Whether anything is a witness of a metric's absence ([`Names::absence_witnesses`]).
    pub(crate) fn has_absence_witness(&self, metric: &str) -> bool {
        let has_witness = |class: Class| match class {
            Class::Engine(engine) => {
                engines::pack(engine).is_some_and(|pack| !pack.absence.is_empty())
            }
            Class::Pool => false,
            Class::FlowControl | Class::Request | Class::Inflight => true,
        };
        self.witnesses.iter().any(|(family, _)| family == metric)
            || self
                .family(metric)
                .is_some_and(|(family, ..)| !family.replicated && has_witness(family.class))
    }

    fn is_users_witness(&self, metric: &str, present: &str) -> bool {
        let given = |(family, witness): &(String, String)| family == metric && witness == present;
        self.witnesses.iter().any(given)
    }
}

/// Whether this metric is a witness of a class: a page with it would have the families of the class if they had series.
pub(crate) fn is_class_witness(class: Class, present: &str) -> bool {
    match class {
        Class::FlowControl => {
            present.ends_with("flow_control_pool_saturation")
                || present.ends_with("flow_control_dispatch_cycle_duration_seconds_count")
        }
        Class::Inflight => {
            present == "llm_d_epp_inflight_requests" || present == "llm_d_epp_inflight_tokens"
        }
        Class::Request | Class::Pool => {
            INFO.contains(&present)
                || present == "llm_d_epp_ready_endpoints"
                || present.starts_with("inference_pool_")
        }
        Class::Engine(engine) => {
            engines::pack(engine).is_some_and(|pack| pack.witnesses.contains(&present))
        }
    }
}

/// Whether this metric proves that families of a class that are not beside it have no series (S4a).
fn proves_absence(class: Class, present: &str) -> bool {
    match class {
        Class::Engine(engine) => {
            engines::pack(engine).is_some_and(|pack| pack.absence.contains(&present))
        }
        class => is_class_witness(class, present),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn witnesses_are_those_of_the_class() {
        let names = Names::default();
        let queue = "inference_extension_flow_control_queue_size";
        assert!(names.witnesses(queue)(
            "llm_d_epp_flow_control_pool_saturation"
        ));
        assert!(!names.witnesses(queue)("inference_pool_ready_pods"));
        assert!(names.witnesses("llm_d_epp_request_running")(
            "inference_pool_ready_pods"
        ));
        assert!(!names.witnesses("vllm:num_requests_running")(
            "inference_pool_ready_pods"
        ));
    }
}
