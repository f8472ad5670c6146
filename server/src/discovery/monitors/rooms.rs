//! The room that all objects of a section share, for themselves, their jobs and their rules.

use super::places::Id;
use super::room::{Room, namespace_of};

/// Objects that are followed; a cluster has some hundreds.
const OBJECTS_MAX: usize = 5_000;
/// Jobs of all of them.
const JOBS_MAX: usize = 5_000;
/// Rules of all of them: kube-prometheus-stack brings some 300.
const RULES_MAX: usize = 20_000;

/// What an object takes of the room that all share.
#[derive(Clone, Copy, Default)]
pub(super) struct Needs {
    pub(super) jobs: usize,
    pub(super) rules: usize,
}

/// The room that all objects share.
pub(super) struct Rooms {
    pub(super) objects: Room,
    pub(super) jobs: Room,
    pub(super) rules: Room,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms {
            objects: Room::new(OBJECTS_MAX),
            jobs: Room::new(JOBS_MAX),
            rules: Room::new(RULES_MAX),
        }
    }
}

impl Rooms {
    /// Whether there is room for what an object needs. Error: why there is none.
    pub(super) fn check(&self, id: &Id, needs: Needs) -> Result<(), String> {
        for (room, units, what) in [
            (&self.objects, 1, "objects"),
            (&self.jobs, needs.jobs, "scrape jobs"),
            (&self.rules, needs.rules, "rules"),
        ] {
            if !room.has(id, units) {
                return Err(no_room(id, units, what, room));
            }
        }
        Ok(())
    }

    /// An object holds what it needs, instead of what it held before.
    pub(super) fn put(&mut self, id: &Id, needs: Needs) {
        self.objects.put(id, 1);
        self.jobs.put(id, needs.jobs);
        self.rules.put(id, needs.rules);
    }

    /// An object holds nothing any more.
    pub(super) fn leave(&mut self, id: &Id) {
        for room in [&mut self.objects, &mut self.jobs, &mut self.rules] {
            room.leave(id);
        }
    }
}

fn no_room(id: &Id, units: usize, what: &str, room: &Room) -> String {
    format!(
        "there is no room for its {units} {what}: {} are taken of all objects, and namespace {:?}, which has {} of them, leaves \
         room for others; restrict them by `selector` and `namespaces`",
        room.max(),
        namespace_of(id),
        room.held_beside(id)
    )
}
