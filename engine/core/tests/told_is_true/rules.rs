//! How the pages of a target are read, which a reload may change.

use stillwell_engine::TargetSpec;
use stillwell_engine::labels::{RelabelAction, RelabelRule, RelabelSpec};

use crate::world::{FAMILIES, old_name};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rules {
    #[default]
    Plain,
    /// With a limit, which no page reaches.
    Limited,
    /// Labels of the page win.
    Honoring,
    /// The model `m` has another name.
    OtherModel,
    /// No series says its model.
    NoModel,
    /// A family is left out.
    Without(usize),
    /// A family has another name.
    Renamed(usize),
}

impl Rules {
    /// Whether a page gives other series, or may.
    pub(crate) fn differ_from(self, other: Rules) -> bool {
        let of_page = |rules| match rules {
            Rules::Limited => Rules::Plain,
            rules => rules,
        };
        of_page(self) != of_page(other)
    }

    /// Whether no series has the name of a family.
    pub(crate) fn leave_out(self, family: usize) -> bool {
        matches!(self, Rules::Without(of) | Rules::Renamed(of) if of == family)
    }

    /// What series say of a model, if they say any.
    pub(crate) fn model(self, model: &'static str) -> Option<&'static str> {
        match self {
            Rules::OtherModel if model == "m" => Some("xm"),
            Rules::NoModel => None,
            _ => Some(model),
        }
    }

    pub(crate) fn applied_to(self, spec: TargetSpec) -> TargetSpec {
        TargetSpec {
            honor_labels: self == Rules::Honoring,
            sample_limit: if self == Rules::Limited { 10_000 } else { 0 },
            metric_relabel: self.relabelling().into_iter().collect(),
            ..spec
        }
    }

    fn relabelling(self) -> Option<RelabelRule> {
        let of_names = |family: usize| RelabelSpec {
            source_labels: vec!["__name__".to_owned()],
            regex: format!("({}|{})", FAMILIES[family].name, old_name(family)),
            ..RelabelSpec::default()
        };
        let spec = match self {
            Rules::Plain | Rules::Limited | Rules::Honoring => return None,
            Rules::OtherModel => RelabelSpec {
                source_labels: vec!["model_name".to_owned()],
                regex: "(m)".to_owned(),
                target_label: "model_name".to_owned(),
                replacement: "x$1".to_owned(),
                ..RelabelSpec::default()
            },
            Rules::NoModel => RelabelSpec {
                action: RelabelAction::LabelDrop,
                regex: "model_name".to_owned(),
                ..RelabelSpec::default()
            },
            Rules::Without(family) => RelabelSpec {
                action: RelabelAction::Drop,
                ..of_names(family)
            },
            Rules::Renamed(family) => RelabelSpec {
                target_label: "__name__".to_owned(),
                replacement: "x_$1".to_owned(),
                ..of_names(family)
            },
        };
        Some(RelabelRule::new(spec).expect("a rule"))
    }
}
