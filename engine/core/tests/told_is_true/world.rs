//! Servers as they really are, and the pages that show it.

use std::fmt::Write as _;

use crate::rules::Rules;

pub(crate) const MODELS: [&str; 3] = ["m", "n", "o"];
pub(crate) const POOLS: [&str; 2] = ["a", "b"];
/// What the targets of a job are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// A gateway with flow control. Series of its queue come with the first request and leave when it is idle.
    Gateway,
    /// The same of an older release, under the names of before.
    OldGateway,
    /// A vLLM server: all its families are there from the start.
    Engine,
    /// An exporter of metrics that the names table does not know.
    Exporter,
}

/// A family that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) server: Server,
    pub(crate) name: &'static str,
    pub(crate) is_counter: bool,
    /// Whether its series leave while there is nothing to count.
    pub(crate) is_lazy: bool,
    pub(crate) has_pool: bool,
    /// Which of the numbers of a model it shows.
    number: usize,
}

const fn family(server: Server, name: &'static str, number: usize) -> Family {
    Family {
        server,
        name,
        is_counter: false,
        is_lazy: false,
        has_pool: false,
        number,
    }
}

pub(crate) const FAMILIES: [Family; 10] = [
    Family {
        is_lazy: true,
        has_pool: true,
        ..family(Server::Gateway, "llm_d_epp_flow_control_queue_size", 0)
    },
    Family {
        is_lazy: true,
        ..family(Server::Gateway, "llm_d_epp_request_running", 1)
    },
    Family {
        is_lazy: true,
        is_counter: true,
        ..family(Server::Gateway, "llm_d_epp_request_total", 2)
    },
    family(Server::Engine, "vllm:num_requests_waiting", 0),
    family(Server::Engine, "vllm:num_requests_running", 1),
    Family {
        is_counter: true,
        ..family(Server::Engine, "vllm:prompt_tokens_total", 2)
    },
    family(Server::Exporter, "my_queue", 0),
    family(Server::Exporter, "my_running", 1),
    Family {
        is_counter: true,
        ..family(Server::Exporter, "my_requests_total", 2)
    },
    family(Server::Exporter, "my_depth", 3),
];

/// The families of a server, by their index in [`FAMILIES`].
pub(crate) fn families_of(server: Server) -> impl Iterator<Item = usize> {
    let server = match server {
        Server::OldGateway => Server::Gateway,
        other => other,
    };
    (0..FAMILIES.len()).filter(move |at| FAMILIES[*at].server == server)
}

/// The name of a family in releases before.
pub(crate) fn old_name(family: usize) -> &'static str {
    match family {
        0 => "inference_extension_flow_control_queue_size",
        1 => "inference_objective_running_requests",
        2 => "inference_objective_request_total",
        _ => FAMILIES[family].name,
    }
}

/// What a server has of one model; `None` of one of which it was never asked, or has forgotten.
pub(crate) type Load = Option<[u32; 4]>;

/// What is wrong with a target's pages, each until a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) down: usize,
    pub(crate) broken: usize,
    pub(crate) late: usize,
    pub(crate) empty: usize,
    /// Of families: not on the page, although the server has them.
    pub(crate) lost: [usize; FAMILIES.len()],
    /// Of families: NaN on the page.
    pub(crate) nan: [usize; FAMILIES.len()],
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) uid: usize,
    pub(crate) job: usize,
    pub(crate) server: Server,
    pub(crate) pool: &'static str,
    pub(crate) start_s: i64,
    pub(crate) shows_start: bool,
    pub(crate) loads: [Load; MODELS.len()],
    pub(crate) faults: Faults,
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// As the server gives it, faults included.
    Shown,
    /// The same, under the names of today.
    Seen,
    /// As it would be without faults.
    True,
    /// The same, and what is absent because there is none of it is 0.
    Zeros,
    /// The same as `True`, and what is NaN on the page is 0.
    NanIsZero,
}

impl Page {
    fn has_faults(self) -> bool {
        matches!(self, Page::Shown | Page::Seen)
    }
}

