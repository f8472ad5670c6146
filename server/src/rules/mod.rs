//! prometheus-adapter's rules: read as they are, served as signals.
//!
//! A rule whose query is the same whoever asks becomes an ordinary signal, judged from the start. One that looks at the
//! caller's selector or namespace, or whose series name the metric, is made into a query when somebody asks, and that
//! query is judged for as long as the questions keep coming.

mod default_rules;
mod file;
mod forms;
mod load;
mod managed_names;
mod matchers;
mod naming;
mod query;
mod resource_rules;
mod resources;
mod rule;
mod template;
#[cfg(test)]
mod tests;

pub use file::{RulesFile, read};
pub(crate) use load::duplicate;
pub use load::{Loaded, load};
pub use managed_names::managed_name;
pub use matchers::Objects;
pub use query::{object_query, query, shared_query};
pub use resource_rules::{ResourceRule, ResourceRules};
pub use rule::{Rule, metric_name, series_name};
pub use template::{Arguments, Template, TemplateError};
