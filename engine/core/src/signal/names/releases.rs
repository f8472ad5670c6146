//! Which release a gateway is of, and so which of a family's names it uses.

use super::family::{Family, Name};
use super::well_known::INFO;

/// The release lines whose names a gateway uses, by the gauges in which it exposes its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lines {
    router: bool,
    legacy: bool,
}

impl Lines {
    fn of(shows: impl Fn(&str) -> bool) -> Lines {
        Lines {
            router: shows(INFO[0]),
            legacy: shows(INFO[1]),
        }
    }
}

/// The release of a gateway, as far as its page tells: by its build info, otherwise by the names that it uses. `None` if
/// the page is no gateway's. `shows` says whether the page has a metric.
pub(crate) fn release(build_ref: &str, shows: impl Fn(&str) -> bool) -> Option<String> {
    let Lines { router, legacy } = Lines::of(shows);
    let line = match (router, legacy) {
        (false, false) => return None,
        (false, true) => "GIE",
        (true, _) => "router",
    };
    Some(match (build_ref, router, legacy) {
        ("", true, true) => "router v0.9 or v0.10".to_owned(),
        ("", true, false) => "router v0.11 or later".to_owned(),
        ("", ..) => line.to_owned(),
        (build_ref, ..) => format!("{line} {build_ref}"),
    })
}

/// The name under which a gateway would expose a family that it has not exposed yet (S8): the requested one, if it belongs
/// to a release line whose names the gateway uses, otherwise the newest that does.
pub(crate) fn expected_name(
    family: &'static Family,
    requested: &'static Name,
    shows: impl Fn(&str) -> bool,
) -> &'static Name {
    let lines = Lines::of(shows);
    let is_used = |name: &Name| {
        if name.is_of_router() {
            lines.router
        } else {
            lines.legacy
        }
    };
    let newest = || family.names.iter().find(|name| is_used(name));
    if is_used(requested) {
        requested
    } else {
        newest().unwrap_or(requested)
    }
}
