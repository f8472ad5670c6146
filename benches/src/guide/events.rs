//! Events on the guide's HPA: seen with `kubectl describe`, when its gateway fails and when it answers again.

use std::path::Path;

use super::Failure;
use super::control_plane::ControlPlane;
use super::gateway::Gateway;
use super::table::{Seen, Table, wait_for};
use super::walk::{POOL, page};

/// Of an Event's line as much as a table takes.
const SHOWN: usize = 200;

/// Allows it as the overlay does.
pub fn allow(plane: &ControlPlane, deploy: &Path) -> Result<(), Failure> {
    let roles = deploy.join("overlays/events/rbac.yaml");
    plane.kubectl(&["apply", "-f", &roles.display().to_string()])?;
    Ok(())
}

/// The gateway hangs up, and answers again.
pub fn walk(plane: &ControlPlane, gateway: &Gateway, table: &mut Table) -> Result<(), Failure> {
    gateway.show(&page(POOL, 12, 3));
    // The process has just started: before it has a number, that it becomes unknown is no news.
    wait_for("a number", 30, || {
        Ok(super::stillwell::signal("igw_queue_depth")?.1)
    })?;
    for (is_dead, reason, done) in [
        (
            true,
            "SignalUnknown",
            "the gateway hangs up: `kubectl describe hpa` shows an Event",
        ),
        (
            false,
            "SignalRecovered",
            "the gateway answers again: `kubectl describe hpa` shows an Event",
        ),
    ] {
        table.step(done, || {
            gateway.set_dead(is_dead);
            let (line, took) = wait_for(reason, 60, || {
                let hpa = format!("{POOL}-hpa");
                let shown = plane.kubectl(&["describe", "hpa", &hpa])?;
                let line = shown.lines().find(|line| line.contains(reason));
                Ok(line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")))
            })?;
            let line: String = line.chars().take(SHOWN).collect();
            Ok(Seen::after(format!("`{line}`"), took))
        });
    }
    Ok(())
}
