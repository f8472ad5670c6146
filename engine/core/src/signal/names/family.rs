//! The types of the names table, and how its rows are written.

/// What a family describes. It decides which metrics are witnesses of the family (S4a).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The queue in front of the pool.
    FlowControl,
    /// Requests by model.
    Request,
    /// Requests that endpoints are processing: only gateways that run the inflight producer expose it.
    Inflight,
    /// The pool as a whole, as every replica sees it.
    Pool,
    /// A model server, or what stands in front of one and is no gateway of the Inference Extension.
    Engine(Engine),
}

impl Class {
    /// Whether it is a model server's: its releases and its users give its families other labels than the table knows.
    pub fn is_of_engine(self) -> bool {
        self.engine().is_some()
    }

    /// Which model server's it is; `None` of a gateway's.
    pub fn engine(self) -> Option<Engine> {
        match self {
            Class::Engine(engine) => Some(engine),
            Class::FlowControl | Class::Request | Class::Inflight | Class::Pool => None,
        }
    }
}

/// The model servers that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// vLLM, under Ray Serve and KServe too.
    Vllm,
    /// SGLang.
    Sglang,
    /// Hugging Face's Text Generation Inference.
    Tgi,
    /// NVIDIA Triton.
    Triton,
    /// NVIDIA Dynamo's frontend.
    Dynamo,
    /// kthena's router.
    Kthena,
    /// llama.cpp's server.
    LlamaCpp,
    /// JetStream.
    JetStream,
    /// Ray Serve.
    RayServe,
    /// llm-d's asynchronous processor.
    LlmDAsync,
    /// AIBrix' gateway.
    AiBrix,
    /// KServe's agent and queue proxy.
    KServe,
}

/// What a family measures, for whoever judges a query by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Measure {
    /// How much waits.
    Queue,
    /// How much is being processed.
    Running,
    /// A share of a capacity: from 0 to 1.
    Utilisation,
    /// A total that only grows: its rate is what scales.
    Counter,
    /// Anything else.
    #[default]
    Other,
}

/// One name of a family, and the labels that its series have in addition to those of their target. The three lists are
/// disjoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The family's name.
    pub family: &'static str,
    /// Labels that every release gives it.
    pub labels: &'static [&'static str],
    /// Labels that older releases lack. Every release that exposes a witness of the class (S4a) has them.
    pub late: &'static [&'static str],
    /// Labels that some releases have and others lack, where no witness distinguishes them.
    pub sometimes: &'static [&'static str],
}

impl Name {
    /// Whether some release gives the family this label.
    pub fn may_have(&self, label: &str) -> bool {
        self.all_labels().any(|have| have == label)
    }

    /// Every label that some release gives the family.
    pub fn all_labels(&self) -> impl Iterator<Item = &'static str> {
        let all = [self.labels, self.late, self.sometimes];
        all.into_iter().flatten().copied()
    }

    /// Whether releases of the llm-d router have the name; otherwise older ones do.
    pub(super) fn is_of_router(&self) -> bool {
        self.family.starts_with(ROUTER_PREFIX)
    }
}

/// A family under all its names.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What it is about.
    pub class: Class,
    /// Whether it measures demand: a sum of it is how much is asked for now (`signal/RULES.md` S7).
    pub demand: bool,
    /// A gauge of the pool that every replica repeats, so that a sum counts each replica. It is there whenever its value
    /// is known, so its absence never means 0.
    pub replicated: bool,
    /// What it measures.
    pub measure: Measure,
    /// In which unit; empty where it is a share or not said.
    pub unit: &'static str,
    /// Newest first.
    pub names: &'static [Name],
}

pub(super) const fn name(family: &'static str, labels: &'static [&'static str]) -> Name {
    Name {
        family,
        labels,
        late: &[],
        sometimes: &[],
    }
}

pub(super) const fn late(mut name: Name, labels: &'static [&'static str]) -> Name {
    name.late = labels;
    name
}

pub(super) const fn sometimes(mut name: Name, labels: &'static [&'static str]) -> Name {
    name.sometimes = labels;
    name
}

pub(super) const fn demand(class: Class, names: &'static [Name]) -> Family {
    Family {
        class,
        demand: true,
        replicated: false,
        measure: Measure::Other,
        unit: "",
        names,
    }
}

pub(super) const fn counted(class: Class, names: &'static [Name]) -> Family {
    Family {
        class,
        demand: false,
        replicated: false,
        measure: Measure::Other,
        unit: "",
        names,
    }
}

pub(super) const fn repeated(class: Class, names: &'static [Name]) -> Family {
    Family {
        class,
        demand: false,
        replicated: true,
        measure: Measure::Other,
        unit: "",
        names,
    }
}

/// The same with what it measures, and in which unit.
pub(super) const fn measuring(mut family: Family, measure: Measure, unit: &'static str) -> Family {
    family.measure = measure;
    family.unit = unit;
    family
}

/// Prefix of every name that the llm-d router introduced.
const ROUTER_PREFIX: &str = "llm_d_epp_";
