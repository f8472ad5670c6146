//! `/debug/pprof/*` in pprof's format, for `promtool debug` and `go tool pprof`: what this process knows of itself.
//!
//! | path | samples |
//! |---|---|
//! | `profile` | CPU time by thread over `seconds` (30), as the kernel counts it |
//! | `heap` | bytes held by the engine, by part |
//! | `goroutine`, `threadcreate` | threads, by name |
//! | `block`, `mutex` | waits of commits for locks |
//!
//! There are no call stacks: sampling them means unwinding in a signal handler, whatever the thread holds at that moment,
//! and an allocator that counts costs every allocation. Neither is done in a process whose answers autoscalers wait for;
//! `perf record -g` on the host gives call stacks of any running release. `trace` is Go's own format and is not served.

mod profile;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use stillwell_adapters::form::Form;
use stillwell_adapters::host::Host;
use stillwell_adapters::reply::{reply, reply_bytes};
use tokio::sync::Semaphore;

use super::app::App;
use super::own_metrics;
use profile::{Profile, Unit};

/// The length of a CPU profile where none is asked for, as in Go.
const SECONDS_DEFAULT: u64 = 30;
/// A request does not wait longer than this.
const SECONDS_MAX: u64 = 120;
/// CPU profiles at a time.
const PROFILES_MAX: usize = 4;

/// The routes below `/debug/pprof`.
pub(super) fn router(app: &Arc<App>) -> Router {
    let app = Arc::clone(app);
    let places = Arc::new(Semaphore::new(PROFILES_MAX));
    let answer = move |Path(name): Path<String>, request: Request<Body>| {
        let (app, places) = (Arc::clone(&app), Arc::clone(&places));
        async move {
            let form = Form::parse(request.uri().query());
            answer(&app, &name, &form, &places).await
        }
    };
    let index = || async {
        reply(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            INDEX.to_owned(),
        )
    };
    Router::new()
        .route("/debug/pprof/{name}", get(answer))
        .route("/debug/pprof/", get(index))
        .route("/debug/pprof", get(index))
}

/// What there is, for people.
const INDEX: &str = "/debug/pprof/profile?seconds=30  CPU time by thread\n\
                     /debug/pprof/heap                bytes held by the engine, by part\n\
                     /debug/pprof/goroutine           threads, by name (threadcreate too)\n\
                     /debug/pprof/mutex               waits of commits for locks (block too)\n\
                     go tool pprof reads them. There are no call stacks, and no /debug/pprof/trace.\n";

async fn answer(app: &App, name: &str, form: &Form, places: &Semaphore) -> Response<Body> {
    let profile = match name {
        "profile" => match cpu(form, places).await {
            Ok(profile) => profile,
            Err((status, why)) => return refuse(status, why),
        },
        "heap" | "allocs" => heap(app),
        "goroutine" | "threadcreate" => threads(),
        "block" | "mutex" => waits(app),
        "trace" => {
            let why = "execution traces are a format of the Go runtime; there is none here";
            return refuse(StatusCode::NOT_FOUND, why.to_owned());
        }
        _ => {
            let why = format!(
                "no profile {name:?}; there are profile, heap, goroutine, threadcreate, block and mutex"
            );
            return refuse(StatusCode::NOT_FOUND, why);
        }
    };
    reply_bytes(StatusCode::OK, "application/octet-stream", profile.encode())
}

fn refuse(status: StatusCode, why: String) -> Response<Body> {
    reply(status, "text/plain; charset=utf-8", why + "\n")
}

async fn cpu(form: &Form, places: &Semaphore) -> Result<Profile, (StatusCode, String)> {
    let seconds = match form.get("seconds") {
        "" => SECONDS_DEFAULT,
        text => match text.parse::<u64>() {
            Ok(seconds) if (1..=SECONDS_MAX).contains(&seconds) => seconds,
            _ => {
                let why = format!("seconds: {text:?} is not a number from 1 to {SECONDS_MAX}");
                return Err((StatusCode::BAD_REQUEST, why));
            }
        },
    };
    let Ok(_place) = places.try_acquire() else {
        let why = format!("{PROFILES_MAX} CPU profiles are being taken already");
        return Err((StatusCode::TOO_MANY_REQUESTS, why));
    };
    let before = thread_ns();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let mut profile = Profile::new(&[("cpu", Unit::Nanoseconds)], seconds);
    for (id, (name, ns)) in thread_ns() {
        let began_ns = before.get(&id).map_or(0, |(_, ns)| *ns);
        let used_ns = ns.saturating_sub(began_ns);
        if used_ns > 0 {
            profile.add(&["stillwell", &name], &[used_ns]);
        }
    }
    Ok(profile)
}

fn heap(app: &App) -> Profile {
    let mut profile = Profile::new(
        &[("inuse_objects", Unit::Count), ("inuse_space", Unit::Bytes)],
        0,
    );
    let stats = app.reader().stats();
    for (part, bytes) in own_metrics::parts(&stats) {
        profile.add(&["stillwell", "engine", part], &[1, bytes as u64]);
    }
    profile
}

fn threads() -> Profile {
    let mut profile = Profile::new(&[("threads", Unit::Count)], 0);
    for (name, _) in thread_ns().into_values() {
        profile.add(&["stillwell", &name], &[1]);
    }
    profile
}

fn waits(app: &App) -> Profile {
    let mut profile = Profile::new(
        &[("contentions", Unit::Count), ("delay", Unit::Nanoseconds)],
        0,
    );
    let waits = &app.scraper().shared().commit_waits;
    let values = [waits.count(), waits.sum_ns()];
    profile.add(&["stillwell", "commit", "lock"], &values);
    profile
}

/// By id: the name of each thread, and how long it has run. Empty where the kernel does not say.
fn thread_ns() -> BTreeMap<String, (String, u64)> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return BTreeMap::new();
    };
    let thread = |task: std::io::Result<std::fs::DirEntry>| {
        let path = task.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let times = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let ns = times.split_whitespace().next()?.parse().ok()?;
        let id = path.file_name()?.to_string_lossy().into_owned();
        Some((id, (name.trim().to_owned(), ns)))
    };
    tasks.filter_map(thread).collect()
}