impl Target {
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self.server, Server::Gateway | Server::OldGateway)
    }

    /// Whether a family of it is on none of its pages at a step, although it has it.
    pub(crate) fn hides(&self, family: usize, step: usize) -> bool {
        self.faults.empty > step || self.faults.lost[family] > step
    }

    pub(crate) fn is_nan(&self, family: usize, step: usize) -> bool {
        self.faults.nan[family] > step && !FAMILIES[family].is_counter
    }

    pub(crate) fn page(&self, kind: Page, step: usize) -> String {
        let mut out = String::new();
        if kind.has_faults() && self.faults.empty > step {
            return out;
        }
        if self.shows_start || kind != Page::Shown {
            let _ = writeln!(out, "process_start_time_seconds {}", self.start_s);
        }
        if self.is_gateway() {
            self.gateway(&mut out, kind, step);
        }
        for at in families_of(self.server) {
            if !kind.has_faults() || !self.hides(at, step) {
                self.series(&mut out, at, kind, step);
            }
        }
        if kind == Page::Shown && self.faults.broken > step {
            out += "half a line{";
        }
        out
    }

    fn is_old(&self, kind: Page) -> bool {
        self.server == Server::OldGateway && kind == Page::Shown
    }

    /// What says that it is a gateway, and witnesses of what it does not show.
    fn gateway(&self, out: &mut String, kind: Page, step: usize) {
        let pool = self.pool;
        let hides = |family: usize| kind.has_faults() && self.hides(family, step);
        let (prefix, ready) = match self.is_old(kind) {
            true => ("inference_extension", "inference_pool_ready_pods"),
            false => ("llm_d_epp", "llm_d_epp_ready_endpoints"),
        };
        // What proves that a family is absent for want of requests goes with it.
        if !hides(0) {
            let _ = writeln!(
                out,
                "{prefix}_flow_control_pool_saturation{{inference_pool=\"{pool}\"}} 0.5"
            );
        }
        if !hides(1) && !hides(2) {
            let _ = writeln!(
                out,
                "{prefix}_info{{commit=\"x\"}} 1\n{ready}{{name=\"{pool}\"}} 1"
            );
        }
    }

    fn series(&self, out: &mut String, at: usize, kind: Page, step: usize) {
        let family = &FAMILIES[at];
        let name = match self.is_old(kind) {
            true => old_name(at),
            false => family.name,
        };
        for (model, load) in MODELS.iter().zip(self.loads) {
            let value = match (load, kind) {
                (Some(load), _) => load[family.number],
                (None, Page::Zeros) if family.is_lazy => 0,
                (None, _) => continue,
            };
            let value = match (kind, self.is_nan(at, step)) {
                (Page::Shown | Page::Seen, true) => f64::NAN,
                (Page::NanIsZero, true) => 0.0,
                _ => f64::from(value),
            };
            let _ = match (self.is_gateway(), family.has_pool) {
                (true, true) => writeln!(
                    out,
                    "{name}{{fairness_id=\"f\",inference_pool=\"{}\",model_name=\"{model}\",priority=\"0\",\
                     target_model_name=\"{model}\"}} {value}",
                    self.pool
                ),
                _ => writeln!(out, "{name}{{model_name=\"{model}\"}} {value}"),
            };
        }
    }
}

/// What a target's newest good page shows of what it has.
#[derive(Clone, Debug)]
pub(crate) struct OnPage {
    pub(crate) uid: usize,
    pub(crate) job: usize,
    pub(crate) server: Server,
    /// Of a gateway.
    pub(crate) pool: Option<&'static str>,
    /// The page has no sample at all.
    pub(crate) is_empty: bool,
    /// Whether the server has anything of a model.
    pub(crate) has_load: bool,
    /// Of families: the server has them, and the page does not show it.
    pub(crate) hides: [bool; FAMILIES.len()],
    /// Of families: NaN on the page.
    pub(crate) is_nan: [bool; FAMILIES.len()],
    /// The families that its process has shown, as far as anybody can know which process it is.
    pub(crate) has_shown: [bool; FAMILIES.len()],
    models: [bool; MODELS.len()],
    shows_start: bool,
    /// By which it is read.
    pub(crate) rules: Rules,
}

