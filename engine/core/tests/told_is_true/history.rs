//! Random histories: what jobs there are, and what befalls their servers and pages.

use proptest::prelude::*;

use super::rules::Rules;
use super::world::{Load, MODELS, Server};

/// Targets that a job may have.
pub(crate) const TARGETS_MAX: usize = 3;

/// What happens to the target at an index (modulo how many there are).
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A model has this load now.
    Load(usize, usize, [u32; 4]),
    /// A model is asked for no more, and forgotten by who forgets.
    Forget(usize, usize),
    /// A process ends and another begins.
    Restart(usize),
    Down(usize, usize),
    Broken(usize, usize),
    Late(usize, usize),
    Empty(usize, usize),
    Lose(usize, usize, usize),
    Nan(usize, usize, usize),
    Leave(usize),
    /// Another target of the job of this one.
    Join(usize),
    /// The pages of the target, or of all of its job, are read by other rules. A family is one of those of its server.
    Reload(usize, bool, Rules),
    /// A signal is registered that was not so far.
    Ask,
}

fn rules() -> impl Strategy<Value = Rules> {
    let family = 0usize..4;
    prop_oneof![
        3 => Just(Rules::Plain),
        1 => Just(Rules::Limited),
        1 => Just(Rules::Honoring),
        2 => Just(Rules::OtherModel),
        1 => Just(Rules::NoModel),
        2 => family.clone().prop_map(Rules::Without),
        2 => family.prop_map(Rules::Renamed),
    ]
}

fn load() -> impl Strategy<Value = [u32; 4]> {
    let gauge = || prop_oneof![2 => Just(0u32), 5 => 1u32..1_000];
    (gauge(), gauge(), 1u32..500, gauge()).prop_map(|(a, b, c, d)| [a, b, c, d])
}

fn event() -> impl Strategy<Value = Event> {
    let target = || 0usize..6;
    let steps = || prop_oneof![4 => 1usize..4, 2 => 4usize..12];
    prop_oneof![
        10 => (target(), 0..MODELS.len(), load()).prop_map(|(t, m, l)| Event::Load(t, m, l)),
        2 => (target(), 0..MODELS.len()).prop_map(|(t, m)| Event::Forget(t, m)),
        2 => target().prop_map(Event::Restart),
        2 => (target(), steps()).prop_map(|(t, n)| Event::Down(t, n)),
        1 => (target(), steps()).prop_map(|(t, n)| Event::Broken(t, n)),
        2 => (target(), steps()).prop_map(|(t, n)| Event::Late(t, n)),
        1 => (target(), steps()).prop_map(|(t, n)| Event::Empty(t, n)),
        4 => (target(), 0usize..4, steps()).prop_map(|(t, f, n)| Event::Lose(t, f, n)),
        1 => (target(), 0usize..4, steps()).prop_map(|(t, f, n)| Event::Nan(t, f, n)),
        1 => target().prop_map(Event::Leave),
        1 => target().prop_map(Event::Join),
        3 => (target(), any::<bool>(), rules()).prop_map(|(t, a, r)| Event::Reload(t, a, r)),
        1 => Just(Event::Ask),
    ]
}

/// A job: what its targets are, how many there are at first, and whether they say when they started.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) server: Server,
    pub(crate) targets: Vec<[Load; MODELS.len()]>,
    pub(crate) shows_start: bool,
    pub(crate) has_pool_label: bool,
}

/// A world: its jobs, and what happens at each step.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) jobs: Vec<Job>,
    pub(crate) steps: Vec<Vec<Event>>,
}

fn job() -> impl Strategy<Value = Job> {
    let server = prop_oneof![
        3 => Just(Server::Gateway),
        1 => Just(Server::OldGateway),
        3 => Just(Server::Engine),
        3 => Just(Server::Exporter),
    ];
    let loads = prop::array::uniform3(prop::option::of(load()));
    (
        server,
        prop::collection::vec(loads, 1..=TARGETS_MAX),
        prop::bool::weighted(0.7),
        any::<bool>(),
    )
        .prop_map(|(server, mut targets, shows_start, has_pool_label)| Job {
            server,
            targets: {
                // A model server serves something.
                let first = targets.iter_mut().filter(|_| server == Server::Engine);
                first.for_each(|loads| loads[0] = loads[0].or(Some([0, 0, 1, 0])));
                targets
            },
            shows_start,
            has_pool_label,
        })
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    let events = prop::collection::vec(event(), 0..3);
    (
        prop::collection::vec(job(), 1..4),
        prop::collection::vec(events, 4..30),
    )
        .prop_map(|(jobs, steps)| History { jobs, steps })
}
