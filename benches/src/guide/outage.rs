//! What goes away: the gateway, Stillwell itself, the API server.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Failure;
use super::control_plane::ControlPlane;
use super::gateway::Gateway;
use super::stillwell::{Stillwell, signal};
use super::table::{Seen, Table, wait_for};
use super::walk::{HPA, POOL, is_active, page, scaled, why_inactive};

const QUEUE: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/igw_queue_depth";
/// Two looks of the HPA and a bit.
const TWO_LOOKS: Duration = Duration::from_secs(35);

/// The gateway hangs up, then Stillwell restarts, with a queue before both.
pub fn walk(
    plane: &ControlPlane,
    gateway: &Gateway,
    process: &mut Stillwell,
    table: &mut Table,
) -> Result<(), Failure> {
    gateway.show(&page(POOL, 700, 600));
    scaled(plane, POOL, 3, 120)?;
    table.step("the gateway hangs up on every scrape", || {
        gateway.set_dead(true);
        let (why, took) = wait_for("ScalingActive False", 90, || {
            let hpa = plane.get(HPA)?;
            Ok((!is_active(&hpa)).then(|| why_inactive(&hpa)))
        })?;
        thread::sleep(TWO_LOOKS);
        stays(plane, 3)?;
        Ok(Seen::after(
            format!("the HPA holds 3 replicas: `{why}`"),
            took,
        ))
    });
    table.step("the gateway answers again", || {
        gateway.set_dead(false);
        let (_, took) = wait_for("ScalingActive", 90, || {
            Ok(is_active(&plane.get(HPA)?).then_some(()))
        })?;
        Ok(Seen::after("`ScalingActive True`", took))
    });
    table.step(
        "Stillwell is ended by SIGTERM and starts again with its snapshot",
        || {
            let began = Instant::now();
            process.restart(plane)?;
            let (value, _) = wait_for("a value through the API server", 90, || {
                let answer: Value = plane.get(QUEUE)?;
                Ok(answer["items"][0]["value"].as_str().map(str::to_owned))
            })?;
            let took = began.elapsed();
            thread::sleep(TWO_LOOKS);
            stays(plane, 3)?;
            Ok(Seen::after(
                format!("the API server gives `{value}` again; replicas stay at 3"),
                took,
            ))
        },
    );
    Ok(())
}

/// The API server is away for so long, while each signal of `names` is read twice a second.
pub fn api_server_away(
    plane: &mut ControlPlane,
    seconds: u64,
    names: &[&str],
    table: &mut Table,
) -> Result<(), Failure> {
    let read = |names: &[&str]| -> Result<Vec<(String, Option<f64>)>, Failure> {
        names.iter().map(|name| signal(name)).collect()
    };
    let before = read(names)?;
    let replicas = plane.replicas(POOL)?;
    let began = Instant::now();
    plane.stop_api_server();
    let (mut reads, mut held, mut changed) = (0, 0, Vec::new());
    let numbers = |read: &[(String, Option<f64>)]| -> Vec<Option<f64>> {
        read.iter().map(|(_, number)| *number).collect()
    };
    while began.elapsed() < Duration::from_secs(seconds) {
        let now = read(names)?;
        reads += 1;
        // A scrape that a busy machine misses is held: the number is the same.
        held += usize::from(now.iter().any(|(state, _)| state == "held"));
        if numbers(&now) != numbers(&before) && changed.len() < 3 {
            changed.push(format!(
                "{now:?} after {:.0} s",
                began.elapsed().as_secs_f64()
            ));
        }
        thread::sleep(Duration::from_millis(500));
    }
    plane.start_api_server()?;
    table.step(&format!("the API server is away for {seconds} s; the signals {} are read twice a second", names.join(", ")), || {
        let (_, took) = wait_for("a value through the API server", 90, || {
            Ok(plane.get(QUEUE)?["items"][0]["value"].as_str().map(|_| ()))
        })?;
        if !changed.is_empty() {
            return Err(format!("before: {before:?}; then {}", changed.join(", ")).into());
        }
        stays(plane, replicas)?;
        Ok(Seen::after(format!("{reads} reads, each with the same numbers ({held} of them held for a scrape that was late); replicas stay at {replicas}; it gives values again after its return"), took))
    });
    Ok(())
}

fn stays(plane: &ControlPlane, replicas: i64) -> Result<(), Failure> {
    match plane.replicas(POOL)? {
        now if now == replicas => Ok(()),
        now => Err(format!("{now} replicas, and were {replicas}").into()),
    }
}