impl OnPage {
    pub(crate) fn of(target: &Target, rules: Rules, step: usize) -> OnPage {
        let has = |family: usize| {
            families_of(target.server).any(|one| one == family) && !rules.leave_out(family)
        };
        let of_families = |is_so: &dyn Fn(usize) -> bool| {
            std::array::from_fn(|family| has(family) && is_so(family))
        };
        let has_load = target.loads.iter().any(Option::is_some);
        OnPage {
            uid: target.uid,
            job: target.job,
            server: target.server,
            pool: target.is_gateway().then_some(target.pool),
            is_empty: target.faults.empty > step,
            has_load,
            hides: of_families(&|family| target.hides(family, step)),
            is_nan: of_families(&|family| {
                has_load && target.is_nan(family, step) && !target.hides(family, step)
            }),
            has_shown: [false; FAMILIES.len()],
            models: target.loads.map(|load| load.is_some()),
            shows_start: target.shows_start,
            rules,
        }
    }

    /// The page, read by other rules. What its process has shown by those of before is what is known of it until its next page.
    pub(crate) fn read_by(&self, rules: Rules, target: &Target, step: usize) -> OnPage {
        let mut page = OnPage::of(target, rules, step);
        for family in 0..FAMILIES.len() {
            page.has_shown[family] = self.has_shown[family] && !rules.leave_out(family);
        }
        page
    }

    /// Notes what its process has shown, by what it had shown on the page before. A page without a start time and without a
    /// counter that was there before may be that of another process, which has shown nothing (S6a).
    pub(crate) fn follow(&mut self, before: Option<&OnPage>) {
        let mut counters = families_of(self.server).filter(|family| FAMILIES[*family].is_counter);
        let shows_counters = counters.all(|family| self.shows(family));
        let has_left =
            |before: &OnPage| (0..MODELS.len()).any(|at| before.models[at] && !self.models[at]);
        let is_known = |before: &&OnPage| self.shows_start || (shows_counters && !has_left(before));
        let had_shown = before.filter(is_known).map(|before| before.has_shown);
        self.has_shown = had_shown.unwrap_or_default();
        for family in families_of(self.server) {
            let is_left_out = self.rules.leave_out(family);
            let shows = (FAMILIES[family].is_lazy || self.has_load) && !is_left_out;
            self.has_shown[family] |= shows && !self.hides[family];
        }
    }

    /// Whether it may have something of the group that these labels pin.
    pub(crate) fn fits(&self, pins: &[(&str, &str)]) -> bool {
        pins.iter().all(|(label, value)| match *label {
            "instance" => *value == format!("t{}", self.uid),
            "job" => *value == format!("j{}", self.job),
            "model_name" => self.models().any(|model| model == *value),
            _ => true,
        })
    }

    /// The models that it has anything of, as its series call them.
    pub(crate) fn models(&self) -> impl Iterator<Item = &'static str> + '_ {
        let models = MODELS.iter().zip(self.models);
        let models = models.filter_map(|(model, has)| has.then_some(*model));
        models.map(|model| self.rules.model(model).unwrap_or(""))
    }

    /// Whether it shows series of a family, or what proves that there are none.
    pub(crate) fn proves(&self, family: usize) -> bool {
        let is_lazy = FAMILIES[family].is_lazy && !self.hides[family] && !self.is_empty;
        self.shows(family) || is_lazy && families_of(self.server).any(|one| one == family)
    }

    /// Whether it shows series of a family.
    pub(crate) fn shows(&self, family: usize) -> bool {
        let has = families_of(self.server).any(|one| one == family);
        has && !self.rules.leave_out(family) && !self.hides[family] && self.has_load
    }

    /// Whether something that it has is not on it as it is.
    pub(crate) fn has_faults(&self) -> bool {
        self.is_empty || self.hides.iter().chain(&self.is_nan).any(|is_so| *is_so)
    }
}
